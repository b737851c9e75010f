//! The I/O APIC: 24 pins, each with a redirection entry that says what message it sends.
//!
//! A pin's level here means *asserted*: the polarity bit is kept but changes nothing, as devices say what
//! they mean. Edges on a masked pin are lost, as in hardware.
//!
//! Sources: Intel 82093AA datasheet; the ICH9 datasheet, "Advanced Programmable Interrupt Controller", for
//! the EOI register and version 20h.

use crate::apic::{DeliveryMode, InterruptMessage};

#[cfg(test)]
mod tests;

/// Registers and bits.
mod spec {
    pub const IOREGSEL: u64 = 0x00;
    pub const IOWIN: u64 = 0x10;
    pub const EOIR: u64 = 0x40;

    pub const ID: u8 = 0x00;
    pub const VERSION: u8 = 0x01;
    pub const ARBITRATION: u8 = 0x02;
    pub const REDIRECTION: u8 = 0x10;

    /// Version 20h (has EOIR), highest entry 23.
    pub const VERSION_VALUE: u32 = 0x0017_0020;

    pub const LOGICAL: u64 = 1 << 11;
    pub const REMOTE_IRR: u64 = 1 << 14;
    pub const LEVEL: u64 = 1 << 15;
    pub const MASKED: u64 = 1 << 16;
    /// Vector, delivery mode, destination mode, polarity, trigger mode, mask, destination.
    pub const WRITABLE: u64 = 0xff00_0000_0001_afff;
}

/// The number of pins.
pub const PINS: usize = 24;
/// Where the I/O APIC of a PC is.
pub const IOAPIC_BASE: u64 = 0xfec0_0000;
/// The bytes of guest-physical address space it takes.
pub const IOAPIC_BYTES: u64 = 0x1000;

/// Takes the messages of an I/O APIC.
pub trait MessageSink {
    /// Delivers a message. Returns whether any local APIC took it.
    fn deliver(&mut self, message: &InterruptMessage) -> bool;
}

/// The I/O APIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoApic {
    select: u8,
    id: u8,
    entries: [u64; PINS],
    /// Which pins are asserted.
    asserted: u32,
}

impl Default for IoApic {
    fn default() -> Self {
        // Masked, so that a line that firmware leaves high disturbs nobody before there is a vector for it.
        Self { select: 0, id: 0, entries: [spec::MASKED; PINS], asserted: 0 }
    }
}

/// Whether an entry is for a level: only vectors can be, other modes are edges whatever they say.
fn is_level(entry: u64) -> bool {
    entry & spec::LEVEL != 0 && entry >> 8 & 7 <= 1
}

fn message_of(entry: u64) -> Option<InterruptMessage> {
    let delivery = match DeliveryMode::from_bits((entry >> 8) as u32)? {
        // Only an IPI starts a processor.
        DeliveryMode::Startup => return None,
        other => other,
    };
    Some(InterruptMessage {
        destination: InterruptMessage::destination_from_xapic((entry >> 56) as u8),
        logical: entry & spec::LOGICAL != 0,
        delivery,
        vector: entry as u8,
        level: is_level(entry),
    })
}

impl IoApic {
    /// Sets the ID, 0 to 15.
    pub fn set_id(&mut self, id: u8) {
        self.id = id & 0xf;
    }

    /// Asserts or releases a pin.
    pub fn set_pin(&mut self, pin: u8, asserted: bool, sink: &mut dyn MessageSink) {
        let Some(&entry) = self.entries.get(usize::from(pin)) else { return };
        let bit = 1 << pin;
        let before = self.asserted;
        self.asserted = if asserted { before | bit } else { before & !bit };
        // An edge at a masked pin is lost; a level is found when the mask goes (82093AA datasheet, 3.2.4).
        if !asserted || entry & spec::MASKED != 0 {
            return;
        }
        if is_level(entry) {
            self.service_level(pin, sink);
        } else if before & bit == 0
            && let Some(message) = message_of(entry)
        {
            sink.deliver(&message);
        }
    }

    /// Sends the message of a level-triggered pin if it is due. Remote IRR is set only when a local APIC took
    /// it, so that one that was disabled meanwhile does not block the pin for good.
    fn service_level(&mut self, pin: u8, sink: &mut dyn MessageSink) {
        let asserted = self.asserted >> pin & 1 != 0;
        let Some(entry) = self.entries.get_mut(usize::from(pin)) else { return };
        // With remote IRR set the last one has not been ended: a second message would be one interrupt too
        // many.
        let due = asserted && is_level(*entry) && *entry & (spec::MASKED | spec::REMOTE_IRR) == 0;
        if due
            && let Some(message) = message_of(*entry)
            && sink.deliver(&message)
        {
            *entry |= spec::REMOTE_IRR;
        }
    }

    /// The EOI of a level-triggered vector: pins with it may interrupt again, and do if still asserted.
    pub fn end_of_interrupt(&mut self, vector: u8, sink: &mut dyn MessageSink) {
        for pin in 0..PINS as u8 {
            let Some(entry) = self.entries.get_mut(usize::from(pin)) else { return };
            // Pins may share a vector: its end is that of all.
            if *entry as u8 == vector && *entry & spec::REMOTE_IRR != 0 {
                *entry &= !spec::REMOTE_IRR;
                self.service_level(pin, sink);
            }
        }
    }

    /// Loads a 32-bit register; all else reads 0.
    pub fn read(&self, offset: u64) -> u32 {
        match offset {
            spec::IOREGSEL => u32::from(self.select),
            spec::IOWIN => self.read_selected(),
            _ => 0,
        }
    }

    /// Stores to a 32-bit register; all else is ignored.
    pub fn write(&mut self, offset: u64, value: u32, sink: &mut dyn MessageSink) {
        match offset {
            spec::IOREGSEL => self.select = value as u8,
            spec::IOWIN => self.write_selected(value, sink),
            spec::EOIR => self.end_of_interrupt(value as u8, sink),
            _ => {}
        }
    }

    /// The pin, which need not be one that there is, and the half (0 or 32 bits up) that the selected
    /// register is.
    fn selected_entry(&self) -> Option<(u8, u32)> {
        let index = self.select.checked_sub(spec::REDIRECTION)?;
        Some((index / 2, u32::from(index & 1) * 32))
    }

    fn read_selected(&self) -> u32 {
        match self.select {
            // There is no arbitration bus, and what the datasheet loads the register with is the ID.
            spec::ID | spec::ARBITRATION => u32::from(self.id) << 24,
            spec::VERSION => spec::VERSION_VALUE,
            _ => self
                .selected_entry()
                .and_then(|(pin, shift)| self.entries.get(usize::from(pin)).map(|entry| entry >> shift))
                .map_or(0, |half| half as u32),
        }
    }

    fn write_selected(&mut self, value: u32, sink: &mut dyn MessageSink) {
        if self.select == spec::ID {
            self.set_id((value >> 24) as u8);
            return;
        }
        let Some((pin, shift)) = self.selected_entry() else { return };
        let Some(entry) = self.entries.get_mut(usize::from(pin)) else { return };
        let half = u64::from(u32::MAX) << shift;
        // Remote IRR and the delivery status are the chip's own; a guest writes back what it has read.
        let writable = spec::WRITABLE & half;
        *entry = *entry & !writable | u64::from(value) << shift & writable;
        if !is_level(*entry) {
            // Switching to edge and back is how software without EOIR ends an interrupt.
            *entry &= !spec::REMOTE_IRR;
        }
        // The write may have taken the mask away from a level that has been waiting.
        self.service_level(pin, sink);
    }
}
