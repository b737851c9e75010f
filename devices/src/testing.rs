//! A platform for the tests: a clock to set, lines to look at, power events to count.

use crate::capability::{Platform, PowerEvent};
use crate::pci::PciPlatform;
use alloc::vec::Vec;

/// Records what a device does to its surroundings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Bench {
    /// What `now_ns` gives.
    pub now_ns: u64,
    /// The lines that are high, as bits.
    pub lines: u64,
    /// Rising edges seen on any line.
    pub edges: u32,
    /// Power events, in order.
    pub power: Vec<PowerEvent>,
    /// Messages of PCI functions, in order.
    pub messages: Vec<(u64, u32)>,
    /// A PCI function's interrupt pin.
    pub intx: bool,
}

impl Bench {
    /// Whether a line is high.
    pub fn line(&self, line: u8) -> bool {
        self.lines & 1 << line != 0
    }
}

impl Platform for Bench {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn set_line(&mut self, line: u8, level: bool) {
        self.edges += u32::from(level && !self.line(line));
        self.lines = self.lines & !(1 << line) | u64::from(level) << line;
    }

    fn power(&mut self, event: PowerEvent) {
        self.power.push(event);
    }
}

impl PciPlatform for Bench {
    fn send_msi(&mut self, address: u64, data: u32) {
        self.messages.push((address, data));
    }

    fn set_intx(&mut self, level: bool) {
        self.intx = level;
    }
}

/// Repeatable pseudo-random numbers (xorshift64*, Vigna 2016).
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
