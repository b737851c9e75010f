//! Virtual processors: the object the ABI knows, with its run page, batch page, and what is pending for it.
#![allow(unsafe_code, reason = "the pages of a vCPU are mapped at addresses of its own")]

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};

use vcpu_abi::operation::{BATCH_MAX, Operation};
use vcpu_abi::run_page::RunPage;
use vcpu_abi::status::Status;

use super::vm::Vm;
use crate::cpu::fpu::{FPU_PAGES, FpuArea};
use crate::cpu::{local_apic, per_cpu, this_cpu};
use crate::layout::{PAGE, VCPUS_MAX, vcpu_area};
use crate::memory::{frames, self_map};
use crate::object::budget::{Account, Charge, Kind};
use crate::object::pool::{Pool, Ref};
use crate::platform::backend::vcpu::BackendVcpu;
use crate::run_page::SharedRunPage;
use crate::sync::SpinLock;
use crate::task::scheduler;
use crate::task::thread::Thread;

static VCPUS: Pool<Vcpu, VCPUS_MAX> = Pool::new();
/// Physical addresses of the pages of each place (the backend's page, run page, batch page): they stay for
/// the next vCPU there.
static PAGES: [SpinLock<[Option<u64>; 3]>; VCPUS_MAX] = [const { SpinLock::new([None; 3]) }; VCPUS_MAX];

/// Where a vCPU is.
pub mod place {
    /// In the guest, in its VMM, or with another thread in its place: a kick takes an IPI to its processor,
    /// lest the guest goes on.
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
    /// Its run page.
    pub run_page: SharedRunPage,
    run_page_physical: [u64; 2],
    area: u64,
    backend: BackendVcpu,
    busy: Cell<bool>,
    place: AtomicU32,
    sleeper: SpinLock<Option<Ref<Thread>>>,
    _charge: Charge,
}

// SAFETY: `busy` is only touched on the vCPU's processor; `backend` and `fpu` are only touched by the thread
// that holds `busy`, on the vCPU's own processor; the run page's accessors are volatile.
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
    // What the vCPU left that was here before may be another process's.
    // SAFETY: mapped above, and of no vCPU now.
    unsafe { (area as *mut [u8; 3 * PAGE as usize]).write_bytes(0, 1) };
    Ok(physical)
}

impl Vcpu {
    /// A vCPU in the state after a reset.
    pub fn try_new(vm: Ref<Vm>, cpu: u32, creator: u64, account: &Ref<Account>) -> Result<Ref<Self>, Status> {
        per_cpu::of(cpu).ok_or(Status::BadArgument)?;
        let charge = Charge::one(account, Kind::Objects)?;
        VCPUS.try_insert(|slot| {
            let [of_backend, run, batch] = pages_of(slot)?;
            // Before there is a vCPU that could run there: who takes memory back asks the processors that are
            // marked.
            vm.runs_on(cpu);
            let area = vcpu_area(slot);
            // SAFETY: the second page of the place was just mapped, for good.
            let run_page = unsafe { SharedRunPage::new((area + PAGE) as *mut RunPage) };
            Ok(Self {
                cpu,
                creator,
                // SAFETY: the place's fifth and sixth page, mapped above, for this alone.
                fpu: unsafe { FpuArea::with_copy(area + 4 * PAGE, cpu) },
                // SAFETY: the place's first page, mapped above for good, for this alone.
                backend: unsafe { BackendVcpu::try_new(run_page, of_backend, vm.address_space())? },
                run_page,
                run_page_physical: [run, batch],
                area,
                busy: Cell::new(false),
                place: AtomicU32::new(place::AWAKE),
                sleeper: SpinLock::new(None),
                vm,
                _charge: charge,
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
        // The work first, then the place: a vCPU that goes to sleep says so before it looks at its work.
        self.run_page.add_work(work);
        let Some(cpu) = per_cpu::of(self.cpu) else { return };
        // The entry code looks at no pending work: it has to come by the run loop, which does.
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
        // SAFETY: the batch page is mapped as long as the vCPU lives; the index is cut to it; volatile, as it
        // is shared.
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
    /// The backend's part of it.
    #[inline]
    pub fn backend(&self) -> &BackendVcpu {
        &self.vcpu.backend
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.vcpu.busy.set(false);
    }
}
