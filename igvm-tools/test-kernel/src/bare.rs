//! Entry, checks and output.
#![allow(unsafe_code, reason = "a kernel: it looks at memory by address and at the processor's registers")]

use core::arch::{asm, global_asm};
use core::fmt::{self, Write};

use igvm_defs::{IGVM_VHS_MEMORY_MAP_ENTRY, MemoryMapEntryType};
use vcpu_abi::boot::{BOOT_MAGIC, BOOT_PAGE_VIRTUAL, BootPage, DirectoryEntry, SELF_MAP_SLOT};
use zerocopy::FromBytes;

/// Written to `isa-debug-exit`: QEMU ends with twice that plus one.
const SUCCESS: u8 = 16;
const FAILURE: u8 = 17;

/// Registers as they were at entry, in the order of the pushes below, last first.
#[repr(C)]
struct AtEntry {
    cr0: u64,
    cr3: u64,
    cr4: u64,
    cs: u64,
    ss: u64,
    rflags: u64,
    others: u64,
    rdi: u64,
    rax: u64,
}

// `others` is the OR of all registers that the contract leaves zero.
global_asm!(
    r#"
    .section .text.entry, "ax", @progbits
    .global entry
entry:
    push rax
    push rdi
    pushfq
    pop rax
    or rbx, rcx
    or rbx, rdx
    or rbx, rsi
    or rbx, rbp
    or rbx, r8
    or rbx, r9
    or rbx, r10
    or rbx, r11
    or rbx, r12
    or rbx, r13
    or rbx, r14
    or rbx, r15
    push rbx
    push rax
    xor eax, eax
    mov ax, ss
    push rax
    mov ax, cs
    push rax
    mov rax, cr4
    push rax
    mov rax, cr3
    push rax
    mov rax, cr0
    push rax
    mov rdi, rsp
    and rsp, -16
    call {start}
    ud2
    .text
    "#,
    start = sym start,
);

static mut ZEROS: [u64; 512] = [0; 512];
static mut DATA: u64 = 0x1234_5678_9abc_def0;

struct Serial;

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| out(0x3f8, byte));
        Ok(())
    }
}

macro_rules! say {
    ($($message:tt)*) => { let _ = writeln!(Serial, $($message)*); };
}

fn out(port: u16, value: u8) {
    // SAFETY: a port write changes no memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) };
}

