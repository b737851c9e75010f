//! The stages of the boot.
#![allow(unsafe_code, reason = "the entry, and control registers")]

use core::arch::naked_asm;
#[cfg(target_os = "none")]
use core::panic::PanicInfo;

use igvm_defs::PAGE_SIZE_4K;
use vcpu_abi::boot::{BOOT_FLAG_DEBUG, BOOT_FLAG_MITIGATIONS, BOOT_MAGIC, BOOT_PAGE_VIRTUAL, BootPage};
use vcpu_abi::operation::Rights;
use x86_64::PhysAddr;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};
use x86_64::structures::paging::PhysFrame;

use crate::checks::stacks::{self, Kind};
use crate::cpu::descriptors::ist;
use crate::cpu::{
    MAX_CPUS, cpuid, descriptors, features, fpu, interrupts, io_apic, local_apic, msr, per_cpu, smp,
    speculation, syscall_entry, this_cpu, time,
};
use crate::machine::{self, End};
use crate::memory::host_map::{self, MapError, Range};
use crate::memory::layout::{CpuArea, PAGE, USER_START_PAGE};
use crate::memory::space::Space;
use crate::memory::{MemoryError, frames, guest_memory, probe, self_map};
use crate::platform::backend::{self, Unsupported};
use crate::task::handle::{HostPorts, Object};
use crate::task::process::{self, Process};
use crate::task::{elf, files, scheduler};
use crate::{checks, console, log_ring, memory};

/// What Plinth keeps beyond its image: a base for kernel and processes, and more for each processor, of which
/// docs/decisions.md has what it is used for. With the most processors it still fits an ordinary image's
/// window.
const KEEP_BASE: u64 = 6 * 1024 * 1024;
const KEEP_PER_CPU: u64 = 320 * 1024;
const LARGE_PAGE: u64 = memory::tables::LARGE_PAGE;

/// Why the boot cannot go on.
#[derive(Debug)]
enum BootError {
    /// The boot page is not one, or of another version.
    NotABootPage,
    /// The host's memory map.
    HostMap(MapError),
    /// The window is too small for what the kernel keeps.
    WindowTooSmall,
    /// Memory.
    Memory(MemoryError),
    /// The processor lacks something.
    Features(features::Missing),
    /// The platform.
    Platform(Unsupported),
    /// The first process.
    Init(vcpu_abi::status::Status),
    /// The image has no such file.
    NoInit,
}

impl core::fmt::Display for BootError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotABootPage => write!(f, "the image has no boot page that this kernel understands"),
            Self::HostMap(error) => write!(f, "the host's memory map is not acceptable: {error}"),
            Self::WindowTooSmall => {
                write!(f, "the image's window is smaller than what Plinth keeps; enlarge it in the recipe")
            }
            Self::Memory(error) => write!(f, "no memory for the kernel itself: {error:?}"),
            Self::Features(missing) => {
                write!(f, "the processor lacks {missing}; QEMU's -cpu max has all that is needed")
            }
            Self::Platform(reason) => write!(f, "the processor's SVM cannot be used: {reason}"),
            Self::Init(status) => write!(f, "init cannot be started: {status}"),
            Self::NoInit => write!(f, "the image has no file named init"),
        }
    }
}

impl From<MemoryError> for BootError {
    fn from(error: MemoryError) -> Self {
        Self::Memory(error)
    }
}

impl From<MapError> for BootError {
    fn from(error: MapError) -> Self {
        Self::HostMap(error)
    }
}

/// Where the image's context enters: RDI has the boot page's address, RSP a stack, interrupts are off. All
/// compiled code may have CMOV in it, `features::check` too; a host that offers none hears so from here.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.entry")]
unsafe extern "C" fn kernel_entry() -> ! {
    naked_asm!(
        "xor ebp, ebp",
        "cld",
        "and rsp, -16",
        "mov eax, 1",
        "cpuid",
        "bt edx, 15",
        "jnc 2f",
        "call {boot_processor}",
        "ud2",
        "2: lea rsi, [rip + 6f]",
        "mov edx, 0x3f8",
        "3: lodsb",
        "test al, al",
        "jz 4f",
        "out dx, al",
        "jmp 3b",
        "4: mov al, {failed}",
        "out {debug_exit}, al",
        "5: hlt",
        "jmp 5b",
        "6: .asciz \"Plinth: cannot boot: the processor lacks CMOV; QEMU's -cpu max has all that is needed\\r\\n\"",
        boot_processor = sym boot_processor,
        failed = const End::ProcessFailed as u8,
        debug_exit = const machine::DEBUG_EXIT_PORT,
    )
}

/// The first processor, on the image's boot stack.
extern "C" fn boot_processor(boot_page: u64) -> ! {
    time::mark_boot();
    match boot(boot_page) {
        Ok(()) => scheduler::idle(),
        Err(error) => {
            console::last_words(format_args!("cannot boot: {error}"));
            machine::end(End::ProcessFailed)
        }
    }
}

