//! The FPU's registers are each process's own, once it has asked for them.
#![allow(unsafe_code, reason = "SSE registers, which the compiler does not use here")]

use core::arch::asm;

use runtime::abi::operation::{HANDLE_SELF, ProcessUseFpu};
use runtime::abi::status::Status;
use runtime::{Start, call, syscall};

use crate::child::{self, Child};
use crate::suite::Suite;

const ROUNDS: u32 = 2000;
/// No exception is delivered (APM volume 2, 14.1.3).
const RESET_MXCSR: u32 = 0x1f80;

/// Sets two registers.
pub fn set(value: u64) {
    // SAFETY: the compiler keeps nothing in SSE registers: the target is soft-float.
    unsafe { asm!("movq xmm0, {0}", "movq xmm15, {0}", in(reg) value, options(nostack, nomem)) };
}

/// Reads them.
pub fn get() -> [u64; 2] {
    let (first, last): (u64, u64);
    // SAFETY: as in `set`.
    unsafe {
        asm!("movq {0}, xmm0", "movq {1}, xmm15", out(reg) first, out(reg) last, options(nostack, nomem))
    };
    [first, last]
}

fn mxcsr() -> u32 {
    let mut value = 0;
    // SAFETY: stores to a local.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack)) };
    value
}

/// Asks for the FPU.
pub fn ask() -> Result<(), Status> {
    call(HANDLE_SELF, ProcessUseFpu { reserved: 0 }).map(|_| ())
}

/// The child: keeps its number in registers while others run.
pub fn victim(start: &Start) -> u32 {
    if ask().is_err() {
        return 1;
    }
    // What was there before is not for us to see.
    if get() != [0, 0] {
        return 2;
    }
    if mxcsr() != RESET_MXCSR {
        return 4;
    }
    let mine = child::number(start, "value");
    set(mine);
    for _ in 0..ROUNDS {
        syscall::yield_now();
        if get() != [mine, mine] {
            return 3;
        }
    }
    0
}

fn together(suite: &Suite<'_>) -> Result<[u32; 3], Status> {
    let begin = |value: u64| Child::new(suite, "fpu")?.set("value", value).start(0, 1);
    let (first, second) = (begin(0x1111_2222_3333_4444)?, begin(0x5555_6666_7777_8888)?);
    // One that did not ask sees neither's: it ends at its first such instruction.
    let without = crate::faults::index_of("sse without asking").ok_or(Status::NotFound)?;
    let third = child::run(suite, "fault", ("which", without))?.code;
    Ok([first.join(suite)?.code, second.join(suite)?.code, third])
}

/// Two that ask, one that does not; and, round after round, ends on one processor whose place is taken on
/// another.
pub fn test(suite: &mut Suite<'_>) {
    let codes = together(suite);
    suite.check(codes == Ok([0, 0, 0x8000_0007]), format_args!("three with the FPU: {codes:x?}"));
    for round in 0..8 {
        let run = |cpu| Child::new(suite, "fpu")?.set("value", 7 + round).start(cpu, 1)?.join(suite);
        let codes = [0, suite.cpus - 1].map(|cpu| run(cpu).map(|s| s.code));
        suite.check(codes == [Ok(0), Ok(0)], format_args!("the FPU by turns: {codes:?}"));
    }
}
