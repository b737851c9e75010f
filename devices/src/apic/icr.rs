//! The interrupt command register: inter-processor interrupts.

use super::local::LocalApic;
use super::message::{DeliveryMode, InterruptMessage};
use super::{ApicBus, spec};

/// ICR bits 19:18.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shorthand {
    None,
    Itself,
    All,
    Others,
}

impl Shorthand {
    fn of(icr: u64) -> Self {
        match icr >> 18 & 3 {
            0 => Self::None,
            1 => Self::Itself,
            2 => Self::All,
            _ => Self::Others,
        }
    }
}

impl LocalApic {
    /// Sends what ICR holds.
    pub(super) fn send_ipi(&mut self, bus: &mut dyn ApicBus) {
        const LOGICAL: u64 = 1 << 11;
        const ASSERT: u64 = 1 << 14;
        const LEVEL: u64 = 1 << 15;
        let icr = self.icr;
        // The reserved mode sends nothing; what a processor does with it is not defined.
        let Some(delivery) = DeliveryMode::from_bits((icr >> 8) as u32) else { return };
        let shorthand = Shorthand::of(icr);
        let vector = icr as u8;
        let vectored = matches!(delivery, DeliveryMode::Fixed | DeliveryMode::LowestPriority);
        // Vectors below 16 are illegal (SDM 3, "Valid Interrupt Vectors").
        if vectored && vector < spec::FIRST_VECTOR {
            self.error(spec::ESR_SEND_ILLEGAL);
            return;
        }
        // INIT with level de-assert only set arbitration IDs, long ago.
        if delivery == DeliveryMode::Init && icr & (ASSERT | LEVEL) == LEVEL {
            return;
        }
        match shorthand {
            // Only vectors can be sent to oneself by shorthand (SDM, "Valid Combinations").
            Shorthand::Itself if vectored => self.self_ipi(vector),
            Shorthand::Itself => {}
            // It would include the sender, to which only vectors may be sent.
            Shorthand::All if !vectored => {}
            _ => {
                let destination = match (shorthand, self.is_x2apic()) {
                    (Shorthand::None, true) => (icr >> 32) as u32,
                    (Shorthand::None, false) => InterruptMessage::destination_from_xapic((icr >> 56) as u8),
                    _ => InterruptMessage::BROADCAST,
                };
                let logical = shorthand == Shorthand::None && icr & LOGICAL != 0;
                // IPIs are edge-triggered whatever bit 15 says.
                let message = InterruptMessage { destination, logical, delivery, vector, level: false };
                self.apics.deliver_ipi(&message, self.vcpu, shorthand == Shorthand::Others, bus);
            }
        }
    }

    /// Requests a vector of the processor itself.
    #[inline]
    pub(super) fn self_ipi(&mut self, vector: u8) {
        if vector < spec::FIRST_VECTOR {
            self.error(spec::ESR_SEND_ILLEGAL);
        // One that software has disabled takes no vectors, its own no more than others'.
        } else if self.is_software_enabled() {
            self.request(vector);
        }
    }
}
