//! Pointers, lengths, counts and flags that are wrong.
#![allow(unsafe_code, reason = "calls with addresses that are not ours")]

use runtime::abi::operation::{
    BATCH_MAX, Call, EventSignal, EventWait, FLAG_CONTINUE, FileRead, FilesOpen, HANDLE_SELF, LogWrite,
    MemoryMap, MemoryRange, Operation, PortRead, ProcessAllocate, SystemCpuid, SystemEnd, SystemHandled,
    SystemInfo, SystemPorts, ThreadCreate, end_reason,
};
use runtime::abi::status::Status;
use runtime::abi::syscall::SYS_BATCH;
use runtime::event::Event;
use runtime::{call, heap, process, syscall};

use crate::suite::Suite;

static READ_ONLY: [u64; 8] = [0; 8];

/// Addresses that are not a process's to use: null, low, unmapped, last page, beyond, non-canonical, the
/// kernel's, wrapping.
pub const BAD: [u64; 14] = [
    0,
    1,
    0xfff,
    0x1000,
    0xffff,
    0x7000_0000_0000,
    0x7fff_ffff_efc1,
    0x7fff_ffff_f000,
    0x8000_0000_0000,
    0x8000_0000_0000_0000,
    0xffff_7fff_ffff_ffff,
    0xffff_fe00_0000_0000,
    0xffff_ffff_8000_0000,
    u64::MAX - 31,
];

fn raw_batch(address: u64, count: u64) -> (Status, u64) {
    // SAFETY: the kernel refuses what is not ours; where it is ours, the operation there is harmless.
    let (status, index) = unsafe { syscall::raw(SYS_BATCH, address, count) };
    (Status::from_code(status as i32).unwrap_or(Status::HostFault), index)
}

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    batches(suite);
    pointers(suite);
    numbers(suite);
    flags(suite);
    ports(suite);
}

/// Windows onto the host's ports: neither past the last one nor of what the kernel keeps.
fn ports(suite: &mut Suite<'_>) {
    for (first, count, status) in [
        (0xf4, 0, Status::BadArgument),
        (0xffff, 2, Status::BadArgument),
        (u32::MAX, 2, Status::BadArgument),
        (0, 0x1_0000, Status::NoRight),
        (0xcf8, 8, Status::NoRight),
        (0x3f, 2, Status::NoRight),
    ] {
        let answer = call(suite.system, SystemPorts { first, count, ..SystemPorts::default() });
        suite.expect(answer, status, format_args!("{count:#x} ports from {first:#x}"));
    }
    let made = call(suite.system, SystemPorts { first: 0xf5, count: 2, ..SystemPorts::default() });
    let Ok(SystemPorts { handle, .. }) = made else {
        return suite.check(false, format_args!("two ports: {made:?}"));
    };
    for (offset, width, status) in [
        (1, 1, Status::Ok),
        (0, 2, Status::Ok),
        (1, 2, Status::BadArgument),
        (2, 1, Status::BadArgument),
        (u32::MAX, 1, Status::BadArgument),
    ] {
        let answer = call(handle, PortRead { offset, width, value: 0, reserved: 0 });
        suite.expect(answer, status, format_args!("{width} bytes at {offset:#x} of two ports"));
    }
    suite.expect(process::close(handle), Status::Ok, format_args!("closing two ports"));
}

