//! Threads: a kernel stack, a place in user space, and a processor they stay on.
#![allow(
    unsafe_code,
    reason = "a new thread's stack is laid out by hand, and its cells belong to one processor"
)]

use core::arch::global_asm;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};

use vcpu_abi::status::Status;
use x86_64::VirtAddr;

use super::alarm::Alarm;
use super::exchange::{Call, Received, Served};
use super::process::Process;
use super::run_time::RunTime;
use crate::checks::stacks::{self, Kind};
use crate::cpu::descriptors::{USER_CODE, USER_DATA};
use crate::cpu::fpu::FpuArea;
use crate::cpu::ready::{TICKET_BYTES, Ticket};
use crate::cpu::room::Room;
use crate::cpu::syscall_entry::USER_FLAGS;
use crate::layout::{PAGE, THREAD_STACK_BYTES, thread_stack_top};
use crate::memory::self_map;
use crate::object::budget::{self, Account, Charge};
use crate::object::pool::{Pool, Ref};
use crate::sync::SpinLock;

/// The most threads there are.
const THREADS_MAX: usize = 128;
static THREADS: Pool<Thread, THREADS_MAX> = Pool::new();
/// Which places have their stack mapped: it stays for the next thread there.
static STACK_MAPPED: [AtomicBool; THREADS_MAX] = [const { AtomicBool::new(false) }; THREADS_MAX];

/// Distance of a thread's FPU page from the top of its stack.
const FPU_BELOW_TOP: u64 = 0xc000;

/// The first address behind what a thread's stack may use: its ticket lies there.
fn stack_top_of(slot: usize) -> u64 {
    thread_stack_top(slot) - TICKET_BYTES
}

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ThreadState {
    /// On a processor, or in its queue.
    Ready,
    /// Waiting to be woken.
    Blocked,
    /// Never to run again.
    Ended,
}

/// Where a thread begins in user mode.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// RIP.
    pub entry: u64,
    /// RSP.
    pub stack: u64,
    /// RDI.
    pub argument: u64,
}

/// What floors above keep for a thread: the one that knows vCPUs, and the one that knows channels. The
/// running thread alone touches it, and it is never dropped.
pub type Above = (Room<3>, Room<15>);

/// A thread.
pub struct Thread {
    /// Its process.
    pub process: Ref<Process>,
    /// The processor it runs on.
    pub cpu: u32,
    /// Its own priority, 0 (lowest) to 3.
    pub own_priority: u8,
    /// The one that it has at the moment: another's, while it serves it. Changed by the scheduler.
    pub(super) priority: AtomicU8,
    /// The call that it makes, or made last.
    pub call: SpinLock<Call>,
    /// What it was given at an endpoint, or serves. While it is among the receivers of an endpoint, that
    /// one's lock guards it; else the thread alone touches it.
    pub received: Cell<Received<Self>>,
    /// The address of the endpoint of the call that it serves; 0 while it serves none.
    pub serves_at: AtomicUsize,
    /// Its FPU registers, when they are not in the processor.
    pub fpu: FpuArea,
    /// How long it has run.
    pub ran: RunTime,
    /// When it is to be woken.
    pub(super) alarm: Alarm,
    /// Top of its kernel stack, where its ticket lies.
    pub stack_top: VirtAddr,
    /// RSP while it does not run.
    pub saved_stack: Cell<u64>,
    /// What floors above keep for it.
    pub above: Above,
    state: AtomicU32,
    _charge: Charge,
}

// SAFETY: `saved_stack`, `alarm` and `above` are only touched on the thread's own processor, with interrupts
// off; `received` as is said there.
unsafe impl Sync for Thread {}
// SAFETY: as above; the thread's references are counted atomically.
unsafe impl Send for Thread {}

