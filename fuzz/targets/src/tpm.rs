//! The TPM's registers under software that does what it likes with them, at all localities.
//!
//! An input is a list of steps of four bytes: what is done and how wide it is, the locality, the register,
//! and a value. Some registers are more likely than others, or hardly a command would ever be started.

mod commands;
pub mod execute;
mod quick;
mod ready;

use tpm2_engine::interface::crb::Crb;
use tpm2_engine::interface::fifo::Fifo;
use tpm2_engine::interface::{BUFFER_BYTES, LOCALITIES, LOCALITY_BYTES, Ready};

/// What a front end has: both have the same.
trait Registers {
    /// Where an active locality sees that it is, and the bit.
    const ACTIVE: (u64, u8);
    /// A register that has what was sent or is to be received.
    const DATA: u64;
    /// What DATA reads as, byte by byte, for a locality that has been given nothing: its own kind of nothing.
    const NOTHING: u8;
    /// Registers that a driver uses.
    const USUAL: &'static [u64];
    fn read(&mut self, offset: u64, out: &mut [u8]);
    fn write(&mut self, offset: u64, data: &[u8]) -> Ready;
    fn command(&self) -> &[u8];
    fn respond(&mut self, response: &[u8]);
}

macro_rules! registers {
    ($kind:ident, $active:expr, $data:expr, $nothing:expr, $usual:expr) => {
        impl Registers for $kind {
            const ACTIVE: (u64, u8) = $active;
            const DATA: u64 = $data;
            const NOTHING: u8 = $nothing;
            const USUAL: &'static [u64] = &$usual;
            fn read(&mut self, offset: u64, out: &mut [u8]) {
                $kind::read(self, offset, out);
            }
            fn write(&mut self, offset: u64, data: &[u8]) -> Ready {
                $kind::write(self, offset, data)
            }
            fn command(&self) -> &[u8] {
                $kind::command(self)
            }
            fn respond(&mut self, response: &[u8]) {
                $kind::respond(self, response);
            }
        }
    };
}

registers!(Crb, (0x0c, 1), 0x80, 0, [0x08, 0x40, 0x4c, 0x80, 0x84, 0x86, 0x48, 0xffe]);
registers!(Fifo, (0x00, 1 << 5), 0x24, 0xff, [0x00, 0x18, 0x24, 0x24, 0x24, 0x80, 0x1b, 0x18]);

/// The locality that has the TPM.
fn active<R: Registers>(registers: &mut R) -> Option<u8> {
    let (register, bit) = R::ACTIVE;
    let mut found = (0..LOCALITIES).filter(|locality| {
        let mut byte = [0];
        registers.read(u64::from(*locality) * LOCALITY_BYTES + register, &mut byte);
        byte[0] & bit != 0
    });
    let first = found.next();
    assert_eq!(found.next(), None, "two localities have the TPM");
    first
}

/// What a step does.
struct Step {
    kind: u8,
    width: usize,
    locality: u8,
    register: u64,
    value: u8,
}

impl Step {
    fn of<R: Registers>(bytes: &[u8; 4]) -> Self {
        let [kind, place, register, value] = *bytes;
        let usual = R::USUAL.get(usize::from(register & 7)).copied().unwrap_or_default();
        // Any register of the page, one time in eight.
        let any = u64::from(register) << 4 | u64::from(value & 0xf);
        Self {
            kind: kind & 7,
            width: 1 << (kind >> 3 & 3),
            locality: place & 7,
            register: if place >> 5 == 0 { any } else { usual },
            value,
        }
    }

    fn offset(&self) -> u64 {
        u64::from(self.locality) * LOCALITY_BYTES + self.register
    }
}

/// A front end under the steps of an input.
fn run<R: Registers>(registers: &mut R, input: &[u8]) {
    let mut running: Option<(u8, Vec<u8>)> = None;
    let mut had = active(registers);
    for bytes in input.as_chunks().0 {
        let step = Step::of::<R>(bytes);
        let mut data = [step.value; 8];
        let data = &mut data[..step.width];
        match step.kind {
            0 | 1 => registers.read(step.offset(), data),
            2 => {
                // Whether or not somebody waits for it.
                let response = vec![step.value | 1; usize::from(step.value) << 5];
                registers.respond(&response);
                running = None;
            }
            // A header whose size is the value, in the order of the bus.
            3 => {
                for byte in [0x80, 1, 0, 0, 0, step.value, 0, 0, 1, 0x7b] {
                    let _ = registers.write(u64::from(step.locality) * LOCALITY_BYTES + R::DATA, &[byte]);
                }
            }
            _ => match registers.write(step.offset(), data) {
                Ready::Execute { locality } => {
                    assert_eq!(Some(locality), had, "a command of a locality that has not the TPM");
                    running = Some((locality, registers.command().to_vec()));
                }
                Ready::Nothing | Ready::Cancel => {}
            },
        }
        assert!(registers.command().len() <= BUFFER_BYTES, "a command is longer than its buffer");
        let has = active(registers);
        if has != had {
            let before = running.take();
            assert!(before.is_none() || R::NOTHING == 0xff, "the TPM was taken away from a running command");
            sees_nothing(registers, has);
            had = has;
        }
    }
}

/// A locality that has just got the TPM finds nothing of the former one's.
fn sees_nothing<R: Registers>(registers: &mut R, locality: Option<u8>) {
    let Some(locality) = locality else { return };
    let mut bytes = [1; 64];
    registers.read(u64::from(locality) * LOCALITY_BYTES + R::DATA, &mut bytes);
    assert_eq!(bytes, [R::NOTHING; 64], "a locality reads what was another's");
}

/// The command response buffer.
pub fn crb(input: &[u8]) {
    run(&mut Crb::new(), input);
}

/// The FIFO.
pub fn fifo(input: &[u8]) {
    run(&mut Fifo::new(), input);
}
