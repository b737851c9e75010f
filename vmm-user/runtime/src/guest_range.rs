//! What is at a range of a guest's ports or addresses: `range SPACE FIRST COUNT POLICY`, as `init.conf` says
//! it and as init hands it on in the VMM's start page.
//!
//! ```text
//! range ports 0xf4 4 forwarded
//! range memory 0xfed40000 0x1000 absent
//! ```

use core::fmt;

/// Past the last port.
const PORTS_END: u64 = 0x1_0000;

/// What a range is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// I/O ports.
    Ports,
    /// Guest physical addresses.
    Memory,
}

/// What is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Devices of the VMM's, everywhere in the range.
    Emulated,
    /// The host's own.
    Forwarded,
    /// Nothing: reads give all-ones, writes are dropped.
    Absent,
}

/// A range that makes sense: it is not empty and does not run past the end of its space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestRange {
    /// What it is of.
    pub space: Space,
    /// The first port, or the first byte's address.
    pub first: u64,
    /// How many ports, or bytes.
    pub count: u64,
    /// What is there.
    pub policy: Policy,
}

/// Why there is no such range. To blame: who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeError {
    /// Not of that form.
    Form,
    /// No ports, or some past the last one.
    Ports,
    /// No bytes, or some past the last address.
    Memory,
    /// Memory is not forwarded.
    MemoryForwarded,
}

impl RangeError {
    /// What to tell who wrote it.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Form => {
                "range takes ports or memory, a first one, a count, and emulated, forwarded or absent"
            }
            Self::Ports => "there are no such ports",
            Self::Memory => "there are no such addresses",
            Self::MemoryForwarded => {
                "memory cannot be forwarded: the host's registers in memory are for drivers (host-pci) alone"
            }
        }
    }
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what())
    }
}

impl GuestRange {
    /// Reads the words behind `range`.
    ///
    /// # Errors
    /// When they are none of the four, or the range is not there or may not be so.
    pub fn parse(words: &[&str]) -> Result<Self, RangeError> {
        let [space, first, count, policy] = words else { return Err(RangeError::Form) };
        let space = match *space {
            "ports" => Space::Ports,
            "memory" => Space::Memory,
            _ => return Err(RangeError::Form),
        };
        let policy = match *policy {
            "emulated" => Policy::Emulated,
            "forwarded" => Policy::Forwarded,
            "absent" => Policy::Absent,
            _ => return Err(RangeError::Form),
        };
        let first = amount(first).ok_or(RangeError::Form)?;
        let count = amount(count).ok_or(RangeError::Form)?;
        let last = count.checked_sub(1).and_then(|more| first.checked_add(more));
        match (space, last) {
            // All ports at once are one more than a device can claim, and nothing that anybody wants.
            (Space::Ports, Some(last)) if last < PORTS_END && count < PORTS_END => {}
            (Space::Memory, Some(_)) if policy == Policy::Forwarded => {
                return Err(RangeError::MemoryForwarded);
            }
            (Space::Memory, Some(_)) => {}
            (Space::Ports, _) => return Err(RangeError::Ports),
            (Space::Memory, None) => return Err(RangeError::Memory),
        }
        Ok(Self { space, first, count, policy })
    }

    /// Its last port, or its last byte's address.
    pub fn last(&self) -> u64 {
        self.first.saturating_add(self.count.saturating_sub(1))
    }

    /// Whether two ranges are of the same space and have something in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.space == other.space && self.first <= other.last() && other.first <= self.last()
    }
}

impl fmt::Display for GuestRange {
    /// The words, as [`parse`](GuestRange::parse) takes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = match self.space {
            Space::Ports => "ports",
            Space::Memory => "memory",
        };
        let policy = match self.policy {
            Policy::Emulated => "emulated",
            Policy::Forwarded => "forwarded",
            Policy::Absent => "absent",
        };
        write!(f, "{space} {:#x} {:#x} {policy}", self.first, self.count)
    }
}

/// A number, of bytes perhaps: `K` and `M` behind it are 1024 and 1024 times that. An address begins with
/// `0x`.
pub fn amount(text: &str) -> Option<u64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    let (digits, unit) = match text.strip_suffix(['K', 'M']) {
        Some(digits) => (digits, if text.ends_with('K') { 1 << 10 } else { 1 << 20 }),
        None => (text, 1),
    };
    // Checked: a limit that wrapped would be a small one, and the mistake be found far from here.
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;

    fn parsed(text: &str) -> Result<GuestRange, RangeError> {
        GuestRange::parse(&text.split_whitespace().collect::<Vec<_>>())
    }

    #[test]
    fn ranges_are_what_they_say() {
        for (text, space, first, count, policy) in [
            ("ports 0xf4 4 forwarded", Space::Ports, 0xf4, 4, Policy::Forwarded),
            ("ports 0 65535 absent", Space::Ports, 0, 65535, Policy::Absent),
            ("ports 0xffff 1 emulated", Space::Ports, 0xffff, 1, Policy::Emulated),
            ("memory 0xfed40000 4K absent", Space::Memory, 0xfed4_0000, 4096, Policy::Absent),
            ("memory 0xffffffffffffffff 1 emulated", Space::Memory, u64::MAX, 1, Policy::Emulated),
        ] {
            let range = GuestRange { space, first, count, policy };
            assert_eq!(parsed(text), Ok(range), "{text}");
            assert_eq!(parsed(&format!("{range}")), Ok(range), "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_apart() {
        for (text, error) in [
            ("", RangeError::Form),
            ("ports 0xf4 4", RangeError::Form),
            ("ports 0xf4 4 absent now", RangeError::Form),
            ("port 0xf4 4 absent", RangeError::Form),
            ("ports F4 4 absent", RangeError::Form),
            ("ports 0xf4 4 hidden", RangeError::Form),
            ("ports 0xf4 0 absent", RangeError::Ports),
            ("ports 0xffff 2 absent", RangeError::Ports),
            ("ports 0 0x10000 absent", RangeError::Ports),
            ("ports 0xffffffffffffffff 2 absent", RangeError::Ports),
            ("memory 0 0 absent", RangeError::Memory),
            ("memory 0xffffffffffffffff 2 absent", RangeError::Memory),
            ("memory 0xfed00000 0x400 forwarded", RangeError::MemoryForwarded),
        ] {
            assert_eq!(parsed(text), Err(error), "{text}");
        }
    }

    #[test]
    fn what_ranges_have_in_common() {
        let one = parsed("ports 0x10 4 absent").unwrap();
        for (text, expected) in [
            ("ports 0xf 1 absent", false),
            ("ports 0xf 2 absent", true),
            ("ports 0x13 1 forwarded", true),
            ("ports 0x14 1 absent", false),
            ("memory 0x10 4 absent", false),
        ] {
            let other = parsed(text).unwrap();
            assert_eq!((one.overlaps(&other), other.overlaps(&one)), (expected, expected), "{text}");
        }
    }
}
