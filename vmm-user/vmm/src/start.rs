//! The stages of the VMM's start: handles, guest memory, firmware tables, kernel, board, vCPUs.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use devices::acpi::{AcpiConfig, AcpiTables, FIRMWARE_BYTES, FIRMWARE_GPA};
use devices::apic::Apics;
use devices::cpuid::{CpuidPolicy, CpuidTable, Leaf};
use devices::hpet::HPET_ID;
use devices::linux_boot::{BootPlan, BootRequest, BzImage, MemoryKind, MemoryRange, Source};
use devices::pci::spec::{ECAM_BYTES, ECAM_GPA};
use devices::pm::TimerWidth;
use devices::rtc::CmosConfig;
use runtime::abi::boot::BOOT_FLAG_DEBUG;
use runtime::abi::operation::{
    EventBindVcpu, FileInfo, Handle, InterruptBind, SystemCpuid, SystemCreateVm, SystemEnd, SystemHandled,
    SystemInfo, VmAllocate, VmMap, handled,
};
use runtime::abi::run_page::XSAVE_BYTES;
use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::{Start, call, heap, process, thread};
use spin::Mutex;

use crate::board::{Board, BoardConfig};
use crate::clock::Clock;
use crate::guest_memory::{GuestRam, Range};
use crate::handles::Handles;
use crate::host_clock;
use crate::statistics::Statistics;
use crate::vcpu::{self, EntryRegisters, PHYSICAL_BITS, Shared, Vcpu, WORK_CONSOLE};

/// The most of a kernel that its header is looked for in.
const HEADER_BYTES: usize = 4096;
/// The longest command line that is read.
const COMMAND_LINE_MAX: u64 = 65536;
/// Priority of the vCPUs' threads.
const VCPU_PRIORITY: u32 = 1;
/// Where the guest's clock starts when nobody knows the time: 2026-01-01.
const DEFAULT_UNIX_S: i64 = 1_767_225_600;

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

/// What the configuration may say.
#[derive(Clone, Copy, Debug)]
struct Options {
    /// `set bench-devices yes`: the exit benchmark's device is on the board.
    bench: bool,
    /// `set memory-device yes`: a device that behaves like memory is on the board.
    memory_device: bool,
    /// `set caches no`: nothing is cached, to compare.
    caches: bool,
    /// `set batches no`: each operation is a system call of its own, to compare.
    batches: bool,
    /// `set extra-devices N`: so many more devices, to compare.
    extra_devices: u16,
}

impl Options {
    fn of(start: &Start) -> Self {
        Self {
            bench: start.setting("bench-devices") == Some("yes"),
            memory_device: start.setting("memory-device") == Some("yes"),
            caches: start.setting("caches") != Some("no"),
            batches: start.setting("batches") != Some("no"),
            extra_devices: start.setting("extra-devices").and_then(|n| n.parse().ok()).unwrap_or(0),
        }
    }
}

/// The process: starts the guest and ends with the machine.
pub fn program(start: &Start) -> u32 {
    let handles = match Handles::of(start) {
        Ok(handles) => handles,
        Err(name) => {
            log::error!("{}", StartError::Handle(name));
            return 1;
        }
    };
    match run(&handles, Options::of(start)) {
        Ok(never) => never,
        Err(error) => {
            log::error!("the guest cannot be started: {error}");
            1
        }
    }
}

fn run(handles: &Handles, options: Options) -> Result<u32> {
    let info = call(handles.system, SystemInfo::default()).map_err(kernel("facts of the machine"))?;
    let cpus = info.cpus;
    let Options { bench, memory_device, caches, batches, extra_devices } = options;
    let ram = GuestRam::map(handles.guest_memory).map_err(kernel("guest memory"))?;
    let vm = call(handles.system, SystemCreateVm::default()).map_err(kernel("a VM"))?.handle;
    map_memory(handles, vm, &ram)?;
    let rsdp_gpa = place_firmware(vm, cpus)?;
    let entry = place_kernel(handles, &ram, rsdp_gpa, info.tsc_hz)?;
    let clock = Clock::new(info.tsc_hz);
    let apics = Arc::new(
        Apics::new(&(0..cpus).collect::<Vec<u32>>())
            .map_err(|_| StartError::Guest("too many vCPUs".into()))?,
    );
    let config = BoardConfig {
        cmos: cmos(&ram, cpus),
        unix_s: handles.clock_ports.and_then(host_clock::read).unwrap_or(DEFAULT_UNIX_S),
        serial_ports: handles.serial_ports,
        bench,
        memory_device,
        extra_devices,
    };
    let board = Board::new(&config, clock, apics).map_err(|e| StartError::Guest(alloc::format!("{e}")))?;
    let created = (0..cpus)
        .map(|cpu| vcpu::create(vm, cpu))
        .collect::<core::result::Result<Vec<_>, Status>>()
        .map_err(kernel("a vCPU"))?;
    let debug = info.boot_flags & BOOT_FLAG_DEBUG != 0;
    let shared: &'static Shared = Box::leak(Box::new(Shared {
        board,
        ram,
        vcpus: created.iter().map(|c| c.handle).collect(),
        system: handles.system,
        caches,
        batches,
        unsaid: AtomicU64::new(0),
        statistics: if debug {
            (0..cpus).map(|_| Arc::default()).collect::<Vec<Arc<Mutex<Statistics>>>>()
        } else {
            vec![]
        },
    }));
    if let Some(interrupt) = handles.serial_interrupt {
        connect_console(interrupt, shared.vcpus.first().copied().unwrap_or(0))?;
    }
    log::info!(
        "{} vCPU(s), {} MiB kept by Plinth, {} KiB of it free",
        cpus,
        info.kept_bytes >> 20,
        info.free_bytes >> 10
    );
    start_vcpus(shared, &created, &entry)
}

