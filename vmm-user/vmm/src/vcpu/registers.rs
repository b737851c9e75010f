//! A vCPU's registers: what of them the run page holds, what the next run loads, and the operations before
//! it.

use runtime::abi::operation::{Handle, Operation, VcpuFetch};
use runtime::abi::registers::{Groups, MsrRegisters, SegmentRegisters, SystemRegisters};
use runtime::abi::run_page::activity;
use runtime::abi::status::Status;
use runtime::{call, syscall};

mod reset;

use super::batch;
use super::page::VcpuPages;
use decoder::Mode;

pub use reset::EntryRegisters;

/// RFLAGS.TF.
const TRAP: u64 = 1 << 8;
/// RFLAGS.RF.
const RESUME: u64 = 1 << 16;
/// What the process ends with when a vCPU's registers cannot be had.
const FETCH_FAILED: u32 = 2;

/// The kernel does not give groups of registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The groups.
    pub groups: Groups,
    /// Its reason.
    pub status: Status,
}

/// What a vCPU asks of the kernel between two runs. It is a value, so that asking changes nothing of what
/// asks.
pub trait Kernel: Copy {
    /// Stores groups of the vCPU's state in its run page.
    fn fetch(self, groups: Groups) -> Result<(), Status>;

    /// Executes operations, up to the first that fails; its status and index.
    fn execute(self, operations: &mut [Operation]) -> Result<(), (Status, usize)>;

    /// Runs the vCPU; what the exit was, or why there was none and the index of the operation that failed.
    fn run(self) -> Result<u32, (Status, usize)>;

    /// An operation of a batch has failed.
    fn failed(self, status: Status, operation: &Operation);

    /// The process cannot go on without these registers.
    fn give_up(self, missing: Missing) -> !;
}

/// The kernel itself, by system calls.
#[derive(Clone, Copy, Debug)]
pub struct SystemCalls {
    /// The vCPU.
    pub handle: Handle,
    /// Its number, for the log.
    pub index: usize,
}

impl Kernel for SystemCalls {
    fn fetch(self, groups: Groups) -> Result<(), Status> {
        call(self.handle, VcpuFetch { groups: groups.bits(), reserved: 0 }).map(|_| ())
    }

    fn execute(self, operations: &mut [Operation]) -> Result<(), (Status, usize)> {
        syscall::batch(operations)
    }

    #[inline(always)]
    fn run(self) -> Result<u32, (Status, usize)> {
        syscall::run(self.handle)
    }

    fn failed(self, status: Status, operation: &Operation) {
        log::error!("vCPU {}: operation {:#x} of a batch: {status}", self.index, operation.code);
    }

    fn give_up(self, Missing { groups, status }: Missing) -> ! {
        log::error!("vCPU {}: {groups:?} cannot be had: {status}", self.index);
        syscall::exit(FETCH_FAILED)
    }
}

/// A vCPU's registers.
pub struct Registers<K = SystemCalls> {
    /// Its pages. Who changes a group in them marks it.
    pub page: VcpuPages,
    /// The kernel, which has what the page does not.
    pub kernel: K,
    /// Operations in the batch page for the next run.
    batched: u32,
    /// The deadline in the run page, in guest time.
    deadline_ns: u64,
}

#[inline(never)]
fn ask(kernel: impl Kernel, groups: Groups) -> Result<(), Missing> {
    kernel.fetch(groups).map_err(|status| Missing { groups, status })
}

impl<K: Kernel> Registers<K> {
    /// Of a vCPU that has just been created.
    pub fn new(page: VcpuPages, kernel: K) -> Self {
        // No deadline is at 0, so the first one, whichever it is, is written to the run page.
        Self { page, kernel, batched: 0, deadline_ns: 0 }
    }

