//! Each target, on inputs made blindly: what libFuzzer finds more of, without it.

use super::TARGETS;

/// Inputs a target.
const INPUTS: u64 = 20_000;
/// The same for registers, each of which asks the processor for its features, which takes long under a
/// hypervisor, and for channels.
const INPUTS_OF_SLOW: u64 = 2_000;
/// The same for mappings: each has many tables to be walked.
const INPUTS_OF_MAPPINGS: u64 = 100;

/// A generator of numbers (xorshift64): the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// A guest in long mode, which loads every group and has an exception delivered.
fn long_mode() -> Vec<u64> {
    let mut words = vec![u64::from_le_bytes([0xff, 1, 1, 0, 3, 0, 0, 0])];
    // General registers, the event, XCR0.
    words.extend((0..18).chain([0x1_0000_0d03 | 1 << 16, 7]));
    // CR0, CR3, CR4, EFER; CS and SS; CR2, CR8, DR6, DR7.
    words.extend([0x8005_0033, 0x1000, 0x6b0, 0xd01]);
    words.extend([0xffff_ffff_029b_0008, 0, 0xffff_ffff_0093_0010, 0, 0, 0, 0xffff_0ff0, 0x400]);
    words.extend(0..16);
    words.extend((0..8).chain([0x0007_0406_0007_0406, 9]));
    words
}

/// Sixty steps of so many bytes each, of each kind.
fn steps(bytes: u64) -> Vec<u8> {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    (0..60 * bytes).map(|_| (random.next() >> 24) as u8).collect()
}

/// The least that an input is made from: an ELF file with two segments, a memory map, registers, an XSAVE
/// area.
fn seed(target: &str) -> Vec<u8> {
    let mut words: Vec<u64> = Vec::new();
    match target {
        "kernel_registers" => words = long_mode(),
        "kernel_elf" => {
            return crate::task::elf::tests::file(&[(5, 0x1_0000, 0x2000), (6, 0x2_0ff0, 0x3000)]);
        }
        "kernel_host_map" => words.extend([0, 0x80, 0, 0x100, 0x8000, 0, 0x9000, 1, 3, 0xa000, 0x10, 0]),
        "kernel_channels" => return steps(4),
        "kernel_mappings" => return steps(6),
        _ => words.extend((0..390).map(|i| i * 0x0101)),
    }
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Runs targets on their seeds, and on so many inputs made of each.
fn hold(inputs: u64, names: &[&str]) {
    for (name, run) in TARGETS.iter().filter(|(name, _)| names.contains(name)) {
        let seed = seed(name);
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        run(&seed);
        for _ in 0..inputs {
            let mut input = seed.clone();
            for _ in 0..random.next() % 8 {
                let at = random.next() as usize % input.len();
                let bit = random.next();
                input[at] = if bit & 8 == 0 { input[at] ^ (1 << (bit & 7)) } else { (bit >> 8) as u8 };
            }
            if random.next().is_multiple_of(8) {
                input.truncate(random.next() as usize % (input.len() + 1));
            }
            run(&input);
        }
    }
}

#[test]
fn files_and_tables_hold_for_any_input() {
    hold(INPUTS, &["kernel_elf", "kernel_host_map", "kernel_pci", "kernel_snp", "kernel_xsave"]);
}

#[test]
fn registers_hold_for_any_input() {
    hold(INPUTS_OF_SLOW, &["kernel_registers"]);
}

#[test]
fn channels_do_what_the_model_does() {
    hold(INPUTS_OF_SLOW, &["kernel_channels"]);
}

#[test]
fn mappings_are_what_the_model_says() {
    hold(INPUTS_OF_MAPPINGS, &["kernel_mappings"]);
}

#[test]
fn no_target_is_left_out() {
    assert_eq!(TARGETS.len(), 8);
}
