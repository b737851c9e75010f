//! The pair of 8259A interrupt controllers of a PC, with the edge/level registers.
//!
//! Ports 20h/21h (master), A0h/A1h (slave), 4D0h/4D1h (ELCR). The slave's output is the master's input 2.
//!
//! Sources: Intel 8259A datasheet; the ICH9 datasheet, "8259 Interrupt Controllers", for ELCR.

mod chip;

#[cfg(test)]
mod tests;

use chip::Chip;

/// The master's command port; its data port is the next one.
pub const PORT_MASTER: u16 = 0x20;
/// The slave's command port; its data port is the next one.
pub const PORT_SLAVE: u16 = 0xa0;
/// The master's edge/level register; the slave's is the next port.
pub const PORT_ELCR: u16 = 0x4d0;

/// The master's input that the slave is wired to.
const CASCADE: u8 = 2;

/// Both controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PicPair {
    master: Chip,
    slave: Chip,
}

impl Default for PicPair {
    fn default() -> Self {
        // The timer, the keyboard, the cascade; the clock and the coprocessor are edges for good.
        Self { master: Chip::new(0xf8, 1 << CASCADE), slave: Chip::new(0xde, 0) }
    }
}

impl PicPair {
    /// Drives input `irq`, 0 to 15 but for the cascade.
    pub fn set_irq(&mut self, irq: u8, level: bool) {
        match irq {
            // No device is wired to the cascade: the slave's output is, which is driven anew below.
            0..=7 => self.master.set_input(irq, level),
            8..=15 => self.slave.set_input(irq, level),
            _ => {}
        }
        self.update_cascade();
    }

    fn update_cascade(&mut self) {
        // After each change of the slave: the master's input must follow at once, as a wire does.
        let output = self.slave.output();
        self.master.set_input(CASCADE, output);
    }

    /// The master's INT output.
    pub fn output(&self) -> bool {
        self.master.output()
    }

    /// The processor's interrupt acknowledge: gives the vector. With no request left it is the spurious
    /// interrupt 7 of the controller that has none.
    pub fn acknowledge(&mut self) -> u8 {
        let irq = self.master.acknowledge();
        let vector = if irq == Some(CASCADE) {
            let slave_irq = self.slave.acknowledge();
            self.slave.vector(slave_irq)
        } else {
            self.master.vector(irq)
        };
        self.update_cascade();
        vector
    }

    /// Reads one byte of a port.
    pub fn read(&mut self, port: u16) -> u8 {
        let value = match port {
            0x20 => self.master.read_command(),
            0x21 => self.master.read_data(),
            0xa0 => self.slave.read_command(),
            0xa1 => self.slave.read_data(),
            0x4d0 => self.master.elcr(),
            0x4d1 => self.slave.elcr(),
            _ => 0xff,
        };
        // A poll acknowledges, which changes the slave's output.
        self.update_cascade();
        value
    }

    /// Writes one byte to a port.
    pub fn write(&mut self, port: u16, value: u8) {
        match port {
            0x20 => self.master.write_command(value),
            0x21 => self.master.write_data(value),
            0xa0 => self.slave.write_command(value),
            0xa1 => self.slave.write_data(value),
            0x4d0 => self.master.set_elcr(value),
            0x4d1 => self.slave.set_elcr(value),
            _ => {}
        }
        self.update_cascade();
    }
}