fn boot(boot_page: u64) -> Result<(), BootError> {
    let boot = read_boot_page(boot_page)?;
    log_ring::start(boot.flags & BOOT_FLAG_DEBUG != 0);
    features::check(cpuid, &backend::NEEDED).map_err(BootError::Features)?;
    let root = PhysFrame::containing_address(PhysAddr::new_truncate(boot.page_table_root_gpa));
    machine::start(root, boot.flags);
    speculation::start(boot.flags & BOOT_FLAG_MITIGATIONS != 0);
    let cpus = start_memory(&boot)?;
    prepare_cpu(0)?;
    interrupts::build();
    enter_cpu(0, root);
    log::info!("Plinth {} on {} processor(s) as the host says", env!("CARGO_PKG_VERSION"), cpus);
    local_apic::map()?;
    io_apic::map()?;
    local_apic::enable();
    time::calibrate();
    backend::start().map_err(BootError::Platform)?;
    backend::init_cpu()?;
    let started = smp::start_others(cpus, other_processor)?;
    if started.missing {
        guest_memory::withhold(smp::START_RANGE)?;
    }
    log::info!("{} processor(s) run", started.running);
    files::start(&boot)?;
    start_init()
}

fn read_boot_page(address: u64) -> Result<BootPage, BootError> {
    if address != BOOT_PAGE_VIRTUAL {
        return Err(BootError::NotABootPage);
    }
    // SAFETY: the image's tables map the page there, read-only; every bit pattern is a value.
    let boot = unsafe { (address as *const BootPage).read() };
    if boot.magic == BOOT_MAGIC { Ok(boot) } else { Err(BootError::NotABootPage) }
}

/// Reads a `u32` parameter the host filled in.
fn host_u32(address: u64) -> u32 {
    // SAFETY: the image's tables map the parameter area; volatile, as the host wrote it.
    unsafe { (address as *const u32).read_volatile() }
}

/// Checks the host's memory map, splits it between Plinth and guest, and starts the frame allocator. Returns
/// the number of processors that the host claims.
fn start_memory(boot: &BootPage) -> Result<u32, BootError> {
    let usable = read_host_map(boot)?;
    let claimed = host_u32(boot.vp_count_virtual);
    let cpus = claimed.clamp(1, MAX_CPUS as u32);
    if cpus != claimed {
        log::warn!("the host says {claimed} processors; {cpus} of them are used");
    }
    let image = boot.image_end_gpa.saturating_sub(boot.window_gpa);
    let keep = (image + KEEP_BASE + KEEP_PER_CPU * u64::from(cpus)).next_multiple_of(LARGE_PAGE);
    if keep > boot.window_bytes {
        return Err(BootError::WindowTooSmall);
    }
    if !usable.contains(boot.window_gpa, keep) {
        return Err(MapError::WindowMissing.into());
    }
    let guest = usable.without(Range { start: boot.window_gpa, end: boot.window_gpa + keep })?;
    // The image is there, or this would not run.
    let kept = Range { start: boot.image_end_gpa, end: boot.window_gpa + keep };
    host_map::check(&[kept], probe::holds)?;
    host_map::check(guest.as_slice(), probe::holds)?;
    frames::start(boot.window_gpa, keep, boot.image_end_gpa);
    guest_memory::start(guest);
    Ok(cpus)
}

/// What the host's memory map has, without what is never memory.
fn read_host_map(boot: &BootPage) -> Result<host_map::Ranges, MapError> {
    let mut copy = [0u8; 2 * PAGE_SIZE_4K as usize];
    let bytes = copy.len().min(boot.memory_map_bytes as usize);
    // SAFETY: the image's tables map the area, that long; it is copied once, before it is looked at.
    unsafe { core::ptr::copy_nonoverlapping(boot.memory_map_virtual as *const u8, copy.as_mut_ptr(), bytes) };
    let map = host_map::parse(copy.get(..bytes).unwrap_or(&[]), physical_bits())?;
    if map.over_devices {
        log::warn!(
            "the host's memory map has memory where devices are, between 3.5 and 4 GiB; it is not used"
        );
    }
    Ok(map.usable)
}

/// How many bits a physical address has (APM volume 3, appendix E.4.7).
fn physical_bits() -> u32 {
    if cpuid(0x8000_0000, 0).eax >= 0x8000_0008 { cpuid(0x8000_0008, 0).eax & 0xff } else { 36 }
}

/// Maps the area of a processor: temporary pages, per-CPU structure, stacks.
pub fn prepare_cpu(number: u32) -> Result<(), MemoryError> {
    let area = CpuArea::of(number);
    self_map::prepare_temporary(area.temporary())?;
    let per_cpu_bytes = (size_of::<per_cpu::PerCpu>() as u64).next_multiple_of(PAGE);
    self_map::map_new(area.per_cpu(), per_cpu_bytes)?;
    map_stack(Kind::Idle, area.idle_stack_top(), CpuArea::IDLE_STACK_BYTES)?;
    (0..ist::COUNT)
        .try_for_each(|index| map_stack(Kind::Interrupt, area.ist_stack_top(index), CpuArea::IST_STACK_BYTES))
}

