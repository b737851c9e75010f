//! The VMM's driver, these registers and the engine together: what is measured is in the PCRs, and the log
//! says the same.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;

use devices::acpi::presence::register;
use devices::acpi::tpm2::PRESENCE_OFFSET;
use devices::capability::{MmioDevice, Platform as Board, PowerEvent, Width};
use tpm2_engine::crypto::{Crypto, Hash};
use tpm2_engine::{Platform, PlatformError, RustCrypto, Tpm};
use vmm::measured::driver::Registers;
use vmm::measured::{MeasureError, Part, measure};

use super::*;
use crate::kept::Kept;
use crate::lasting::{Lasting, STATE_BYTES};
use crate::running::carry_out;
use crate::state::in_memory;

#[test]
fn interfaces_have_names() {
    assert_eq!(interface(None), Some(TpmInterface::Crb));
    assert_eq!(interface(Some("crb")), Some(TpmInterface::Crb));
    assert_eq!(interface(Some("fifo")), Some(TpmInterface::Fifo));
    assert_eq!(interface(Some("tis")), None);
    assert_eq!([None, Some("allow")].map(is_presence_allowed), [Some(true); 2]);
    assert_eq!([Some("deny"), Some("user")].map(is_presence_allowed), [Some(false), None]);
}

/// Surroundings without chance and without time.
struct Still;

impl Platform for Still {
    fn entropy(&mut self, out: &mut [u8]) -> Result<(), PlatformError> {
        out.fill(1);
        Ok(())
    }

    fn milliseconds(&mut self) -> u64 {
        0
    }
}

impl Board for Still {
    fn now_ns(&self) -> u64 {
        0
    }

    fn set_line(&mut self, _: u8, _: bool) {}

    fn power(&mut self, _: PowerEvent) {}
}

/// The registers, and a TPM that executes while the driver waits.
struct Machine<'a> {
    device: TpmDevice<fn()>,
    interface: TpmInterface,
    exchange: Arc<Exchange>,
    running: &'a mut Result<Running, String>,
    is_allowed: bool,
    pauses: u32,
}

impl Registers for &mut Machine<'_> {
    fn interface(&self) -> TpmInterface {
        self.interface
    }

    fn read(&mut self, offset: u64, width: Width) -> u64 {
        self.device.mmio_read(offset, width, &mut Still)
    }

    fn write(&mut self, offset: u64, width: Width, value: u64) {
        self.device.mmio_write(offset, width, value, &mut Still);
    }

    fn pause(&mut self) -> bool {
        self.pauses += 1;
        // The first look at each command finds it unfinished.
        if self.pauses.is_multiple_of(2) {
            self.exchange.execute(|order, response| {
                carry_out(self.running, &self.exchange, self.is_allowed, order, response);
            });
        }
        self.pauses < 1000
    }
}

fn tpm() -> Result<Running, String> {
    let storage: Box<[Vec<u8>; 2]> = Box::default();
    let tpm = Tpm::open(Box::new(RustCrypto), Box::new(Still), storage, &[0; 32]);
    Ok(Running::new(tpm.unwrap(), Kept(&[])))
}

fn machine(interface: TpmInterface, running: &mut Result<Running, String>) -> Machine<'_> {
    let exchange = Arc::new(Exchange::default());
    let device: TpmDevice<fn()> = TpmDevice::new(interface, true, exchange.clone(), || {});
    Machine { device, interface, exchange, running, is_allowed: true, pauses: 0 }
}

/// Executes a command past the registers.
fn run_past(running: &mut Result<Running, String>, command: &[u8]) -> Vec<u8> {
    let mut response = Vec::new();
    running.as_mut().unwrap().tpm.execute(0, command, &mut response);
    response
}

fn parts() -> Vec<Part> {
    ["linux", "cmdline", "initrd"].map(|name| Part { name, bytes: 5, digest: [name.len() as u8; 32] }).into()
}

/// Takes bytes from the front.
fn take<'a>(log: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = log.split_at(count);
    *log = rest;
    taken
}

fn word(log: &mut &[u8], count: usize) -> usize {
    take(log, count).iter().rev().fold(0, |all, byte| all << 8 | usize::from(*byte))
}

/// PCRs 0 to 9 of a bank, by the events of a log.
fn replay(mut log: &[u8], wanted: usize, hash: Hash) -> (Vec<Vec<u8>>, usize) {
    let mut pcrs = alloc::vec![alloc::vec![0; hash.size()]; 10];
    let mut events = 0;
    take(&mut log, 28);
    let identity = word(&mut log, 4);
    take(&mut log, identity);
    while !log.is_empty() {
        let (pcr, _, count) = (word(&mut log, 4), word(&mut log, 4), word(&mut log, 4));
        let digests: Vec<(usize, &[u8])> = (0..count)
            .map(|_| {
                let algorithm = word(&mut log, 2);
                let size =
                    [(4, 20), (0xb, 32), (0xc, 48), (0xd, 64)].into_iter().find(|(id, _)| *id == algorithm);
                (algorithm, take(&mut log, size.unwrap().1))
            })
            .collect();
        let size = word(&mut log, 4);
        let data = take(&mut log, size);
        let digest = digests.iter().find(|(algorithm, _)| *algorithm == wanted).unwrap().1;
        assert_eq!(digest, RustCrypto.digest(hash, &[data]), "the digest is the data's");
        pcrs[pcr] = RustCrypto.digest(hash, &[&pcrs[pcr], digest]);
        events += 1;
    }
    (pcrs, events)
}

