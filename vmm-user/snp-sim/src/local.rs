//! What of the PC is a vCPU's own: its local APIC and its MSRs; and which interrupt it takes next.
//!
//! A guest without restricted or alternate injection takes what the host injects, as any guest does: the host
//! has to know by the exit whether it can. NMIs are not injected.

use devices::apic::spec::MSR_APIC_BASE;
use devices::apic::{LocalApic, LocalApicConfig};
use devices::capability::Width;
use devices::msr::{MsrFile, MsrRead, MsrWrite, VcpuMsr};
use runtime::abi::exit::ExitFlags;
use runtime::abi::registers::{EventInjection, Groups, event_kind};
use runtime::abi::run_page::{activity, window};
use runtime::abi::status::Status;
use runtime::syscall;
use vmm::board::Board;
use vmm::vcpu::Bus;

use crate::memory::C_BIT_POSITION;
use crate::pc::Pc;
use crate::vcpu::Vcpu;

/// RFLAGS.IF.
pub const INTERRUPT_FLAG: u64 = 1 << 9;

/// A vCPU's part of the PC.
pub struct Local {
    index: usize,
    lapic: LocalApic,
    msrs: MsrFile,
    /// It waits for an interrupt.
    is_halted: bool,
    /// The kernel has an event from before that it delivers at the next entry.
    kernel_has_one: bool,
    /// What the vCPU's TSC is ahead of the host's, as it was loaded.
    tsc_offset: u64,
}

impl Local {
    /// That of a vCPU; `None` if the PC has no such.
    pub fn new(pc: &Pc, index: usize) -> Option<Self> {
        let config = LocalApicConfig {
            physical_address_bits: C_BIT_POSITION as u8,
            tsc_deadline_hz: Some(pc.board.clock.tsc_hz()),
        };
        let lapic = LocalApic::new(pc.apics.clone(), index, config)?;
        let msrs = MsrFile::new();
        Some(Self { index, lapic, msrs, is_halted: false, kernel_has_one: false, tsc_offset: 0 })
    }

    /// The vCPU's number, which is its APIC ID.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The vCPU is started anew: it does not wait, and nothing is on its way to it.
    pub fn start(&mut self, vcpu: &mut Vcpu) {
        self.kernel_has_one = false;
        self.inject(vcpu, EventInjection::default());
    }

    /// Whether the vCPU does not wait, or need not wait any longer at this time of the TSC.
    pub fn can_run(&mut self, board: &Board, now: u64) -> bool {
        self.lapic.sync();
        let has_interrupt = self.lapic.deliverable_interrupt().is_some() || self.lapic.extint_pending();
        !self.is_halted || has_interrupt || self.deadline_tsc(board) <= now
    }

    /// When a timer of its own, or of the board's, is due.
    fn deadline_tsc(&self, board: &Board) -> u64 {
        match self.lapic.deadline_ns().unwrap_or(u64::MAX).min(board.deadline_ns()) {
            u64::MAX => u64::MAX,
            deadline => board.clock.tsc_at(deadline),
        }
    }

    /// Does something to the local APIC, which has the board within its reach.
    fn with_lapic<R>(
        &mut self,
        board: &Board,
        change: impl FnOnce(&mut LocalApic, &mut Bus<'_, '_>) -> R,
    ) -> R {
        // Whom an access kicks is this vCPU, which looks before each entry.
        change(&mut self.lapic, &mut Bus { board, access: &mut board.access() })
    }

    /// The register of the processor's own that an MSR is, if it is one: of such a host sees nothing.
    pub fn own_register(&self, number: u32) -> Option<VcpuMsr> {
        match self.msrs.read(number) {
            MsrRead::Vcpu(register) => Some(register),
            _ => None,
        }
    }

    /// RDMSR; `None` raises #GP.
    pub fn read_msr(&mut self, board: &Board, number: u32) -> Option<u64> {
        match self.msrs.read(number) {
            MsrRead::Value(value) => Some(value),
            MsrRead::Lapic if number == MSR_APIC_BASE => Some(self.lapic.base()),
            MsrRead::Lapic => self.with_lapic(board, |lapic, bus| lapic.read_msr(number, bus)).ok(),
            MsrRead::Tsc => Some(self.tsc()),
            MsrRead::TscAdjust => Some(self.lapic.tsc_offset()),
            MsrRead::TscDeadline => self.with_lapic(board, |lapic, bus| lapic.read_tsc_deadline(bus)).ok(),
            // A guest that asks the host for it does not know its processor.
            MsrRead::Vcpu(_) => None,
            MsrRead::Unknown => Some(0),
        }
    }

    /// WRMSR; `false` raises #GP.
    pub fn write_msr(&mut self, board: &Board, number: u32, value: u64) -> bool {
        match self.msrs.write(number, value) {
            MsrWrite::Done | MsrWrite::Unknown => true,
            MsrWrite::Fault | MsrWrite::Vcpu(_) => false,
            MsrWrite::Lapic if number == MSR_APIC_BASE => self.lapic.set_base(value).is_ok(),
            MsrWrite::Lapic => {
                self.with_lapic(board, |lapic, bus| lapic.write_msr(number, value, bus)).is_ok()
            }
            MsrWrite::Tsc => self.move_tsc(board, value.wrapping_sub(syscall::tsc())),
            MsrWrite::TscAdjust => self.move_tsc(board, value),
            MsrWrite::TscDeadline => {
                self.with_lapic(board, |lapic, bus| lapic.write_tsc_deadline(value, bus)).is_ok()
            }
        }
    }

    fn move_tsc(&mut self, board: &Board, offset: u64) -> bool {
        self.with_lapic(board, |lapic, bus| lapic.set_tsc_offset(offset, bus));
        true
    }

