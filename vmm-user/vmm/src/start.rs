//! The stages of the VMM's start: handles, guest memory, board, firmware tables, kernel, vCPUs.

mod firmware;
mod kernel;
mod measure;
mod option_roms;
mod reset;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use devices::apic::Apics;
use devices::cpuid::{CpuidPolicy, CpuidTable, Leaf};
use devices::router::Router;
use runtime::abi::boot::BOOT_FLAG_DEBUG;
use runtime::abi::operation::{
    Handle, SystemCpuid, SystemCreateVm, SystemEnd, SystemHandled, SystemInfo, VmMap, end_reason, handled,
};
use runtime::abi::run_page::XSAVE_BYTES;
use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::{Start, call, exit, process, thread};
use spin::Mutex;

use crate::board::{Board, BoardConfig, Builder, Parts, inputs, lay_out, ranges};
use crate::clock::Clock;
use crate::console;
use crate::guest_memory::{GuestRam, Range};
use crate::handles::Handles;
use crate::host_clock;
use crate::statistics::Statistics;
use crate::vcpu::{self, EntryRegisters, PHYSICAL_BITS, Shared, Vcpu, Waits};
use crate::virtio;

/// Priority of the vCPUs' threads.
const VCPU_PRIORITY: u32 = 1;

/// Why the guest cannot be started.
#[derive(Debug)]
enum StartError {
    /// A handle is missing.
    Handle(&'static str),
    /// The kernel refused something.
    Kernel(&'static str, Status),
    /// The image has no such file, or the host has no memory where it lies.
    File(&'static str),
    /// The guest kernel or its placement.
    Guest(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handle(name) => write!(f, "no handle named {name}"),
            Self::Kernel(what, status) => write!(f, "{what}: {status}"),
            Self::File(name) => {
                write!(f, "the payload {name} is not in guest memory: is there enough of it?")
            }
            Self::Guest(text) => f.write_str(text),
        }
    }
}

type Result<T> = core::result::Result<T, StartError>;

fn kernel(what: &'static str) -> impl FnOnce(Status) -> StartError {
    move |status| StartError::Kernel(what, status)
}

/// What a program over this library adds to the machine. The VMM of a product adds nothing
/// ([`Extension::NONE`]).
#[derive(Clone, Copy)]
pub struct Extension {
    /// Puts further devices on the board.
    pub add_devices: fn(&Start, &mut Builder),
    /// The loop of a vCPU's thread. Returns the `end_reason` for which the machine is to end.
    pub run_vcpu: fn(&mut Vcpu) -> u32,
}

impl Extension {
    /// The machine as it is.
    pub const NONE: Self = Self { add_devices: |_, _| {}, run_vcpu: |vcpu| vcpu.run(&Waits) };
}

/// The process: starts the guest and ends with the machine.
pub fn program(start: &Start) -> u32 {
    program_with(start, Extension::NONE)
}

/// The process with an extension.
pub fn program_with(start: &Start, extension: Extension) -> u32 {
    let handles = match Handles::of(start) {
        Ok(handles) => handles,
        Err(name) => {
            log::error!("{}", StartError::Handle(name));
            return 1;
        }
    };
    match run(start, &handles, extension) {
        Ok(never) => never,
        Err(error) => {
            log::error!("the guest cannot be started: {error}");
            console::last_words(handles.serial_ports, format_args!("the guest cannot be started: {error}"));
            1
        }
    }
}

fn run(start: &Start, handles: &Handles, extension: Extension) -> Result<u32> {
    virtio::check_places(start.settings()).map_err(StartError::Guest)?;
    let info = call(handles.system, SystemInfo::default()).map_err(kernel("facts of the machine"))?;
    let cpus = info.cpus;
    let mut ram = GuestRam::map(handles.guest_memory).map_err(kernel("guest memory"))?;
    // Before the VM is given its memory: the disk's pages are never the guest's.
    let disk = virtio::take_disk(start, handles.files, &mut ram, info.tsc_hz).map_err(StartError::Guest)?;
    // All of it but the disk, so with the payload, which the guest may not have.
    let image = ram.clone();
    let resets_in_place = reset::is_in_place(start);
    if resets_in_place {
        reset::keep_payload(handles, &mut ram)?;
    }
    if reset::is_again(start) {
        reset::clear(&ram)?;
    }
    let vm = call(handles.system, SystemCreateVm::default()).map_err(kernel("a VM"))?.handle;
    // All of it at once: no memory fault is then one of the guest's RAM.
    map_memory(handles, vm, &ram)?;
    let apics = Arc::new(
        Apics::new(&(0..cpus).collect::<Vec<u32>>())
            .map_err(|_| StartError::Guest("too many vCPUs".into()))?,
    );
    let router = Arc::new(Mutex::new(Router::new(apics.clone())));
    let config = BoardConfig {
        cmos: host_clock::cmos(ram.ranges(), cpus),
        clock_ports: handles.clock_ports,
        serial_ports: handles.serial_ports,
        serial_interrupt: handles.serial_interrupt,
        tsc_hz: info.tsc_hz,
    };
    let has_urgent_threads = matches!(disk, Some(virtio::Disk::Thread(_)));
    let parts = build_board(start, &config, &router, extension, &ram, disk)?;
    // Tables before the kernel: the kernel is told where they are.
    let firmware = firmware::place_firmware(vm, cpus, &parts.acpi)?;
    option_roms::place_option_roms(vm, &parts.mmio, ram.ranges())?;
    // Before the kernel is placed: until then the payload is as the image has it.
    let measured = if firmware.tpm.is_some() { measure::parts(handles, &image)? } else { vec![] };
    let entry = kernel::place_kernel(handles, &ram, &image, firmware.rsdp_gpa, info.tsc_hz)?;
    // All vCPUs before any runs: a device may kick each of them as soon as the first one does.
    let created = (0..cpus)
        .map(|cpu| vcpu::create(vm, cpu))
        .collect::<core::result::Result<Vec<_>, Status>>()
        .map_err(kernel("a vCPU"))?;
    let debug = info.boot_flags & BOOT_FLAG_DEBUG != 0;
    // For as long as the process lives: threads refer to it, and none of them ends before the machine does.
    let shared: &'static Shared = Box::leak(Box::new(Shared {
        board: Board::new(parts, Clock::new(info.tsc_hz), apics, router),
        ram,
        vcpus: created.iter().map(|c| c.handle).collect(),
        system: handles.system,
        resets_in_place,
        not_logged: AtomicU64::new(0),
        // In a debug image alone: counting takes every exit off its short way.
        statistics: if debug {
            (0..cpus).map(|_| Arc::default()).collect::<Vec<Arc<Mutex<Statistics>>>>()
        } else {
            vec![]
        },
    }));
    let first = shared.vcpus.first().copied().unwrap_or(0);
    inputs::connect(&shared.board, first).map_err(kernel("what signals a device's input"))?;
    if let Some(tpm) = &firmware.tpm {
        measure::into_tpm(&shared.board, tpm, &measured)?;
    }
    log::info!(
        "{} vCPU(s), {} MiB kept by Plinth, {} KiB of it free",
        cpus,
        info.kept_bytes >> 20,
        info.free_bytes >> 10
    );
    start_vcpus(shared, created, &entry, extension.run_vcpu, has_urgent_threads)
}

