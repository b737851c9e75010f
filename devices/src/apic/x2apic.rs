//! x2APIC mode: registers are MSRs, and what is reserved is #GP.
//!
//! One `match` on the register number, which compiles to an indexed jump, and no more than that for the
//! registers of the hot path.

use super::local::LocalApic;
use super::registers::lvt_of;
use super::{ApicBus, GeneralProtection, spec};

impl LocalApic {
    /// Reads MSR 800h to 8FFh.
    #[inline]
    pub fn read_msr(&mut self, msr: u32, bus: &dyn ApicBus) -> Result<u64, GeneralProtection> {
        if !self.is_x2apic() {
            return Err(GeneralProtection);
        }
        match msr.wrapping_sub(spec::X2APIC_MSR_BASE) {
            spec::TPR => Ok(u64::from(self.tpr)),
            spec::ICR => Ok(self.icr),
            // These are only in the other mode, or only written, and #GP here.
            spec::APR | spec::EOI | spec::RRD | spec::DFR | spec::ICR_HIGH => Err(GeneralProtection),
            register => self.read_register(register, bus).map(u64::from).ok_or(GeneralProtection),
        }
    }

    /// Writes MSR 800h to 8FFh. Reserved registers, read-only ones, and reserved bits are #GP.
    #[inline]
    pub fn write_msr(
        &mut self,
        msr: u32,
        value: u64,
        bus: &mut dyn ApicBus,
    ) -> Result<(), GeneralProtection> {
        if !self.is_x2apic() {
            return Err(GeneralProtection);
        }
        match msr.wrapping_sub(spec::X2APIC_MSR_BASE) {
            spec::TPR => self.set_tpr(only(value, 0xff)? as u8),
            spec::EOI => {
                // Anything but 0 is #GP (SDM 3, x2APIC register address space).
                only(value, 0)?;
                self.end_of_interrupt(bus);
            }
            spec::SELF_IPI => self.self_ipi(only(value, 0xff)? as u8),
            spec::ICR => {
                // Bit 12, the delivery status, is always idle.
                self.icr = only(value, !0xfff3_2000)? & !(1 << 12);
                self.send_ipi(bus);
            }
            register => {
                let value = only(value, self.x2apic_writable(register).ok_or(GeneralProtection)?)?;
                self.write_register(register, value as u32, bus);
            }
        }
        Ok(())
    }

    /// The bits of a register that may be written as ones in x2APIC mode; `None` if it cannot be written at
    /// all.
    fn x2apic_writable(&self, register: u32) -> Option<u64> {
        Some(match register {
            spec::ESR => 0,
            spec::SVR => u64::from(spec::SVR_WRITABLE),
            spec::TIMER_INITIAL => u64::from(u32::MAX),
            spec::TIMER_DIVIDE => 0xb,
            _ => u64::from(self.lvt_writable(lvt_of(register)?) | spec::LVT_READ_ONLY),
        })
    }

    /// Reads IA32_TSC_DEADLINE; #GP if TSC-deadline mode is not configured.
    pub fn read_tsc_deadline(&mut self, bus: &dyn ApicBus) -> Result<u64, GeneralProtection> {
        // A masked timer has no deadline that the vCPU waits for, and yet its register is 0 afterwards.
        self.expire(bus);
        self.config.tsc_deadline_hz.map(|_| self.timer.tsc_deadline).ok_or(GeneralProtection)
    }

    /// Writes IA32_TSC_DEADLINE; #GP if TSC-deadline mode is not configured.
    pub fn write_tsc_deadline(&mut self, value: u64, bus: &dyn ApicBus) -> Result<(), GeneralProtection> {
        let hz = self.config.tsc_deadline_hz.ok_or(GeneralProtection)?;
        // The last deadline may have passed since the guest was left: its interrupt is not lost.
        self.expire(bus);
        self.timer.arm_tsc(value, self.guest_tsc(bus), hz, bus.now_ns());
        // The owner has to arm for another deadline, which may be earlier.
        self.changed = true;
        Ok(())
    }
}

/// `value`, if it has no ones but in `writable`.
#[inline]
fn only(value: u64, writable: u64) -> Result<u64, GeneralProtection> {
    if value & !writable == 0 { Ok(value) } else { Err(GeneralProtection) }
}
