//! Functions of the host's PCI bus: what of them may be claimed, mapped and bound, and what is left of one
//! when its driver has ended. The machine has two virtio entropy devices.

use runtime::abi::operation::{
    FunctionAllocate, FunctionBind, FunctionEnable, FunctionMap, FunctionRead, Handle, MemoryRange, PciBars,
    PciClaim, PciRead, Rights,
};
use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::host_function::HostFunction;
use runtime::{Start, call, heap, process};

use crate::child::Child;
use crate::suite::Suite;

pub mod budgets;
mod entropy;

const PAGE: u64 = 4096;
/// Vendor and device of an entropy device (virtio 1.2, 4.1.2 and 5.4).
const ENTROPY: u32 = 0x1044_1af4;
/// Where BARs may be placed (docs/abi.md).
const WINDOW: core::ops::Range<u32> = 0xf000_0000..0xfec0_0000;
/// Which of its BARs have the table of messages and the registers.
const TABLE_BAR: u32 = 1;
const REGISTER_BAR: u32 = 4;

/// Reads configuration space.
fn read(pci: Handle, function: u32, offset: u32) -> Result<u32, Status> {
    call(pci, PciRead { function, offset, value: 0, reserved: 0 }).map(|read| read.value)
}

fn sizes(pci: Handle, function: u32) -> Result<[u32; 6], Status> {
    let bars = call(pci, PciBars { function, ..PciBars::default() })?;
    Ok([bars.bytes0, bars.bytes1, bars.bytes2, bars.bytes3, bars.bytes4, bars.bytes5])
}

fn claim_at(pci: Handle, function: u32, places: [u32; 6]) -> Result<HostFunction, Status> {
    let [bar0, bar1, bar2, bar3, bar4, bar5] = places;
    call(pci, PciClaim { function, handle: 0, bar0, bar1, bar2, bar3, bar4, bar5 })
        .map(|claimed| HostFunction(claimed.handle))
}

/// The entropy device with this index.
fn entropy_device(pci: Handle, index: usize) -> Result<u32, Status> {
    (0..=0xff).filter(|function| read(pci, *function, 0) == Ok(ENTROPY)).nth(index).ok_or(Status::NotFound)
}

/// Places for BARs of these sizes, one behind the other.
fn places_from(start: u32, sizes: [u32; 6]) -> [u32; 6] {
    let mut next = start;
    sizes.map(|bytes| {
        let place = next.next_multiple_of(bytes.max(PAGE as u32));
        next = if bytes == 0 { next } else { place + bytes.max(PAGE as u32) };
        if bytes == 0 { 0 } else { place }
    })
}

/// Where the BARs of the device with this index go.
fn start_of(index: usize) -> u32 {
    WINDOW.start + index as u32 * 0x10_0000
}

/// Claims the entropy device with this index.
pub fn claim(start: &Start, index: usize) -> Result<HostFunction, Status> {
    let pci = start.handle("host-pci").ok_or(Status::NotFound)?;
    let function = entropy_device(pci, index)?;
    claim_at(pci, function, places_from(start_of(index), sizes(pci, function)?))
}

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let Some(pci) = suite.start.handle("host-pci") else {
        return suite.check(false, format_args!("no PCI bus"));
    };
    let devices = (entropy_device(pci, 0), entropy_device(pci, 1));
    let (Ok(first), Ok(second)) = devices else {
        return suite.check(false, format_args!("two entropy devices: {devices:?}"));
    };
    configuration(suite, pci, first);
    let claimed = claims(suite, pci, first, second);
    match claimed {
        Ok(function) => {
            registers(suite, function);
            messages(suite, function);
            memory(suite, function);
            budgets::test(suite, pci, function, second);
            let random = entropy::test(suite, function);
            suite.check(random == Ok(()), format_args!("random bytes of a device: {random:?}"));
            suite.expect(process::close(function.0), Status::Ok, format_args!("closing a function"));
            // Registers and memory of it are mapped: it stays claimed.
            suite.expect(sizes(pci, first), Status::WrongState, format_args!("a function that is mapped"));
        }
        Err(status) => suite.check(false, format_args!("claiming a function: {status:?}")),
    }
    let left = after_its_driver(suite, pci, second);
    suite.check(left == Ok(()), format_args!("a function whose driver ended: {left:?}"));
    // One that has nothing mapped but memory stays claimed as well; one that has nothing does not.
    for bytes in [0, PAGE] {
        let closed = claim(suite.start, 1).and_then(|function| {
            if bytes > 0 {
                function.allocate(bytes)?;
            }
            process::close(function.0)
        });
        suite.expect(closed, Status::Ok, format_args!("a claim that is closed"));
        let expected = if bytes == 0 { Status::Ok } else { Status::WrongState };
        suite.expect(sizes(pci, second), expected, format_args!("a function whose handle is closed"));
    }
}

