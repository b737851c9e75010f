//! A vCPU: its thread's loop, and what of the machine is its own.

mod batch;
mod control;
mod cpuid;
mod delivery;
mod emulator;
mod entry;
mod events;
mod exits;
mod instruction;
mod memory;
mod msr;
mod notices;
mod page;
mod port;
mod registers;
mod status_word;
mod surroundings;
mod watch;

use alloc::sync::Arc;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicU64, Ordering};

use decoder::Exception;
use devices::apic::{ApicBus, Kick, VcpuSet};
use devices::cpuid::CpuidTable;
use devices::msr::MsrFile;
use emulator::Emulator;
use events::{Attention, Events};
use notices::{Kind, Notices};
use runtime::abi::exit::NOTABLE;
use runtime::abi::operation::{Call, Handle, VcpuCreate, VcpuKick, end_reason};
use runtime::abi::run_page::{PAGE_BYTES, work};
use runtime::abi::status::Status;
use runtime::{call, heap, syscall};
use spin::Mutex;

pub use page::VcpuPages;
pub use registers::EntryRegisters;
use registers::{Registers, SystemCalls};
use watch::Unwatched;
pub use watch::{SeenExit, Watch};

use crate::board::{Board, BoardAccess};
use crate::guest_memory::GuestRam;
use crate::statistics::Statistics;

/// Bits of a guest physical address, as CPUID says them.
pub const PHYSICAL_BITS: u8 = 40;

/// What all vCPUs know.
pub struct Shared {
    /// The devices.
    pub board: Board,
    /// The guest's memory.
    pub ram: GuestRam,
    /// The vCPUs' handles, by index.
    pub vcpus: alloc::vec::Vec<Handle>,
    /// The machine.
    pub system: Handle,
    /// A guest that resets the machine goes on in it; else that is the machine's end.
    pub resets_in_place: bool,
    /// How often something was not logged because it had been, or because enough had been.
    pub not_logged: AtomicU64,
    /// Counts, by vCPU; none unless the image is for debugging.
    pub statistics: alloc::vec::Vec<Arc<Mutex<Statistics>>>,
}

/// What HLT does. A program that measures exits may have it end at once; see [`Waits`] for what a guest
/// expects.
pub trait HaltPolicy {
    /// Whether the vCPU waits for an event.
    fn waits(&self) -> bool;
}

/// HLT waits for an event.
pub struct Waits;

impl HaltPolicy for Waits {
    fn waits(&self) -> bool {
        true
    }
}

/// A vCPU, owned by its thread.
pub struct Vcpu {
    index: usize,
    registers: Registers,
    shared: &'static Shared,
    events: Events,
    cpuid: CpuidTable,
    emulator: Emulator,
    msrs: MsrFile,
    /// Counts, in a debug image.
    statistics: Option<&'static Mutex<Statistics>>,
    /// [`NOTABLE`] if there are any, so that every exit is of note then; else 0.
    counts: u32,
    /// What of the guest's oddities has been logged.
    notices: Notices,
}

/// A vCPU that has been created in the kernel and has no thread yet.
#[derive(Debug)]
pub struct Created {
    /// Its handle.
    pub handle: Handle,
    /// Its pages.
    pub page: VcpuPages,
}

/// Creates a vCPU of a VM, on a processor.
pub fn create(vm: Handle, cpu: u32) -> Result<Created, Status> {
    // Addresses alone: the kernel maps pages of its own there.
    let address = heap::reserve(2 * PAGE_BYTES as u64).ok_or(Status::Exhausted)?;
    let created = call(vm, VcpuCreate { address, cpu, handle: 0 })?;
    #[allow(unsafe_code, reason = "pages at an address")]
    // SAFETY: the kernel has just mapped run page and batch page there, and this process unmaps nothing of
    // its own; the next vCPU has others.
    let page = unsafe { VcpuPages::new(address) };
    Ok(Created { handle: created.handle, page: page.ok_or(Status::BadArgument)? })
}

/// What a local APIC reaches: the board, and kicks.
pub struct Bus<'a, 'b> {
    /// The board.
    pub board: &'a Board,
    /// What comes of the access for others.
    pub access: &'a mut BoardAccess<'b>,
}

impl Kick for Bus<'_, '_> {
    fn kick(&mut self, vcpu: usize) {
        self.access.kick(vcpu);
    }
}

