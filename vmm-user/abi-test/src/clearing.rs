//! What one owner leaves behind the next does not find: in registers after a system call, in the pages of a
//! vCPU, in the FPU, in the page where the other processors have started.
#![allow(
    unsafe_code,
    reason = "system calls whose every register is looked at, and pages shared with the kernel"
)]

use core::arch::asm;

use runtime::abi::operation::{EventCreate, HANDLE_SELF, MemoryMap, Rights};
use runtime::abi::status::Status;
use runtime::abi::syscall::{SYS_BATCH, SYS_RUN, SYS_YIELD};
use runtime::{Start, call, heap};

use crate::child::Child;
use crate::fpu;
use crate::suite::Suite;
use crate::vm::Machine;

/// What is left.
const PATTERN: u64 = 0x5a5a_a5a5_1234_8765;
/// Where the other processors start.
const START_PAGE: u64 = 0x8000;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    registers(suite);
    pages(suite);
    fpu_of_the_dead(suite);
    start_page(suite);
}

/// A system call; returns RDI, RSI, R8, R9 and R10 as they are behind it.
fn behind(number: u64, first: u64, second: u64) -> [u64; 5] {
    let [mut rdi, mut rsi, r8, r9, r10] = [first, second, PATTERN, PATTERN, PATTERN];
    let (mut r8, mut r9, mut r10) = (r8, r9, r10);
    // SAFETY: the calls made here change no memory but the operation that they name; all registers that a
    // call changes are named.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => _,
            inlateout("rdi") rdi,
            inlateout("rsi") rsi,
            inlateout("r8") r8,
            inlateout("r9") r9,
            inlateout("r10") r10,
            lateout("rdx") _,
            lateout("rcx") _,
            lateout("r11") _,
            lateout("r12") _,
            lateout("r13") _,
            lateout("r14") _,
            lateout("r15") _,
            options(nostack),
        );
    }
    [rdi, rsi, r8, r9, r10]
}

/// Nothing of the kernel's is in a register when it has answered.
fn registers(suite: &mut Suite<'_>) {
    use runtime::abi::operation::Call;
    let mut operation = EventCreate::default().on(HANDLE_SELF);
    let place = (&raw mut operation) as u64;
    for (what, number, first, second) in [
        ("yield", SYS_YIELD, 0, 0),
        ("a batch", SYS_BATCH, place, 1),
        ("a batch that is too long", SYS_BATCH, place, u64::MAX),
        ("a run of nothing", SYS_RUN, 0xffff, 0),
    ] {
        let left = behind(number, first, second);
        suite.check(left == [0; 5], format_args!("registers behind {what}: {left:x?}"));
    }
}

/// The child: fills the pages of its vCPU, and ends.
pub fn owner(start: &Start) -> u32 {
    let Some(system) = start.handle("system") else { return 1 };
    let Ok(machine) = Machine::new(system, 0, &[0xf4]) else { return 2 };
    words(machine.page.cast()).for_each(|word| {
        // SAFETY: both pages are ours, and the vCPU does not run.
        unsafe { word.write_volatile(PATTERN) };
    });
    0
}

/// Run page and batch page.
fn words(page: *mut u64) -> impl Iterator<Item = *mut u64> {
    (0..2 * 4096 / 8).map(move |index| page.wrapping_add(index))
}

/// A vCPU's pages are nobody's before they are its own.
fn pages(suite: &mut Suite<'_>) {
    let run = |suite: &Suite<'_>| -> Result<(u32, [usize; 2]), Status> {
        let child = Child::new(suite, "owner")?;
        let child = child.grant("system", suite.system, Rights::READ | Rights::CREATE)?;
        let code = child.start(0, 1)?.join(suite)?.code;
        let machine = Machine::new(suite.system, 0, &[0xf4])?;
        // SAFETY: both pages are ours, and the vCPU does not run.
        let is_left = |word: *mut u64| unsafe { word.read_volatile() } == PATTERN;
        let left = [0, 512].map(|first| {
            words(machine.page.cast()).skip(first).take(512).filter(|word| is_left(*word)).count()
        });
        Ok((code, left))
    };
    let left = run(suite);
    suite
        .check(left == Ok((0, [0; 2])), format_args!("words of another's run page and batch page: {left:?}"));
}

/// A thread ends while its FPU registers are in the processor. They are nobody's now: not the next thread's
/// in its place, when somebody else wants the FPU before that one.
fn fpu_of_the_dead(suite: &mut Suite<'_>) {
    let run = |suite: &Suite<'_>| -> Result<[u32; 2], Status> {
        let child = |value: u64| Child::new(suite, "fpu")?.set("value", value).start(0, 1);
        let first = child(PATTERN)?.join(suite)?.code;
        let second = child(7)?;
        fpu::ask()?;
        Ok([first, second.join(suite)?.code])
    };
    let codes = run(suite);
    suite.check(codes == Ok([0, 0]), format_args!("the FPU of one that has ended: {codes:?}"));
}

/// Where the other processors have started there is nothing of the kernel's.
fn start_page(suite: &mut Suite<'_>) {
    if suite.cpus == 1 {
        // It was never used, and firmware has left in it what it will.
        return;
    }
    let run = || -> Result<usize, Status> {
        let address = heap::reserve(4096).ok_or(Status::Exhausted)?;
        call(suite.memory, MemoryMap { address, gpa: START_PAGE, bytes: 4096 })?;
        let words = (0..512).map(|index| (address as *const u64).wrapping_add(index));
        // SAFETY: the page was just mapped for us.
        Ok(words.filter(|word| unsafe { word.read_volatile() } != 0).count())
    };
    let left = run();
    suite.check(left == Ok(0), format_args!("words left where processors start: {left:?}"));
}
