//! Handles that name nothing, or another thing, or allow nothing.

use runtime::abi::operation::{
    Call, FilesOpen, HANDLE_SELF, Handle, HandleClose, HandleNarrow, OPERATIONS, ObjectKind, Operation,
    Permissions, ProcessAllocate, ProcessGrant, ProcessWatch, Rights, SystemCreateVm, VcpuCreate,
};
use runtime::abi::status::Status;
use runtime::channel::Endpoint;
use runtime::event::Event;
use runtime::shared::SharedMemory;
use runtime::{Start, call, heap, process, syscall};

use crate::child::Child;
use crate::pci;
use crate::suite::Suite;

/// The names of objects in start pages, and their kinds.
pub const KINDS: [(&str, ObjectKind); 16] = [
    ("system", ObjectKind::System),
    ("log", ObjectKind::Log),
    ("files", ObjectKind::Files),
    ("file", ObjectKind::File),
    ("process", ObjectKind::Process),
    ("event", ObjectKind::Event),
    ("guest-memory", ObjectKind::GuestMemory),
    ("vm", ObjectKind::Vm),
    ("vcpu", ObjectKind::Vcpu),
    ("serial-ports", ObjectKind::HostPorts),
    ("serial-interrupt", ObjectKind::HostInterrupt),
    ("endpoint", ObjectKind::Endpoint),
    ("channel", ObjectKind::Channel),
    ("shared", ObjectKind::SharedMemory),
    ("host-pci", ObjectKind::HostPci),
    ("host-function", ObjectKind::HostFunction),
];

/// Numbers that are no handle of ours.
const NOTHING: [Handle; 7] = [0, 95, 96, 97, 0x7fff_ffff, 0x8000_0001, u32::MAX];

fn execute(code: u32, handle: Handle) -> Status {
    let mut batch = [Operation { code, flags: 0, handle, status: 0, payload: [0; 48] }];
    syscall::batch(&mut batch).err().map_or(Status::Ok, |(status, _)| status)
}

/// The child that was given one of each object, and no right to any.
pub fn without_rights(start: &Start) -> u32 {
    let mut tried = 0;
    for (index, (code, _)) in OPERATIONS.iter().enumerate() {
        let kind = KINDS.iter().find(|(_, kind)| *kind as u32 == code >> 16);
        let Some(handle) = kind.and_then(|(name, _)| start.handle(name)) else { return 1000 };
        if execute(*code, handle) != Status::NoRight {
            return 100 + index as u32;
        }
        tried += 1;
    }
    if tried == OPERATIONS.len() { 0 } else { 1001 }
}

/// The child that may write to the log, and may give that right to nobody.
pub fn without_giving(start: &Start) -> u32 {
    let (Some(files), Some(log)) = (start.handle("files"), start.handle("log")) else { return 1 };
    let Ok(child) = process::open(files, "abi-test").and_then(process::create) else { return 2 };
    match process::grant(child, log, Rights::WRITE) {
        Err(Status::NoRight) => 0,
        _ => 3,
    }
}

/// One object of each kind, by the names in [`KINDS`].
pub fn one_of_each(suite: &Suite<'_>) -> Result<alloc::vec::Vec<(&'static str, Handle)>, Status> {
    let file = process::open(suite.files, "abi-test")?;
    let vm = call(suite.system, SystemCreateVm::default())?.handle;
    let address = heap::reserve(8192).ok_or(Status::Exhausted)?;
    let vcpu = call(vm, VcpuCreate { address, cpu: 0, handle: 0 })?.handle;
    let endpoint = Endpoint::try_new()?;
    let made = [
        ("endpoint", endpoint.0),
        ("channel", endpoint.channel(0)?.0),
        ("file", file),
        ("process", process::create(file)?),
        ("event", Event::try_new()?.0),
        ("shared", SharedMemory::try_new(4096)?.0),
        ("vm", vm),
        ("vcpu", vcpu),
        ("host-function", pci::claim(suite.start, 0)?.0),
    ];
    let given = KINDS.iter().filter_map(|(name, _)| Some((*name, suite.start.handle(name)?)));
    Ok(given.chain(made).collect())
}

