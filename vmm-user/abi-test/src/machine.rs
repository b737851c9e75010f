//! A VM with one vCPU and a page of code, as most tests want it.
#![allow(unsafe_code, reason = "guest memory and run pages at addresses of our choice")]

use runtime::abi::operation::{Handle, SystemCreateVm, VcpuCreate, VmAllocate};
use runtime::abi::registers::{Groups, Segment};
use runtime::abi::run_page::RunPage;
use runtime::abi::status::Status;
use runtime::{call, heap, syscall};

/// A real-mode guest's segment.
const fn segment(base: u64, attributes: u16) -> Segment {
    Segment { selector: (base >> 4) as u16, attributes, limit: 0xffff, base }
}

/// A vCPU with a page of code: real mode, code and run page at addresses of ours.
pub struct Machine {
    /// The VM.
    pub vm: Handle,
    /// The vCPU.
    pub vcpu: Handle,
    /// Its run page; the batch page follows.
    pub page: *mut RunPage,
    /// Its page of code, which the guest may write as well.
    pub text: u64,
}

impl Machine {
    /// Makes one; `code` is put at the start of a page of the VM's own. There are few VMs, and each lives as
    /// long as the process, which has that page mapped.
    pub fn new(system: Handle, cpu: u32, code: &[u8]) -> Result<Self, Status> {
        let vm = call(system, SystemCreateVm::default())?.handle;
        let text = heap::reserve(4096).ok_or(Status::Exhausted)?;
        call(vm, VmAllocate { gpa: 0xd_0000, bytes: 4096, address: text, writable: 1 })?;
        Self::in_vm(vm, text, cpu, code)
    }

    /// Makes another vCPU in the same VM. Its code replaces this one's.
    pub fn with(&self, cpu: u32, code: &[u8]) -> Result<Self, Status> {
        Self::in_vm(self.vm, self.text, cpu, code)
    }

    fn in_vm(vm: Handle, text: u64, cpu: u32, code: &[u8]) -> Result<Self, Status> {
        let address = heap::reserve(8192).ok_or(Status::Exhausted)?;
        let vcpu = call(vm, VcpuCreate { address, cpu, handle: 0 })?.handle;
        let page = address as *mut RunPage;
        // SAFETY: the kernel has mapped these pages for us, and no vCPU of the VM runs.
        unsafe {
            core::ptr::write_bytes(text as *mut u8, 0, 4096);
            core::ptr::copy_nonoverlapping(code.as_ptr(), text as *mut u8, code.len().min(4096));
            (*page).system.cs = segment(0xd_0000, 0x9b);
            (*page).system.ss = segment(0, 0x93);
            (*page).system.cr0 = 0x10;
            (*page).system.dr6 = 0xffff_0ff0;
            (*page).system.dr7 = 0x400;
            (*page).general.rflags = 2;
            (*page).general.rip = 0;
            (*page).dirty = (Groups::GENERAL | Groups::SYSTEM).bits();
            (*page).deadline_tsc = u64::MAX;
        }
        Ok(Self { vm, vcpu, page, text })
    }

    /// A byte of its page of code.
    pub fn byte(&self, at: u64) -> u8 {
        // SAFETY: `at` is within the page, which is mapped for us; the guest may write there.
        unsafe { ((self.text + at % 4096) as *const u8).read_volatile() }
    }

    /// Sets a byte of its page of code.
    pub fn put(&self, at: u64, value: u8) {
        // SAFETY: as in `byte`.
        unsafe { ((self.text + at % 4096) as *mut u8).write_volatile(value) };
    }

    /// Completes the instruction of the last exit and runs on, with nothing marked but the registers; returns
    /// the exit's reason.
    pub fn step(&self) -> Result<u32, Status> {
        // SAFETY: the run page is mapped, and ours while the vCPU does not run.
        unsafe {
            (*self.page).general.rip = (*self.page).exit.next_rip;
            (*self.page).dirty |= Groups::GENERAL.bits();
        }
        self.again()
    }

    /// Runs it again as it is; returns the exit's reason.
    pub fn again(&self) -> Result<u32, Status> {
        syscall::run(self.vcpu).map_err(|(status, _)| status)?;
        // SAFETY: as above.
        Ok(unsafe { (&raw const (*self.page).exit.reason).read_volatile() })
    }

    /// Runs it until a deadline at most; returns the exit's reason.
    pub fn run(&self, deadline_tsc: u64) -> Result<u32, Status> {
        // SAFETY: the run page is mapped, and ours while the vCPU does not run.
        unsafe {
            (*self.page).deadline_tsc = deadline_tsc;
            (*self.page).dirty |= Groups::CONTROLS.bits();
        }
        self.again()
    }
}
