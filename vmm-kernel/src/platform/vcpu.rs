//! Virtual processors: the object the ABI knows, with its run page, batch page, and what is pending for it.
#![allow(
    unsafe_code,
    reason = "the VMCB and the run page are mapped at addresses of this vCPU's own; the run page is shared"
)]

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};

use vcpu_abi::operation::{BATCH_MAX, Operation};
use vcpu_abi::registers::{EventInjection, MsrRegisters, SegmentRegisters, SystemRegisters};
use vcpu_abi::run_page::{RunPage, XSAVE_BYTES};
use vcpu_abi::status::Status;

use super::svm::vmcb::Vmcb;
use super::svm::{maps, state};
use super::vm::Vm;
use crate::checks;
use crate::cpu::fpu::{FPU_PAGES, FpuArea};
use crate::cpu::{local_apic, per_cpu, this_cpu};
use crate::memory::layout::{PAGE, vcpu_area};
use crate::memory::{frames, self_map};
use crate::sync::SpinLock;
use crate::task::pool::{Pool, Ref};
use crate::task::scheduler;
use crate::task::thread::Thread;

/// The most vCPUs there are.
pub const VCPUS_MAX: usize = 64;
static VCPUS: Pool<Vcpu, VCPUS_MAX> = Pool::new();
/// Physical addresses of the pages of each place (VMCB, run page, batch page): they stay for the next vCPU there.
static PAGES: [SpinLock<[Option<u64>; 3]>; VCPUS_MAX] = [const { SpinLock::new([None; 3]) }; VCPUS_MAX];

/// Where a vCPU is.
pub mod place {
    /// In the guest, in its VMM, or with another thread in its place: a kick takes an IPI to its processor, lest the guest goes on.
    pub const AWAKE: u32 = 0;
    /// Halted: a kick wakes its thread.
    pub const HALTED: u32 = 1;
}

/// A virtual processor.
pub struct Vcpu {
    /// Its VM.
    pub vm: Ref<Vm>,
    /// The processor it runs on.
    pub cpu: u32,
    /// `Process::serial` of who created it, and alone has its pages mapped.
    pub creator: u64,
    /// Its FPU registers, when they are not in the processor.
    pub fpu: FpuArea,
    /// Physical address of the VMCB.
    pub vmcb_physical: u64,
    /// The interrupt window asked for at the last run.
    pub window: Cell<u32>,
    /// Its run page.
    pub run_page: SharedRunPage,
    run_page_physical: [u64; 2],
    area: u64,
    busy: Cell<bool>,
    place: AtomicU32,
    sleeper: SpinLock<Option<Ref<Thread>>>,
}

// SAFETY: `busy` is only touched on the vCPU's processor; `window` and `fpu` are only touched by the thread that holds `busy`, on the vCPU's own processor; the run page's
// accessors are volatile.
unsafe impl Sync for Vcpu {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Vcpu {}

/// Maps the pages of a place, or finds them mapped, and clears them.
fn pages_of(slot: usize) -> Result<[u64; 3], Status> {
    let mut pages = PAGES.get(slot).ok_or(Status::Exhausted)?.lock();
    let area = vcpu_area(slot);
    let mut physical = [0; 3];
    // What is mapped when memory runs out stays, for the next vCPU here.
    for (index, (known, physical)) in pages.iter_mut().zip(&mut physical).enumerate() {
        *physical = match *known {
            Some(address) => address,
            None => {
                let frame = frames::allocate_zeroed()?;
                self_map::map_frame(area + index as u64 * PAGE, frame)
                    .inspect_err(|_| frames::free(frame))?;
                *known.insert(frame.start_address().as_u64())
            }
        };
    }
    self_map::map_missing(area + 4 * PAGE, FPU_PAGES * PAGE)?;
    // SAFETY: mapped above, and of no vCPU now.
    unsafe { (area as *mut [u8; 3 * PAGE as usize]).write_bytes(0, 1) };
    Ok(physical)
}

impl Vcpu {
    /// A vCPU in the state the VMCB has after `state::reset`.
    pub fn try_new(vm: Ref<Vm>, cpu: u32, creator: u64) -> Result<Ref<Self>, Status> {
        per_cpu::of(cpu).ok_or(Status::BadArgument)?;
        let maps = maps().ok_or(Status::WrongState)?;
        VCPUS.try_insert(|slot| {
            let [vmcb_physical, run, batch] = pages_of(slot)?;
            let area = vcpu_area(slot);
            // SAFETY: the VMCB was just mapped, for good.
            let run_page = unsafe { SharedRunPage::new((area + PAGE) as *mut RunPage) };
            checks::tlb::vcpu_made(run_page.vmcb_beside());
            state::reset(run_page.vmcb_beside(), maps, vm.root().start_address().as_u64(), vm.asid);
            Ok(Self {
                cpu,
                creator,
                // SAFETY: the place's fifth and sixth page, mapped above, for this alone.
                fpu: unsafe { FpuArea::with_copy(area + 4 * PAGE, cpu) },
                vmcb_physical,
                window: Cell::new(0),
                run_page,
                run_page_physical: [run, batch],
                area,
                busy: Cell::new(false),
                place: AtomicU32::new(place::AWAKE),
                sleeper: SpinLock::new(None),
                vm,
            })
        })
    }