fn end(value: u8) -> ! {
    out(0xf4, value);
    loop {
        // SAFETY: stops the processor.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

extern "C" fn start(entry: &AtEntry) -> ! {
    let fine = registers(entry) & memory(entry);
    say!("test-kernel: {}", if fine { "all is well" } else { "FAILED" });
    end(if fine { SUCCESS } else { FAILURE })
}

fn registers(entry: &AtEntry) -> bool {
    let efer = {
        let (low, high): (u32, u32);
        // SAFETY: EFER exists wherever there is long mode.
        unsafe {
            asm!("rdmsr", in("ecx") 0xc000_0080u32, out("eax") low, out("edx") high, options(nomem, nostack))
        };
        u64::from(high) << 32 | u64::from(low)
    };
    say!("cr0 {:#x} cr4 {:#x} efer {efer:#x} rflags {:#x}", entry.cr0, entry.cr4, entry.rflags);
    say!("cs {:#x} ss {:#x} others {:#x}", entry.cs, entry.ss, entry.others);
    check("rax is cr3", entry.rax == entry.cr3)
        & check("rdi is the boot page", entry.rdi == BOOT_PAGE_VIRTUAL)
        & check("cr0", entry.cr0 == 0x8001_0031)
        & check("cr4", entry.cr4 == 0x20)
        & check("efer", efer == 0xd00)
        & check("rflags", entry.rflags == 2)
        & check("selectors", entry.cs == 8 && entry.ss == 16)
        & check("other registers", entry.others == 0)
}

fn memory(entry: &AtEntry) -> bool {
    // SAFETY: the contract maps the boot page there; the loader or `check` failing is what this kernel is
    // for.
    let boot: BootPage = unsafe { read(entry.rdi) };
    say!("window {:#x} + {:#x}, image end {:#x}", boot.window_gpa, boot.window_bytes, boot.image_end_gpa);
    // SAFETY: as above.
    let (vp_count, environment): (u32, u32) =
        unsafe { (read(boot.vp_count_virtual), read(boot.environment_info_virtual)) };
    say!("VPs {vp_count} environment {environment:#x}");
    let map = memory_map(&boot);
    for index in 0..u64::from(boot.directory_entries) {
        // SAFETY: as above.
        let file: DirectoryEntry =
            unsafe { read(boot.directory_virtual + index * size_of::<DirectoryEntry>() as u64) };
        let name = file.name.split(|byte| *byte == 0).next().unwrap_or(&[]);
        let name = core::str::from_utf8(name).unwrap_or("?");
        say!("file {name} kind {} at {:#x} + {:#x} sum {:#x}", file.kind, file.gpa, file.bytes, sum(&file));
    }
    // SAFETY: statics of this kernel, one processor.
    let (zeros, data) = unsafe { ((&raw const ZEROS).read_volatile(), (&raw const DATA).read_volatile()) };
    check("boot page", boot.magic == BOOT_MAGIC && boot.page_table_root_gpa == entry.cr3)
        & check("memory map", map)
        & check("bss", zeros.iter().all(|word| *word == 0))
        & check("data", data == 0x1234_5678_9abc_def0)
}

fn memory_map(boot: &BootPage) -> bool {
    let mut end = 0;
    let mut fine = true;
    for index in 0..boot.memory_map_bytes / 24 {
        // SAFETY: the contract maps the area.
        let entry: IGVM_VHS_MEMORY_MAP_ENTRY = unsafe { read(boot.memory_map_virtual + index * 24) };
        if entry.number_of_pages == 0 {
            break;
        }
        let ram = entry.entry_type == MemoryMapEntryType::MEMORY;
        let (first, pages) = (entry.starting_gpa_page_number, entry.number_of_pages);
        say!("map {:#x} + {:#x} pages {}", first << 12, pages, if ram { "ram" } else { "reserved" });
        fine &= first >= end;
        end = first + pages;
    }
    fine && end > 0
}

/// Adds up a file's bytes, mapping its pages one by one in the last entry of the kernel's own last-level
/// table.
fn sum(file: &DirectoryEntry) -> u64 {
    const VIRTUAL: u64 = 0xffff_ffff_801f_f000;
    let slot = SELF_MAP_SLOT as u64;
    let table_entry = (0xffff << 48 | slot << 39 | (VIRTUAL >> 9) & 0x7f_ffff_fff8) as *mut u64;
    let mut total = 0u64;
    for offset in (0..file.bytes).step_by(4096) {
        // SAFETY: the tables map themselves; the entry is free: this kernel is shorter than 2 MiB.
        unsafe {
            table_entry.write_volatile((file.gpa + offset) | 1 | 1 << 63);
            asm!("invlpg [{}]", in(reg) VIRTUAL, options(nostack, preserves_flags));
            let bytes = (file.bytes - offset).min(4096);
            total +=
                (0..bytes).map(|at| u64::from(((VIRTUAL + at) as *const u8).read_volatile())).sum::<u64>();
        }
    }
    total
}

fn check(what: &str, fine: bool) -> bool {
    if !fine {
        say!("WRONG: {what}");
    }
    fine
}

/// Reads a structure.
///
/// # Safety
/// Its bytes are mapped at `address`.
unsafe fn read<T: FromBytes>(address: u64) -> T {
    // SAFETY: the caller's; any bytes make a T.
    unsafe { (address as *const T).read_unaligned() }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    say!("test-kernel: {info}");
    end(FAILURE)
}
