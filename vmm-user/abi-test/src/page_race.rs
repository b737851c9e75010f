//! A second processor that changes the run page and the batch page while the kernel loads them, executes them
//! and stores into them. Every run is answered by a status, or ends the process; the kernel goes on.
#![allow(unsafe_code, reason = "pages that the kernel and two threads share on purpose")]

use alloc::sync::Arc;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use runtime::abi::operation::{EventBindVcpu, EventSignal, Rights};
use runtime::abi::run_page::RunPage;
use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::{Start, call, syscall, thread};

use crate::child::{self, Child};
use crate::fuzz;
use crate::random::Random;
use crate::suite::Suite;
use crate::vm::Machine;

/// The first child's seed, and how many there are: one may ask for others than the usual ones.
pub const SETTINGS: [&str; 2] = ["first-seed", "seeds"];
const CHILDREN: u64 = 8;
/// How long each child goes on.
const TIME_US: u64 = 2_000_000;
/// Run page and batch page, in words.
const WORDS: usize = 1024;
/// The scribbler kicks the vCPU once in so many changes, since it may have made it wait for ever.
const CHANGES_TO_KICK: u64 = 64;
/// CPUID; JMP back.
const GUEST: &[u8] = &[0x0f, 0xa2, 0xeb, 0xfc];

/// What the kernel reads first, or decides by.
const FIELDS: [usize; 9] = [
    offset_of!(RunPage, batch_count),
    offset_of!(RunPage, activity),
    offset_of!(RunPage, deadline_tsc),
    offset_of!(RunPage, dirty),
    offset_of!(RunPage, deliver),
    offset_of!(RunPage, window),
    offset_of!(RunPage, pending_work),
    offset_of!(RunPage, nmi_return),
    offset_of!(RunPage, injection),
];

/// The exit code of a child of which no run has come to its end.
const NO_RUN: u32 = 5;

/// What the two threads share.
#[derive(Default)]
struct Shared {
    /// Where the run page is; 0 ends the scribbler.
    page: AtomicU64,
    /// The vCPU, and the event that kicks it.
    vcpu: AtomicU32,
    event: AtomicU32,
    ended: AtomicU32,
}

/// Replaces a word of the pages.
fn put(page: u64, byte: usize, value: u64) {
    // SAFETY: an aligned word of run page and batch page, which stay mapped; all accesses to them here are
    // atomic.
    let word = unsafe { AtomicU64::from_ptr((page as usize + byte / 8 % WORDS * 8) as *mut u64) };
    word.store(value, Ordering::Relaxed);
}

/// One change.
fn change(random: &mut Random, page: u64, vcpu: u32, ticks_us: u64) {
    let wild = random.next();
    let soon = syscall::tsc() + ticks_us * random.pick(&[1, 20, 200]);
    let bit = 1 << random.below(64);
    let value = random.pick(&[0, 0, 1, 2, 64, 65, bit, bit | bit << 32, soon, u64::MAX, wild]);
    match random.below(8) {
        0..=3 => put(page, random.pick(&FIELDS), value),
        4 => put(page, random.below(4096), value),
        5 => put(page, offset_of!(RunPage, deadline_tsc), soon),
        _ => {
            let operation = fuzz::operation(random, &fuzz::Known { handles: &[vcpu, 0, 95], buffer: 0 });
            let at = 4096 + random.below(4) * size_of_val(&operation);
            // SAFETY: an operation is eight words of plain integers.
            let words: [u64; 8] = unsafe { core::mem::transmute(operation) };
            words.iter().enumerate().for_each(|(index, word)| put(page, at + index * 8, *word));
        }
    }
}

/// The thread on the other processor.
fn scribble(mut random: Random, shared: &Shared, ticks_us: u64) {
    for turn in 0.. {
        let (page, vcpu) = (shared.page.load(Ordering::SeqCst), shared.vcpu.load(Ordering::SeqCst));
        if page == 0 {
            break;
        }
        change(&mut random, page, vcpu, ticks_us);
        if turn % CHANGES_TO_KICK == 0 {
            // An operation of the batch may have closed it: the other thread then makes all anew.
            let _ = call(shared.event.load(Ordering::SeqCst), EventSignal::default());
        }
    }
    shared.ended.store(1, Ordering::SeqCst);
}

/// A vCPU whose pages are scribbled over from now on, and which can be kicked.
fn prepare(start: &Start, shared: &Shared) -> Result<u64, Status> {
    let system = start.handle("system").ok_or(Status::BadHandle)?;
    let machine = Machine::new(system, 0, GUEST)?;
    let event = Event::try_new()?;
    call(event.0, EventBindVcpu { vcpu: machine.vcpu, bit: 8 })?;
    shared.vcpu.store(machine.vcpu, Ordering::SeqCst);
    shared.event.store(event.0, Ordering::SeqCst);
    shared.page.store(machine.page as u64, Ordering::SeqCst);
    Ok(u64::from(machine.vcpu))
}

/// The child: runs the vCPU again and again. Ends with 0, with 3 for an answer that is none, or by its own
/// doing.
pub fn victim(start: &Start) -> u32 {
    let number = |name| child::number(start, name);
    let (ticks_us, shared) = (number("ticks"), Arc::new(Shared::default()));
    let Ok(mut vcpu) = prepare(start, &shared) else { return 1 };
    let (random, theirs) = (Random::new(number("seed")), shared.clone());
    let scribbler = thread::spawn(number("cpu") as u32, 1, move || scribble(random, &theirs, ticks_us));
    if scribbler.is_err() {
        return 2;
    }
    let (end, mut ran) = (syscall::tsc() + ticks_us * TIME_US, 0);
    while syscall::tsc() < end {
        // SAFETY: what the kernel writes is the run page, and what the operations made by `fuzz` name.
        let (status, _) = unsafe { syscall::raw_run(vcpu) };
        match Status::from_code(status as i32) {
            None => return 3,
            Some(Status::Ok) => ran += 1,
            // An operation has closed the vCPU.
            Some(Status::BadHandle | Status::WrongState) => vcpu = prepare(start, &shared).unwrap_or(vcpu),
            Some(_) => {}
        }
    }
    shared.page.store(0, Ordering::SeqCst);
    while shared.ended.load(Ordering::SeqCst) == 0 {
        syscall::yield_now();
    }
    if ran > 0 { 0 } else { NO_RUN }
}

/// Children with seeds of their own. One may be ended by an operation that the second thread has put
/// together; not all may.
pub fn test(suite: &mut Suite<'_>) {
    if suite.cpus < 2 {
        return;
    }
    let [first, count] = SETTINGS.map(|name| child::number(suite.start, name));
    let (count, mut whole) = (if count == 0 { CHILDREN } else { count }, 0);
    for seed in first..first + count {
        let run = || {
            let rights = Rights::READ | Rights::CREATE;
            let child = Child::new(suite, "page-race")?.grant("system", suite.system, rights)?;
            let child = child.set("seed", seed).set("ticks", suite.ticks_us).set("cpu", suite.cpus - 1);
            child.start(0, 1)?.join(suite)
        };
        let code = run().map(|state| state.code);
        whole += u32::from(code == Ok(0));
        // On a busy host two seconds may be too short for a run to come to its end.
        let answered = !matches!(code, Err(_) | Ok(1..NO_RUN));
        suite.check(answered, format_args!("pages changed during runs, seed {seed}: {code:x?}"));
    }
    suite.check(whole > 1, format_args!("children that ran to their end: {whole}"));
    log::info!("abi-test: page race: seeds from {first}, {count} of them, {whole} to their end");
}
