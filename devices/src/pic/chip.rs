//! One 8259A.

/// Bits of the command words.
mod spec {
    pub const ICW1: u8 = 0x10;
    pub const ICW1_NEEDS_ICW4: u8 = 0x01;
    pub const ICW1_SINGLE: u8 = 0x02;
    pub const ICW4_AUTO_EOI: u8 = 0x02;
    pub const ICW4_FULLY_NESTED: u8 = 0x10;
    pub const OCW3: u8 = 0x08;
    pub const OCW3_READ: u8 = 0x02;
    pub const OCW3_READ_ISR: u8 = 0x01;
    pub const OCW3_POLL: u8 = 0x04;
    pub const OCW3_SET_SPECIAL_MASK: u8 = 0x40;
    pub const OCW3_SPECIAL_MASK: u8 = 0x20;
}

/// Which word the next write to the data port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Ocw1,
    Icw2,
    Icw3,
    Icw4,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chip {
    // Configuration.
    elcr_writable: u8,
    /// Inputs that controllers are wired to (the cascade): levels by nature.
    cascade: u8,
    // Volatile state.
    /// Edges seen and not yet acknowledged.
    edges: u8,
    inputs: u8,
    isr: u8,
    imr: u8,
    elcr: u8,
    base: u8,
    /// The input with the lowest priority.
    lowest: u8,
    expected: Expected,
    icw1: u8,
    auto_eoi: bool,
    fully_nested: bool,
    rotate_on_auto_eoi: bool,
    special_mask: bool,
    read_isr: bool,
    poll: bool,
}

impl Chip {
    pub fn new(elcr_writable: u8, cascade: u8) -> Self {
        Self {
            elcr_writable,
            cascade,
            edges: 0,
            inputs: 0,
            isr: 0,
            // Until a guest initializes the chip its base is 0: an interrupt would be delivered as an
            // exception.
            imr: 0xff,
            elcr: 0,
            base: 0,
            lowest: 7,
            expected: Expected::Ocw1,
            icw1: 0,
            auto_eoi: false,
            fully_nested: false,
            rotate_on_auto_eoi: false,
            special_mask: false,
            read_isr: false,
            poll: false,
        }
    }

    /// Inputs that request by their level.
    fn levels(&self) -> u8 {
        self.elcr | self.cascade
    }

    /// The interrupt request register.
    fn irr(&self) -> u8 {
        self.edges & !self.levels() | self.inputs & self.levels()
    }

    /// Drives input `irq` modulo 8. An edge stays requested when its input falls again: devices here pulse
    /// their lines.
    pub fn set_input(&mut self, irq: u8, level: bool) {
        let bit = 1_u8 << (irq & 7);
        if level {
            self.edges |= bit & !self.inputs;
            self.inputs |= bit;
        } else {
            self.inputs &= !bit;
        }
    }

    /// The input of the highest priority in `set`.
    fn highest(&self, set: u8) -> Option<u8> {
        // Priorities rotate: the input behind the lowest one is the highest.
        let first = (self.lowest + 1) & 7;
        let rank = set.rotate_right(u32::from(first)).trailing_zeros() as u8;
        (set != 0).then_some((first + rank) & 7)
    }

    fn rank(&self, irq: u8) -> u8 {
        irq.wrapping_sub(self.lowest + 1) & 7
    }

    /// The input that is to interrupt now.
    fn request(&self) -> Option<u8> {
        let irq = self.highest(self.irr() & !self.imr)?;
        // With the special mask, what is in service and masked holds nothing back.
        let blocking = if self.special_mask { self.isr & !self.imr } else { self.isr };
        let Some(in_service) = self.highest(blocking) else { return Some(irq) };
        // In fully nested mode the slave may interrupt itself: its own priorities have let the request
        // through.
        let nested = self.fully_nested && irq == in_service && self.cascade & 1 << irq != 0;
        (nested || self.rank(irq) < self.rank(in_service)).then_some(irq)
    }

    pub fn output(&self) -> bool {
        self.request().is_some()
    }

    /// Acknowledges the request there is.
    pub fn acknowledge(&mut self) -> Option<u8> {
        let irq = self.request()?;
        let bit = 1 << irq;
        // The edge is used up. A level, if that is what it is, keeps requesting by itself.
        self.edges &= !bit;
        if !self.auto_eoi {
            self.isr |= bit;
        // The interrupt has ended already, so this is where the rotation belongs.
        } else if self.rotate_on_auto_eoi {
            self.lowest = irq;
        }
        Some(irq)
    }

