//! The VMM's driver, these registers and the engine together: what is measured is in the PCRs, and the log
//! says the same.

use alloc::boxed::Box;
use alloc::vec::Vec;

use devices::capability::{MmioDevice, Platform as Board, PowerEvent, Width};
use tpm2_engine::crypto::{Crypto, Hash};
use tpm2_engine::{Platform, PlatformError, RustCrypto};
use vmm::measured::driver::Registers;
use vmm::measured::{MeasureError, Part, measure};

use super::*;
use crate::platform::Memory;

#[test]
fn interfaces_have_names() {
    assert_eq!(interface(None), Some(TpmInterface::Crb));
    assert_eq!(interface(Some("crb")), Some(TpmInterface::Crb));
    assert_eq!(interface(Some("fifo")), Some(TpmInterface::Fifo));
    assert_eq!(interface(Some("tis")), None);
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
    tpm: &'a mut Tpm,
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
            self.exchange
                .execute(|locality, command, response| self.tpm.execute(locality, command, response));
        }
        self.pauses < 1000
    }
}

fn tpm() -> Tpm {
    Tpm::open(Box::new(RustCrypto), Box::new(Still), Box::new(Memory::default()), &[0; 32]).unwrap()
}

fn machine(interface: TpmInterface, tpm: &mut Tpm) -> Machine<'_> {
    let exchange = Arc::new(Exchange::default());
    let device: TpmDevice<fn()> = TpmDevice::new(interface, exchange.clone(), || {});
    Machine { device, interface, exchange, tpm, pauses: 0 }
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
                let mut response = Vec::new();
                tpm.execute(0, &command, &mut response);
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
