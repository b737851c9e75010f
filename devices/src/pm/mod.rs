//! ACPI fixed hardware: PM1a event and control blocks, the PM timer, the SMI command port, the reset
//! register.
//!
//! The timer is not counted, it is calculated: ticks = now * 3579545 / 10^9, exact. Its overflow status is
//! found out when somebody looks or, if the guest enabled the interrupt, when [`TimedDevice::expire`] says
//! so.

pub mod spec;
mod timer;

use alloc::vec::Vec;

use crate::{
    acpi_entry::{AcpiEntry, Resource},
    bus,
    capability::{
        Device, LineDevice, Missing, Platform, PortDevice, PortRange, PowerEvent, Present, TimedDevice, Width,
    },
};
use spec::{Enable, Status};
pub use timer::{TimerWidth, ticks};

/// The power management block, at [`spec::PORTS`].
#[derive(Debug)]
pub struct Pm {
    // Configuration.
    timer_width: TimerWidth,
    // Glue.
    sci_level: bool,
    // Volatile state.
    status: Status,
    enable: Enable,
    control: u16,
    smi_data: u8,
    reset_control: u8,
    /// How often the timer's top bit had changed when status was last brought up to date.
    carries_seen: u64,
}

impl Pm {
    /// The block after reset. `acpi_enabled` is what SCI_EN starts as: a payload without firmware has nobody
    /// who would have set it, yet may do so itself through the SMI command port.
    pub fn new(timer_width: TimerWidth, acpi_enabled: bool) -> Self {
        Self {
            timer_width,
            sci_level: false,
            status: Status::empty(),
            enable: Enable::empty(),
            control: if acpi_enabled { spec::CONTROL_SCI_EN } else { 0 },
            smi_data: 0,
            reset_control: 0,
            carries_seen: 0,
        }
    }

    /// Presses the power button.
    pub fn press_power_button(&mut self, platform: &mut dyn Platform) {
        self.status |= Status::POWER_BUTTON;
        self.update(platform);
    }

    fn catch_up(&mut self, now_ns: u64) {
        let carries = self.timer_width.carries(now_ns);
        if carries != self.carries_seen {
            self.carries_seen = carries;
            self.status |= Status::TIMER;
        }
    }

    fn update(&mut self, platform: &mut dyn Platform) {
        let enabled = self.control & spec::CONTROL_SCI_EN != 0;
        let level = enabled && self.status.bits() & self.enable.bits() != 0;
        // Only changes are driven, as each takes the router's lock.
        if level != self.sci_level {
            self.sci_level = level;
            platform.set_line(spec::SCI_LINE, level);
        }
    }

    /// The block as the 12 bytes from [`spec::PM1A_EVENT`] on.
    fn block_byte(&self, offset: u16, now_ns: u64) -> u8 {
        let (register, index) = match offset {
            0..2 => (u32::from(self.status.bits()), offset),
            2..4 => (u32::from(self.enable.bits()), offset - 2),
            4..6 => (u32::from(self.control), offset - 4),
            8..12 => (self.timer_width.value(now_ns), offset - 8),
            // The SMI command port among them.
            _ => return 0,
        };
        (register >> (8 * index)) as u8
    }

    fn read_byte(&self, port: u16, now_ns: u64) -> u8 {
        match port {
            0xb3 => self.smi_data,
            spec::RESET_CONTROL => self.reset_control,
            _ => self.block_byte(port.wrapping_sub(spec::PM1A_EVENT), now_ns),
        }
    }

    fn write_byte(&mut self, port: u16, value: u8, platform: &mut dyn Platform) {
        let wide = u16::from(value);
        match port {
            // Ones that are written clear the status (ACPI 6.5, 4.8.3.1).
            0x600 => self.status &= !Status::from_bits_truncate(wide),
            0x601 => self.status &= !Status::from_bits_truncate(wide << 8),
            0x602 => self.enable = Enable::from_bits_truncate(self.enable.bits() & 0xff00 | wide),
            0x603 => self.enable = Enable::from_bits_truncate(self.enable.bits() & 0x00ff | wide << 8),
            0x604 => self.write_control(self.control & 0xff00 | wide, platform),
            0x605 => self.write_control(self.control & 0x00ff | wide << 8, platform),
            spec::SMI_COMMAND => self.smi_command(value),
            0xb3 => self.smi_data = value,
            spec::RESET_CONTROL => self.write_reset_control(value, platform),
            _ => {}
        }
    }