    /// Makes groups of the run page hold the guest's state, which the exit did not store.
    ///
    /// # Errors
    /// Where the kernel does not give them. What the page holds of them is another time's then.
    #[inline]
    pub fn fetch(&mut self, groups: Groups) -> Result<(), Missing> {
        let valid = self.page.valid();
        // A group that is there already may have been changed since: fetching it again would undo that.
        let missing = groups - valid;
        if !missing.is_empty() {
            ask(self.kernel, missing)?;
            // Only now: after a refusal the page still holds another time's values.
            self.page.set_exit_groups((valid | missing).bits());
        }
        Ok(())
    }

    /// The same, where there is no going on without: old values would be taken for the guest's, and loaded.
    /// The process ends, and with it the machine.
    #[inline]
    pub fn need(&mut self, groups: Groups) {
        if let Err(missing) = self.fetch(groups) {
            self.kernel.give_up(missing);
        }
    }

    /// Enters the guest with what the run page holds; returns what `SYS_RUN` says of the exit.
    ///
    /// # Errors
    /// When there was no run: the status, and the index of the operation that failed.
    #[inline(always)]
    pub fn run(&mut self) -> Result<u32, (Status, usize)> {
        self.kernel.run()
    }

    /// How CS makes the processor read code.
    #[inline]
    pub fn mode(&self) -> Mode {
        Mode::new(self.page.efer(), self.page.cs_attributes())
    }

    /// The current privilege level.
    #[inline]
    pub fn cpl(&self) -> u8 {
        self.page.exit_cpl()
    }

    /// The instruction is done, and ends here. Returns whether #DB is due, since it was single-stepped (APM
    /// volume 2, 13.1.4).
    #[inline(always)]
    #[must_use]
    pub fn complete_at(&mut self, next_rip: u64) -> bool {
        let flags = self.page.rflags();
        self.page.change_rip(next_rip);
        // An instruction that completes clears RF (APM volume 2, 3.1.6). TF and RF are rare: one test for
        // both.
        flags & (TRAP | RESUME) != 0 && self.complete_flags(flags)
    }

    #[cold]
    fn complete_flags(&mut self, flags: u64) -> bool {
        self.page.set_rflags(flags & !RESUME);
        flags & TRAP != 0
    }

    /// XMM registers come with the whole FPU state, on request. `None` if they are not to be had.
    pub fn xmm(&mut self, number: u8) -> Option<u128> {
        // Not `need`: without these registers one instruction is refused, and the guest goes on.
        self.fetch(Groups::FPU).ok()?;
        Some(self.page.xmm(number))
    }

    /// Sets an XMM register. `None` as for [`Self::xmm`].
    pub fn set_xmm(&mut self, number: u8, value: u128) -> Option<()> {
        self.fetch(Groups::FPU).ok()?;
        self.page.set_xmm(number, value);
        self.page.mark(Groups::FPU);
        Some(())
    }

    /// Whether an x87 error waits to be reported. `None` as for [`Self::xmm`].
    pub fn has_x87_error(&mut self) -> Option<bool> {
        self.fetch(Groups::FPU).ok()?;
        Some(self.page.has_x87_error())
    }

    /// An MMX register. `None` as for [`Self::xmm`].
    pub fn mmx(&mut self, number: u8) -> Option<u64> {
        self.fetch(Groups::FPU).ok()?;
        Some(self.page.mmx(number))
    }

    /// Sets an MMX register, as an MMX instruction does. `None` as for [`Self::xmm`].
    pub fn set_mmx(&mut self, number: u8, value: u64) -> Option<()> {
        self.fetch(Groups::FPU).ok()?;
        self.page.set_mmx(number, value);
        self.page.mark(Groups::FPU);
        Some(())
    }

    /// Sets the privilege level, which is that of SS: its DPL.
    pub fn set_cpl(&mut self, cpl: u8) {
        const DPL: u16 = 3 << 5;
        self.change_system(|system| {
            system.ss.attributes = system.ss.attributes & !DPL | u16::from(cpl & 3) << 5;
        });
        // Until the next exit the VMM reads the level from the record.
        self.page.set_exit_cpl(cpl & 3);
    }