fn child_without_rights(suite: &Suite<'_>, objects: &[(&str, Handle)]) -> Result<u32, Status> {
    let mut child = Child::new(suite, "no-rights")?;
    for (name, handle) in objects.iter().filter(|(name, _)| *name != "process") {
        child = child.grant(name, *handle, Rights::empty())?;
    }
    // A process that has not been started is nobody's to give: this one has.
    let running = Child::new(suite, "nothing")?.start(0, 1)?;
    child = child.grant("process", running.handle, Rights::empty())?;
    let code = child.start(0, 1)?.join(suite)?.code;
    running.join(suite)?;
    Ok(code)
}

/// Every operation on handles that are none, are of another kind, or lack the right.
pub fn test(suite: &mut Suite<'_>) {
    let objects = match one_of_each(suite) {
        Ok(objects) => objects,
        Err(status) => return suite.check(false, format_args!("one of each object: {status:?}")),
    };
    suite.check(objects.len() == KINDS.len(), format_args!("one of each object: {}", objects.len()));
    for (code, name) in OPERATIONS {
        for handle in NOTHING {
            let status = execute(*code, handle);
            suite
                .check(status == Status::BadHandle, format_args!("{name} on handle {handle:#x}: {status:?}"));
        }
        for (kind, handle) in &objects {
            let same = KINDS.iter().any(|(n, k)| n == kind && *k as u32 == code >> 16);
            if !same {
                let status = execute(*code, *handle);
                suite.check(status == Status::BadHandle, format_args!("{name} on {kind}: {status:?}"));
            }
        }
        if code >> 16 != ObjectKind::Process as u32 {
            let status = execute(*code, HANDLE_SELF);
            suite.check(status == Status::BadHandle, format_args!("{name} on itself: {status:?}"));
        }
    }
    let code = child_without_rights(suite, &objects);
    suite.check(code == Ok(0), format_args!("operations without rights: {code:?}"));
    test_grants(suite, &objects);
    narrowed(suite);
    let given = without_right_to_give(suite);
    suite.check(given == Ok(0), format_args!("giving what one may not give: {given:?}"));
    let given = to_one_that_runs(suite);
    suite.check(given == Err(Status::WrongState), format_args!("giving to one that runs: {given:?}"));
    for (name, handle) in objects {
        if suite.start.handle(name).is_none() {
            suite.expect(process::close(handle), Status::Ok, format_args!("closing {name}"));
            suite.expect(process::close(handle), Status::BadHandle, format_args!("closing {name} twice"));
        }
    }
    suite.expect(process::close(HANDLE_SELF), Status::BadHandle, format_args!("closing itself"));
}

fn without_right_to_give(suite: &Suite<'_>) -> Result<u32, Status> {
    let log = suite.start.handle("log").ok_or(Status::NotFound)?;
    let child = Child::new(suite, "without-giving")?;
    let child = child.grant("files", suite.files, Rights::all())?.grant("log", log, Rights::WRITE)?;
    Ok(child.start(0, 1)?.join(suite)?.code)
}

/// The other has been started, and has its turn when we wait for it.
fn to_one_that_runs(suite: &Suite<'_>) -> Result<Handle, Status> {
    let running = Child::new(suite, "nothing")?.start(0, 1)?;
    let given = process::grant(running.handle, suite.files, Rights::READ);
    running.join(suite)?;
    given
}

/// A handle with some of another's rights: it has them, no more, and is another handle.
fn narrowed(suite: &mut Suite<'_>) {
    let narrow = |source: Handle, rights: u32| {
        call(HANDLE_SELF, HandleNarrow { source, rights, ..HandleNarrow::default() }).map(|made| made.handle)
    };
    let made = SharedMemory::try_new(4096).and_then(|shared| {
        let less = narrow(shared.0, (Rights::READ | Rights::MAP).bits())?;
        Ok((shared, SharedMemory(less)))
    });
    let Ok((shared, less)) = made else {
        return suite.check(false, format_args!("a handle with less rights: {made:?}"));
    };
    let written = Permissions::READ | Permissions::WRITE;
    suite.expect(less.map(Permissions::READ), Status::Ok, format_args!("mapping to be read"));
    suite.expect(less.map(written), Status::NoRight, format_args!("mapping to be written by less"));
    suite.expect(shared.map(written), Status::Ok, format_args!("mapping to be written by all"));
    for (source, rights, status) in [
        (less.0, Rights::all().bits(), Status::NoRight),
        (less.0, Rights::WRITE.bits(), Status::NoRight),
        (shared.0, 1 << 31, Status::BadArgument),
        (HANDLE_SELF, 0, Status::BadHandle),
        (0, 0, Status::BadHandle),
        (95, 0, Status::BadHandle),
    ] {
        let answer = narrow(source, rights);
        suite.expect(answer, status, format_args!("rights {rights:#x} of handle {source}"));
    }
    suite.expect(process::close(shared.0), Status::Ok, format_args!("closing the one with all rights"));
    suite.expect(less.bytes(), Status::Ok, format_args!("the other is still there"));
    suite.expect(process::close(less.0), Status::Ok, format_args!("closing the other"));
}

