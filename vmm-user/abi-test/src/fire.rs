//! Revocation under fire: one thread protects guest memory, takes it out and puts it back while a vCPU on
//! every processor writes all of it without end. When a call has come back, nobody writes there any more.
//!
//! It goes on for `seconds`, as the process is told; two, if it is not.
#![allow(unsafe_code, reason = "guest memory and run pages at addresses of our choice")]

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use runtime::abi::exit::reason;
use runtime::abi::operation::{Handle, MemoryMap, Permissions, VcpuCreate};
use runtime::abi::registers::Groups;
use runtime::abi::run_page::RunPage;
use runtime::abi::status::Status;
use runtime::{call, heap, process, syscall, thread};

use crate::child;
use crate::random::Random;
use crate::revocation::{LARGE, flat, map, protect, region, unmap};
use crate::suite::Suite;
use crate::vm::Machine;

/// The name of the setting that says how long it goes on, and how long otherwise.
pub const SETTING: &str = "seconds";
const SECONDS: u64 = 2;
/// That of this process's first thread, which yields to the others.
const PRIORITY: u32 = 2;
const PAGE: u64 = 4096;
const REGION: u64 = 2 * LARGE;
const PAGES: u64 = REGION / PAGE;
/// How far apart what two vCPUs write in a page is.
const STRIDE: u64 = 64;
const VCPUS_MAX: u64 = PAGE / STRIDE;

/// Counts up the word at the start of each page behind DS:0, for ever.
const GUEST: &[u8] = &[
    0x66, 0x31, 0xff, // xor edi, edi
    0x67, 0x66, 0xff, 0x07, // inc dword [edi]
    0x66, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, // add edi, 1000h
    0x66, 0x81, 0xff, 0x00, 0x00, 0x40, 0x00, // cmp edi, 400000h
    0x72, 0xec, // jb to the inc
    0xeb, 0xe7, // jmp to the start
];
const _: () = assert!(REGION == 0x40_0000);

/// What the threads share.
#[derive(Default)]
struct Shared {
    stop: AtomicU32,
    running: AtomicU32,
    /// Exits because of memory that was taken.
    touched: AtomicU64,
    /// Exits that should not have been, and runs that failed.
    wrong: AtomicU64,
}

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let seconds = suite.start.setting(SETTING).map_or(SECONDS, |_| child::number(suite.start, SETTING));
    let outcome = run(suite, seconds);
    match outcome {
        Ok(outcome) => {
            let Outcome { rounds, late, touched, wrong, still } = outcome;
            log::info!("fire: {rounds} rounds in {seconds} s, {touched} exits of {} vCPUs", suite.cpus);
            suite.check(late == 0, format_args!("writes after memory was taken: {late}"));
            suite.check(wrong == 0, format_args!("exits of another kind: {wrong}"));
            suite.check(still == 0, format_args!("vCPUs that wrote nothing: {still}"));
            suite.check(rounds > 2 && touched > 0, format_args!("{rounds} rounds, {touched} exits"));
        }
        Err(status) => suite.check(false, format_args!("a VM under fire: {status:?}")),
    }
}

/// What came of it.
struct Outcome {
    rounds: u64,
    late: u64,
    touched: u64,
    wrong: u64,
    still: u64,
}

/// Has a vCPU run until it is told to stop.
fn fire(shared: &Shared, machine: &Machine, gpa: u64, ticks_us: u64) {
    while shared.stop.load(Ordering::SeqCst) == 0 {
        match machine.run(syscall::tsc() + 20_000 * ticks_us) {
            Ok(reason::DEADLINE) => {}
            // SAFETY: the run page is ours while the vCPU does not run.
            Ok(reason::MEMORY) if unsafe { (*machine.page).exit.gpa }.wrapping_sub(gpa) < REGION => {
                shared.touched.fetch_add(1, Ordering::Relaxed);
            }
            _ => {
                shared.wrong.fetch_add(1, Ordering::Relaxed);
                break;
            }
        }
    }
    shared.running.fetch_sub(1, Ordering::SeqCst);
}