fn map_stack(kind: Kind, top: u64, bytes: u64) -> Result<(), MemoryError> {
    self_map::map_new(top - bytes, bytes)?;
    // SAFETY: just mapped, and its processor does not run yet, or is on the image's boot stack.
    unsafe { stacks::paint(kind, top - bytes, bytes) };
    Ok(())
}

/// Makes the processor the kernel's: per-CPU area, descriptors, interrupts, system calls, protections.
fn enter_cpu(number: u32, space: PhysFrame) {
    let area = CpuArea::of(number);
    // SAFETY: `prepare_cpu` mapped the area for this processor alone.
    unsafe { per_cpu::install(area.per_cpu() as *mut per_cpu::PerCpu, number, initial_apic_id(), space) };
    checks::tlb::root_loaded(space);
    descriptors::load(area);
    interrupts::load();
    // SAFETY: the kernel is mapped W^X, uses no user memory outside `user_copy`, and relies on none of what
    // this forbids.
    unsafe {
        Cr0::write(Cr0::read() | Cr0Flags::WRITE_PROTECT);
        Cr4::write(
            Cr4::read()
                | Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION
                | Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION
                | Cr4Flags::PAGE_GLOBAL
                // Without it a machine check is a shutdown, which nobody can say a word about.
                | Cr4Flags::MACHINE_CHECK_EXCEPTION,
        );
        msr::write(msr::EFER, msr::read(msr::EFER) | 1 << 11);
    }
    fpu::enable();
    speculation::enable();
    syscall_entry::enable();
}

/// The local APIC's ID at reset (CPUID leaf 1), before the APIC is mapped.
fn initial_apic_id() -> u32 {
    cpuid(1, 0).ebx >> 24
}

/// Every other processor, on its idle stack, still on the start page's tables.
extern "C" fn other_processor(number: u32) -> ! {
    let root = machine::kernel_root();
    // SAFETY: the kernel's half is the same in both tables.
    unsafe { x86_64::registers::control::Cr3::write(root, x86_64::registers::control::Cr3Flags::empty()) };
    enter_cpu(number, root);
    local_apic::enable();
    if let Err(error) = backend::init_cpu() {
        log::error!("cpu{number}: {error:?}");
        machine::end(End::ProcessFailed);
    }
    smp::started(number);
    log::debug!("cpu{} runs, local APIC ID {}", number, this_cpu().apic_id);
    scheduler::idle()
}

/// Host ports that processes may be given: the first serial port.
const SERIAL_PORTS: HostPorts = HostPorts { first: 0x3f8, count: 8 };
const SERIAL_LINE: u8 = 4;
/// The host's real-time clock: index and data.
const CLOCK_PORTS: HostPorts = HostPorts { first: 0x70, count: 2 };

/// Starts the first process, with a handle to everything there is.
fn start_init() -> Result<(), BootError> {
    let file = files::open(b"init").ok_or(BootError::NoInit)?;
    let init = Process::try_new(b"init", file).map_err(BootError::Init)?;
    let all = Rights::all();
    let mut text = StartText::new();
    for (name, object) in [
        ("system", Object::System),
        ("log", Object::Log),
        ("files", Object::Files),
        ("guest-memory", Object::GuestMemory),
        ("serial-ports", Object::HostPorts(SERIAL_PORTS)),
        ("serial-interrupt", Object::HostInterrupt(SERIAL_LINE)),
        ("clock-ports", Object::HostPorts(CLOCK_PORTS)),
    ] {
        let handle = init.handles.lock().insert(object, all).map_err(BootError::Init)?;
        text.add(name, handle);
    }
    let fill = |space: &Space| elf::copy(space, USER_START_PAGE, text.as_bytes());
    process::start(&init, fill, 0, 3).map_err(BootError::Init)
}

/// The start page of the first process: a line `handle NAME NUMBER` for each handle.
struct StartText {
    bytes: [u8; 512],
    used: usize,
}

impl StartText {
    const fn new() -> Self {
        Self { bytes: [0; 512], used: 0 }
    }

    fn add(&mut self, name: &str, handle: u32) {
        // A line for each handle fits.
        let _ = core::fmt::Write::write_fmt(self, format_args!("handle {name} {handle}\n"));
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or(&[])
    }
}

impl core::fmt::Write for StartText {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let place = self.bytes.get_mut(self.used..self.used + text.len()).ok_or(core::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.used += text.len();
        Ok(())
    }
}

// On the host, where the kernel is only checked, this is the standard library's.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    console::last_words(format_args!("kernel panic: {info}"));
    machine::end(End::KernelPanic)
}