/// Gives the VM all guest memory.
fn map_memory(handles: &Handles, vm: Handle, ram: &GuestRam) -> Result<()> {
    for Range { gpa, bytes } in ram.ranges() {
        let map = VmMap { memory: handles.guest_memory, reserved: 0, gpa: *gpa, bytes: *bytes };
        call(vm, map).map_err(kernel("mapping guest memory"))?;
    }
    Ok(())
}

/// The devices of every guest, and the extension's.
fn build_board(
    start: &Start,
    config: &BoardConfig,
    router: &Arc<Mutex<Router>>,
    extension: Extension,
    ram: &GuestRam,
    disk: Option<virtio::Disk>,
) -> Result<Parts> {
    let mut builder = Builder::default();
    lay_out(start, config, router, &mut builder);
    virtio::add_all(start, ram, disk, config, &mut builder);
    (extension.add_devices)(start, &mut builder);
    ranges::add_all(start, &mut builder).map_err(StartError::Guest)?;
    builder.finish(ram.ranges()).map_err(|error| StartError::Guest(alloc::format!("{error}")))
}

fn cpuid_table(system: Handle, index: u32, cpus: u32, tsc_hz: u64) -> CpuidTable {
    let mut host = |leaf: u32, subleaf: u32| {
        let answer =
            // A leaf that is not to be had is zero: then the guest is offered too little, never too much.
            call(system, SystemCpuid { eax: leaf, ebx: 0, ecx: subleaf, edx: 0 }).unwrap_or_default();
        Leaf { eax: answer.eax, ebx: answer.ebx, ecx: answer.ecx, edx: answer.edx }
    };
    let policy = CpuidPolicy {
        physical_bits: PHYSICAL_BITS,
        // An emulated access would not know PKRU.
        protection_keys: false,
        // The kernel has the guest's own in the processor where there is one.
        tsc_aux: true,
        // What the kernel switches is what a run page has room for.
        xsave_bytes: XSAVE_BYTES as u32,
        ..CpuidPolicy::new(index, cpus, tsc_hz)
    };
    CpuidTable::new(&mut host, &policy)
}

