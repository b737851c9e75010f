//! The keyboard controller, with nothing plugged in, and port 92h.
//!
//! The controller answers all of its own commands, so that a driver finds it at once; a byte sent to the
//! keyboard is answered as real hardware answers for an absent device: FEh with the timeout bit in status,
//! immediately, so that a driver need not wait for its own timeout. The auxiliary port is absent: its test
//! fails.
//!
//! Two ways to a reset lie here: pulsing or clearing output port bit 0, and bit 0 of port 92h. The A20 gate
//! is kept as the guest sets it and does nothing: no guest since the 80286 relies on the wrap.

use alloc::vec::Vec;

use crate::{
    acpi_entry::{AcpiEntry, Resource},
    bus,
    capability::{Device, LineDevice, Missing, Platform, PortDevice, PortRange, PowerEvent, Present, Width},
};

/// Data port.
pub const DATA: u16 = 0x60;
/// Status (read) and command (write) port.
pub const COMMAND: u16 = 0x64;
/// System control port A: fast A20 and reset.
pub const SYSTEM_CONTROL_A: u16 = 0x92;
/// What to claim.
pub const PORTS: &[PortRange] = &[
    PortRange { first: DATA, count: 1 },
    PortRange { first: COMMAND, count: 1 },
    PortRange { first: SYSTEM_CONTROL_A, count: 1 },
];
/// The keyboard's interrupt line.
pub const KEYBOARD_LINE: u8 = 1;

mod status {
    pub const OUTPUT_FULL: u8 = 0x01;
    pub const SYSTEM: u8 = 0x04;
    pub const COMMAND: u8 = 0x08;
    /// The keyboard is not locked.
    pub const UNLOCKED: u8 = 0x10;
    pub const AUXILIARY: u8 = 0x20;
    pub const TIMEOUT: u8 = 0x40;
}

mod config {
    pub const KEYBOARD_INTERRUPT: u8 = 0x01;
    pub const KEYBOARD_DISABLED: u8 = 0x10;
    pub const AUXILIARY_DISABLED: u8 = 0x20;
    /// Keyboard interrupt on, system flag, auxiliary port off, translation on.
    pub const RESET: u8 = 0x65;
    /// Bits 7 and 3 are always 0.
    pub const WRITABLE: u8 = 0x77;
}

mod output_port {
    pub const NOT_RESET: u8 = 0x01;
    pub const A20: u8 = 0x02;
}

/// A byte in the output buffer and the status bits that go with it.
#[derive(Clone, Copy, Debug)]
struct Output {
    byte: u8,
    flags: u8,
}

/// What the next write to the data port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Keyboard,
    RamByte(u8),
    OutputPort,
    KeyboardLoopback,
    AuxiliaryLoopback,
    Auxiliary,
}

/// The controller, at [`PORTS`].
#[derive(Debug)]
pub struct I8042 {
    line_level: bool,
    output: Option<Output>,
    last_byte: u8,
    expect: Expect,
    last_was_command: bool,
    ram: [u8; 32],
    a20: bool,
}

impl Default for I8042 {
    fn default() -> Self {
        Self::new()
    }
}

impl I8042 {
    /// The controller as firmware leaves it.
    pub fn new() -> Self {
        let mut ram = [0; 32];
        ram[0] = config::RESET;
        Self {
            line_level: false,
            output: None,
            last_byte: 0,
            expect: Expect::Keyboard,
            last_was_command: false,
            ram,
            a20: true,
        }
    }

    fn config(&self) -> u8 {
        self.ram[0]
    }

    fn reply(&mut self, byte: u8) {
        self.output = Some(Output { byte, flags: 0 });
    }

    fn status(&self) -> u8 {
        let mut status = status::UNLOCKED | self.config() & status::SYSTEM;
        if self.last_was_command {
            status |= status::COMMAND;
        }
        if let Some(output) = self.output {
            status |= status::OUTPUT_FULL | output.flags;
        }
        status
    }

    fn read_data(&mut self) -> u8 {
        if let Some(output) = self.output.take() {
            self.last_byte = output.byte;
        }
        self.last_byte
    }

    fn output_port(&self) -> u8 {
        let full = if self.output.is_some() { 0x10 } else { 0 };
        output_port::NOT_RESET | full | if self.a20 { output_port::A20 } else { 0 }
    }

    fn write_output_port(&mut self, value: u8, platform: &mut dyn Platform) {
        self.a20 = value & output_port::A20 != 0;
        // The pin is active low, and the guest's reset with it.
        if value & output_port::NOT_RESET == 0 {
            platform.power(PowerEvent::Reset);
        }
    }