fn configuration(suite: &mut Suite<'_>, pci: Handle, function: u32) {
    for (function, offset, expected) in [
        (function, 2, Status::BadArgument),
        (function, 256, Status::BadArgument),
        (function, u32::MAX - 3, Status::BadArgument),
        (256, 0, Status::NotFound),
        (u32::MAX, 0, Status::NotFound),
        (0xf8, 0, Status::Ok),
    ] {
        let what = format_args!("configuration space of {function:#x} at {offset:#x}");
        suite.expect(read(pci, function, offset), expected, what);
    }
    // 1Fh.7 is nobody's, 0.0 is the host bridge.
    suite.check(read(pci, 0xff, 0) == Ok(u32::MAX), format_args!("a function that is not there"));
    for (function, expected) in [(0xff, Status::NotFound), (256, Status::NotFound), (0, Status::BadArgument)]
    {
        suite.expect(sizes(pci, function), expected, format_args!("BARs of {function:#x}"));
        let claimed = claim_at(pci, function, [0; 6]);
        suite.expect(claimed, expected, format_args!("claiming {function:#x}"));
    }
    let (before, bars) = (read(pci, function, 4), read(pci, function, 0x20));
    let found = sizes(pci, function);
    let expected = Ok([0, 0x1000, 0, 0, 0x4000, 0]);
    suite.check(found == expected, format_args!("the BARs of an entropy device: {found:x?}"));
    let after = (read(pci, function, 4), read(pci, function, 0x20));
    suite.check(after == (before, bars), format_args!("what looking at BARs leaves: {after:x?}"));
}

/// Claims the first device; the second one gets no place that is not a BAR's of its own.
fn claims(suite: &mut Suite<'_>, pci: Handle, first: u32, second: u32) -> Result<HostFunction, Status> {
    let sizes_of = sizes(pci, first)?;
    let good = places_from(start_of(0), sizes_of);
    let guest = call(suite.memory, MemoryRange { index: 0, gpa: 0, bytes: 0 })?.gpa as u32;
    for bad in [
        0,
        guest,
        0x10_0000,
        0x800_0000,
        good[4] + 0x1000,
        WINDOW.start - 0x4000,
        WINDOW.end - 0x2000,
        WINDOW.end,
        0xfec0_0000,
        0xfed0_0000,
        0xfee0_0000,
        0xffff_c000,
    ] {
        let claimed = claim_at(pci, first, [0, good[1], 0, 0, bad, 0]);
        suite.expect(claimed, Status::BadArgument, format_args!("a BAR at {bad:#x}"));
    }
    let none = claim_at(pci, first, [WINDOW.start, good[1], 0, 0, good[4], 0]);
    suite.expect(none, Status::BadArgument, format_args!("a place for a BAR that is not there"));
    let both = claim_at(pci, first, [0, good[4] + 0x1000, 0, 0, good[4], 0]);
    suite.expect(both, Status::Overlap, format_args!("two BARs of a function in one place"));
    let function = claim_at(pci, first, good)?;
    suite.check(
        read(pci, first, 0x20).map(|bar| bar & !0xf) == Ok(good[4]),
        format_args!("where a BAR was placed: {:x?}", read(pci, first, 0x20)),
    );
    suite.expect(claim_at(pci, first, good), Status::WrongState, format_args!("claiming a function twice"));
    suite.expect(sizes(pci, first), Status::WrongState, format_args!("BARs of one that is claimed"));
    let over = claim_at(pci, second, [0, good[4] + 0x2000, 0, 0, start_of(1), 0]);
    suite.expect(over, Status::Overlap, format_args!("a BAR on one of another function"));
    Ok(function)
}

