//! IA32_APIC_BASE: where the xAPIC page is, and the legal steps between disabled, xAPIC and x2APIC.

use super::local::LocalApic;
use super::{GeneralProtection, spec};

impl LocalApic {
    /// IA32_APIC_BASE (MSR 1Bh).
    #[inline]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The offset of a guest-physical address in the 4 KiB register page; `None` if it is not there.
    /// Only xAPIC mode has the page.
    #[inline]
    pub fn mmio_offset(&self, gpa: u64) -> Option<u64> {
        // One comparison for both ends, as below the page the difference is huge; without a page it always
        // is.
        let offset = gpa.wrapping_sub(self.page);
        (offset < 0x1000).then_some(offset)
    }

    /// Writes IA32_APIC_BASE. From disabled to x2APIC, from x2APIC to xAPIC, and x2APIC without enable are
    /// #GP (SDM, "x2APIC State Transitions"). The BSP flag is fixed.
    pub fn set_base(&mut self, value: u64) -> Result<(), GeneralProtection> {
        const MODE: u64 = spec::BASE_ENABLE | spec::BASE_EXTD;
        let address = (1_u64 << self.config.physical_address_bits.clamp(32, 52)) - 0x1000;
        if value & !(address | MODE | spec::BASE_BSP) != 0 {
            return Err(GeneralProtection);
        }
        let (from, to) = (self.base & MODE, value & MODE);
        // From x2APIC mode only off, and into it only from xAPIC mode (SDM 3, "x2APIC State Transitions").
        let legal = match to {
            spec::BASE_EXTD => false,
            MODE => from != 0,
            spec::BASE_ENABLE => from != MODE,
            _ => true,
        };
        if !legal {
            return Err(GeneralProtection);
        }
        self.changed = true;
        // Which vCPU is the bootstrap processor is not the guest's to say.
        self.base = value & !spec::BASE_BSP | self.base & spec::BASE_BSP;
        self.page = if to == spec::BASE_ENABLE { value & !0xfff } else { spec::NO_PAGE };
        // An APIC that is switched off forgets everything, as at power-up (SDM 3, 11.4.3).
        if to == 0 && from != 0 {
            self.reset_registers();
        } else if from != to {
            if to == MODE {
                // ICR's destination half has another meaning now (SDM, "x2APIC State Transitions": it is not
                // kept).
                self.icr &= u64::from(u32::MAX);
            }
            // Others find this APIC by another ID, or not at all, from here on.
            self.publish();
        }
        Ok(())
    }
}
