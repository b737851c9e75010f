//! The stages of the boot.
#![allow(unsafe_code, reason = "the entry, and what the loader left in memory")]

mod init;
mod processor;
mod smp;

use core::arch::naked_asm;
#[cfg(target_os = "none")]
use core::panic::PanicInfo;

use igvm_defs::PAGE_SIZE_4K;
use vcpu_abi::boot::{BOOT_FLAG_DEBUG, BOOT_FLAG_MITIGATIONS, BOOT_MAGIC, BOOT_PAGE_VIRTUAL, BootPage};
use x86_64::PhysAddr;
use x86_64::structures::paging::PhysFrame;

use crate::cpu::{
    calibration, cpuid, features, interrupts, io_apic, local_apic, speculation, this_cpu, time,
};
use crate::layout;
use crate::machine::{self, End};
use crate::memory::host_map::{self, MapError, Range};
use crate::memory::self_map::{self, MapKind};
use crate::memory::{self, MemoryError, entry, frames, guest_memory, probe};
use crate::platform::backend::{self, Unsupported};
use crate::task::{files, scheduler};
use crate::{console, image, log_ring};

/// What Plinth keeps beyond its image: a base for kernel and processes, and more for each processor, of which
/// docs/decisions.md has what it is used for. With the most processors it still fits an ordinary image's
/// window.
const KEEP_BASE: u64 = 8 * 1024 * 1024;
const KEEP_PER_CPU: u64 = 320 * 1024;
const LARGE_PAGE: u64 = memory::tables::LARGE_PAGE;

/// Why the boot cannot go on.
#[derive(Debug)]
enum BootError {
    /// The boot page is not one, or of another version.
    NotABootPage,
    /// The image is for a platform that this kernel has no backend for: which `BootPage::platform`.
    OtherPlatform(u32),
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
            Self::OtherPlatform(number) => {
                write!(f, "the image is made for platform {number}, and this kernel for {}", backend::IMAGE)
            }
            Self::HostMap(error) => write!(f, "the host's memory map is not acceptable: {error}"),
            Self::WindowTooSmall => {
                write!(f, "the image's window is smaller than what Plinth keeps; enlarge it in the recipe")
            }
            Self::Memory(error) => write!(f, "no memory for the kernel itself: {error:?}"),
            Self::Features(missing) => {
                write!(f, "the processor lacks {missing}; QEMU's -cpu max has all that is needed")
            }
            Self::Platform(reason) => write!(f, "{reason}"),
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
#[cfg(not(feature = "snp"))]
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
        "6: .ascii \"Plinth: cannot boot: the processor lacks CMOV; \"",
        ".asciz \"QEMU's -cpu max has all that is needed\\r\\n\"",
        boot_processor = sym boot_processor,
        failed = const End::ProcessFailed as u8,
        debug_exit = const machine::DEBUG_EXIT_PORT,
    )
}

/// The same where CPUID would be an exception, for which there is no handler yet: nothing is asked of
/// anybody. Processors with SEV-SNP have CMOV.
#[cfg(feature = "snp")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.entry")]
unsafe extern "C" fn kernel_entry() -> ! {
    naked_asm!(
        "xor ebp, ebp",
        "cld",
        "and rsp, -16",
        "call {boot_processor}",
        "ud2",
        boot_processor = sym boot_processor,
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
    // From here on the host may be asked: by instructions, or as the platform does it.
    backend::begin(&boot).map_err(BootError::Platform)?;
    log_ring::start(boot.flags & BOOT_FLAG_DEBUG != 0);
    // Before anything is used that a host may have left out.
    features::check(cpuid, &backend::NEEDED).map_err(BootError::Features)?;
    let root = PhysFrame::containing_address(PhysAddr::new_truncate(boot.page_table_root_gpa));
    image::start(root, boot.flags);
    entry::start(backend::marks(&boot));
    // Before a processor is entered below: by this choice it gets its entry code for system calls.
    speculation::start(boot.flags & BOOT_FLAG_MITIGATIONS != 0);
    let cpus = start_memory(&boot)?;
    processor::prepare(0)?;
    interrupts::build();
    processor::enter(0, root);
    log::info!("Plinth {} on {} processor(s) as the host says", env!("CARGO_PKG_VERSION"), cpus);
    if backend::HAS_HOST_CLOCKS {
        start_apics()?;
        // Before the other processors are started, whose time for that is told by the TSC.
        calibration::calibrate(backend::trusted_tsc_hz());
    }
    backend::start().map_err(BootError::Platform)?;
    backend::init_cpu()?;
    let started = smp::start_others(cpus, other_processor)?;
    // One that is missing may come later, and executes what lies there then, with all privilege there is.
    if started.missing {
        guest_memory::withhold(smp::START_RANGE)?;
    }
    log::info!("{} processor(s) run", started.running);
    files::start(&boot)?;
    let init = files::open(b"init").ok_or(BootError::NoInit)?;
    init::start(init).map_err(BootError::Init)
}

/// Maps the registers of the host's APICs and starts them.
fn start_apics() -> Result<(), MemoryError> {
    if local_apic::choose_mode() {
        self_map::map_physical(layout::LOCAL_APIC, local_apic::PHYSICAL, MapKind::Device)?;
    }
    self_map::map_physical(layout::IO_APIC, io_apic::PHYSICAL, MapKind::Device)?;
    io_apic::start();
    local_apic::enable();
    Ok(())
}

fn read_boot_page(address: u64) -> Result<BootPage, BootError> {
    // Not read where it may not be mapped: there is no IDT yet, and a fault would be a silent end.
    if address != BOOT_PAGE_VIRTUAL {
        return Err(BootError::NotABootPage);
    }
    // SAFETY: the image's tables map the page there, read-only; every bit pattern is a value.
    let boot = unsafe { (address as *const BootPage).read() };
    check_boot_page(&boot)?;
    Ok(boot)
}

fn check_boot_page(boot: &BootPage) -> Result<(), BootError> {
    if boot.magic != BOOT_MAGIC {
        return Err(BootError::NotABootPage);
    }
    if boot.platform == backend::IMAGE { Ok(()) } else { Err(BootError::OtherPlatform(boot.platform)) }
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
    // The host's claim; this processor is there in any case, and who does not answer is left out later.
    let cpus = claimed.clamp(1, backend::CPUS_MAX as u32);
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
    // Here alone memory comes to Plinth and to its guest; the probes are the first use of it.
    for range in [&[kept], guest.as_slice()].into_iter().flatten() {
        backend::accept_memory(*range).map_err(BootError::Platform)?;
    }
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
    // 36 is what processors had that lack the leaf.
    if cpuid(0x8000_0000, 0).eax >= 0x8000_0008 { cpuid(0x8000_0008, 0).eax & 0xff } else { 36 }
}

/// Every other processor, on its idle stack, still on the start page's tables.
extern "C" fn other_processor(number: u32) -> ! {
    let root = image::kernel_root();
    // SAFETY: the kernel's half is the same in both tables.
    unsafe { memory::loaded::load_first(root) };
    processor::enter(number, root);
    local_apic::enable();
    if let Err(error) = backend::init_cpu() {
        log::error!("cpu{number}: {error:?}");
        machine::end(End::ProcessFailed);
    }
    smp::started(number);
    log::debug!("cpu{} runs, local APIC ID {}", number, this_cpu().apic_id);
    scheduler::idle()
}

// On the host, where the kernel is only checked, this is the standard library's.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    console::last_words(format_args!("kernel panic: {info}"));
    machine::end(End::KernelPanic)
}

#[cfg(test)]
mod tests;
