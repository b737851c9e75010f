//! A vCPU of the kernel's that has the registers of a VMSA.
#![allow(unsafe_code, reason = "the run page is at an address where the kernel maps it")]

#[cfg(test)]
mod fake;
pub(crate) mod state;

use plinth_snp_abi::vmsa::Vmsa;
use runtime::abi::exit::INTERCEPTABLE;
use runtime::abi::operation::{Handle, VcpuCreate, VcpuFetch, VcpuIntercept};
use runtime::abi::registers::{Groups, MsrRegisters, gpr};
use runtime::abi::run_page::PAGE_BYTES;
use runtime::abi::status::Status;
use runtime::{call, heap, syscall};
use vmm::vcpu::VcpuPages;

/// The vector of #UD, by which instructions come that the processor below does not have.
pub const UNDEFINED: u32 = 6;
/// RFLAGS.RF, which an instruction that was completed clears.
const RESUME: u64 = 1 << 16;

const _: () = assert!(INTERCEPTABLE & 1 << UNDEFINED != 0);

/// The vCPU.
pub struct Vcpu {
    handle: Handle,
    /// What it has in registers, and why it stopped.
    pub page: VcpuPages,
}

impl Vcpu {
    /// A vCPU on this processor, whose #UD exits.
    ///
    /// # Errors
    /// The kernel's.
    pub fn try_new(vm: Handle, cpu: u32) -> Result<Self, Status> {
        let address = heap::reserve(2 * PAGE_BYTES as u64).ok_or(Status::Exhausted)?;
        let handle = call(vm, VcpuCreate { address, cpu, handle: 0 })?.handle;
        // SAFETY: the kernel has just mapped both pages there, for good, and nobody else knows of them.
        let page = unsafe { VcpuPages::new(address) }.ok_or(Status::BadArgument)?;
        call(handle, VcpuIntercept { exceptions: 1 << UNDEFINED, reserved: 0 })?;
        Ok(Self { handle, page })
    }

    /// Loads the registers of a VMSA (APM 2, 15.36.8): those that are not in the vCPU already.
    pub fn load(&mut self, vmsa: &Vmsa) {
        let known = self.page.valid();
        let page = &mut self.page;
        let gprs = core::array::from_fn(|number| vmsa.gpr(number as u8).unwrap_or_default());
        // Loading them ends an interrupt shadow, which a VMSA that nobody has changed may have.
        if !known.contains(Groups::GENERAL)
            || (page.gprs(), page.rip(), page.rflags()) != (gprs, vmsa.rip, vmsa.rflags)
        {
            page.set_gprs(gprs);
            page.set_rip(vmsa.rip);
            page.set_rflags(vmsa.rflags);
            page.mark(Groups::GENERAL);
        }
        let system = state::system(vmsa);
        if !known.contains(Groups::SYSTEM) || page.system() != system {
            page.set_system(system);
            page.mark(Groups::SYSTEM);
        }
        let segments = state::segments(vmsa);
        if !known.contains(Groups::SEGMENTS) || page.segments() != segments {
            page.set_segments(segments);
            page.mark(Groups::SEGMENTS);
        }
        let msrs = state::msrs(vmsa);
        if !known.contains(Groups::MSRS) || page.msrs() != msrs {
            page.set_msrs(msrs);
            page.mark(Groups::MSRS);
        }
        if !known.contains(Groups::XCR0) || page.xcr0() != vmsa.xcr0 {
            // A VMSA that was never run may have 0 there, which is no value.
            page.set_xcr0(vmsa.xcr0.max(1));
            page.mark(Groups::XCR0);
        }
        let task_priority = state::task_priority(vmsa);
        if page.exit_cr8() != task_priority {
            page.set_exit_cr8(task_priority);
            page.set_cr8(task_priority.into());
            page.mark(Groups::TPR);
        }
        page.set_deadline_tsc(u64::MAX);
        page.mark(Groups::CONTROLS);
    }

    /// Stores the registers in a VMSA, as an exit does. Those of the FPU stay in the vCPU.
    ///
    /// # Errors
    /// The kernel's.
    pub fn store(&mut self, vmsa: &mut Vmsa) -> Result<(), Status> {
        self.fetch(Groups::SYSTEM | Groups::SEGMENTS | Groups::MSRS | Groups::XCR0)?;
        state::store(&self.page, vmsa);
        Ok(())
    }

    /// What signals reach it by.
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// Of the next run: the window to be told of, whether the vCPU waits, and until which time of the TSC.
    pub fn plan(&mut self, window: u32, activity: u32, deadline_tsc: u64) {
        let page = &mut self.page;
        let planned = (page.window(), page.activity(), page.deadline_tsc());
        if planned != (window, activity, deadline_tsc) {
            page.set_window(window);
            page.set_activity(activity);
            page.set_deadline_tsc(deadline_tsc);
            page.mark(Groups::CONTROLS);
        }
    }

    /// Sets what the guest's TSC is ahead of the host's.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_tsc_offset(&mut self, offset: u64) -> Result<(), Status> {
        self.fetch(Groups::MSRS)?;
        let msrs = MsrRegisters { tsc_offset: offset, ..self.page.msrs() };
        self.page.set_msrs(msrs);
        self.page.mark(Groups::MSRS);
        Ok(())
    }

    /// Enters the guest; returns its next exit's reason.
    ///
    /// # Errors
    /// The kernel's: the vCPU did not run.
    pub fn run(&mut self) -> Result<u32, Status> {
        syscall::run(self.handle).map_err(|(status, _)| status)?;
        Ok(self.page.reason())
    }

    /// Has the run page hold all of these groups, as they are in the guest.
    ///
    /// # Errors
    /// The kernel's.
    pub fn fetch(&mut self, groups: Groups) -> Result<(), Status> {
        let missing = groups - self.page.valid();
        if !missing.is_empty() {
            call(self.handle, VcpuFetch { groups: missing.bits(), reserved: 0 })?;
            self.page.set_exit_groups((self.page.valid() | missing).bits());
        }
        Ok(())
    }

    /// The privilege level; SYSTEM is there.
    pub fn cpl(&self) -> u8 {
        (self.page.system().ss.attributes >> 5 & 3) as u8
    }

    /// What RDMSR returns.
    pub fn set_edx_eax(&mut self, value: u64) {
        self.page.change_gpr(gpr::RAX, value & 0xffff_ffff);
        self.page.change_gpr(gpr::RDX, value >> 32);
    }

    /// The instruction at RIP has been carried out.
    pub fn complete(&mut self, length: u64) {
        let (rip, rflags) = (self.page.rip(), self.page.rflags());
        self.page.set_rflags(rflags & !RESUME);
        self.page.change_rip(rip.wrapping_add(length));
    }
}