/// What may be given to whom.
fn test_grants(suite: &mut Suite<'_>, objects: &[(&str, Handle)]) {
    let find = |name: &str| objects.iter().find(|(n, _)| *n == name).map_or(0, |(_, h)| *h);
    let (child, file) = (find("process"), find("file"));
    let grant = |to: Handle, source: Handle, rights: u32| {
        call(to, ProcessGrant { source, rights, handle: 0, reserved: 0 })
    };
    // Who may give to another may not look at its handles, nor make some of its own.
    let narrowed = call(child, HandleNarrow { source: file, rights: 0, ..HandleNarrow::default() });
    suite.expect(narrowed, Status::BadHandle, format_args!("a handle narrowed in another process"));
    let all = Rights::all().bits();
    suite.expect(grant(child, HANDLE_SELF, 0), Status::BadHandle, format_args!("giving itself away"));
    suite.expect(grant(HANDLE_SELF, file, 0), Status::WrongState, format_args!("giving to itself"));
    suite.expect(grant(child, child, 0), Status::WrongState, format_args!("giving a child to itself"));
    suite.expect(grant(child, find("log"), all), Status::NoRight, format_args!("giving more than one has"));
    suite.expect(
        grant(child, file, 1 << 31),
        Status::BadArgument,
        format_args!("giving rights that do not exist"),
    );
    suite.expect(grant(child, 95, 0), Status::BadHandle, format_args!("giving nothing"));
    let allocate = ProcessAllocate { address: 0x5000_0000, bytes: 4096 };
    suite.expect(call(child, allocate), Status::BadHandle, format_args!("allocating in another process"));
    let close = HandleClose { handle: 2, reserved: 0 };
    suite.expect(call(child, close), Status::BadHandle, format_args!("closing another process's handle"));
    let start = |bytes: u64, cpu: u32, priority: u32| {
        process_start(child, (&raw const *suite) as u64, bytes, cpu, priority)
    };
    let answers =
        [start(8, 1000, 1), start(8, 0, 4), start(8, 0, u32::MAX), start(4097, 0, 1), start(u64::MAX, 0, 1)];
    for answer in answers {
        suite.expect(answer, Status::BadArgument, format_args!("starting with nonsense"));
    }
    let bad = process_start(child, 8, 8, 0, 1);
    suite.expect(bad, Status::BadPointer, format_args!("starting with a bad pointer"));
    let state = call(child, runtime::abi::operation::ProcessState::default()).map(|s| s.state);
    suite.check(state == Ok(0), format_args!("a process that could not be started is new: {state:?}"));
    let watched = [(); 5].map(|()| {
        Event::try_new().and_then(|event| call(child, ProcessWatch { event: event.0, reserved: 0 })).err()
    });
    let last = Some(Status::Exhausted);
    suite.check(
        watched == [None, None, None, None, last],
        format_args!("five watchers of a process: {watched:?}"),
    );
    suite.expect(
        call(suite.files, FilesOpen { name: 0, name_bytes: u64::MAX, handle: 0, reserved: 0 }),
        Status::NotFound,
        format_args!("a name of endless length"),
    );
    let _ = SystemCreateVm::CODE;
}

fn process_start(child: Handle, start_page: u64, bytes: u64, cpu: u32, priority: u32) -> Result<(), Status> {
    call(child, runtime::abi::operation::ProcessStart { start_page, bytes, cpu, priority }).map(|_| ())
}
