//! An exception's way into the guest, by software: the model's, over this guest's memory and registers.
//!
//! What is read and written on the way is checked as the processor's own accesses would be, with the rights
//! of the system. Not checked are the entries of the guest's page tables that lead there.

use alloc::vec::Vec;

use decoder::walk::{Access, Kind, Paging, WalkError, translate};
use plinth_snp_abi::PAGE_BYTES;
use plinth_snp_model::deliver::{AccessFault, Event, LinearMemory, Outcome, Registers, deliver};
use runtime::abi::exit::Access as ExitAccess;
use runtime::abi::registers::{Groups, gpr};
use runtime::abi::status::Status;

use crate::machine::{Machine, Touched};
use crate::vcpu::Vcpu;
use crate::vcpu::state::{from_vmsa as from_model, to_vmsa as to_model};
use crate::{control, instruction};

/// The guest's memory by linear address.
struct Linear<'a> {
    machine: &'a mut Machine,
    paging: Paging,
    /// What the kernel refused on the way.
    failure: Option<Status>,
}

impl Linear<'_> {
    /// The guest physical address of a linear one that is accessed.
    fn place(&mut self, linear: u64, kind: Kind) -> Result<u64, AccessFault> {
        let walked = translate(self.machine.memory(), &self.paging, linear, Access::implicit(kind));
        let gpa = walked.map_err(fault)?.gpa;
        let access = if kind == Kind::Write { ExitAccess::WRITE } else { ExitAccess::empty() };
        let has_c_bit = control::has_c_bit(self.paging.cr0, self.paging.cr4);
        match self.machine.touch(gpa, access, false, has_c_bit) {
            Ok(Touched::Again) => Ok(gpa),
            Ok(Touched::NotValidated) => Err(AccessFault::NotValidated { address: linear }),
            Ok(Touched::Refused(_) | Touched::Device) => Err(AccessFault::NestedPageFault),
            Err(status) => {
                self.failure = Some(status);
                Err(AccessFault::NestedPageFault)
            }
        }
    }

    /// The pieces of a range, none of which crosses a page, with their guest physical addresses.
    fn pieces(&mut self, linear: u64, bytes: usize, kind: Kind) -> Result<Vec<(u64, usize)>, AccessFault> {
        let (mut pieces, mut done) = (Vec::new(), 0);
        while done < bytes {
            let at = linear.wrapping_add(done as u64);
            let piece = (PAGE_BYTES - at as usize % PAGE_BYTES).min(bytes - done);
            pieces.push((self.place(at, kind)?, piece));
            done += piece;
        }
        Ok(pieces)
    }
}

fn fault(error: WalkError) -> AccessFault {
    match error {
        WalkError::Fault { error_code, address } => AccessFault::PageFault { address, error_code },
        // The guest is entered again, and comes back. A base that is not canonical can't be loaded.
        WalkError::NonCanonical | WalkError::Contended => AccessFault::NestedPageFault,
    }
}

impl LinearMemory for Linear<'_> {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), AccessFault> {
        let mut rest = bytes;
        for (gpa, piece) in self.pieces(address, rest.len(), Kind::Read)? {
            let (these, others) = rest.split_at_mut(piece);
            self.machine.memory().copy_out(gpa, these).ok_or(AccessFault::NestedPageFault)?;
            rest = others;
        }
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), AccessFault> {
        let mut rest = bytes;
        // All places before the first is written.
        for (gpa, piece) in self.pieces(address, rest.len(), Kind::Write)? {
            let (these, others) = rest.split_at(piece);
            self.machine.memory().copy_in(gpa, these).ok_or(AccessFault::NestedPageFault)?;
            rest = others;
        }
        Ok(())
    }
}

/// Delivers an event to the vCPU, as it is.
///
/// # Errors
/// The kernel's.
pub fn enter_handler(vcpu: &mut Vcpu, machine: &mut Machine, event: Event) -> Result<Outcome, Status> {
    vcpu.fetch(Groups::SYSTEM | Groups::SEGMENTS)?;
    let paging = instruction::paging(vcpu)?;
    let (system, segments) = (vcpu.page.system(), vcpu.page.segments());
    let mut registers = Registers {
        rip: vcpu.page.rip(),
        rsp: vcpu.page.gpr(gpr::RSP),
        rflags: vcpu.page.rflags(),
        cr0: system.cr0,
        cr2: system.cr2,
        efer: system.efer,
        cpl: vcpu.cpl(),
        cs: to_model(system.cs),
        ss: to_model(system.ss),
        gdtr: to_model(segments.gdtr),
        ldtr: to_model(segments.ldtr),
        idtr: to_model(segments.idtr),
        tr: to_model(segments.tr),
    };
    let mut memory = Linear { machine, paging, failure: None };
    let outcome = deliver(&mut registers, &mut memory, event);
    if let Some(status) = memory.failure {
        return Err(status);
    }
    let (mut after, mut ss) = (system, from_model(registers.ss));
    // The CPL is SS's DPL in the run page.
    ss.attributes = ss.attributes & !0x60 | u16::from(registers.cpl) << 5;
    (after.cr2, after.cs, after.ss) = (registers.cr2, from_model(registers.cs), ss);
    vcpu.page.set_system(after);
    vcpu.page.set_rflags(registers.rflags);
    vcpu.page.change_gpr(gpr::RSP, registers.rsp);
    vcpu.page.change_rip(registers.rip);
    vcpu.page.mark(Groups::SYSTEM);
    Ok(outcome)
}
