//! Sequences that no driver makes: registers, queues and commands of any value never end in a panic, nothing
//! is asked of the disk that is not on it (the disk of the tests looks), and after a reset all is well.

use devices::capability::Width;
use devices::disk::AtOnce;
use devices::pci::PciFunction;

use crate::testing::{DATA, Machine, Memory, Plain, RAM_BYTES, Sent};

/// Repeatable pseudo-random numbers (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One of these, or anything.
    fn one_of(&mut self, values: &[u64]) -> u64 {
        let any = self.next() >> self.below(64);
        values.get(self.below(values.len() as u64 + 1) as usize).copied().unwrap_or(any)
    }
}

/// A command that is nearly one.
fn command(random: &mut Random) -> Sent {
    let address =
        |random: &mut Random| random.one_of(&[DATA, DATA + 0x200, DATA + 0xffc, 0x1000, 1 << 40, 0]);
    let dword = |random: &mut Random| random.one_of(&[0, 1, 3, 7, 0xf_0001, 0x1_0001, 0xff]) as u32;
    Sent {
        opcode: random.one_of(&[0, 1, 2, 4, 5, 6, 8, 9, 10, 12]) as u8,
        flags: random.one_of(&[0, 0, 0, 0]) as u8,
        namespace: random.one_of(&[0, 1, 1, 1, 0xffff_ffff]) as u32,
        prps: [address(random), address(random)],
        dwords: core::array::from_fn(|_| dword(random)),
    }
}

fn step(machine: &mut Plain, random: &mut Random) {
    const WIDTHS: [Width; 4] = [Width::Byte, Width::Word, Width::Dword, Width::Qword];
    let width = WIDTHS[random.below(4) as usize];
    match random.below(16) {
        0..6 => {
            let queue = random.below(machine.pairs.len() as u64) as usize;
            machine.put(queue, command(random));
            machine.ring(queue);
            if random.below(2) == 0 {
                machine.peek(queue);
                machine.taken(queue);
            }
        }
        6..10 => {
            let offset = random.one_of(&[0x0c, 0x10, 0x14, 0x24, 0x28, 0x2c, 0x30, 0x1000, 0x1004, 0x1008]);
            let offset = offset % (0x4000 - 8);
            let value = random.one_of(&[0, 1, 0x46_0001, 0x46_4001, 2, 0xf_000f]) & width.mask();
            machine.function.bar_write(0, offset, width, value, &mut machine.bench);
        }
        10 => {
            let offset = random.below(0x4000 - 8);
            let value = machine.function.bar_read(0, offset, width, &mut machine.bench);
            assert_eq!(value & !width.mask(), 0);
        }
        11 => {
            let offset = random.below(256) as u16 & !3;
            let value = random.next() as u32;
            machine.function.config_write(offset, Width::Dword, value, &mut machine.bench);
            machine.function.config_read(offset, Width::Dword, &mut machine.bench);
        }
        12 => machine.ram.put(random.below(RAM_BYTES as u64 - 8), &random.next().to_le_bytes()),
        13 => machine.function.input(&mut machine.bench),
        14 => machine.function.config_write(4, Width::Word, 6, &mut machine.bench),
        _ => restart(machine),
    }
}

/// As a driver does it.
fn restart(machine: &mut Plain) {
    machine.function.config_write(4, Width::Word, 6, &mut machine.bench);
    machine.function.config_write(0x42, Width::Word, 0, &mut machine.bench);
    machine.write(0x14, 0);
    machine.write(0x2c, 0);
    machine.write(0x34, 0);
    machine.enable();
    machine.create_pair(16);
}

#[test]
fn any_sequence() {
    let mut random = Random(0x1234_5678_9abc_def1);
    for round in 0..200 {
        let mut machine = Machine::fresh(AtOnce::new(Memory::default()), 4);
        restart(&mut machine);
        for _ in 0..200 {
            step(&mut machine, &mut random);
        }
        restart(&mut machine);
        let read = Sent { opcode: 2, namespace: 1, prps: [DATA, 0], ..Sent::default() };
        assert_eq!(machine.command(1, read).status, 0, "{round}");
        let disk = &machine.function.backend().disk().bytes;
        assert_eq!(machine.ram.copy(DATA, 512), disk[..512]);
    }
}