/// Starts a thread for each vCPU but the first, which runs here; unless this thread is more urgent than vCPUs
/// may be, as it is where others are (`has_urgent_threads`).
fn start_vcpus(
    shared: &'static Shared,
    created: Vec<vcpu::Created>,
    entry: &EntryRegisters,
    run_vcpu: fn(&mut Vcpu) -> u32,
    has_urgent_threads: bool,
) -> Result<u32> {
    let cpus = created.len() as u32;
    let tsc_hz = shared.board.clock.tsc_hz();
    let mut first = None;
    for (index, created) in created.into_iter().enumerate() {
        // A table of its own: CPUID says which local APIC is the asker's, and whether that one is switched
        // on.
        let table = cpuid_table(shared.system, index as u32, cpus, tsc_hz);
        let mut vcpu = Vcpu::new(shared, index, created, table)
            .ok_or(StartError::Guest("a vCPU without local APIC".into()))?;
        if index == 0 {
            vcpu.enter_kernel(entry);
            first = Some(vcpu);
        } else {
            // On the processor that the vCPU was created on: it runs nowhere else.
            thread::spawn(index as u32, VCPU_PRIORITY, move || end(shared, run_vcpu(&mut vcpu)))
                .map_err(kernel("a vCPU's thread"))?;
        }
    }
    let mut first = first.ok_or(StartError::Guest("no vCPU".into()))?;
    if !has_urgent_threads {
        // After the other threads: this does not come back before the machine ends.
        end(shared, run_vcpu(&mut first));
        return Ok(1);
    }
    thread::spawn(0, VCPU_PRIORITY, move || end(shared, run_vcpu(&mut first)))
        .map_err(kernel("a vCPU's thread"))?;
    // The process is there as long as this thread is.
    let nothing = Event::try_new().map_err(kernel("an event"))?;
    loop {
        nothing.wait().map_err(kernel("waiting for the machine's end"))?;
    }
}

/// Ends the machine: the table of exits, then the end; or this process alone, for another to take its place.
fn end(shared: &Shared, reason: u32) {
    let mut sum = Statistics::default();
    // Other vCPUs run on, and count on: what is printed is of about now.
    for statistics in &shared.statistics {
        sum.add(&statistics.lock());
    }
    if !shared.statistics.is_empty() {
        let count = |index: u32| {
            call(shared.system, SystemHandled { index, reserved: 0, count: 0 }).map_or(0, |c| c.count)
        };
        let kernel: Vec<(&str, u64)> =
            (0..handled::END).zip(handled::NAMES).map(|(index, name)| (name, count(index))).collect();
        sum.print(&kernel);
    }
    for report in shared.board.reports() {
        log::info!("device {report}");
    }
    let not_logged = shared.not_logged.load(Ordering::Relaxed);
    if not_logged > 0 {
        log::info!("{not_logged} more oddities of the guest were not logged");
    }
    if reason == end_reason::RESET && shared.resets_in_place {
        // It is init that says so in the log.
        exit(process::GUEST_RESET);
    }
    log::info!("the guest ends: reason {reason}");
    if let Err(status) = call(shared.system, SystemEnd { reason, reserved: 0 }) {
        log::error!("the machine cannot be ended: {status}");
    }
}
