//! Every operation with payloads by chance, and operations that are bytes by chance: a status, or the
//! caller's death.
#![allow(unsafe_code, reason = "operations with addresses by chance")]

use alloc::vec::Vec;

use runtime::abi::operation::{
    BATCH_MAX, Call, EventWait, HANDLE_SELF, Handle, OPERATIONS, Operation, ProcessCreate, ProcessEnd,
    Rights, ThreadCreate, VcpuRun,
};
use runtime::abi::status::Status;
use runtime::abi::syscall::{SYS_BATCH, SYS_THREAD_EXIT, exit_code};
use runtime::channel::Endpoint;
use runtime::entry::PANIC_EXIT;
use runtime::event::Event;
use runtime::host_function::HostFunction;
use runtime::shared::SharedMemory;
use runtime::{Start, heap, process, syscall};

use crate::child::{self, Child};
use crate::pci;
use crate::random::Random;
use crate::reserved;
use crate::suite::Suite;
use crate::vm::Machine;

mod messages;

const CHILDREN: u64 = 24;
const BATCHES: u64 = 300;

/// What an operation by chance may name.
pub struct Known<'a> {
    /// Handles.
    pub handles: &'a [Handle],
    /// Memory of ours, a page.
    pub buffer: u64,
}

extern "C" fn thread_ends() -> ! {
    loop {
        // SAFETY: touches no memory.
        unsafe { syscall::raw(SYS_THREAD_EXIT, 0, 0) };
    }
}

/// A word that means something to somebody.
fn word(random: &mut Random, known: &Known<'_>) -> u64 {
    match random.below(12) {
        0 => 0,
        1 => random.next() % 256,
        2 => u64::MAX - random.next() % 4096,
        3 => known.buffer + random.next() % 4096,
        4 => known.buffer,
        5 => (random.next() % (1 << 35)) & !4095,
        6 => 4096 * (1 + random.next() % 64),
        7 => 0xffff_fe00_0000_0000 + random.next() % (1 << 38),
        8 => 0x7fff_ffff_0000 + random.next() % (1 << 17),
        9 => 1 << random.below(64),
        10 => u64::from(random.pick(known.handles)) | (random.next() % 16) << 32,
        _ => random.next(),
    }
}

/// An operation by chance that does not wait for ever.
pub fn operation(random: &mut Random, known: &Known<'_>) -> Operation {
    let which = random.below(OPERATIONS.len());
    let (code, _) = OPERATIONS.get(which).copied().unwrap_or_default();
    let mut operation =
        Operation { code, flags: 0, handle: random.pick(known.handles), status: 0, payload: [0; 48] };
    for chunk in operation.payload.chunks_exact_mut(8) {
        chunk.copy_from_slice(&word(random, known).to_le_bytes());
    }
    // Mostly zero, or little would get farther than that.
    if random.below(16) > 0 {
        reserved::set(&mut operation, which, 0);
    }
    match random.below(16) {
        0 => operation.flags = random.next() as u32,
        1..=4 => operation.flags = 1,
        5 => operation.handle = random.next() as u32,
        6 => operation.code = ((random.next() as u32 % 17) << 16) + random.next() as u32 % 16,
        7 => operation.code = random.next() as u32,
        _ => {}
    }
    tame(random, known, &mut operation);
    operation
}

/// Takes out what by design never comes back, or would end the test before its time.
fn tame(random: &mut Random, known: &Known<'_>, operation: &mut Operation) {
    let set = |payload: &mut [u8], at: usize, value: u64| {
        payload.iter_mut().skip(at).zip(value.to_le_bytes()).for_each(|(to, from)| *to = from);
    };
    match operation.code {
        EventWait::CODE => {
            let soon = syscall::tsc() + random.next() % 100_000;
            set(&mut operation.payload, 0, random.pick(&[0, 1, soon]));
        }
        // A thread by chance faults, which ends all; mostly it may just end.
        ThreadCreate::CODE if random.below(8) > 0 => {
            set(&mut operation.payload, 0, thread_ends as *const () as u64);
            set(&mut operation.payload, 8, known.buffer.wrapping_add(4088));
        }
        // Its death would have another code.
        ProcessEnd::CODE => operation.handle = 0,
        // Without a deadline in the run page; run-page tests have one.
        VcpuRun::CODE => operation.handle = HANDLE_SELF,
        _ => {}
    }
}