    /// Physical addresses of run page and batch page.
    pub fn shared_pages(&self) -> [u64; 2] {
        self.run_page_physical
    }

    /// Takes the vCPU for the calling thread, which must be on the vCPU's processor.
    #[inline]
    pub fn claim(&self) -> Result<Claim<'_>, Status> {
        // Only threads of the vCPU's processor get past the first comparison, and none is preempted here.
        if this_cpu().number != self.cpu || self.busy.replace(true) {
            return Err(Status::WrongState);
        }
        Ok(Claim { vcpu: self })
    }

    /// Says where the vCPU is, before pending work is looked at.
    pub fn set_place(&self, place: u32) {
        self.place.store(place, Ordering::SeqCst);
    }

    /// Who is to be woken while it is halted.
    pub fn set_sleeper(&self, thread: Option<Ref<Thread>>) {
        let before = core::mem::replace(&mut *self.sleeper.lock(), thread);
        drop(before);
    }

    /// Sets bits of pending work and makes the vCPU look at them.
    pub fn kick(&self, work: u32) {
        self.run_page.add_work(work);
        let Some(cpu) = per_cpu::of(self.cpu) else { return };
        cpu.entry.ready.forget();
        if self.place.load(Ordering::SeqCst) == place::HALTED {
            let thread = self.sleeper.lock().clone();
            if let Some(thread) = thread {
                scheduler::wake(&thread);
            }
        } else if this_cpu().number != self.cpu {
            local_apic::kick(cpu.apic_id);
        }
    }

    /// Where an operation of the batch page is.
    pub fn batch_place(&self, index: usize) -> u64 {
        self.area + 2 * PAGE + (index % BATCH_MAX * size_of::<Operation>()) as u64
    }

    /// Copies an operation out of the batch page: once, since the VMM may change it meanwhile.
    pub fn batch_operation(&self, index: usize) -> Operation {
        // SAFETY: the batch page is mapped as long as the vCPU lives; the index is cut to it; volatile, as it is shared.
        unsafe { (self.batch_place(index) as *const Operation).read_volatile() }
    }

    /// Writes an operation back.
    pub fn set_batch_operation(&self, index: usize, operation: Operation) {
        // SAFETY: as in `batch_operation`.
        unsafe { (self.batch_place(index) as *mut Operation).write_volatile(operation) };
    }
}

/// A vCPU taken by the running thread.
pub struct Claim<'a> {
    vcpu: &'a Vcpu,
}

impl Claim<'_> {
    /// The VMCB.
    #[inline]
    pub fn vmcb(&self) -> &Vmcb {
        self.vcpu.run_page.vmcb_beside()
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.vcpu.busy.set(false);
    }
}

/// A run page, which the VMM may read and write at any time: each access is one volatile load or store.
#[derive(Clone, Copy)]
pub struct SharedRunPage(*mut RunPage);

macro_rules! load {
    ($page:expr, $($field:tt)+) => {
        // SAFETY: the page is mapped as long as its vCPU lives; volatile, as it is shared; every bit pattern is a value.
        unsafe { (&raw const (*$page).$($field)+).read_volatile() }
    };
}

macro_rules! store {
    ($page:expr, $value:expr, $($field:tt)+) => {
        // SAFETY: as for loads.
        unsafe { (&raw mut (*$page).$($field)+).write_volatile($value) }
    };
}

macro_rules! getters {
    ($($name:ident: $type:ty = $($field:ident).+;)*) => {
        impl SharedRunPage {
            $(#[doc = concat!("Loads `", stringify!($($field).+), "`.")]
            #[inline]
            pub fn $name(self) -> $type { load!(self.0, $($field).+) })*
        }
    };
}

macro_rules! setters {
    ($($name:ident: $type:ty = $($field:ident).+;)*) => {
        impl SharedRunPage {
            $(#[doc = concat!("Stores `", stringify!($($field).+), "`.")]
            #[inline]
            pub fn $name(self, value: $type) { store!(self.0, value, $($field).+) })*
        }
    };
}

getters! {
    batch_count: u32 = batch_count;
    activity: u32 = activity;
    deadline_tsc: u64 = deadline_tsc;
    dirty: u32 = dirty;
    deliver: u32 = deliver;
    window: u32 = window;
    cr8: u32 = cr8;
    nmi_return: u32 = nmi_return;
    exit_groups: u32 = exit.groups;
    rip: u64 = general.rip;
    rflags: u64 = general.rflags;
    xcr0: u64 = xcr0;
    system: SystemRegisters = system;
    segments: SegmentRegisters = segments;
    msrs: MsrRegisters = msrs;
}

