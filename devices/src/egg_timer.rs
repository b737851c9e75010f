//! An egg timer: the example of docs/add-a-device.md. It has ports, time and an interrupt line.
//!
//! Writing a number to COUNT starts it with that many milliseconds, 0 stops it; reading COUNT gives what is
//! left, rounded up. When the time is over, RANG is set in STATUS and the line is high until the guest writes
//! RANG to STATUS.

use alloc::vec::Vec;

use crate::acpi_entry::AcpiEntry;
use crate::capability::{
    Device, LineDevice, Missing, Platform, PortDevice, PortRange, Present, TimedDevice, Width,
};

/// What to claim: a dword and a byte.
const PORTS: &[PortRange] = &[PortRange { first: COUNT, count: 5 }];
/// Milliseconds, 32 bits.
pub const COUNT: u16 = 0x520;
/// Status, 8 bits.
pub const STATUS: u16 = 0x524;
/// [`STATUS`]: the time is over; written with one to clear.
pub const RANG: u8 = 1 << 0;
const NS_PER_MS: u64 = 1_000_000;

/// The timer.
#[derive(Debug)]
pub struct EggTimer {
    // Glue.
    line: u8,
    // Volatile state.
    end_ns: Option<u64>,
    rang: bool,
}

impl EggTimer {
    /// A timer that is stopped and rings on `line`.
    pub fn new(line: u8) -> Self {
        Self { line, end_ns: None, rang: false }
    }

    fn start(&mut self, ms: u32, now_ns: u64) {
        self.end_ns = (ms != 0).then(|| now_ns.saturating_add(u64::from(ms) * NS_PER_MS));
    }

    /// At most what was written to COUNT, so it fits.
    fn left_ms(&self, now_ns: u64) -> u32 {
        self.end_ns.map_or(0, |end| end.saturating_sub(now_ns).div_ceil(NS_PER_MS) as u32)
    }
}

impl Device for EggTimer {
    const NAME: &'static str = "egg timer";
    type Ports = Present;
    type Mmio = Missing;
    type Timer = Present;
    type Lines = Present;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        Vec::new()
    }
}

impl LineDevice for EggTimer {
    fn lines(&self) -> &[u8] {
        core::slice::from_ref(&self.line)
    }
}

impl PortDevice for EggTimer {
    fn ports(&self) -> &[PortRange] {
        PORTS
    }

    fn port_read(&mut self, port: u16, width: Width, platform: &mut dyn Platform) -> u32 {
        // The guest may look before the VMM has called `expire`.
        self.expire(platform);
        match (port, width) {
            (COUNT, Width::Dword) => self.left_ms(platform.now_ns()),
            (STATUS, Width::Byte) => u32::from(self.rang),
            // A register touched in a way that it does not know is as if absent.
            _ => width.mask() as u32,
        }
    }

    fn port_write(&mut self, port: u16, width: Width, value: u32, platform: &mut dyn Platform) {
        self.expire(platform);
        match (port, width) {
            (COUNT, Width::Dword) => self.start(value, platform.now_ns()),
            (STATUS, Width::Byte) if value as u8 & RANG != 0 => {
                self.rang = false;
                platform.set_line(self.line, false);
            }
            _ => {}
        }
    }
}

impl TimedDevice for EggTimer {
    fn deadline_ns(&self) -> Option<u64> {
        self.end_ns
    }

    fn expire(&mut self, platform: &mut dyn Platform) {
        if self.end_ns.is_some_and(|end| end <= platform.now_ns()) {
            self.end_ns = None;
            self.rang = true;
            platform.set_line(self.line, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::PowerEvent;

    /// Stands in for the board: a clock to set and one line to look at.
    #[derive(Default)]
    struct Desk {
        now_ns: u64,
        line: Option<(u8, bool)>,
    }

    impl Platform for Desk {
        fn now_ns(&self) -> u64 {
            self.now_ns
        }

        fn set_line(&mut self, line: u8, level: bool) {
            self.line = Some((line, level));
        }

        fn power(&mut self, _: PowerEvent) {}
    }

    #[test]
    fn the_line_is_high_from_the_end_until_the_guest_says_so() {
        let (mut timer, mut desk) = (EggTimer::new(10), Desk::default());
        timer.port_write(COUNT, Width::Dword, 3, &mut desk);
        for (now_ns, left, rang, line) in [
            (0, 3, 0, None),
            (1, 3, 0, None),
            (2 * NS_PER_MS, 1, 0, None),
            (3 * NS_PER_MS - 1, 1, 0, None),
            (3 * NS_PER_MS, 0, 1, Some((10, true))),
            (9 * NS_PER_MS, 0, 1, Some((10, true))),
        ] {
            desk.now_ns = now_ns;
            let read = timer.port_read(COUNT, Width::Dword, &mut desk);
            assert_eq!(
                (read, timer.port_read(STATUS, Width::Byte, &mut desk), desk.line),
                (left, rang, line)
            );
        }
        timer.port_write(STATUS, Width::Byte, u32::from(RANG), &mut desk);
        assert_eq!((desk.line, timer.deadline_ns()), (Some((10, false)), None));
    }

    #[test]
    fn any_access_has_an_answer() {
        let (mut timer, mut desk) = (EggTimer::new(10), Desk { now_ns: u64::MAX - 1, line: None });
        timer.port_write(COUNT, Width::Dword, u32::MAX, &mut desk);
        assert_eq!(timer.deadline_ns(), Some(u64::MAX));
        for (port, width, value) in [(COUNT, Width::Byte, 0xff), (STATUS, Width::Word, 0xffff)] {
            assert_eq!(timer.port_read(port, width, &mut desk), value);
        }
    }
}