/// Starts a vCPU on a processor.
fn start(suite: &Suite<'_>, shared: &Arc<Shared>, first: &Machine, cpu: u32, gpa: u64) -> Result<(), Status> {
    let machine = if cpu == 0 {
        Machine { ..*first }
    } else {
        let address = heap::reserve(8192).ok_or(Status::Exhausted)?;
        let vcpu = call(first.vm, VcpuCreate { address, cpu, handle: 0 })?.handle;
        // SAFETY: both run pages are mapped, and neither vCPU runs.
        unsafe { (address as *mut RunPage).copy_from_nonoverlapping(first.page, 1) };
        Machine { vm: first.vm, vcpu, page: address as *mut RunPage, text: first.text }
    };
    // SAFETY: as above.
    unsafe {
        (*machine.page).segments.ds = flat(gpa + u64::from(cpu) * STRIDE);
        (*machine.page).dirty |= (Groups::GENERAL | Groups::SYSTEM | Groups::SEGMENTS).bits();
    }
    let (vcpu, vm, page, text) = (machine.vcpu, machine.vm, machine.page as u64, machine.text);
    let ticks_us = suite.ticks_us;
    let shared = shared.clone();
    shared.running.fetch_add(1, Ordering::SeqCst);
    thread::spawn(cpu, PRIORITY, move || {
        fire(&shared, &Machine { vm, vcpu, page: page as *mut RunPage, text }, gpa, ticks_us);
    })
}

/// What the vCPUs have written in a range of pages, as one number: the words only count up.
fn written(address: u64, pages: core::ops::Range<u64>, vcpus: u64) -> u64 {
    let words = pages.flat_map(|page| (0..vcpus).map(move |vcpu| page * PAGE + vcpu * STRIDE));
    // SAFETY: the region is mapped at the address; aligned words.
    words.map(|offset| u64::from(unsafe { ((address + offset) as *const u32).read_volatile() })).sum()
}

/// One round: takes something away, sees that it is not written any more, and gives it back. Returns whether
/// it was written.
fn round(
    random: &mut Random,
    vm: Handle,
    memory: Handle,
    gpa: u64,
    address: u64,
    vcpus: u64,
) -> Result<bool, Status> {
    let first = random.next() % PAGES;
    let longest = PAGES - first;
    let count = 1 + random.next() % random.pick(&[1, 16, longest, longest]).min(longest);
    let (start, bytes) = (gpa + first * PAGE, count * PAGE);
    let taken = random.below(2) == 0;
    if taken {
        unmap(vm, start, bytes)?;
    } else {
        let permissions = if random.below(2) == 0 { Permissions::READ } else { Permissions::empty() };
        protect(vm, start, bytes, permissions)?;
    }
    let before = written(address, first..first + count, vcpus);
    // Others run meanwhile: on this processor at least sometimes.
    if vcpus == 1 || random.below(4) == 0 {
        syscall::yield_now();
    }
    // Without PAUSE, at which an emulator with one thread for all processors lets the next run for its turn
    // of 100 milliseconds.
    (0..random.below(1000)).for_each(|step| _ = core::hint::black_box(step));
    let after = written(address, first..first + count, vcpus);
    if taken {
        map(vm, memory, start, bytes)?;
    } else {
        protect(vm, start, bytes, Permissions::all())?;
    }
    if random.below(4) == 0 {
        syscall::yield_now();
    }
    Ok(before != after)
}

fn run(suite: &Suite<'_>, seconds: u64) -> Result<Outcome, Status> {
    let first = Machine::new(suite.system, 0, GUEST)?;
    let gpa = region(suite.memory, REGION)?;
    let address = heap::reserve(REGION).ok_or(Status::Exhausted)?;
    call(suite.memory, MemoryMap { address, gpa, bytes: REGION })?;
    // SAFETY: just mapped.
    unsafe { (address as *mut u8).write_bytes(0, REGION as usize) };
    map(first.vm, suite.memory, gpa, REGION)?;
    let shared = Arc::new(Shared::default());
    let vcpus = u64::from(suite.cpus).min(VCPUS_MAX);
    // The first one's run page is what the others' are copied from.
    (0..vcpus as u32).rev().try_for_each(|cpu| start(suite, &shared, &first, cpu, gpa))?;
    let (mut random, end) = (Random::new(seconds), suite.in_us(seconds * 1_000_000));
    let (mut rounds, mut late) = (0, 0);
    while rounds < 3 || syscall::tsc() < end {
        late += u64::from(round(&mut random, first.vm, suite.memory, gpa, address, vcpus)?);
        rounds += 1;
    }
    shared.stop.store(1, Ordering::SeqCst);
    while shared.running.load(Ordering::SeqCst) > 0 {
        syscall::yield_now();
    }
    let counts: Vec<u64> = (0..vcpus).map(|vcpu| written(address + vcpu * STRIDE, 0..PAGES, 1)).collect();
    process::close(first.vm)?;
    Ok(Outcome {
        rounds,
        late,
        touched: shared.touched.load(Ordering::Relaxed),
        wrong: shared.wrong.load(Ordering::Relaxed),
        still: counts.iter().filter(|count| **count == 0).count() as u64,
    })
}