setters! {
    set_batch_count: u32 = batch_count;
    set_dirty: u32 = dirty;
    set_rip: u64 = general.rip;
    set_rflags: u64 = general.rflags;
    set_xcr0: u64 = xcr0;
    set_reason: u32 = exit.reason;
    set_raw_code: u64 = exit.raw_code;
    set_qualification: u64 = exit.qualification;
    set_next_rip: u64 = exit.next_rip;
    set_cr8: u8 = exit.cr8;
    set_exit_groups: u32 = exit.groups;
    set_interrupted_event: EventInjection = exit.interrupted_event;
    set_segments: SegmentRegisters = segments;
    set_msrs: MsrRegisters = msrs;
}

impl SharedRunPage {
    /// The run page of a vCPU.
    ///
    /// # Safety
    /// It is the second page of a vCPU's place, whose pages are mapped for ever.
    #[inline(always)]
    pub unsafe fn new(page: *mut RunPage) -> Self {
        Self(page)
    }

    /// Where the entry code finds it.
    pub fn address(self) -> *const RunPage {
        self.0
    }

    /// The VMCB of the vCPU whose page this is, in the page before it.
    #[inline(always)]
    pub fn vmcb_beside(self) -> &'static Vmcb {
        // SAFETY: the two pages are mapped together, for ever; all of a VMCB's fields are volatile places.
        unsafe { &*self.0.byte_sub(PAGE as usize).cast() }
    }

    /// Loads a general register.
    #[inline]
    pub fn gpr(self, index: usize) -> u64 {
        load!(self.0, general.gpr[index & 15])
    }

    /// Stores a general register.
    #[inline]
    pub fn set_gpr(self, index: usize, value: u64) {
        store!(self.0, value, general.gpr[index & 15]);
    }

    /// Stores the control registers.
    #[inline]
    pub fn set_control(self, cr0: u64, cr3: u64, cr4: u64, efer: u64) {
        store!(self.0, cr0, system.cr0);
        store!(self.0, cr3, system.cr3);
        store!(self.0, cr4, system.cr4);
        store!(self.0, efer, system.efer);
    }

    /// Stores CS and SS, each as its two words.
    #[inline]
    pub fn set_code_and_stack(self, cs: [u64; 2], ss: [u64; 2]) {
        // SAFETY: as for other fields; a segment is two words.
        unsafe {
            let segments = [&raw mut (*self.0).system.cs, &raw mut (*self.0).system.ss];
            for (segment, [low, high]) in segments.into_iter().zip([cs, ss]) {
                segment.cast::<u64>().write_volatile(low);
                segment.cast::<u64>().add(1).write_volatile(high);
            }
        }
    }

    /// Stores what decoding does not take.
    pub fn set_rest_of_system(self, cr2: u64, cr8: u64, dr6: u64, dr7: u64) {
        store!(self.0, cr2, system.cr2);
        store!(self.0, cr8, system.cr8);
        store!(self.0, dr6, system.dr6);
        store!(self.0, dr7, system.dr7);
    }

    /// Stores a memory exit's address and access.
    #[inline]
    pub fn set_memory(self, gpa: u64, access: u32) {
        store!(self.0, gpa, exit.gpa);
        store!(self.0, access, exit.access);
    }

    /// Stores flags and valid groups.
    #[inline]
    pub fn set_flags(self, flags: u32, groups: u32) {
        store!(self.0, flags, exit.flags);
        store!(self.0, groups, exit.groups);
    }

    /// Loads `injection`, at once.
    #[inline(always)]
    pub fn injection(self) -> EventInjection {
        // SAFETY: as for other fields; an event is a word, and every word is one.
        zerocopy::transmute!(unsafe { (&raw const (*self.0).injection).cast::<u64>().read_volatile() })
    }

    /// Pending work.
    #[inline]
    pub fn pending_work(self) -> u32 {
        // SAFETY: an atomic in a page that is mapped as long as the vCPU lives.
        unsafe { (*self.0).pending_work.load(Ordering::SeqCst) }
    }

    fn add_work(self, work: u32) {
        // SAFETY: as above.
        unsafe { (*self.0).pending_work.fetch_or(work, Ordering::SeqCst) };
    }

    /// The words of the XSAVE area, each loaded once.
    pub fn xsave(self) -> impl Iterator<Item = u64> {
        let area = self.xsave_area();
        // SAFETY: within the area, in a page that is mapped as long as the vCPU lives; volatile, as it is shared.
        (0..XSAVE_BYTES / 8).map(move |index| unsafe { area.add(index).read_volatile() })
    }

    /// Fills the XSAVE area with the first of these words.
    pub fn set_xsave(self, words: impl Iterator<Item = u64>) {
        let area = self.xsave_area();
        for (index, word) in words.take(XSAVE_BYTES / 8).enumerate() {
            // SAFETY: as in `xsave`.
            unsafe { area.add(index).write_volatile(word) };
        }
    }

    fn xsave_area(self) -> *mut u64 {
        // SAFETY: the page's own field.
        unsafe { (&raw mut (*self.0).xsave).cast() }
    }
}

#[cfg(test)]
pub mod tests;