    fn write_control(&mut self, value: u16, platform: &mut dyn Platform) {
        // SCI_EN changes by SMI command alone, as firmware would do it.
        self.control = self.control & spec::CONTROL_SCI_EN | value & spec::CONTROL_KEPT;
        let sleep_type = (value >> spec::CONTROL_SLP_TYP_SHIFT & 7) as u8;
        // Only S5 is offered; asking for another state does nothing, as where it is not implemented.
        if value & spec::CONTROL_SLP_EN != 0 && sleep_type == spec::SLEEP_TYPE_S5 {
            platform.power(PowerEvent::Off);
        }
    }

    fn smi_command(&mut self, value: u8) {
        match value {
            spec::ACPI_ENABLE => self.control |= spec::CONTROL_SCI_EN,
            spec::ACPI_DISABLE => self.control &= !spec::CONTROL_SCI_EN,
            _ => {}
        }
    }

    fn write_reset_control(&mut self, value: u8, platform: &mut dyn Platform) {
        // A guest chooses the kind of reset with the bit clear, and then sets it: only the change resets.
        let rising = value & !self.reset_control & spec::RESET_CPU != 0;
        // The other bits are reserved.
        self.reset_control = value & 0x0e;
        if rising {
            platform.power(PowerEvent::Reset);
        }
    }
}

impl Device for Pm {
    const NAME: &'static str = "power management";
    type Ports = Present;
    type Mmio = Missing;
    type Timer = Present;
    type Lines = Present;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        let ports = [
            PortRange { first: spec::PM1A_EVENT, count: spec::BLOCK_PORTS },
            PortRange { first: spec::SMI_COMMAND, count: 2 },
        ];
        AcpiEntry::isa(b"PWR_", b"PNP0C02", &ports.map(Resource::Ports))
    }
}

impl LineDevice for Pm {
    fn lines(&self) -> &[u8] {
        &[spec::SCI_LINE]
    }
}

impl PortDevice for Pm {
    fn ports(&self) -> &[PortRange] {
        spec::PORTS
    }

    fn port_read(&mut self, port: u16, width: Width, platform: &mut dyn Platform) -> u32 {
        let now_ns = platform.now_ns();
        // The one register that is read often.
        if port == spec::PM_TIMER && width == Width::Dword {
            return self.timer_width.value(now_ns);
        }
        // Not before the timer's own value, which needs no status and is read by the thousand.
        self.catch_up(now_ns);
        let value = bus::read_bytes(port, width, |p| self.read_byte(p, now_ns));
        self.update(platform);
        value
    }

    fn port_write(&mut self, port: u16, width: Width, value: u32, platform: &mut dyn Platform) {
        self.catch_up(platform.now_ns());
        // SLP_TYP and SLP_EN are in one byte, so that those of one write act together.
        bus::write_bytes(port, width, value, |p, byte| self.write_byte(p, byte, platform));
        self.update(platform);
    }
}

impl TimedDevice for Pm {
    fn deadline_ns(&self) -> Option<u64> {
        // With the bit set already, or without an SCI, a carry changes nothing that anybody waits for.
        let wanted = self.control & spec::CONTROL_SCI_EN != 0
            && self.enable.contains(Enable::TIMER)
            && !self.status.contains(Status::TIMER);
        wanted.then(|| self.timer_width.carry_ns(self.carries_seen.saturating_add(1)))
    }

    fn expire(&mut self, platform: &mut dyn Platform) {
        self.catch_up(platform.now_ns());
        self.update(platform);
    }
}

#[cfg(test)]
mod tests;