/// Gives the VM all guest memory.
fn map_memory(handles: &Handles, vm: Handle, ram: &GuestRam) -> Result<()> {
    for Range { gpa, bytes } in ram.ranges() {
        let map = VmMap { memory: handles.guest_memory, reserved: 0, gpa: *gpa, bytes: *bytes };
        call(vm, map).map_err(kernel("mapping guest memory"))?;
    }
    Ok(())
}

/// Places the ACPI tables; answers where the RSDP is.
fn place_firmware(vm: Handle, cpus: u32) -> Result<u64> {
    let config = AcpiConfig {
        cpus,
        io_apic_id: 0,
        hpet_block_id: Some(HPET_ID),
        timer_width: TimerWidth::Bits32,
        com1: true,
        i8042: true,
        high_window: None,
    };
    let tables = AcpiTables::new(&config, FIRMWARE_GPA, FIRMWARE_BYTES)
        .map_err(|e| StartError::Guest(alloc::format!("{e}")))?;
    let bytes = FIRMWARE_BYTES as u64;
    let address = heap::reserve(bytes).ok_or(StartError::Kernel("firmware tables", Status::Exhausted))?;
    let allocate = VmAllocate { gpa: FIRMWARE_GPA, bytes, address, writable: 0 };
    call(vm, allocate).map_err(kernel("firmware tables"))?;
    for (index, byte) in tables.bytes.iter().enumerate().take(FIRMWARE_BYTES) {
        #[allow(unsafe_code, reason = "the kernel has just mapped these pages for us")]
        // SAFETY: within the pages that `VmAllocate` mapped at `address`; the guest does not run yet.
        unsafe {
            ((address + index as u64) as *mut u8).write_volatile(*byte);
        }
    }
    Ok(tables.rsdp_gpa)
}

fn payload(handles: &Handles, name: &'static str) -> Result<FileInfo> {
    let file = process::open(handles.files, name).map_err(|_| StartError::File(name))?;
    let info = process::info(file).map_err(kernel("a payload file"));
    process::close(file).map_err(kernel("a payload file"))?;
    let info = info?;
    if info.gpa == 0 && info.bytes > 0 { Err(StartError::File(name)) } else { Ok(info) }
}

/// The same; an empty one when the image has none.
fn optional_payload(handles: &Handles, name: &'static str) -> Result<FileInfo> {
    match process::open(handles.files, name) {
        Err(Status::NotFound) => Ok(FileInfo::default()),
        Err(status) => Err(StartError::Kernel("a payload file", status)),
        Ok(file) => {
            process::close(file).map_err(kernel("a payload file"))?;
            payload(handles, name)
        }
    }
}

/// The memory map that the guest is told.
fn memory_map(ram: &GuestRam) -> Vec<MemoryRange> {
    let mut map: Vec<MemoryRange> = ram
        .ranges()
        .iter()
        .map(|r| MemoryRange { gpa: r.gpa, bytes: r.bytes, kind: MemoryKind::Ram })
        .collect();
    map.push(MemoryRange { gpa: FIRMWARE_GPA, bytes: FIRMWARE_BYTES as u64, kind: MemoryKind::Reserved });
    map.push(MemoryRange { gpa: ECAM_GPA, bytes: ECAM_BYTES, kind: MemoryKind::Reserved });
    map.sort_unstable_by_key(|r| r.gpa);
    map
}

