//! What holds for any cache of translations.

use super::walk::{AccessInput, PagingInput};
use crate::small::{SMALL_BYTES, SmallMachine};
use arbitrary::Arbitrary;
use decoder::walk::{Cache, translate};

/// Translations to be made one after the other, with the same cache.
#[derive(Arbitrary, Clone, Debug)]
pub struct TranslateInput {
    /// The registers.
    pub paging: PagingInput,
    /// The addresses.
    pub linear: [u64; 2],
    /// What entries hold.
    pub entries: [u64; 8],
    /// The accesses.
    pub steps: [TranslateStep; 4],
}

/// One translation, and what happens before it.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct TranslateStep {
    /// Which of the addresses (bit 0), and how far from it (the others).
    pub linear: u8,
    /// The access.
    pub access: AccessInput,
    /// The access is only asked about.
    pub probe: bool,
    /// Whether memory (0) or a control register (1) changes, modulo 4; otherwise nothing.
    pub what: u8,
    /// Which byte of memory, or register.
    pub which: u8,
    /// Which bit: by this much.
    pub bit: u8,
}

impl TranslateStep {
    fn apply(self, memory: &mut SmallMachine, paging: &mut PagingInput) {
        match self.what % 4 {
            0 => memory.ram[usize::from(self.which) % SMALL_BYTES] ^= 1 << (self.bit % 8),
            1 => match self.which % 5 {
                4 => paging.pkru ^= 1 << (self.bit % 32),
                register => paging.control[usize::from(register)] ^= 1 << (self.bit % 64),
            },
            _ => {}
        }
    }
}

/// A cache finds what a walk finds, and marks what a walk marks, whatever became of tables and registers meanwhile.
/// Returns how many translations there were.
///
/// # Panics
/// If that is not so.
pub fn check_translate(input: &TranslateInput) -> usize {
    let mut count = 0;
    let mut registers = input.paging;
    let mut memory = SmallMachine::new(&input.entries, registers.paging());
    let mut cache = Cache::<2>::default();
    for step in input.steps {
        step.apply(&mut memory, &mut registers);
        let paging = registers.paging();
        let linear = input.linear[usize::from(step.linear % 2)].wrapping_add((step.linear / 2).into());
        let access = step.access.access().0;
        let access = if step.probe { access.probe() } else { access };
        let mut uncached = memory;
        let expected = translate(&mut uncached, &paging, linear, access).map(|found| found.gpa);
        assert_eq!(cache.translate(&mut memory, &paging, linear, access), expected);
        assert_eq!(memory, uncached, "the same marks");
        count += usize::from(expected.is_ok());
    }
    count
}
