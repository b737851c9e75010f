//! Register accesses: by MSR in x2APIC mode, by memory in xAPIC mode.
//!
//! Both come down to one `match` on the register number, which compiles to an indexed jump. What differs between the
//! modes (which registers exist, what reserved bits do) is decided before it.

use super::local::{LocalApic, Lvt};
use super::timer::Mode;
use super::{ApicBus, GeneralProtection, spec};
use crate::capability::Width;

/// The LVT entry of a register.
fn lvt_of(register: u32) -> Option<Lvt> {
    Some(match register {
        spec::LVT_CMCI => Lvt::Cmci,
        spec::LVT_TIMER => Lvt::Timer,
        spec::LVT_THERMAL => Lvt::Thermal,
        spec::LVT_PERFORMANCE => Lvt::Performance,
        spec::LVT_LINT0 => Lvt::Lint0,
        spec::LVT_LINT1 => Lvt::Lint1,
        spec::LVT_ERROR => Lvt::Error,
        _ => return None,
    })
}

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

    /// The bits of a register that may be written as ones in x2APIC mode; `None` if it cannot be written at all.
    fn x2apic_writable(&self, register: u32) -> Option<u64> {
        Some(match register {
            spec::ESR => 0,
            spec::SVR => u64::from(spec::SVR_WRITABLE),
            spec::TIMER_INITIAL => u64::from(u32::MAX),
            spec::TIMER_DIVIDE => 0xb,
            _ => u64::from(self.lvt_writable(lvt_of(register)?) | spec::LVT_READ_ONLY),
        })
    }

    /// Loads from the xAPIC page. Only bytes 0 to 3 of each 16 are registers; the others read 0.
    pub fn mmio_read(&mut self, offset: u64, width: Width, bus: &dyn ApicBus) -> u64 {
        let register = (offset >> 4 & 0xff) as u32;
        let byte = (offset & 0xf) as u32;
        if byte >= 4 {
            return 0;
        }
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
        let Some(value) = value else {
            self.error(spec::ESR_ILLEGAL_REGISTER);
            return 0;
        };
        u64::from(value) >> (8 * byte) & width.mask()
    }

    /// Stores to the xAPIC page. Stores but of a whole register are undefined (SDM, "APIC Register Address Map"), and
    /// ignored.
    pub fn mmio_write(&mut self, offset: u64, width: Width, value: u64, bus: &mut dyn ApicBus) {
        if offset & 0xf != 0 || !matches!(width, Width::Dword | Width::Qword) {
            return;
        }
        let value = value as u32;
        match (offset >> 4 & 0xff) as u32 {
            spec::TPR => self.set_tpr(value as u8),
            spec::EOI => self.end_of_interrupt(bus),
            spec::ICR => {
                let low = value & 0x000c_cfff;
                self.icr = self.icr & !u64::from(u32::MAX) | u64::from(low);
                self.send_ipi(bus);
            }
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

    /// Registers that read the same in both modes; `None` if there is no such register.
    fn read_register(&mut self, register: u32, bus: &dyn ApicBus) -> Option<u32> {
        Some(match register {
            spec::ID if self.is_x2apic() => self.id,
            spec::ID => self.id << 24,
            spec::VERSION => spec::VERSION_VALUE,
            spec::PPR => self.ppr(),
            spec::LDR => self.logical_destination(),
            spec::SVR => self.svr,
            spec::ISR..=spec::ISR_LAST => self.isr.word(register),
            spec::TMR..=spec::TMR_LAST => {
                self.sync();
                self.tmr.word(register)
            }
            spec::IRR..=spec::IRR_LAST => {
                self.sync();
                self.irr.word(register)
            }
            spec::ESR => self.esr,
            spec::TIMER_INITIAL => self.timer.initial,
            spec::TIMER_CURRENT => self.timer.current(bus.now_ns()),
            spec::TIMER_DIVIDE => self.timer.divide,
            _ => *self.lvt.get(lvt_of(register)? as usize)?,
        })
    }

    /// Registers that are written the same in both modes.
    fn write_register(&mut self, register: u32, value: u32, bus: &mut dyn ApicBus) {
        match register {
            spec::SVR => self.set_svr(value),
            spec::ESR => self.esr = core::mem::take(&mut self.esr_pending),
            spec::TIMER_INITIAL => {
                let now_ns = bus.now_ns();
                self.advance_timer(now_ns);
                self.timer.set_initial(value, now_ns);
            }
            spec::TIMER_DIVIDE => {
                let now_ns = bus.now_ns();
                self.advance_timer(now_ns);
                self.timer.set_divide(value, now_ns);
            }
            _ => match lvt_of(register) {
                Some(lvt) => self.set_lvt(lvt, value, bus),
                None => self.error(spec::ESR_ILLEGAL_REGISTER),
            },
        }
    }

    fn set_svr(&mut self, value: u32) {
        self.svr = value & spec::SVR_WRITABLE;
        if !self.is_software_enabled() {
            for lvt in &mut self.lvt {
                *lvt |= spec::LVT_MASKED;
            }
        }
        self.publish();
    }

    fn lvt_writable(&self, lvt: Lvt) -> u32 {
        const POLARITY_AND_TRIGGER: u32 = 1 << 13 | 1 << 15;
        let modes = match lvt {
            Lvt::Timer if self.config.tsc_deadline_hz.is_some() => spec::LVT_TIMER_MODE,
            Lvt::Timer => spec::LVT_TIMER_PERIODIC,
            Lvt::Cmci | Lvt::Thermal | Lvt::Performance => spec::LVT_MODE,
            Lvt::Lint0 | Lvt::Lint1 => spec::LVT_MODE | POLARITY_AND_TRIGGER,
            Lvt::Error => 0,
        };
        0xff | spec::LVT_MASKED | modes
    }

    fn set_lvt(&mut self, lvt: Lvt, value: u32, bus: &mut dyn ApicBus) {
        let mut value = value & self.lvt_writable(lvt);
        if !self.is_software_enabled() {
            value |= spec::LVT_MASKED;
        }
        if lvt == Lvt::Timer {
            // What is due is still due under the old entry.
            self.advance_timer(bus.now_ns());
            self.timer.set_mode(Mode::of_lvt(value));
        }
        self.lvt[lvt as usize] = value;
    }

    /// Reads IA32_TSC_DEADLINE; #GP if TSC-deadline mode is not configured.
    pub fn read_tsc_deadline(&self) -> Result<u64, GeneralProtection> {
        self.config.tsc_deadline_hz.map(|_| self.timer.tsc_deadline).ok_or(GeneralProtection)
    }

    /// Writes IA32_TSC_DEADLINE; #GP if TSC-deadline mode is not configured.
    pub fn write_tsc_deadline(&mut self, value: u64, bus: &dyn ApicBus) -> Result<(), GeneralProtection> {
        let hz = self.config.tsc_deadline_hz.ok_or(GeneralProtection)?;
        self.timer.arm_tsc(value, bus.guest_tsc(), hz, bus.now_ns());
        Ok(())
    }
}

/// `value`, if it has no ones but in `writable`.
#[inline]
fn only(value: u64, writable: u64) -> Result<u64, GeneralProtection> {
    if value & !writable == 0 { Ok(value) } else { Err(GeneralProtection) }
}

/// Registers whose xAPIC store is ignored.
fn is_read_only(register: u32) -> bool {
    matches!(
        register,
        spec::ID | spec::VERSION | spec::APR | spec::PPR | spec::RRD | spec::ISR
            ..=spec::IRR_LAST | spec::TIMER_CURRENT
    )
}