    /// The guest's time-stamp counter.
    pub fn tsc(&self) -> u64 {
        syscall::tsc().wrapping_add(self.lapic.tsc_offset())
    }

    /// A load from a device: this vCPU's local APIC, or one of the board's.
    pub fn read_device(&mut self, board: &Board, gpa: u64, width: Width) -> u64 {
        match self.lapic.mmio_offset(gpa) {
            Some(offset) => self.with_lapic(board, |lapic, bus| lapic.mmio_read(offset, width, bus)),
            None => board.mmio_read(gpa, width, &mut board.access()),
        }
    }

    /// A store to a device.
    pub fn write_device(&mut self, board: &Board, gpa: u64, width: Width, value: u64) {
        match self.lapic.mmio_offset(gpa) {
            Some(offset) => self.with_lapic(board, |lapic, bus| lapic.mmio_write(offset, width, value, bus)),
            None => board.mmio_write(gpa, width, value, &mut board.access()),
        }
    }

    /// The guest writes CR8, which is below 16.
    pub fn set_task_priority(&mut self, class: u8) {
        self.lapic.set_cr8(class);
    }

    /// The guest executes HLT.
    pub fn halt(&mut self) {
        self.is_halted = true;
    }

    /// A deadline has passed.
    pub fn expire(&mut self, board: &Board) {
        self.with_lapic(board, |lapic, bus| lapic.expire(bus));
        board.expire(&mut board.access());
    }

    /// Takes over what an exit says of events and of the task priority. `is_delivery`: it is the delivery of
    /// an event that exits, which is the caller's affair.
    pub fn exited(&mut self, vcpu: &mut Vcpu, is_delivery: bool) {
        let flags = ExitFlags::from_bits_retain(vcpu.page.flags());
        self.lapic.set_cr8(vcpu.page.exit_cr8());
        let is_event = flags.contains(ExitFlags::EVENT);
        self.kernel_has_one = flags.contains(ExitFlags::INJECTION_PENDING) && !is_event;
        if is_event && !is_delivery {
            // It was lost in the exit.
            let event = vcpu.page.interrupted_event();
            self.inject(vcpu, event);
        }
    }

    fn inject(&mut self, vcpu: &mut Vcpu, event: EventInjection) {
        self.is_halted = false;
        vcpu.page.set_injection(event);
        vcpu.page.mark(Groups::INJECTION);
    }

    /// Fills the run page for the next entry: an interrupt, or a window for one; whether the vCPU waits; and
    /// until when, `report_tsc` at the latest.
    ///
    /// # Errors
    /// The kernel's, where registers can't be had.
    pub fn plan(&mut self, vcpu: &mut Vcpu, board: &Board, report_tsc: u64) -> Result<(), Status> {
        self.lapic.sync();
        self.lapic.attend();
        let window = self.plan_interrupt(vcpu, board);
        let class = self.lapic.tpr() >> 4;
        if class != vcpu.page.exit_cr8() {
            vcpu.page.set_exit_cr8(class);
            vcpu.page.set_cr8(class.into());
            vcpu.page.mark(Groups::TPR);
        }
        if self.lapic.tsc_offset() != self.tsc_offset {
            self.tsc_offset = self.lapic.tsc_offset();
            vcpu.set_tsc_offset(self.tsc_offset)?;
        }
        let deadline = self.deadline_tsc(board);
        let activity = if self.is_halted { activity::HALTED } else { activity::RUNNING };
        vcpu.plan(window, activity, deadline.min(report_tsc));
        Ok(())
    }

    /// Whether an interrupt could be delivered now, its priority aside.
    fn is_interruptible(&self, vcpu: &Vcpu) -> bool {
        let page = &vcpu.page;
        let dirty = Groups::from_bits_retain(page.dirty());
        // What was carried out meanwhile was the instruction in the shadow, which ends with it.
        let is_in_shadow = page.flags() & ExitFlags::INTERRUPT_SHADOW.bits() != 0;
        let is_in_shadow = is_in_shadow && !dirty.contains(Groups::GENERAL);
        let is_injecting = self.kernel_has_one || dirty.contains(Groups::INJECTION);
        !is_injecting && !is_in_shadow && page.rflags() & INTERRUPT_FLAG != 0
    }

    /// Injects what waits, if the guest can take it; returns the window to ask for.
    fn plan_interrupt(&mut self, vcpu: &mut Vcpu, board: &Board) -> u32 {
        let (pending, is_external) = (self.lapic.deliverable_interrupt(), self.lapic.extint_pending());
        if pending.is_none() && !is_external {
            return self.window_for_masked();
        }
        if !self.is_interruptible(vcpu) {
            return window::OPEN;
        }
        let vector = if is_external {
            // The request goes out of the PIC with this: the vector must be delivered now.
            let vector = board.acknowledge_pic(&mut board.access());
            self.lapic.acknowledge_extint();
            Some(vector)
        } else {
            pending.inspect(|vector| self.lapic.acknowledge(*vector))
        };
        if let Some(vector) = vector {
            let event = EventInjection { kind: event_kind::INTERRUPT, vector, ..EventInjection::default() };
            self.inject(vcpu, event);
        }
        match self.lapic.deliverable_interrupt() {
            Some(_) => window::OPEN,
            None => self.window_for_masked(),
        }
    }

    /// The window for an interrupt that only CR8 holds back.
    fn window_for_masked(&self) -> u32 {
        if self.lapic.interrupt_above_service().is_some() { window::PRIORITY } else { window::NONE }
    }
}

#[cfg(test)]
mod tests;