global_asm!(
    r#"
    .pushsection .text.thread, "ax"
    .balign 16
    // Where a new thread's first context switch leads: its stack holds RDI and a frame for IRETQ.
thread_entry:
    call begin_thread
    // What is in the registers is the kernel's, and not for the process to see.
    xor eax, eax
    xor ebx, ebx
    xor ecx, ecx
    xor edx, edx
    xor ebp, ebp
    xor esi, esi
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    xor r11d, r11d
    xor r12d, r12d
    xor r13d, r13d
    xor r14d, r14d
    xor r15d, r15d
    pop rdi
    swapgs
    iretq
    .popsection
    "#
);

unsafe extern "C" {
    fn thread_entry();
}

/// The ticket on top of a stack, which is mapped.
fn ticket_at(stack_top: u64) -> &'static Ticket {
    // SAFETY: the memory is mapped for ever, and used for nothing else. All its fields are atomic, and
    // whatever is in them is a value.
    unsafe { &*(stack_top as *const Ticket) }
}

/// Makes sure that place `slot` has a stack, between unmapped pages, and an FPU page below.
fn map_stack(slot: usize) -> Result<(), Status> {
    let Some(mapped) = STACK_MAPPED.get(slot) else { return Err(Status::Exhausted) };
    if mapped.load(Ordering::Acquire) {
        return Ok(());
    }
    let top = thread_stack_top(slot);
    // What is mapped when memory runs out stays, for the next thread here.
    self_map::map_missing(top - THREAD_STACK_BYTES, THREAD_STACK_BYTES)?;
    self_map::map_missing(top - FPU_BELOW_TOP, PAGE)?;
    // SAFETY: just mapped; no thread has been here.
    unsafe { stacks::paint(Kind::Thread, top - THREAD_STACK_BYTES, THREAD_STACK_BYTES) };
    mapped.store(true, Ordering::Release);
    Ok(())
}

/// Lays out the stack of a new thread, as `scheduler`'s context switch and [`thread_entry`] expect it.
/// Returns its RSP.
fn prepare_stack(top: u64, start: Start) -> u64 {
    let frame: [u64; 7] = [
        thread_entry as *const () as u64,
        start.argument,
        start.entry,
        u64::from(USER_CODE),
        USER_FLAGS,
        start.stack,
        u64::from(USER_DATA),
    ];
    // Keeps the stack aligned at the call in `thread_entry`.
    let at = top - 16 - size_of_val(&frame) as u64;
    // SAFETY: the stack is mapped and the thread does not run yet.
    unsafe { (at as *mut [u64; 7]).write(frame) };
    at
}

/// Makes a thread, which is in no queue yet, with what floors above keep for it.
pub fn try_new<T, U>(
    process: &Ref<Process>,
    start: Start,
    cpu: u32,
    priority: u8,
    above: (T, U),
) -> Result<Ref<Thread>, Status> {
    let charge = Charge::one(&process.account, budget::Kind::Threads)?;
    let thread = THREADS.try_insert(|slot| {
        map_stack(slot)?;
        let stack_top = stack_top_of(slot);
        // What the thread left that was here before.
        ticket_at(stack_top).forget();
        Ok(Thread {
            process: process.clone(),
            cpu,
            own_priority: priority,
            priority: AtomicU8::new(priority),
            call: SpinLock::new(Call::new()),
            received: Cell::new(Received::Nothing),
            serves_at: AtomicUsize::new(0),
            // SAFETY: the page below the stack was just mapped, and is this thread's.
            fpu: unsafe { FpuArea::new(thread_stack_top(slot) - FPU_BELOW_TOP, cpu) },
            ran: RunTime::new(),
            alarm: Alarm::new(),
            stack_top: VirtAddr::new(stack_top),
            saved_stack: Cell::new(prepare_stack(stack_top, start)),
            above: (Room::new(), Room::new()),
            state: AtomicU32::new(ThreadState::Ready as u32),
            _charge: charge,
        })
    })?;
    // SAFETY: nobody else knows the thread yet.
    unsafe {
        thread.above.0.fill(above.0);
        thread.above.1.fill(above.1);
    }
    Ok(thread)
}

/// All threads there are.
pub fn all() -> impl Iterator<Item = Ref<Thread>> {
    THREADS.iter()
}

