//! Garbage in the run page and the batch page: the run returns a status or comes back with a reason.
#![allow(unsafe_code, reason = "writes garbage over pages that the kernel shares with us")]

use runtime::abi::exit::reason;
use runtime::abi::operation::Rights;
use runtime::abi::run_page::{RunPage, activity};
use runtime::abi::status::Status;
use runtime::{Start, syscall};

use crate::child::{self, Child};
use crate::fuzz;
use crate::random::Random;
use crate::suite::Suite;
use crate::vm::Machine;

const CHILDREN: u64 = 8;
const ROUNDS: u64 = 400;

/// How a round spoils the page.
fn spoil(random: &mut Random, machine: &Machine, ticks_us: u64) {
    let words = machine.page.cast::<u64>();
    let everything = random.below(2) == 0;
    for index in 0..1024 {
        if everything || random.below(16) == 0 {
            // SAFETY: run page and batch page, which are ours while the vCPU does not run.
            unsafe { words.add(index).write_volatile(random.next()) };
        }
    }
    let operation = fuzz::operation(random, &fuzz::Known { handles: &[machine.vm, machine.vcpu], buffer: 0 });
    // SAFETY: as above.
    unsafe {
        let page = machine.page;
        (*page).batch_count = random.pick(&[0, 0, 0, 1, 2, 64, 65, u32::MAX]);
        page.byte_add(4096).cast::<runtime::abi::operation::Operation>().write_volatile(operation);
        (*page).activity =
            random.pick(&[activity::RUNNING, activity::RUNNING, activity::HALTED, 2, u32::MAX]);
        (*page).dirty = if random.below(2) == 0 { random.next() as u32 } else { 1 << random.below(32) };
        (*page).deadline_tsc = syscall::tsc() + ticks_us * random.pick(&[0, 1, 50, 200]);
        if random.below(4) > 0 {
            (&raw mut (*page).pending_work).cast::<u32>().write_volatile(0);
        }
    }
}

/// The child: runs a vCPU on garbage, again and again. Ends with 0, or with what was no answer.
pub fn victim(start: &Start) -> u32 {
    let (Some(system), seed) = (start.handle("system"), child::number(start, "seed")) else { return 1 };
    let mut random = Random::new(seed);
    let Ok(mut machine) = Machine::new(system, 0, &[0x0f, 0xa2, 0xeb, 0xfc]) else { return 2 };
    let mut ran = 0;
    for _ in 0..ROUNDS {
        spoil(&mut random, &machine, child::number(start, "ticks"));
        let vcpu = u64::from(machine.vcpu);
        let wild = random.next();
        let handle = random.pick(&[vcpu, vcpu, vcpu, u64::from(machine.vm), 0, u64::MAX, wild]);
        // SAFETY: what the kernel writes is the run page, and what the operations made by `fuzz` name.
        let (status, _) = unsafe { syscall::raw_run(handle) };
        match Status::from_code(status as i32) {
            None => return 3,
            // SAFETY: the page is mapped.
            Some(Status::Ok) if unsafe { why(machine.page) } >= reason::END => return 4,
            Some(Status::Ok) => ran += 1,
            Some(_) => {}
        }
        if random.below(64) == 0 {
            let Ok(next) = Machine::new(system, 0, &[0x0f, 0xa2, 0xeb, 0xfc]) else { continue };
            machine = next;
        }
    }
    if ran > 0 { 0 } else { 5 }
}

/// # Safety
/// `page` is mapped.
unsafe fn why(page: *const RunPage) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { (&raw const (*page).exit.reason).read_volatile() }
}

/// Children with seeds of their own.
pub fn test(suite: &mut Suite<'_>) {
    for seed in 0..CHILDREN {
        let run = || {
            let child = Child::new(suite, "run-page")?.grant(
                "system",
                suite.system,
                Rights::READ | Rights::CREATE,
            )?;
            child.set("seed", seed).set("ticks", suite.ticks_us).start(0, 1)?.join(suite)
        };
        let code = run().map(|s| s.code);
        suite.check(code == Ok(0), format_args!("garbage in the run page, seed {seed}: {code:x?}"));
    }
}
