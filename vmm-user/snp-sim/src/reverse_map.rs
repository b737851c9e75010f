//! The instructions of SEV-SNP that change or read the reverse map, as a guest executes them.

use decoder::walk::{Access, Kind, WalkError, translate};
use runtime::abi::registers::{Groups, SystemRegisters, gpr};

use crate::end::Next;
use crate::exits::{GENERAL_PROTECTION, Simulator};
use crate::instruction::{self, Instruction};
use crate::machine::{Executed, Registers};

/// The vector of #PF.
const PAGE_FAULT: u8 = 14;
/// RFLAGS.CF.
const CARRY: u64 = 1 << 0;

impl Simulator {
    /// PVALIDATE, RMPADJUST and RMPQUERY (APM 3), whose operand is the page at the linear address in RAX.
    pub(crate) fn reverse_map(&mut self, instruction: Instruction) -> Next {
        let paging = instruction::paging(&mut self.vcpu)?;
        let cpl = self.vcpu.cpl();
        let [linear, rcx, rdx] = [gpr::RAX, gpr::RCX, gpr::RDX].map(|register| self.vcpu.page.gpr(register));
        let access = Access::explicit(Kind::Read, cpl, self.vcpu.page.rflags());
        let gpa = match translate(self.machine.memory(), &paging, linear, access) {
            Ok(translation) => translation.gpa,
            Err(WalkError::Fault { error_code, address }) => return self.page_fault(error_code, address),
            Err(WalkError::NonCanonical) => return self.inject(GENERAL_PROTECTION, Some(0)),
            Err(WalkError::Contended) => return Ok(()),
        };
        let executed = self.machine.execute(instruction.kind, [linear, gpa], cpl, [rcx, rdx]);
        self.check_machine()?;
        match executed {
            Executed::Done(registers) => {
                self.finish(registers);
                self.vcpu.complete(instruction.length);
                Ok(())
            }
            Executed::GeneralProtection => self.inject(GENERAL_PROTECTION, Some(0)),
            Executed::Access(touched) => self.touched(touched, gpa),
        }
    }

    fn finish(&mut self, registers: Registers) {
        let page = &mut self.vcpu.page;
        page.change_gpr(gpr::RAX, registers.code.code());
        if let Some(carry) = registers.carry {
            let rflags = page.rflags() & !CARRY;
            page.set_rflags(rflags | u64::from(carry));
        }
        if let Some([rcx, rdx]) = registers.query {
            page.change_gpr(gpr::RCX, rcx);
            page.change_gpr(gpr::RDX, rdx);
        }
    }

    fn page_fault(&mut self, error_code: u32, address: u64) -> Next {
        self.vcpu.fetch(Groups::SYSTEM)?;
        let system = self.vcpu.page.system();
        self.vcpu.page.set_system(SystemRegisters { cr2: address, ..system });
        self.vcpu.page.mark(Groups::SYSTEM);
        self.inject(PAGE_FAULT, Some(error_code))
    }
}
