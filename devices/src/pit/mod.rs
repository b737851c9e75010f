//! The 8254 interval timer of a PC (ports 40h to 43h), with the part of port 61h that belongs to it.
//!
//! Nothing ticks: a counter's value and output are computed from the time since its count was loaded, in
//! clocks of exactly 1193182 Hz since the VM was created. Counter 0's rising output pulses line 0; counter
//! 2's gate and output are at port 61h; the refresh toggle there stands for counter 1.
//!
//! Sources: Intel 8254 datasheet; the ICH9 datasheet, "NMI_SC - NMI Status and Control" (port 61h).

mod clock;
mod counter;
mod wave;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use crate::acpi_entry::{AcpiEntry, Resource};
use crate::bus::{read_bytes, write_bytes};
use crate::capability::{
    Device, LineDevice, Missing, Platform, PortDevice, PortRange, Present, TimedDevice, Width,
};
use crate::hpet::LegacyReplacement;
pub use clock::PIT_HZ;
use counter::Counter;

/// Counter 0's data port; counters 1 and 2 and the control port follow.
pub const PORT_PIT: u16 = 0x40;
/// System control port B.
pub const PORT_SYSTEM_CONTROL: u16 = 0x61;

/// What to claim.
const PORTS: &[PortRange] =
    &[PortRange { first: PORT_PIT, count: 4 }, PortRange { first: PORT_SYSTEM_CONTROL, count: 1 }];
/// Counter 0's interrupt line.
pub const LINE: u8 = 0;

/// Port 61h.
mod spec {
    /// Counter 2's gate.
    pub const GATE2: u8 = 1 << 0;
    /// Speaker enable, parity and channel check enables: kept, without effect.
    pub const WRITABLE: u8 = 0x0f;
    pub const REFRESH: u8 = 1 << 4;
    pub const OUT2: u8 = 1 << 5;
    /// Clocks between changes of the refresh bit, about 15 µs.
    pub const REFRESH_CLOCKS: u64 = 18;

    /// The control word's counter field for the read-back command.
    pub const READ_BACK: u8 = 3;
    pub const READ_BACK_NO_COUNT: u8 = 1 << 5;
    pub const READ_BACK_NO_STATUS: u8 = 1 << 4;
}

/// The interval timer and its part of port 61h.
#[derive(Clone, Debug)]
pub struct Pit {
    // Glue.
    legacy_replacement: LegacyReplacement,
    // Volatile state.
    counters: [Counter; 3],
    control_b: u8,
}

impl Pit {
    /// A timer that counts nothing yet. While `legacy_replacement` is on, line 0 is the HPET's.
    pub fn new(legacy_replacement: LegacyReplacement) -> Self {
        // Only counter 2 has a gate that software reaches; the others' are tied high.
        let counters = [Counter::new(true), Counter::new(true), Counter::new(false)];
        Self { legacy_replacement, counters, control_b: 0 }
    }

    fn read_byte(&mut self, port: u16, now: u64) -> u8 {
        match port {
            PORT_SYSTEM_CONTROL => self.read_control_b(now),
            0x40..=0x42 => {
                self.counters.get_mut(usize::from(port & 3)).map_or(0xff, |counter| counter.read(now))
            }
            // The control port cannot be read.
            _ => 0xff,
        }
    }

    fn read_control_b(&self, now: u64) -> u8 {
        let [_, _, counter2] = &self.counters;
        // Old software counts these changes to wait some microseconds.
        let refresh = if (now / spec::REFRESH_CLOCKS) & 1 != 0 { spec::REFRESH } else { 0 };
        let out2 = if counter2.output(now) { spec::OUT2 } else { 0 };
        self.control_b | refresh | out2
    }

    fn write_byte(&mut self, port: u16, value: u8, now: u64) {
        match port {
            PORT_SYSTEM_CONTROL => {
                self.control_b = value & spec::WRITABLE;
                let [_, _, counter2] = &mut self.counters;
                counter2.set_gate(value & spec::GATE2 != 0, now);
            }
            0x43 => self.write_control(value, now),
            0x40..=0x42 => {
                if let Some(counter) = self.counters.get_mut(usize::from(port & 3)) {
                    counter.write(value, now);
                }
            }
            _ => {}
        }
    }

    fn write_control(&mut self, value: u8, now: u64) {
        let select = value >> 6;
        // The fourth selection is no counter but a command about all of them.
        if select != spec::READ_BACK {
            if let Some(counter) = self.counters.get_mut(usize::from(select)) {
                counter.control(value, now);
            }
            return;
        }
        for (index, counter) in self.counters.iter_mut().enumerate() {
            if value >> (index + 1) & 1 == 0 {
                continue;
            }
            if value & spec::READ_BACK_NO_COUNT == 0 {
                counter.latch_count(now);
            }
            if value & spec::READ_BACK_NO_STATUS == 0 {
                counter.latch_status(now);
            }
        }
    }

    /// Pulses line 0 if counter 0's output rose since the last look.
    fn catch_up(&mut self, platform: &mut dyn Platform) {
        let now = clock::clocks_of(platform.now_ns());
        let [counter0, ..] = &mut self.counters;
        if counter0.take_rise(now) && !self.legacy_replacement.is_on() {
            // One pulse, however many rises have passed: an edge has no count.
            platform.set_line(LINE, true);
            platform.set_line(LINE, false);
        }
    }
}

impl Device for Pit {
    const NAME: &'static str = "interval timer";
    type Ports = Present;
    type Mmio = Missing;
    type Timer = Present;
    type Lines = Present;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        let counters = Resource::Ports(PortRange { first: PORT_PIT, count: 4 });
        let speaker = Resource::Ports(PortRange { first: PORT_SYSTEM_CONTROL, count: 1 });
        let mut entries = AcpiEntry::isa(b"PIT_", b"PNP0100", &[counters, Resource::Line(LINE)]);
        entries.extend(AcpiEntry::isa(b"SPKR", b"PNP0800", &[speaker]));
        entries
    }
}

impl LineDevice for Pit {
    fn lines(&self) -> &[u8] {
        &[LINE]
    }
}

impl PortDevice for Pit {
    fn ports(&self) -> &[PortRange] {
        PORTS
    }

    fn port_read(&mut self, port: u16, width: Width, platform: &mut dyn Platform) -> u32 {
        let now = clock::clocks_of(platform.now_ns());
        read_bytes(port, width, |port| self.read_byte(port, now))
    }

    fn port_write(&mut self, port: u16, width: Width, value: u32, platform: &mut dyn Platform) {
        // A rise that is due comes before the write, which may change when the next one is.
        self.catch_up(platform);
        let now = clock::clocks_of(platform.now_ns());
        write_bytes(port, width, value, |port, byte| self.write_byte(port, byte, now));
    }
}

impl TimedDevice for Pit {
    fn deadline_ns(&self) -> Option<u64> {
        let [counter0, ..] = &self.counters;
        counter0.next_rise().map(clock::ns_of)
    }

    fn expire(&mut self, platform: &mut dyn Platform) {
        self.catch_up(platform);
    }
}