/// Handles to one of each kind of what a process makes: as many as there is room and budget for.
fn objects(system: Handle) -> Vec<Handle> {
    let mut handles = Vec::new();
    if let Ok(machine) = Machine::new(system, 0, &[0xf4]) {
        handles.extend([machine.vm, machine.vcpu]);
    }
    handles.extend(core::iter::repeat_with(Event::try_new).take(3).filter_map(|e| Some(e.ok()?.0)));
    handles.extend(SharedMemory::try_new(8192).map(|shared| shared.0));
    if let Ok(endpoint) = Endpoint::try_new() {
        handles.push(endpoint.0);
        handles.extend((1..3).filter_map(|key| Some(endpoint.channel(key).ok()?.0)));
    }
    handles
}

/// The child: batches and calls by chance. Ends with 0, with 3 for an answer that is no status, or by its
/// own doing.
pub fn victim(start: &Start) -> u32 {
    let mut random = Random::new(child::number(start, "seed"));
    let mut handles: Vec<Handle> = start.handles().iter().map(|(_, h)| *h).collect();
    let Some(system) = start.handle("system") else { return 1 };
    let limit = syscall::tsc() + child::number(start, "limit");
    handles.extend(objects(system));
    handles.extend([HANDLE_SELF, HANDLE_SELF, 0, 5, 95]);
    // The other child may have all memory, until it ends.
    let mut buffer = heap::pages(4096);
    while buffer.is_none() && syscall::tsc() < limit {
        syscall::yield_now();
        buffer = heap::pages(4096);
    }
    let Some(buffer) = buffer else { return 2 };
    let known = Known { handles: &handles, buffer };
    if messages::begin_second(&handles, buffer, child::number(start, "seed")).is_err() {
        return 4;
    }
    for _ in 0..BATCHES {
        if !messages::pass(&mut random, &known) {
            return 3;
        }
        let most = random.pick(&[4, 4, 4, BATCH_MAX]);
        let count = 1 + random.below(most);
        let mut batch: Vec<Operation> = (0..count).map(|_| operation(&mut random, &known)).collect();
        // SAFETY: the operations name the buffer, or memory that may well be this program's: then it ends,
        // which is fine.
        let (status, index) = unsafe { syscall::raw(SYS_BATCH, batch.as_mut_ptr() as u64, count as u64) };
        let known_status = Status::from_code(status as i32).is_some();
        if !known_status || index > count as u64 {
            return 3;
        }
    }
    let _ = ProcessCreate::CODE;
    0
}

fn begin(suite: &Suite<'_>, seed: u64, function: Option<HostFunction>) -> Result<Child, Status> {
    let mut child = Child::new(suite, "fuzz")?.set("seed", seed).set("limit", suite.ticks_us * 20_000_000);
    for (name, rights) in [
        ("system", Rights::READ | Rights::CREATE),
        ("log", Rights::READ),
        ("files", Rights::all() - Rights::GRANT),
        ("guest-memory", Rights::READ | Rights::MAP),
        ("serial-ports", Rights::READ),
        ("serial-interrupt", Rights::WAIT),
        ("host-pci", Rights::READ | Rights::CREATE),
    ] {
        let source = suite.start.handle(name).ok_or(Status::NotFound)?;
        child = child.grant(name, source, rights)?;
    }
    // Not its registers: by chance a device would be told to write anywhere.
    let child = match function {
        Some(function) => child.grant("function", function.0, Rights::all() - Rights::MAP - Rights::GRANT)?,
        None => child,
    };
    let file = process::open(suite.files, "abi-test")?;
    let child = child.grant("file", file, Rights::READ | Rights::RUN)?;
    process::close(file)?;
    child.start(seed as u32 % suite.cpus, 1)
}

/// Children with seeds of their own, two at a time.
pub fn test(suite: &mut Suite<'_>) {
    let mut whole = 0;
    let functions = [0, 1].map(|index| pci::claim(suite.start, index).ok());
    suite.check(functions.iter().all(Option::is_some), format_args!("a function for each child"));
    let [first, second] = functions;
    for seed in (0..CHILDREN).step_by(2) {
        let children = [begin(suite, seed, first), begin(suite, seed + 1, second)];
        for (index, child) in children.into_iter().enumerate() {
            let code = child.and_then(|c| c.join(suite)).map(|s| s.code);
            // Files that it has read over its own stack make it fault, or panic.
            let fine =
                matches!(code, Ok(0 | PANIC_EXIT)) || matches!(code, Ok(c) if c & exit_code::FAULT != 0);
            whole += u32::from(code == Ok(0));
            suite.check(fine, format_args!("operations by chance, seed {}: {code:x?}", seed + index as u64));
        }
    }
    suite.check(whole > CHILDREN as u32 / 4, format_args!("{whole} of {CHILDREN} did all their operations"));
}
