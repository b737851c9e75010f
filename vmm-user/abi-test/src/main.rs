//! Abuses the kernel's ABI and sees that it holds: every call is answered by a status or by the caller's
//! death.
//!
//! One program, several roles. `suite` runs the tests, each as a `part`, and ends the machine with
//! `TESTS_PASSED` or `TESTS_FAILED`. Whatever may die of a test runs in a child made of the same file, with
//! another role; its exit code is its verdict.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(not(target_os = "none"), allow(dead_code, reason = "runs on the bare-metal target only"))]

extern crate alloc;

mod arguments;
mod batch_ends;
mod batches;
mod bindings;
mod budgets;
mod channels;
mod child;
mod clearing;
mod control;
mod ends;
mod exceptions;
mod exhaustion;
mod faults;
mod fire;
mod fpu;
mod fuzz;
mod handles;
mod isolation;
mod killing;
mod lives;
mod machine;
mod narrowing;
mod observe;
mod page_race;
mod pci;
mod placing;
mod random;
mod ready;
mod reserved;
mod revocation;
mod ring;
mod run_page;
mod runs;
mod shared;
mod sleeps;
mod staying;
mod suite;
mod threads;
mod translations;
mod tsc_aux;
mod turns;
mod unmapping;
mod unready;
mod vm;
mod waiters;
mod wakes;
mod xsave;

use runtime::Start;

runtime::main!(program);

/// The exit code of a child whose role is not known, or that could not begin.
const NO_ROLE: u32 = 99;

fn program(start: &Start) -> u32 {
    match start.setting("role") {
        Some("suite") => suite::run(start),
        Some("part") => suite::part(start),
        Some("fault") => faults::victim(start),
        Some("call") => faults::caller(start),
        Some("no-rights") => handles::without_rights(start),
        Some("without-giving") => handles::without_giving(start),
        Some("fuzz") => fuzz::victim(start),
        Some("run-page") => run_page::victim(start),
        Some("page-race") => page_race::victim(start),
        Some("owner") => clearing::owner(start),
        Some("victim") => killing::victim(start),
        Some("end-itself") => killing::ends_itself(),
        Some("channel-server") => channels::server::serve(start),
        Some("channel-client") => channels::server::client(start),
        Some("channel-rights") => channels::without_rights(start),
        Some("hog") => exhaustion::hog(start),
        Some("die-in-run") => vm::die_in_run(start),
        Some("same-address") => isolation::same_address(start),
        Some("fpu") => fpu::victim(start),
        Some("tick") => ends::tick(start),
        Some("die") => ends::die(start),
        Some("end") => ends::end(start),
        Some("end-in-batch") => turns::end_in_batch(start),
        Some("no-signal") => bindings::without_signal(start),
        Some("leftover") => lives::leftover(start),
        Some("holder") => lives::holder(start),
        Some("late-thread") => lives::late_thread(start),
        Some("waits-twice") => lives::waits_twice(start),
        Some("sleeper") => lives::sleeper(start),
        Some("stranger") => unready::stranger(start),
        Some("run-given") => turns::run_given(start),
        Some("log-lines") => observe::log_lines(start),
        Some("flags") => faults::flags(),
        Some("fault-in-log") => ends::fault_in_log(),
        Some("touch-unmapped") => unmapping::touch_unmapped(start),
        Some("unmap-race") => unmapping::unmap_race(start),
        Some("spender") => budgets::spender(start),
        Some("parent") => budgets::parent(start),
        Some("two-events") => budgets::two_events(),
        Some("worker") => budgets::worker(start),
        Some("ring") => ring::consumer(start),
        Some("sharer") => shared::sharer(start),
        Some("touch-shared") => shared::touch(start),
        Some("narrowed") => narrowing::narrowed(start),
        Some("driver-on-a-budget") => pci::budgets::driver(start),
        Some("driver-that-ends") => pci::driver_that_ends(start),
        Some("nothing") => 0,
        _ => NO_ROLE,
    }
}