/// Loads the guest's kernel as the Linux boot protocol says; answers how to enter it.
fn place_kernel(handles: &Handles, ram: &GuestRam, rsdp_gpa: u64, tsc_hz: u64) -> Result<EntryRegisters> {
    let guest = |e: &dyn fmt::Display| StartError::Guest(alloc::format!("{e}"));
    let (linux, command_line) = (payload(handles, "linux")?, payload(handles, "cmdline")?);
    let initrd = optional_payload(handles, "initrd")?;
    let mut head = vec![0; HEADER_BYTES.min(linux.bytes as usize)];
    let mut text = vec![0; command_line.bytes.min(COMMAND_LINE_MAX) as usize];
    if !ram.copy_out(linux.gpa, &mut head) || !ram.copy_out(command_line.gpa, &mut text) {
        return Err(StartError::File("linux"));
    }
    let image = BzImage::parse(&head, linux.bytes).map_err(|e| guest(&e))?;
    add_tsc_frequency(&mut text, tsc_hz);
    let request = BootRequest {
        kernel: &image,
        initrd_bytes: initrd.bytes,
        command_line: &text,
        memory: &memory_map(ram),
        rsdp_gpa,
    };
    let plan = BootPlan::new(&request).map_err(|e| guest(&e))?;
    log::info!("kernel at {:#x?}, initrd at {:#x?}", plan.kernel, plan.initrd);
    for placement in &plan.placements {
        let done = match &placement.source {
            Source::Bytes(bytes) => ram.copy_in(placement.gpa, bytes),
            Source::Kernel(range) => {
                ram.move_within(placement.gpa, linux.gpa + range.start, range.end - range.start)
            }
            Source::Initrd => ram.move_within(placement.gpa, initrd.gpa, initrd.bytes),
        };
        if !done {
            return Err(StartError::Guest(alloc::format!("no guest memory at {:#x}", placement.gpa)));
        }
    }
    Ok(plan.entry)
}

/// Tells Linux the TSC's frequency, as a boot loader may, unless the user has. Linux reads CPUID leaf 15h on Intel's processors only,
/// and its measurements fail where an exit takes as long as it does under emulation: the TSC would then be called unstable.
fn add_tsc_frequency(command_line: &mut Vec<u8>, tsc_hz: u64) {
    command_line.truncate(command_line.trim_ascii_end().len());
    let parameter = b"tsc_early_khz=";
    let said = command_line.windows(parameter.len()).any(|w| w == parameter);
    if !said {
        command_line.extend_from_slice(alloc::format!(" tsc_early_khz={}", tsc_hz / 1000).as_bytes());
    }
}

fn cmos(ram: &GuestRam, cpus: u32) -> CmosConfig {
    let end = |high: bool| {
        ram.ranges().iter().filter(|r| (r.gpa >= 1 << 32) == high).map(|r| r.gpa + r.bytes).max().unwrap_or(0)
    };
    CmosConfig { low_ram_bytes: end(false), high_ram_bytes: end(true).saturating_sub(1 << 32), cpus }
}

/// Makes the host's serial interrupt pending work of vCPU 0.
fn connect_console(interrupt: Handle, vcpu: Handle) -> Result<()> {
    let connect = || -> core::result::Result<(), Status> {
        let event = Event::try_new()?;
        call(event.0, EventBindVcpu { vcpu, bit: WORK_CONSOLE.trailing_zeros() })?;
        call(interrupt, InterruptBind { event: event.0, reserved: 0 })?;
        Ok(())
    };
    connect().map_err(kernel("the console's interrupt"))
}

fn cpuid_table(system: Handle, index: u32, cpus: u32, tsc_hz: u64) -> CpuidTable {
    let mut host = |leaf: u32, subleaf: u32| {
        let answer =
            call(system, SystemCpuid { eax: leaf, ebx: 0, ecx: subleaf, edx: 0 }).unwrap_or_default();
        Leaf { eax: answer.eax, ebx: answer.ebx, ecx: answer.ecx, edx: answer.edx }
    };
    let policy = CpuidPolicy {
        physical_bits: PHYSICAL_BITS,
        // An emulated access would not know PKRU.
        protection_keys: false,
        // What the kernel switches is what a run page has room for.
        xsave_bytes: XSAVE_BYTES as u32,
        ..CpuidPolicy::new(index, cpus, tsc_hz)
    };
    CpuidTable::new(&mut host, &policy)
}

/// Starts a thread for each vCPU but the first, which runs here.
fn start_vcpus(shared: &'static Shared, created: &[vcpu::Created], entry: &EntryRegisters) -> Result<u32> {
    let cpus = created.len() as u32;
    let tsc_hz = shared.board.clock.tsc_hz();
    let mut first = None;
    for (index, created) in created.iter().enumerate() {
        let table = cpuid_table(shared.system, index as u32, cpus, tsc_hz);
        let mut vcpu = Vcpu::new(shared, index, *created, table)
            .ok_or(StartError::Guest("a vCPU without local APIC".into()))?;
        if index == 0 {
            vcpu.enter_kernel(entry);
            first = Some(vcpu);
        } else {
            thread::spawn(index as u32, VCPU_PRIORITY, move || end(shared, vcpu.run()))
                .map_err(kernel("a vCPU's thread"))?;
        }
    }
    match first {
        Some(mut vcpu) => end(shared, vcpu.run()),
        None => return Err(StartError::Guest("no vCPU".into())),
    }
    Ok(1)
}

/// Ends the machine: the table of exits, then the end.
fn end(shared: &Shared, reason: u32) {
    let mut sum = Statistics::default();
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
    let unsaid = shared.unsaid.load(Ordering::Relaxed);
    if unsaid > 0 {
        log::info!("{unsaid} more oddities of the guest were not logged");
    }
    log::info!("the guest ends: reason {reason}");
    if let Err(status) = call(shared.system, SystemEnd { reason, reserved: 0 }) {
        log::error!("the machine cannot be ended: {status}");
    }
}
