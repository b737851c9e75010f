//! Control registers, EFER, PAT and TSC_AUX. A host of SEV-SNP sees CR0, CR4 and EFER when they have been
//! written, and can't refuse them (APM 2, 15.35.5: traps, automatic exits); the others it does not see. So
//! what the processor below lets exit is carried out here, as a processor does.

use decoder::{Instruction, Intercept, Operand, Operation};
use devices::control::{Control, GeneralProtection};
use devices::msr::{VcpuMsr, check_efer, pat_is_valid};
use runtime::abi::exit::reason;
use runtime::abi::registers::{Groups, SystemRegisters};

use crate::end::{End, Next};
use crate::exits::{GENERAL_PROTECTION, Simulator};
use crate::{cpuid, instruction};

/// CS.L, among a segment's attributes.
const CODE_IS_LONG: u16 = 1 << 9;
/// CR0.TS.
const TASK_SWITCHED: u64 = 1 << 3;
/// CR0.PG.
const PAGING: u64 = 1 << 31;
/// CR4.PAE.
const PAE: u64 = 1 << 5;

/// Whether page tables are in use whose entries have a C-bit. Else all of memory is private (APM 2, 15.34.5).
pub const fn has_c_bit(cr0: u64, cr4: u64) -> bool {
    cr0 & PAGING != 0 && cr4 & PAE != 0
}

impl Simulator {
    fn control(&self) -> Control {
        let page = &self.vcpu.page;
        let code_is_long = page.system().cs.attributes & CODE_IS_LONG != 0;
        Control { cr0: page.cr0(), cr4: page.cr4(), efer: page.efer(), code_is_long }
    }

    /// The guest is about to write CR0, CR4 or CR8.
    pub(crate) fn register_write(&mut self) -> Next {
        self.vcpu.fetch(Groups::SYSTEM)?;
        let code = instruction::code(&mut self.vcpu, self.machine.memory())?;
        let Some(decoded) = code.decoded() else {
            return Err(End::NotModelled(reason::REGISTER_WRITE, self.vcpu.page.raw_code()));
        };
        if self.vcpu.cpl() != 0 {
            return self.inject(GENERAL_PROTECTION, Some(0));
        }
        if let (Operation::MovControl, Operand::Control(8), Operand::Gpr(source)) =
            (decoded.operation, decoded.destination, decoded.source)
        {
            return self.write_task_priority(self.vcpu.page.gpr(source.into()), decoded.length.into());
        }
        let written = match self.written(&decoded) {
            Some(written) => written,
            None => return Err(End::NotModelled(reason::REGISTER_WRITE, self.vcpu.page.raw_code())),
        };
        match written {
            Ok(after) => {
                self.set_control(&after)?;
                self.vcpu.complete(decoded.length.into());
                Ok(())
            }
            Err(GeneralProtection) => self.inject(GENERAL_PROTECTION, Some(0)),
        }
    }

    /// MOV to CR8, which exits while an interrupt waits for it.
    fn write_task_priority(&mut self, value: u64, length: u64) -> Next {
        let Some(class) = u8::try_from(value).ok().filter(|class| *class < 16) else {
            return self.inject(GENERAL_PROTECTION, Some(0));
        };
        if self.machine.levels().vmpl() == 0 {
            self.local.set_task_priority(class);
        } else {
            self.vcpu.page.set_cr8(class.into());
            self.vcpu.page.mark(Groups::TPR);
            self.task_priority_written(class);
        }
        self.vcpu.complete(length);
        Ok(())
    }

    /// What the instruction makes of the registers; `None` for one that is not modelled.
    fn written(&self, decoded: &Instruction) -> Option<Result<Control, GeneralProtection>> {
        let before = self.control();
        let source = match decoded.source {
            // Outside 64-bit mode the upper half of the register is no part of the operand.
            Operand::Gpr(number) => Some(self.vcpu.page.gpr(usize::from(number)) & decoded.size.mask()),
            _ => None,
        };
        match (decoded.operation, decoded.destination) {
            (Operation::MovControl, Operand::Control(0)) => Some(before.with_cr0(source?)),
            (Operation::MovControl, Operand::Control(4)) => {
                let allowed = cpuid::allowed_cr4(&self.services.cpuid);
                Some(before.with_cr4(source?, allowed))
            }
            (Operation::Lmsw, _) => Some(before.with_status_word(source?)),
            (Operation::Clts, _) => Some(before.with_cr0(before.cr0 & !TASK_SWITCHED)),
            _ => None,
        }
    }