    /// Changes the system group.
    pub fn change_system(&mut self, change: impl FnOnce(&mut SystemRegisters)) {
        // The group is loaded as a whole: what the exit did not store of it would be of another time.
        self.need_rest_of_system();
        let mut system = self.page.system();
        change(&mut system);
        self.page.set_system(system);
        self.page.mark(Groups::SYSTEM);
    }

    /// Changes the MSRs.
    pub fn change_msrs(&mut self, change: impl FnOnce(&mut MsrRegisters)) {
        self.need(Groups::MSRS);
        let mut msrs = self.page.msrs();
        change(&mut msrs);
        self.page.set_msrs(msrs);
        self.page.mark(Groups::MSRS);
    }

    /// Changes the segment registers.
    pub fn change_segments(&mut self, change: impl FnOnce(&mut SegmentRegisters)) {
        self.need(Groups::SEGMENTS);
        let mut segments = self.page.segments();
        change(&mut segments);
        self.page.set_segments(segments);
        self.page.mark(Groups::SEGMENTS);
    }

    /// Sets CR8. The exit record shows it, too: it is what the VMM compares with.
    pub fn set_task_priority(&mut self, class: u8) {
        self.page.set_exit_cr8(class);
        self.page.set_cr8(u32::from(class));
        self.page.mark(Groups::TPR);
    }

    /// Adds an operation to the batch that the next run begins with. A full batch is submitted at once.
    pub fn push(&mut self, operation: &Operation) {
        if !self.page.set_operation(self.batched, operation) {
            self.submit();
            // There is room for one in an empty batch.
            let _ = self.page.set_operation(0, operation);
        }
        self.batched += 1;
    }

    /// Executes the batch now, without a run.
    #[cold]
    pub fn submit(&mut self) {
        // Forgotten right behind: what fails below is logged, and not executed once more by the next run.
        let mut operations = self.page.operations(self.batched);
        self.batched = 0;
        let kernel = self.kernel;
        batch::submit_all(
            &mut operations,
            |operations| kernel.execute(operations),
            |status, operation| kernel.failed(status, operation),
        );
    }

    /// Has the next run begin with the batch, if there is one.
    #[inline(always)]
    pub fn plan_batch(&mut self) {
        if self.batched != 0 {
            // The kernel resets it before the first of them, so a batch is executed once.
            self.page.set_batch_count(self.batched);
            self.page.mark(Groups::CONTROLS);
            self.batched = 0;
        }
    }

    /// Has the next run end at this time of the guest's, `u64::MAX` for never. `tsc_at` converts it.
    #[inline(always)]
    pub fn plan_deadline(&mut self, deadline_ns: u64, tsc_at: impl FnOnce(u64) -> u64) {
        // Compared before it is converted: hardly an exit changes it.
        if deadline_ns != self.deadline_ns {
            self.deadline_ns = deadline_ns;
            self.page.set_deadline_tsc(if deadline_ns == u64::MAX { u64::MAX } else { tsc_at(deadline_ns) });
            self.page.mark(Groups::CONTROLS);
        }
    }

    /// The deadline has passed: the same one, if it comes again, is set again.
    pub fn forget_deadline(&mut self) {
        self.deadline_ns = 0;
    }

    /// Whether the next run enters the guest, or waits for what wakes it.
    #[inline(always)]
    pub fn plan_activity(&mut self, is_stopped: bool) {
        let activity = if is_stopped { activity::HALTED } else { activity::RUNNING };
        // Compared, here and for the window: a run with CONTROLS marked is not entered straight from the
        // entry code.
        if activity != self.page.activity() {
            self.page.set_activity(activity);
            self.page.mark(Groups::CONTROLS);
        }
    }

    /// Whether the next run ends when the guest can take an interrupt.
    #[inline(always)]
    pub fn plan_window(&mut self, window: u32) {
        if self.page.window() != window {
            self.page.set_window(window);
            self.page.mark(Groups::CONTROLS);
        }
    }
}

#[cfg(test)]
pub mod fake;
#[cfg(test)]
mod tests;