#[test]
fn the_log_replays_to_the_pcrs() {
    for interface in [TpmInterface::Crb, TpmInterface::Fifo] {
        let mut tpm = tpm();
        let log = measure(&mut machine(interface, &mut tpm), &parts(), 0x1_0000).unwrap();
        for (algorithm, hash) in
            [(4, Hash::Sha1), (0xb, Hash::Sha256), (0xc, Hash::Sha384), (0xd, Hash::Sha512)]
        {
            let (pcrs, events) = replay(&log, algorithm, hash);
            assert_eq!(events, 12);
            for (pcr, value) in pcrs.iter().enumerate() {
                // TPM2_PCR_Read of one PCR: its value is the end of the response.
                let mut command =
                    [0x80, 1, 0, 0, 0, 20, 0, 0, 1, 0x7e, 0, 0, 0, 1, 0, algorithm as u8, 3, 0, 0, 0];
                command[17 + pcr / 8] = 1 << (pcr % 8);
                let response = run_past(&mut tpm, &command);
                assert!(response.ends_with(value), "PCR {pcr} of bank {algorithm:#x} by {interface:?}");
            }
        }
        // It was started: whoever runs now can't do that again, and begin with other PCRs.
        let again = measure(&mut machine(interface, &mut tpm), &parts(), 0x1_0000);
        assert_eq!(again.unwrap_err(), MeasureError::Refused(0x100));
    }
}

#[test]
fn a_tpm_that_can_not_be_used_is_an_error() {
    let mut tpm = tpm();
    assert_eq!(
        measure(&mut machine(TpmInterface::Crb, &mut tpm), &parts(), 100).unwrap_err(),
        MeasureError::LogFull
    );
    let mut silent = self::tpm();
    let mut machine = machine(TpmInterface::Fifo, &mut silent);
    // Nobody executes: a command was ordered that is never taken.
    machine.pauses = 998;
    machine.exchange = Arc::new(Exchange::default());
    assert_eq!(measure(&mut machine, &parts(), 0x1_0000).unwrap_err(), MeasureError::Silent);
}

/// TPM2_Clear by the platform, with an empty password.
const CLEAR: [u8; 27] =
    [0x80, 2, 0, 0, 0, 27, 0, 0, 1, 0x26, 0x40, 0, 0, 12, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0];

#[test]
fn the_guest_has_no_platform_hierarchy() {
    for interface in [TpmInterface::Crb, TpmInterface::Fifo] {
        let mut tpm = tpm();
        measure(&mut machine(interface, &mut tpm), &parts(), 0x1_0000).unwrap();
        // TPM_RC_HIERARCHY.
        assert!(run_past(&mut tpm, &CLEAR).ends_with(&[0, 0, 1, 0x85]));
    }
}

impl Machine<'_> {
    fn presence(&mut self, register: u64) -> u64 {
        self.device.mmio_read(PRESENCE_OFFSET + register, Width::Dword, &mut Still)
    }

    /// Asks for an operation as the method in the guest's tables does. Returns what that returns.
    fn submit(&mut self, operation: u64, parameter: u64) -> u64 {
        for (register, value) in
            [(register::OPERATION, operation), (register::PARAMETER, parameter), (register::SUBMIT, 1)]
        {
            self.device.mmio_write(PRESENCE_OFFSET + register, Width::Dword, value, &mut Still);
        }
        assert_eq!(self.presence(register::SUBMIT), register::BUSY.into());
        (&mut *self).pause();
        (&mut *self).pause();
        self.presence(register::SUBMIT)
    }
}

/// A TPM whose state outlives its process, in that life of the machine.
fn lasting(words: &'static [AtomicU64], life: u64) -> Result<Running, String> {
    let lasting = Lasting { words, life };
    in_memory(Still, lasting).map(|tpm| Running::new(tpm, lasting.kept()))
}

#[test]
fn a_reset_is_a_new_start_that_carries_out_what_was_asked_for() {
    for interface in [TpmInterface::Crb, TpmInterface::Fifo] {
        let words: Vec<_> = (0..STATE_BYTES / 8).map(|_| AtomicU64::new(0)).collect();
        let words: &'static [AtomicU64] = words.leak();
        let mut tpm = lasting(words, 1);
        let mut first = machine(interface, &mut tpm);
        measure(&mut first, &parts(), 0x1_0000).unwrap();
        assert_eq!((first.submit(99, 0), first.submit(23, 2)), (1, 0));
        assert_eq!([0x10, 0x14, 0x18, 0x1c].map(|place| first.presence(place)), [23, 2, 0, 0]);
        // init ends the process then, and starts another one.
        let mut tpm = lasting(words, 2);
        let mut second = machine(interface, &mut tpm);
        let log = measure(&mut second, &parts(), 0x1_0000).unwrap();
        assert_eq!([0x10, 0x14, 0x18, 0x1c].map(|place| second.presence(place)), [0, 0, 23, 0]);
        second.is_allowed = false;
        assert_eq!(second.submit(5, 0), 3);
        let mut tpm = lasting(words, 3);
        assert_eq!(measure(&mut machine(interface, &mut tpm), &parts(), 0x1_0000).unwrap(), log);
        // TPM2_GetCapability of the banks: SHA-256 has PCRs now, and SHA-1 has none.
        let banks =
            run_past(&mut tpm, &[0x80, 1, 0, 0, 0, 22, 0, 0, 1, 0x7a, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1]);
        let has = |algorithm: u8| banks.windows(6).any(|bank| bank == [0, algorithm, 3, 0xff, 0xff, 0xff]);
        assert_eq!((has(0x4), has(0xb)), (false, true));
    }
}