    fn set_control(&mut self, after: &Control) -> Next {
        let before = self.control();
        let system = self.vcpu.page.system();
        let Control { cr0, cr4, efer, .. } = *after;
        self.vcpu.page.set_system(SystemRegisters { cr0, cr4, efer, ..system });
        self.vcpu.page.mark(Groups::SYSTEM);
        if has_c_bit(before.cr0, before.cr4) != has_c_bit(cr0, cr4) {
            // Addresses without a C-bit mean private pages from now on, or do so no longer.
            self.machine.forget_without_c_bit()?;
        }
        Ok(())
    }

    /// RDMSR or WRMSR of a register of the processor's own, which is no host's to see.
    pub(crate) fn own_msr(&mut self, register: VcpuMsr, write: Option<u64>) -> Next {
        self.vcpu.fetch(Groups::SYSTEM | Groups::MSRS)?;
        let code = instruction::code(&mut self.vcpu, self.machine.memory())?;
        let intercept = if write.is_some() { Intercept::Wrmsr } else { Intercept::Rdmsr };
        let Some(length) = code.length(intercept) else { return Ok(()) };
        let done = match write {
            Some(value) => self.write_own_msr(register, value),
            None => self.read_own_msr(register).map(|value| self.vcpu.set_edx_eax(value)),
        };
        if done.is_none() {
            return self.inject(GENERAL_PROTECTION, Some(0));
        }
        self.vcpu.complete(length);
        Ok(())
    }

    /// `None` for #GP. Those that are not here never exit.
    fn read_own_msr(&self, register: VcpuMsr) -> Option<u64> {
        let (system, msrs) = (self.vcpu.page.system(), self.vcpu.page.msrs());
        match register {
            VcpuMsr::Efer => Some(system.efer),
            VcpuMsr::Pat => Some(msrs.pat),
            VcpuMsr::TscAux => Some(msrs.tsc_aux.into()),
            // No branch records.
            VcpuMsr::DebugCtl => Some(0),
            _ => None,
        }
    }

    fn write_own_msr(&mut self, register: VcpuMsr, value: u64) -> Option<()> {
        let (system, mut msrs) = (self.vcpu.page.system(), self.vcpu.page.msrs());
        match register {
            VcpuMsr::Efer => {
                let efer = check_efer(system.efer, value, system.cr0 & PAGING != 0).ok()?;
                self.vcpu.page.set_system(SystemRegisters { efer, ..system });
                self.vcpu.page.mark(Groups::SYSTEM);
                return Some(());
            }
            VcpuMsr::Pat if pat_is_valid(value) => msrs.pat = value,
            // AMD's processors ignore the upper half.
            VcpuMsr::TscAux => msrs.tsc_aux = value as u32,
            VcpuMsr::DebugCtl => return Some(()),
            _ => return None,
        }
        self.vcpu.page.set_msrs(msrs);
        self.vcpu.page.mark(Groups::MSRS);
        Some(())
    }

    /// XSETBV, which hosts of SEV-SNP let pass (Linux takes no #VC of it).
    pub(crate) fn extended_control(&mut self) -> Next {
        let code = instruction::code(&mut self.vcpu, self.machine.memory())?;
        let Some(length) = code.length(Intercept::Xsetbv) else { return Ok(()) };
        let page = &self.vcpu.page;
        let low = |register| page.gpr(register) & 0xffff_ffff;
        let (number, value) = (low(1), low(2) << 32 | low(0));
        let allowed = cpuid::allowed_xcr0(&self.services.cpuid);
        let is_refused = number != 0 || value & 1 == 0 || value & !allowed != 0 || self.vcpu.cpl() != 0;
        if is_refused {
            return self.inject(GENERAL_PROTECTION, Some(0));
        }
        self.vcpu.page.set_xcr0(value);
        self.vcpu.page.mark(Groups::XCR0);
        self.vcpu.complete(length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tables_with_pae_have_a_c_bit() {
        for (cr0, cr4, expected) in
            [(0, 0, false), (0, PAE, false), (PAGING, 0, false), (PAGING | 1, PAE, true), (1, PAE, false)]
        {
            assert_eq!(has_c_bit(cr0, cr4), expected, "{cr0:#x} {cr4:#x}");
        }
    }
}