fn registers(suite: &mut Suite<'_>, function: HostFunction) {
    let read = |offset| call(function.0, FunctionRead { offset, value: 0 });
    for (offset, expected) in [(0, Status::Ok), (3, Status::BadArgument), (256, Status::BadArgument)] {
        suite.expect(read(offset), expected, format_args!("a function's own space at {offset:#x}"));
    }
    let Some(free) = heap::reserve(65 * PAGE) else { return suite.check(false, format_args!("addresses")) };
    let map = |address, offset, bytes, bar| {
        call(function.0, FunctionMap { address, offset, bytes, bar, reserved: 0 })
    };
    for (address, offset, bytes, bar, expected) in [
        (free, 0, PAGE, TABLE_BAR, Status::NotFound),
        (free, 0, PAGE, 0, Status::NotFound),
        (free, 0, PAGE, 5, Status::NotFound),
        (free, 0, PAGE, 6, Status::NotFound),
        (free, 0, PAGE, u32::MAX, Status::NotFound),
        (free, 0, 5 * PAGE, REGISTER_BAR, Status::NotFound),
        (free, 4 * PAGE, PAGE, REGISTER_BAR, Status::NotFound),
        (free, u64::MAX - PAGE + 1, PAGE, REGISTER_BAR, Status::BadArgument),
        (free, 0, 65 * PAGE, REGISTER_BAR, Status::BadArgument),
        (free, 0, 0, REGISTER_BAR, Status::BadArgument),
        (free, 8, PAGE, REGISTER_BAR, Status::BadArgument),
        (free, 0, 8, REGISTER_BAR, Status::BadArgument),
        (free + 8, 0, PAGE, REGISTER_BAR, Status::BadArgument),
        (0, 0, PAGE, REGISTER_BAR, Status::BadArgument),
        (0xffff_8000_0000_0000, 0, PAGE, REGISTER_BAR, Status::BadArgument),
        (free, 0, 4 * PAGE, REGISTER_BAR, Status::Ok),
        (free + 3 * PAGE, 0, 2 * PAGE, REGISTER_BAR, Status::Overlap),
    ] {
        let what = format_args!("{bytes:#x} bytes of BAR {bar} from {offset:#x} at {address:#x}");
        suite.expect(map(address, offset, bytes, bar), expected, what);
    }
    let enable = |enable| call(function.0, FunctionEnable { enable, reserved: 0 });
    // Whether it decodes its BARs, and reaches memory: not before it is enabled, and no more when it is not.
    let command = || read(4).map(|register| register.value & 7);
    suite.check(command() == Ok(2), format_args!("a function that is not enabled yet: {:?}", command()));
    for (value, expected, bits) in
        [(2, Status::BadArgument, 2), (1, Status::Ok, 6), (2, Status::BadArgument, 6), (0, Status::Ok, 2)]
    {
        suite.expect(enable(value), expected, format_args!("enabling by {value}"));
        suite.check(command() == Ok(bits), format_args!("after enabling by {value}: {:?}", command()));
    }
}