impl ApicBus for Bus<'_, '_> {
    fn now_ns(&self) -> u64 {
        self.board.clock.now_ns()
    }

    fn host_tsc(&self) -> u64 {
        syscall::tsc()
    }

    fn end_of_interrupt(&mut self, vector: u8) {
        self.board.end_of_interrupt(vector, self.access);
    }
}

impl Vcpu {
    /// A vCPU as after power-on.
    pub fn new(shared: &'static Shared, index: usize, created: Created, cpuid: CpuidTable) -> Option<Self> {
        Some(Self {
            index,
            registers: Registers::new(created.page, SystemCalls { handle: created.handle, index }),
            shared,
            events: Events::new(&shared.board.apics, index, shared.board.clock.tsc_hz())?,
            emulator: Emulator::new(&cpuid)?,
            cpuid,
            msrs: MsrFile::new(),
            statistics: shared.statistics.get(index).map(|s| &**s),
            counts: if index < shared.statistics.len() { NOTABLE } else { 0 },
            notices: Notices::default(),
        })
    }

    /// The thread's loop. Returns the `end_reason` for which the machine is to end.
    pub fn run(&mut self, policy: &impl HaltPolicy) -> u32 {
        loop {
            if let Some(reason) = self.step(policy) {
                return reason;
            }
        }
    }

    /// Enters the guest once and handles its exit. Returns an `end_reason` if the machine is to end.
    #[inline(always)]
    pub fn step(&mut self, policy: &impl HaltPolicy) -> Option<u32> {
        self.step_watched(policy, &mut Unwatched)
    }

    /// The same, looked at.
    #[inline(always)]
    pub fn step_watched(&mut self, policy: &impl HaltPolicy, watch: &mut impl Watch) -> Option<u32> {
        if let ControlFlow::Break(reason) = self.prepare_entry() {
            return Some(reason);
        }
        watch.entry(self);
        let why = match self.registers.run() {
            Ok(why) => why,
            Err((status, index)) => {
                // The state is one that VMRUN does not take, or an operation is wrong: the next run would be
                // refused too.
                log::error!("vCPU {} cannot run: {status} (operation {index})", self.index);
                return Some(end_reason::PROCESS_FAILED);
            }
        };
        watch.exit(self, why);
        match self.handle_exit(why, policy) {
            ControlFlow::Break(reason) => Some(reason),
            ControlFlow::Continue(()) => None,
        }
    }

    /// Forgets all that is remembered of the guest's code and pages.
    pub fn forget_code(&mut self) {
        self.emulator.forget();
    }

    /// Executes now what the next run would begin with.
    pub fn submit(&mut self) {
        self.registers.submit();
    }

    /// Injects an exception. RIP stays at the instruction.
    fn inject_exception(&mut self, exception: Exception) {
        self.events.inject_exception(&mut self.registers, exception);
    }

    /// Kicks the vCPUs that an access posted something to. This one looks anyway, and at whether the machine
    /// is to end.
    #[inline(always)]
    fn finish(&mut self, access: &BoardAccess<'_>) {
        if let Some(kicks) = access.kicks() {
            self.kick_others(kicks);
        }
    }

    #[cold]
    fn kick_others(&mut self, kicks: &VcpuSet) {
        self.events.attention = Attention::ALL;
        // The VMM itself need not be kicked: it looks before it enters the guest.
        let own = self.index;
        for vcpu in kicks.iter().filter(|v| *v != own) {
            if let Some(handle) = self.shared.vcpus.get(vcpu) {
                // With the next run, which begins with them, and not by a system call for each.
                self.registers.push(&VcpuKick { work: work::KICK, reserved: 0 }.on(*handle));
            }
        }
    }

    /// Logs that the guest did something odd, once.
    #[cold]
    fn log_once(&mut self, kind: Kind, which: u64, what: core::fmt::Arguments<'_>) {
        if self.notices.is_new(kind, which) {
            // Linux asks for a few such MSRs at every boot.
            let level = if kind == Kind::UnknownMsr { log::Level::Info } else { log::Level::Warn };
            log::log!(level, "vCPU {}: {what} at {:#x}", self.index, self.registers.page.rip());
        } else {
            // Counted instead: a guest that repeats itself must not push everything else out of the log.
            self.shared.not_logged.fetch_add(1, Ordering::Relaxed);
        }
    }
}
