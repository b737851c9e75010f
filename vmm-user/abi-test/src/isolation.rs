//! Two processes use the same addresses and see only their own memory; what was freed comes back zeroed.
#![allow(unsafe_code, reason = "memory at fixed addresses")]

use runtime::abi::operation::{HANDLE_SELF, ProcessAllocate};
use runtime::abi::status::Status;
use runtime::{Start, call, syscall};

use crate::child::{self, Child};
use crate::suite::Suite;

const ADDRESS: u64 = 0x6000_0000_0000;
const PAGES: u64 = 64;
const ROUNDS: u32 = 200;

/// The child: fills memory with its own number and looks whether it stays.
pub fn same_address(start: &Start) -> u32 {
    let mine = child::number(start, "value");
    if call(HANDLE_SELF, ProcessAllocate { address: ADDRESS, bytes: PAGES * 4096 }).is_err() {
        return 1;
    }
    let words = (0..PAGES * 512).map(|i| (ADDRESS + i * 8) as *mut u64);
    // SAFETY: just allocated, and nobody else's.
    if words.clone().any(|w| unsafe { w.read_volatile() } != 0) {
        return 2;
    }
    // SAFETY: as above.
    words.clone().for_each(|w| unsafe { w.write_volatile(mine) });
    for _ in 0..ROUNDS {
        syscall::yield_now();
        // SAFETY: as above.
        if words.clone().step_by(512).any(|w| unsafe { w.read_volatile() } != mine) {
            return 3;
        }
    }
    0
}

fn together(suite: &Suite<'_>, cpus: [u32; 2]) -> Result<[u32; 2], Status> {
    let begin = |value: u64, cpu| Child::new(suite, "same-address")?.set("value", value).start(cpu, 1);
    let (first, second) = (begin(0x1111_1111_1111_1111, cpus[0])?, begin(0x2222_2222_2222_2222, cpus[1])?);
    Ok([first.join(suite)?.code, second.join(suite)?.code])
}

/// On one processor, then on two.
pub fn test(suite: &mut Suite<'_>) {
    for cpus in [[0, 0], [0, suite.cpus - 1]] {
        let codes = together(suite, cpus);
        suite.check(codes == Ok([0, 0]), format_args!("two processes at one address: {codes:?}"));
    }
}
