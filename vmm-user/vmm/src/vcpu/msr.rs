//! RDMSR and WRMSR.

use decoder::{Exception, Intercept};
use devices::apic::LocalApic;
use devices::apic::spec::MSR_APIC_BASE;
use devices::msr::{MsrRead, MsrWrite, VcpuMsr, check_efer};
use runtime::abi::registers::Groups;
use runtime::syscall;

use super::{Bus, Kind, Vcpu};

/// CR0.PG.
const PAGING: u64 = 1 << 31;

impl Vcpu {
    pub(super) fn handle_msr_read(&mut self) {
        let msr = self.registers.page.gpr(1) as u32;
        match self.read_msr(msr) {
            Some(value) => {
                // RAX and RDX only if RDMSR is still there: other code runs again, with the registers that it
                // had.
                if self.complete(Intercept::Rdmsr) {
                    self.registers.page.set_gpr(0, value & 0xffff_ffff);
                    self.registers.page.set_gpr(2, value >> 32);
                }
            }
            None => self.inject_exception(Exception::GENERAL_PROTECTION),
        }
    }

    pub(super) fn handle_msr_write(&mut self) {
        let (msr, value) = self.registers.page.msr_operands();
        if self.write_msr(msr, value) {
            // What the processor decoded was WRMSR, so the write stays even if the code is another by now.
            let _ = self.complete(Intercept::Wrmsr);
        } else {
            self.inject_exception(Exception::GENERAL_PROTECTION);
        }
    }

    /// The value; `None` for #GP.
    fn read_msr(&mut self, msr: u32) -> Option<u64> {
        match self.msrs.read(msr) {
            MsrRead::Value(value) => Some(value),
            MsrRead::Lapic if msr == MSR_APIC_BASE => Some(self.events.lapic.base()),
            MsrRead::Lapic => {
                let board = &self.shared.board;
                let mut access = board.access();
                let value = self.events.lapic.read_msr(msr, &Bus { board, access: &mut access });
                self.finish(&access);
                value.ok()
            }
            // As the guest's RDTSC reads it, which does not exit and adds the same offset.
            MsrRead::Tsc => Some(syscall::tsc().wrapping_add(self.events.lapic.tsc_offset())),
            // Both begin as 0 at power-on, and a write of either moves both by the same (SDM volume 3,
            // "Time-Stamp Counter Adjustment"): so they are one.
            MsrRead::TscAdjust => Some(self.events.lapic.tsc_offset()),
            // A deadline that has passed becomes an interrupt when it is read.
            MsrRead::TscDeadline => self.with_lapic(|lapic, bus| lapic.read_tsc_deadline(bus)).ok(),
            MsrRead::Vcpu(register) => Some(self.read_register(register)),
            // No #GP: systems probe registers by the processor's model, and not each probe is ready for a
            // fault.
            MsrRead::Unknown => {
                self.log_unknown(msr, "read");
                Some(0)
            }
        }
    }

    /// `false` for #GP.
    fn write_msr(&mut self, msr: u32, value: u64) -> bool {
        match self.msrs.write(msr, value) {
            MsrWrite::Done => true,
            MsrWrite::Fault => false,
            MsrWrite::Lapic if msr == MSR_APIC_BASE => {
                let result = self.events.lapic.set_base(value);
                // CPUID shows no local APIC while it is off. While it is on, the leaf is found without a look
                // at the vCPU: the difference was measured as 82 instructions.
                self.cpuid.follow_apic(!self.events.lapic.is_globally_enabled());
                self.events.lapic_written(&mut self.registers);
                result.is_ok()
            }
            MsrWrite::Lapic => self.with_lapic(|lapic, bus| lapic.write_msr(msr, value, bus)).is_ok(),
            // The host's TSC is what Plinth and the other vCPUs tell the time by: only the guest's view
            // moves.
            MsrWrite::Tsc => self.move_tsc(value.wrapping_sub(syscall::tsc())),
            MsrWrite::TscAdjust => self.move_tsc(value),
            MsrWrite::TscDeadline => {
                self.with_lapic(|lapic, bus| lapic.write_tsc_deadline(value, bus)).is_ok()
            }
            MsrWrite::Vcpu(register) => self.write_register(register, value),
            MsrWrite::Unknown => {
                self.log_unknown(msr, "write");
                true
            }
        }
    }

