//! A function's configuration space for tests.

use std::cell::RefCell;

use super::config::Config;

/// What is read, and which bits of it a write changes.
pub struct FakeFunction {
    values: RefCell<[u32; 64]>,
    writable: [u32; 64],
    /// What was written, in order.
    pub writes: RefCell<Vec<(u8, u32)>>,
}

impl FakeFunction {
    /// These double words, of which so much may be written; all others are zero and stay so.
    pub fn new(words: &[(u8, u32, u32)]) -> Self {
        let (mut values, mut writable) = ([0; 64], [0; 64]);
        for (offset, value, mask) in words {
            values[usize::from(*offset / 4)] = *value;
            writable[usize::from(*offset / 4)] = *mask;
        }
        Self { values: RefCell::new(values), writable, writes: RefCell::new(Vec::new()) }
    }
}

impl Config for FakeFunction {
    fn read(&self, offset: u8) -> u32 {
        self.values.borrow()[usize::from(offset / 4)]
    }

    fn write(&self, offset: u8, value: u32) {
        self.writes.borrow_mut().push((offset, value));
        let (place, mask) = (usize::from(offset / 4), self.writable[usize::from(offset / 4)]);
        let before = self.values.borrow()[place];
        self.values.borrow_mut()[place] = before & !mask | value & mask;
    }
}