    /// The vector of an acknowledged input, or of the spurious interrupt.
    pub fn vector(&self, irq: Option<u8>) -> u8 {
        // Input 7 with nothing in service is how the chip says that a request went away before its
        // acknowledge.
        self.base | irq.unwrap_or(7)
    }

    pub fn elcr(&self) -> u8 {
        self.elcr
    }

    pub fn set_elcr(&mut self, value: u8) {
        self.elcr = value & self.elcr_writable;
    }

    pub fn read_command(&mut self) -> u8 {
        // The poll command holds for one read, of whichever port.
        if core::mem::take(&mut self.poll) {
            return self.poll_word();
        }
        if self.read_isr { self.isr } else { self.irr() }
    }

    pub fn read_data(&mut self) -> u8 {
        if core::mem::take(&mut self.poll) { self.poll_word() } else { self.imr }
    }

    /// A read after the poll command is an acknowledge: bit 7 and the input's number.
    fn poll_word(&mut self) -> u8 {
        self.acknowledge().map_or(0, |irq| 0x80 | irq)
    }

    pub fn write_command(&mut self, value: u8) {
        if value & spec::ICW1 != 0 {
            self.initialize(value);
        } else if value & spec::OCW3 != 0 {
            self.write_ocw3(value);
        } else {
            self.write_ocw2(value);
        }
    }

    /// ICW1. Its level bit has no effect where there is an ELCR.
    fn initialize(&mut self, icw1: u8) {
        // Edges are forgotten: an input has to rise again (8259A datasheet, initialization). Lines and the
        // edge/level register are outside of the chip.
        *self = Self {
            elcr: self.elcr,
            inputs: self.inputs,
            base: self.base,
            imr: 0,
            expected: Expected::Icw2,
            icw1,
            ..Self::new(self.elcr_writable, self.cascade)
        };
    }

    fn write_ocw3(&mut self, value: u8) {
        if value & spec::OCW3_SET_SPECIAL_MASK != 0 {
            self.special_mask = value & spec::OCW3_SPECIAL_MASK != 0;
        }
        if value & spec::OCW3_POLL != 0 {
            self.poll = true;
        } else if value & spec::OCW3_READ != 0 {
            self.read_isr = value & spec::OCW3_READ_ISR != 0;
        }
    }

    /// OCW2: ends of interrupt and rotation.
    fn write_ocw2(&mut self, value: u8) {
        let named = value & 7;
        match value >> 5 {
            0 => self.rotate_on_auto_eoi = false,
            4 => self.rotate_on_auto_eoi = true,
            // Sets the priorities and ends nothing.
            6 => self.lowest = named,
            command @ (1 | 5) => {
                // With the special mask, an input that is masked is not found by a non-specific EOI.
                let in_service = if self.special_mask { self.isr & !self.imr } else { self.isr };
                if let Some(irq) = self.highest(in_service) {
                    self.end(irq, command == 5);
                }
            }
            command @ (3 | 7) => self.end(named, command == 7),
            _ => {}
        }
    }

    fn end(&mut self, irq: u8, rotate: bool) {
        self.isr &= !(1 << irq);
        if rotate {
            self.lowest = irq;
        }
    }

    pub fn write_data(&mut self, value: u8) {
        let icw4 = if self.icw1 & spec::ICW1_NEEDS_ICW4 != 0 { Expected::Icw4 } else { Expected::Ocw1 };
        self.expected = match self.expected {
            Expected::Ocw1 => {
                self.imr = value;
                Expected::Ocw1
            }
            Expected::Icw2 => {
                // The low three bits are the input's number, for the chip to fill in.
                self.base = value & 0xf8;
                if self.icw1 & spec::ICW1_SINGLE != 0 { icw4 } else { Expected::Icw3 }
            }
            // The wiring is what it is, whatever ICW3 says.
            Expected::Icw3 => icw4,
            Expected::Icw4 => {
                self.auto_eoi = value & spec::ICW4_AUTO_EOI != 0;
                self.fully_nested = value & spec::ICW4_FULLY_NESTED != 0;
                Expected::Ocw1
            }
        };
    }
}