fn batches(suite: &mut Suite<'_>) {
    for address in BAD {
        let answer = raw_batch(address, 1);
        suite.check(answer == (Status::BadPointer, 0), format_args!("a batch at {address:#x}: {answer:?}"));
    }
    let info = [SystemInfo::default().on(suite.system); BATCH_MAX];
    for count in [0, BATCH_MAX as u64 + 1, 1 << 16, 1 << 32, (1 << 58) + 1, 1 << 63, u64::MAX] {
        let answer = raw_batch(info.as_ptr() as u64, count);
        suite.check(answer == (Status::BadArgument, 0), format_args!("a batch of {count:#x}: {answer:?}"));
    }
    let answer = raw_batch((&raw const READ_ONLY) as u64, 1);
    suite.check(answer.0 == Status::BadPointer, format_args!("a batch in read-only memory: {answer:?}"));
    let text = raw_batch((batches as *const () as u64) & !63, 1);
    suite.check(text.0 == Status::BadPointer, format_args!("a batch in text: {text:?}"));
    // The page behind this one stays unmapped.
    let page = heap::pages(4096).zip(heap::reserve(4096)).map_or(0, |(page, _)| page);
    let last = page + 4096 - 64;
    // SAFETY: within the page just allocated.
    unsafe { (last as *mut Operation).write(SystemInfo::default().on(suite.system)) };
    let answer = raw_batch(last, 2);
    suite.check(answer == (Status::BadPointer, 1), format_args!("a batch over a page's end: {answer:?}"));
    let answer = raw_batch(last + 8, 1);
    suite
        .check(answer == (Status::BadPointer, 0), format_args!("an operation over a page's end: {answer:?}"));
    let mut full = info;
    let answer = syscall::batch(&mut full);
    let done = full.iter().filter(|o| o.status == 0 && o.payload != [0; 48]).count();
    suite.check(answer == Ok(()) && done == BATCH_MAX, format_args!("a full batch: {answer:?}, {done}"));
}

fn pointers(suite: &mut Suite<'_>) {
    let log = suite.start.handle("log").unwrap_or(0);
    let file = process::open(suite.files, "abi-test").unwrap_or(0);
    let text = pointers as *const () as u64;
    for address in BAD {
        let what = format_args!("at {address:#x}");
        let write = LogWrite { address, bytes: 32, level: 4, reserved: 0 };
        suite.expect(call(log, write), Status::BadPointer, what);
        let open = FilesOpen { name: address, name_bytes: 4, handle: 0, reserved: 0 };
        suite.expect(call(suite.files, open), Status::BadPointer, what);
        suite.expect(call(file, FileRead { offset: 0, address, bytes: 64 }), Status::BadPointer, what);
    }
    suite.expect(
        call(file, FileRead { offset: 0, address: text, bytes: 64 }),
        Status::BadPointer,
        format_args!("reading a file over the program"),
    );
    let mut buffer = [0u8; 64];
    let address = buffer.as_mut_ptr() as u64;
    let info = process::info(file).map(|info| (info.bytes > 0x1_0000, info.gpa, info.kind));
    suite.check(info == Ok((true, 0, 1)), format_args!("what is known of a file: {info:?}"));
    for offset in [1 << 40, u64::MAX, u64::MAX - 63] {
        let answer = call(file, FileRead { offset, address, bytes: 64 }).map(|r| r.bytes);
        suite.check(answer == Ok(0), format_args!("reading behind a file's end: {answer:?}"));
    }
    // What is no letter is shown as something else.
    let letters = *b"log: \0\x1b\n\x7f\x80\xc3\xff";
    let write =
        LogWrite { address: letters.as_ptr() as u64, bytes: letters.len() as u64, level: 4, reserved: 0 };
    suite.expect(call(log, write), Status::Ok, format_args!("logging what is no text"));
    for level in [0, 5, u32::MAX] {
        let write = LogWrite { address, bytes: 4, level, reserved: 0 };
        suite.expect(call(log, write), Status::BadArgument, format_args!("log level {level}"));
    }
    suite.expect(process::close(file), Status::Ok, format_args!("closing the file"));
    suite.expect(process::open(suite.files, "no such file"), Status::NotFound, format_args!("no such file"));
}