    /// Sets what the guest's TSC is ahead of the host's.
    fn move_tsc(&mut self, offset: u64) -> bool {
        // Systems write back what they have read, and see to TSC_ADJUST again and again: the MSRs are not
        // fetched and loaded for that.
        if offset == self.events.lapic.tsc_offset() {
            return true;
        }
        self.registers.change_msrs(|msrs| msrs.tsc_offset = offset);
        self.with_lapic(|lapic, bus| lapic.set_tsc_offset(offset, bus));
        true
    }

    /// Does something that may change the local APIC, which has the board within its reach.
    #[inline(always)]
    fn with_lapic<R>(&mut self, change: impl FnOnce(&mut LocalApic, &mut Bus<'_, '_>) -> R) -> R {
        let board = &self.shared.board;
        let mut access = board.access();
        let result = change(&mut self.events.lapic, &mut Bus { board, access: &mut access });
        self.events.lapic_written(&mut self.registers);
        self.finish(&access);
        result
    }

    fn read_register(&mut self, register: VcpuMsr) -> u64 {
        self.registers.need(Groups::MSRS | Groups::SEGMENTS);
        let (msrs, segments) = (self.registers.page.msrs(), self.registers.page.segments());
        match register {
            VcpuMsr::Efer => self.registers.page.efer(),
            VcpuMsr::Pat => msrs.pat,
            VcpuMsr::SysenterCs => msrs.sysenter_cs,
            VcpuMsr::SysenterEsp => msrs.sysenter_esp,
            VcpuMsr::SysenterEip => msrs.sysenter_eip,
            VcpuMsr::Star => msrs.star,
            VcpuMsr::Lstar => msrs.lstar,
            VcpuMsr::Cstar => msrs.cstar,
            VcpuMsr::SyscallMask => msrs.sfmask,
            VcpuMsr::FsBase => segments.fs.base,
            VcpuMsr::GsBase => segments.gs.base,
            VcpuMsr::KernelGsBase => msrs.kernel_gs_base,
            VcpuMsr::TscAux => msrs.tsc_aux.into(),
            VcpuMsr::DebugCtl => 0,
        }
    }

    fn write_register(&mut self, register: VcpuMsr, value: u64) -> bool {
        match register {
            VcpuMsr::Efer => return self.write_efer(value),
            VcpuMsr::Pat => self.registers.change_msrs(|m| m.pat = value),
            VcpuMsr::SysenterCs => self.registers.change_msrs(|m| m.sysenter_cs = value),
            VcpuMsr::SysenterEsp => self.registers.change_msrs(|m| m.sysenter_esp = value),
            VcpuMsr::SysenterEip => self.registers.change_msrs(|m| m.sysenter_eip = value),
            VcpuMsr::Star => self.registers.change_msrs(|m| m.star = value),
            VcpuMsr::Lstar => self.registers.change_msrs(|m| m.lstar = value),
            VcpuMsr::Cstar => self.registers.change_msrs(|m| m.cstar = value),
            VcpuMsr::SyscallMask => self.registers.change_msrs(|m| m.sfmask = value),
            VcpuMsr::KernelGsBase => self.registers.change_msrs(|m| m.kernel_gs_base = value),
            VcpuMsr::FsBase => self.registers.change_segments(|s| s.fs.base = value),
            VcpuMsr::GsBase => self.registers.change_segments(|s| s.gs.base = value),
            // AMD's processors ignore the upper half, which then reads as zero.
            VcpuMsr::TscAux => self.registers.change_msrs(|m| m.tsc_aux = value as u32),
            // CPUID offers no branch records.
            VcpuMsr::DebugCtl => {}
        }
        true
    }

    fn write_efer(&mut self, value: u64) -> bool {
        let paging = self.registers.page.cr0() & PAGING != 0;
        // What is not offered is refused here: a processor would take SVME and the like.
        let Ok(efer) = check_efer(self.registers.page.efer(), value, paging) else { return false };
        self.registers.need_rest_of_system();
        self.registers.page.set_efer(efer);
        // EFER decides how addresses are translated, and what was remembered depends on it.
        self.emulator.forget();
        self.registers.page.mark(Groups::SYSTEM);
        true
    }

    #[cold]
    #[inline(never)]
    fn log_unknown(&mut self, msr: u32, what: &str) {
        self.log_once(Kind::UnknownMsr, msr.into(), format_args!("{what} of unknown MSR {msr:#x}"));
    }
}