    fn command(&mut self, command: u8, platform: &mut dyn Platform) {
        self.last_was_command = true;
        // A command ends the sequence that another began.
        self.expect = Expect::Keyboard;
        match command {
            0x20..=0x3f => self.reply(self.ram.get(usize::from(command & 0x1f)).copied().unwrap_or(0)),
            0x60..=0x7f => self.expect = Expect::RamByte(command & 0x1f),
            0xa7 => self.ram[0] |= config::AUXILIARY_DISABLED,
            0xa8 => self.ram[0] &= !config::AUXILIARY_DISABLED,
            // Auxiliary port test: clock line stuck low, there is no such port.
            0xa9 => self.reply(0x01),
            // Self test passed, which the system flag says from here on.
            0xaa => {
                self.ram[0] |= status::SYSTEM;
                self.reply(0x55);
            }
            0xab => self.reply(0x00),
            0xad => self.ram[0] |= config::KEYBOARD_DISABLED,
            0xae => self.ram[0] &= !config::KEYBOARD_DISABLED,
            // Input port: keyboard not inhibited, manufacturing jumper absent.
            0xc0 => self.reply(0xa0),
            0xd0 => self.reply(self.output_port()),
            0xd1 => self.expect = Expect::OutputPort,
            0xd2 => self.expect = Expect::KeyboardLoopback,
            0xd3 => self.expect = Expect::AuxiliaryLoopback,
            0xd4 => self.expect = Expect::Auxiliary,
            0xdd => self.a20 = false,
            0xdf => self.a20 = true,
            // Pulses the output port bits that are 0 in the command's low nibble.
            0xf0..=0xff if command & output_port::NOT_RESET == 0 => platform.power(PowerEvent::Reset),
            _ => {}
        }
    }

    fn write_data(&mut self, byte: u8, platform: &mut dyn Platform) {
        self.last_was_command = false;
        match core::mem::replace(&mut self.expect, Expect::Keyboard) {
            Expect::Keyboard => {
                // A byte for the keyboard switches its interface on. No keyboard answers: the controller
                // reports a timeout.
                self.ram[0] &= !config::KEYBOARD_DISABLED;
                self.output = Some(Output { byte: 0xfe, flags: status::TIMEOUT });
            }
            Expect::RamByte(0) => self.ram[0] = byte & config::WRITABLE,
            Expect::RamByte(index) => {
                if let Some(slot) = self.ram.get_mut(usize::from(index)) {
                    *slot = byte;
                }
            }
            Expect::OutputPort => self.write_output_port(byte, platform),
            Expect::KeyboardLoopback => self.reply(byte),
            // A controller without the port does not know the command: no 5Ah comes back for the driver's
            // 5Ah.
            Expect::AuxiliaryLoopback => self.reply(!byte),
            Expect::Auxiliary => {
                self.output = Some(Output { byte: 0xfe, flags: status::TIMEOUT | status::AUXILIARY });
            }
        }
    }

    fn update(&mut self, platform: &mut dyn Platform) {
        let keyboard = self.output.is_some_and(|output| output.flags & status::AUXILIARY == 0);
        // The auxiliary port's line is not driven: there is no such port.
        let level = keyboard && self.config() & config::KEYBOARD_INTERRUPT != 0;
        // Only changes are driven, as each takes the router's lock.
        if level != self.line_level {
            self.line_level = level;
            platform.set_line(KEYBOARD_LINE, level);
        }
    }

    fn write_system_control(&mut self, value: u8, platform: &mut dyn Platform) {
        self.a20 = value & 0x02 != 0;
        if value & 0x01 != 0 {
            platform.power(PowerEvent::Reset);
        }
    }
}

impl Device for I8042 {
    const NAME: &'static str = "keyboard controller";
    type Ports = Present;
    type Mmio = Missing;
    type Timer = Missing;
    type Lines = Present;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        let [data, command, control] =
            [DATA, COMMAND, SYSTEM_CONTROL_A].map(|first| Resource::Ports(PortRange { first, count: 1 }));
        let mut entries =
            AcpiEntry::isa(b"KBD_", b"PNP0303", &[data, command, Resource::Line(KEYBOARD_LINE)]);
        entries.extend(AcpiEntry::isa(b"SCA_", b"PNP0C02", &[control]));
        entries.push(AcpiEntry::KeyboardController);
        entries
    }
}

impl LineDevice for I8042 {
    fn lines(&self) -> &[u8] {
        &[KEYBOARD_LINE]
    }
}

impl PortDevice for I8042 {
    fn ports(&self) -> &[PortRange] {
        PORTS
    }

    fn port_read(&mut self, port: u16, width: Width, platform: &mut dyn Platform) -> u32 {
        let value = bus::read_bytes(port, width, |p| match p {
            DATA => self.read_data(),
            COMMAND => self.status(),
            SYSTEM_CONTROL_A => u8::from(self.a20) << 1,
            _ => 0xff,
        });
        self.update(platform);
        value
    }

    fn port_write(&mut self, port: u16, width: Width, value: u32, platform: &mut dyn Platform) {
        bus::write_bytes(port, width, value, |p, byte| match p {
            DATA => self.write_data(byte, platform),
            COMMAND => self.command(byte, platform),
            SYSTEM_CONTROL_A => self.write_system_control(byte, platform),
            _ => {}
        });
        self.update(platform);
    }
}

#[cfg(test)]
mod tests;
