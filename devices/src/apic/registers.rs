//! The registers that both modes have in common. What differs between the modes, and the ways to get here,
//! are in `x2apic` and `xapic`.

use super::local::{LocalApic, Lvt};
use super::timer::Mode;
use super::{ApicBus, spec};

/// The LVT entry of a register.
pub(super) fn lvt_of(register: u32) -> Option<Lvt> {
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
    /// Registers that read the same in both modes; `None` if there is no such register.
    pub(super) fn read_register(&mut self, register: u32, bus: &dyn ApicBus) -> Option<u32> {
        Some(match register {
            spec::ID if self.is_x2apic() => self.id,
            // xAPIC IDs have eight bits, at the top.
            spec::ID => self.id << 24,
            spec::VERSION => spec::VERSION_VALUE,
            // Computed at each read: it follows from two registers that change more often than it is read.
            spec::PPR => self.ppr(),
            spec::LDR => self.logical_destination(),
            spec::SVR => self.svr,
            spec::ISR..=spec::ISR_LAST => self.isr.word(register),
            spec::TMR..=spec::TMR_LAST => {
                // What others have posted the guest may expect to see.
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
    pub(super) fn write_register(&mut self, register: u32, value: u32, bus: &mut dyn ApicBus) {
        self.changed = true;
        match register {
            spec::SVR => self.set_svr(value),
            // A write of whatever value shows the errors since the last write (SDM 3, ESR).
            spec::ESR => self.esr = core::mem::take(&mut self.esr_pending),
            spec::TIMER_INITIAL => {
                let now_ns = bus.now_ns();
                // An expiry that is due was before this write, and still interrupts.
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
            // Entries stay masked until software unmasks each (SDM 3, "Local APIC State After It Has Been
            // Software Disabled").
            for lvt in &mut self.lvt {
                *lvt |= spec::LVT_MASKED;
            }
        }
        self.publish();
    }

    pub(super) fn lvt_writable(&self, lvt: Lvt) -> u32 {
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
        // Status bits keep reading as idle, whatever is written.
        let mut value = value & self.lvt_writable(lvt);
        // No entry can be unmasked until software has enabled the APIC.
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
}