fn messages(suite: &mut Suite<'_>, function: HostFunction) {
    let Ok(event) = Event::try_new() else { return suite.check(false, format_args!("an event")) };
    let bind = |entry, event| call(function.0, FunctionBind { entry, event });
    for (entry, handle, expected) in [
        (0, 95, Status::BadHandle),
        (0, suite.system, Status::BadHandle),
        (2, event.0, Status::NotFound),
        (u32::MAX, event.0, Status::NotFound),
        (0x1_0000, event.0, Status::NotFound),
        (1, event.0, Status::Ok),
        (1, event.0, Status::Ok),
    ] {
        suite.expect(bind(entry, handle), expected, format_args!("message {entry:#x} as {handle}"));
    }
    suite.expect(process::close(event.0), Status::Ok, format_args!("closing a bound event"));
}

fn memory(suite: &mut Suite<'_>, function: HostFunction) {
    let Some(free) = heap::reserve(17 * PAGE) else { return suite.check(false, format_args!("addresses")) };
    let allocate = |address, bytes| call(function.0, FunctionAllocate { address, bytes, physical: 0 });
    for (address, bytes, expected) in [
        (free, 0, Status::BadArgument),
        (free, 17 * PAGE, Status::BadArgument),
        (free, 1 << 40, Status::BadArgument),
        (free, PAGE + 8, Status::BadArgument),
        (free + 8, PAGE, Status::BadArgument),
        (0, PAGE, Status::BadArgument),
        (free, PAGE, Status::Ok),
        (free, PAGE, Status::Overlap),
    ] {
        let what = format_args!("{bytes:#x} bytes for a device at {address:#x}");
        suite.expect(allocate(address, bytes), expected, what);
    }
    let (one, other) = (function.allocate(2 * PAGE), function.allocate(PAGE));
    let (Ok(one), Ok(other)) = (one, other) else {
        return suite.check(false, format_args!("memory for a device: {one:?}, {other:?}"));
    };
    let is_zero = (0..2 * PAGE).step_by(8).all(|at| one.window.read_u64(at) == 0);
    suite.check(is_zero, format_args!("new memory for a device is not zero"));
    let apart = one.physical.abs_diff(other.physical) >= PAGE && one.physical.is_multiple_of(PAGE);
    suite.check(apart, format_args!("memory at {:#x} and {:#x}", one.physical, other.physical));
    let mut ranges =
        (0..).map_while(|index| call(suite.memory, MemoryRange { index, gpa: 0, bytes: 0 }).ok());
    let is_guests = ranges.any(|range| (range.gpa..range.gpa + range.bytes).contains(&one.physical));
    suite.check(!is_guests, format_args!("memory for a device is the guest's: {:#x}", one.physical));
}

/// The child: takes the second device and all memory for devices, and ends.
pub fn driver_that_ends(start: &Start) -> u32 {
    let Ok(function) = claim(start, 1) else { return 1 };
    let Ok(event) = Event::try_new() else { return 2 };
    if function.bind(0, event).is_err() || function.enable(true).is_err() {
        return 3;
    }
    let pieces = core::iter::from_fn(|| function.allocate(16 * PAGE).ok()).take(64).count();
    let why = function.allocate(16 * PAGE).err();
    if pieces > 8 && pieces < 32 && why == Some(Status::Exhausted) { 0 } else { 100 + pieces as u32 }
}

/// When a driver ends, its function accesses nothing any more, and the next one may have it, with as much
/// memory as the one before.
fn after_its_driver(suite: &Suite<'_>, pci: Handle, function: u32) -> Result<(), Status> {
    for _ in 0..2 {
        let child = Child::new(suite, "driver-that-ends")?;
        let child = child.grant("host-pci", pci, Rights::READ | Rights::CREATE)?;
        let code = child.start(0, 1)?.join(suite)?.code;
        if code != 0 {
            log::error!("a driver that ends: {code}");
            return Err(Status::WrongState);
        }
        let command = read(pci, function, 4)? & 7;
        if command != 0 {
            log::error!("the function of a driver that ended: command {command}");
            return Err(Status::BadArgument);
        }
    }
    Ok(())
}
