//! xAPIC mode: registers are in memory, and what is reserved is ignored, or an error in ESR.

use super::local::LocalApic;
use super::{ApicBus, spec};
use crate::capability::Width;

impl LocalApic {
    /// Loads from the xAPIC page. Only bytes 0 to 3 of each 16 are registers; the others read 0.
    #[inline]
    pub fn mmio_read(&mut self, offset: u64, width: Width, bus: &dyn ApicBus) -> u64 {
        // The manuals want whole registers to be read, and so does nearly everybody.
        if offset & 0xf == 0 && width == Width::Dword {
            return self.mmio_register((offset >> 4) as u32, bus).into();
        }
        self.mmio_read_part(offset, width, bus)
    }

    #[cold]
    fn mmio_read_part(&mut self, offset: u64, width: Width, bus: &dyn ApicBus) -> u64 {
        let byte = offset & 0xf;
        // The registers are 16 bytes apart; between them there is nothing.
        if byte >= 4 {
            return 0;
        }
        u64::from(self.mmio_register((offset >> 4 & 0xff) as u32, bus)) >> (8 * byte) & width.mask()
    }

    #[inline]
    fn mmio_register(&mut self, register: u32, bus: &dyn ApicBus) -> u32 {
        let value = match register {
            spec::TPR => Some(self.tpr),
            spec::ICR => Some(self.icr as u32),
            spec::ICR_HIGH => Some((self.icr >> 32) as u32),
            spec::EOI | spec::RRD => Some(0),
            // No TPR or IRR of others is arbitrated with: APR is what it would be with none in request.
            spec::APR => Some(self.ppr()),
            spec::DFR => Some(self.dfr),
            _ => self.read_register(register, bus),
        };
        value.unwrap_or_else(|| {
            self.error(spec::ESR_ILLEGAL_REGISTER);
            0
        })
    }

    /// Stores to the xAPIC page. Stores but of a whole register are undefined (SDM, "APIC Register Address
    /// Map"), and ignored.
    pub fn mmio_write(&mut self, offset: u64, width: Width, value: u64, bus: &mut dyn ApicBus) {
        // Registers are written by aligned dwords (SDM 3, 11.4.1); of a qword the upper half falls between
        // two.
        if offset & 0xf != 0 || !matches!(width, Width::Dword | Width::Qword) {
            return;
        }
        let value = value as u32;
        match (offset >> 4 & 0xff) as u32 {
            spec::TPR => self.set_tpr(value as u8),
            spec::EOI => self.end_of_interrupt(bus),
            spec::ICR => {
                // Reserved bits, and the delivery status, which is always idle here. Storing the low half
                // sends.
                let low = value & 0x000c_cfff;
                self.icr = self.icr & !u64::from(u32::MAX) | u64::from(low);
                self.send_ipi(bus);
            }
            // The destination alone; a guest stores it first.
            spec::ICR_HIGH => {
                let destination = u64::from(value & 0xff00_0000) << 32;
                self.icr = self.icr & u64::from(u32::MAX) | destination;
            }
            spec::LDR => {
                self.ldr = value & 0xff00_0000;
                self.publish();
            }
            spec::DFR => {
                self.dfr = value | spec::DFR_ONES;
                self.publish();
            }
            register if is_read_only(register) => {}
            register => self.write_register(register, value, bus),
        }
    }
}

/// Registers whose xAPIC store is ignored.
fn is_read_only(register: u32) -> bool {
    matches!(
        register,
        spec::ID | spec::VERSION | spec::APR | spec::PPR | spec::RRD | spec::ISR
            ..=spec::IRR_LAST | spec::TIMER_CURRENT
    )
}