/// The threads of a process.
pub fn of_process(process: &Ref<Process>) -> impl Iterator<Item = Ref<Thread>> {
    THREADS.iter().filter(move |t| t.process.same(process))
}

/// How long the threads of all processes have run that count in an account.
pub fn run_time_under(account: &Account, now: u64) -> u64 {
    // What has ended is in the account already, though its place may be taken still.
    let counts = |thread: &Ref<Thread>| !thread.is_ended() && thread.process.account.is_below(account);
    let now_running = THREADS.iter().filter(counts).map(|thread| thread.ran.until(now)).sum::<u64>();
    now_running + account.ended_ran.load(Ordering::Relaxed)
}

/// How long the threads of a process have run, those that ended included.
pub fn run_time_of(process: &Ref<Process>, now: u64) -> u64 {
    let now_running = of_process(process).filter(|t| !t.is_ended()).map(|t| t.ran.until(now)).sum::<u64>();
    now_running + process.ended_ran.load(Ordering::Relaxed)
}

impl Thread {
    /// What of its vCPU it may enter at once.
    pub fn ticket(&self) -> &'static Ticket {
        ticket_at(self.stack_top.as_u64())
    }

    /// The priority that it has at the moment.
    pub fn priority(&self) -> u8 {
        self.priority.load(Ordering::Relaxed)
    }

    /// Gives it a call to serve, at the endpoint of this address: as [`Self::received`] may be written.
    #[inline(always)]
    pub fn serve(&self, served: Served<Self>, at: usize) {
        // It had nothing that is to be dropped, which the compiler does not know.
        core::mem::forget(self.received.replace(Received::Call(served)));
        // It may run, though nobody has woken it: from here on it may look.
        self.serves_at.store(at, Ordering::Release);
    }

    /// The call that it serves, or was given to serve.
    ///
    /// # Safety
    /// For the running thread itself, which does not [stop serving](Self::stop_serving) meanwhile.
    #[inline(always)]
    pub unsafe fn served(&self) -> Option<&Served<Self>> {
        if self.serves_at.load(Ordering::Acquire) == 0 {
            return None;
        }
        // SAFETY: it was given a call, so it is among no endpoint's receivers any more, and nobody but the
        // thread itself touches what it was given.
        match unsafe { &*self.received.as_ptr() } {
            Received::Call(served) => Some(served),
            // SAFETY: what it was given is a call.
            _ => unsafe { core::hint::unreachable_unchecked() },
        }
    }

    /// Whether it serves a call at the endpoint of this address.
    pub fn serves_at(&self, at: usize) -> bool {
        self.serves_at.load(Ordering::Relaxed) == at
    }

    /// Takes the call that it serves from it: the running thread.
    #[inline(always)]
    pub fn stop_serving(&self) -> Option<Served<Self>> {
        if self.serves_at.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.serves_at.store(0, Ordering::Relaxed);
        match self.received.take() {
            Received::Call(served) => Some(served),
            _ => None,
        }
    }

    /// Says that the thread is about to block: from here on [`Self::unblock`] will make it ready.
    pub fn prepare_to_block(&self) {
        self.state.store(ThreadState::Blocked as u32, Ordering::SeqCst);
    }

    /// Makes a blocked thread ready, or takes back that it is about to block; false when it was not blocked.
    pub fn unblock(&self) -> bool {
        let (from, to) = (ThreadState::Blocked as u32, ThreadState::Ready as u32);
        // Of several that wake it at the same time one alone succeeds, and queues it.
        self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Whether the thread waits to be woken.
    pub fn is_blocked(&self) -> bool {
        self.state.load(Ordering::SeqCst) == ThreadState::Blocked as u32
    }

    /// Marks it as over.
    pub fn set_ended(&self) {
        self.state.store(ThreadState::Ended as u32, Ordering::SeqCst);
    }

    /// Whether it is over.
    pub fn is_ended(&self) -> bool {
        self.state.load(Ordering::SeqCst) == ThreadState::Ended as u32
    }
}