fn numbers(suite: &mut Suite<'_>) {
    for (address, bytes, status) in [
        (0, 4096, Status::BadArgument),
        (0xf000, 4096, Status::BadArgument),
        (0x5000_0001, 4096, Status::BadArgument),
        (0x5000_0000, 0, Status::BadArgument),
        (0x5000_0000, 1, Status::BadArgument),
        (0x5000_0000, u64::MAX, Status::BadArgument),
        (0x5000_0000, 1 << 40, Status::BadArgument),
        (0x7fff_ffff_f000, 4096, Status::BadArgument),
        (0xffff_fe00_0000_0000, 4096, Status::BadArgument),
        (u64::MAX - 4095, 4096, Status::BadArgument),
        (0x40_0000, 4096, Status::Overlap),
    ] {
        let answer = call(HANDLE_SELF, ProcessAllocate { address, bytes });
        suite.expect(answer, status, format_args!("allocating {bytes:#x} at {address:#x}"));
    }
    for (gpa, bytes) in
        [(0x800_0000, 4096), (1 << 50, 4096), (0, u64::MAX), (0, 0), (u64::MAX, 2), (0xa_0000, 4096)]
    {
        let answer = call(suite.memory, MemoryMap { address: 0x6000_0000_0000, gpa, bytes });
        suite.expect(answer, Status::NotFound, format_args!("mapping {bytes:#x} at {gpa:#x}"));
    }
    let unaligned = MemoryMap { address: 0x6000_0000_0000, gpa: 0x10_0800, bytes: 4096 };
    suite.expect(call(suite.memory, unaligned), Status::BadArgument, format_args!("mapping half a page"));
    for index in [1 << 20, u64::MAX] {
        let answer = call(suite.memory, MemoryRange { index, gpa: 0, bytes: 0 });
        suite.expect(answer, Status::NotFound, format_args!("range {index}"));
    }
    for (entry, stack, cpu, priority, status) in [
        (0, 0x5000_0000, 0, 0, Status::BadPointer),
        (0x40_0000, 0, 0, 0, Status::BadPointer),
        (0xffff_ffff_8000_0000, 0x5000_0000, 0, 0, Status::BadPointer),
        (0x8000_0000_0000, 0x5000_0000, 0, 0, Status::BadPointer),
        (0x40_0000, 0xffff_fe00_0000_0000, 0, 0, Status::BadPointer),
        (0x40_0000, 0x5000_0000, 4000, 0, Status::BadArgument),
        (0x40_0000, 0x5000_0000, 0, 3, Status::BadArgument),
        (0x40_0000, 0x5000_0000, 0, u32::MAX, Status::BadArgument),
    ] {
        let answer = call(HANDLE_SELF, ThreadCreate { entry, stack, argument: 0, cpu, priority });
        suite.expect(answer, status, format_args!("a thread at {entry:#x}"));
    }
    for reason in [end_reason::END, u32::MAX, 1 << 31] {
        let answer = call(suite.system, SystemEnd { reason, reserved: 0 });
        suite.expect(answer, Status::BadArgument, format_args!("ending for reason {reason}"));
    }
    for index in [2, 1000, u32::MAX] {
        let answer = call(suite.system, SystemHandled { index, reserved: 0, count: 0 });
        suite.expect(answer, Status::NotFound, format_args!("what was handled, {index}"));
    }
    for eax in [0, 0xd, 0x4000_0000, 0x8000_0000, u32::MAX] {
        let answer = call(suite.system, SystemCpuid { eax, ebx: 0, ecx: u32::MAX, edx: 0 });
        suite.expect(answer, Status::Ok, format_args!("CPUID {eax:#x}"));
    }
}

fn flags(suite: &mut Suite<'_>) {
    let Ok(event) = Event::try_new() else { return suite.check(false, format_args!("an event")) };
    let good = EventSignal::default().on(event.0);
    let bad = EventWait { deadline_tsc: 0 }.on(95);
    for flags in [2, 1 << 16, 1 << 31, u32::MAX, u32::MAX - 1] {
        let mut batch = [Operation { flags, ..good }];
        let answer = syscall::batch(&mut batch);
        let refused =
            batch[0].status == Status::BadArgument as i32 && answer.is_ok() == (flags & FLAG_CONTINUE != 0);
        suite.check(refused, format_args!("flags {flags:#x}: {answer:?}"));
    }
    let mut stops = [good, bad, good];
    stops[2].status = 77;
    let answer = syscall::batch(&mut stops);
    suite.check(answer == Err((Status::BadHandle, 1)), format_args!("a batch with a failure: {answer:?}"));
    suite.check(stops[2].status == 77, format_args!("what follows a failure is not executed"));
    let mut goes_on = [good, Operation { flags: FLAG_CONTINUE, ..bad }, good];
    let answer = syscall::batch(&mut goes_on);
    suite.check(answer == Ok(()), format_args!("a batch that goes on: {answer:?}"));
    suite.check(goes_on[1].status == Status::BadHandle as i32, format_args!("its failure is told"));
    suite.expect(process::close(event.0), Status::Ok, format_args!("closing the event"));
}
