//! Starting the other processors: INIT, start-up IPI, and a page of real-mode code below 1 MiB.
#![allow(unsafe_code, reason = "code and tables for processors that are not in long mode yet")]

use core::arch::global_asm;
use core::sync::atomic::{AtomicU32, Ordering};

use x86_64::PhysAddr;
use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

use super::{MAX_CPUS, local_apic, per_cpu, time};
use crate::memory::layout::CpuArea;
use crate::memory::tables::Tables;
use crate::memory::{MemoryError, guest_memory, temporary};

/// The page the processors start in: guest memory, borrowed before there is a guest, and given back zeroed.
const START_PAGE: u64 = 0x8000;
/// How long a processor may take to come up.
const START_TIMEOUT_MS: u64 = 500;

/// The processor that came up last, plus one.
static STARTED: AtomicU32 = AtomicU32::new(0);

global_asm!(
    r#"
    .pushsection .rodata.smp, "a"
    .balign 16
smp_start:
    .code16
    cli
    mov ax, cs
    mov ds, ax
    lgdt [smp_gdt_pointer - smp_start]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xea                  // far jump to 32-bit code
    .long smp_protected - smp_start + {page}
    .word 0x08
    .code32
smp_protected:
    mov ax, 0x10
    mov ds, ax
    mov ss, ax
    mov eax, 0x6a0                    // PAE, PGE, OSFXSR, OSXMMEXCPT
    and eax, 0xa0
    mov cr4, eax
    mov eax, [smp_root - smp_start + {page}]
    mov cr3, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x900                     // LME, NXE
    wrmsr
    mov eax, 0x80010033               // PG, WP, NE, ET, MP, PE
    mov cr0, eax
    .byte 0xea
    .long smp_long - smp_start + {page}
    .word 0x18
    .code64
smp_long:
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov rsp, [smp_stack - smp_start + {page}]
    mov edi, [smp_number - smp_start + {page}]
    mov rax, [smp_entry - smp_start + {page}]
    xor ebp, ebp
    push 0
    jmp rax
    .balign 16
smp_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00af9b000000ffff
smp_gdt_pointer:
    .word 31
    .long smp_gdt - smp_start + {page}
    .balign 8
smp_root:   .quad 0
smp_stack:  .quad 0
smp_entry:  .quad 0
smp_number: .quad 0
smp_end:
    .popsection
    "#,
    page = const START_PAGE,
);

unsafe extern "C" {
    static smp_start: u8;
    static smp_root: u8;
    static smp_end: u8;
}

/// The start page's code, as bytes.
fn code() -> &'static [u8] {
    let (start, end) = (&raw const smp_start, &raw const smp_end);
    // SAFETY: both labels are in the kernel's read-only data, in this order.
    unsafe { core::slice::from_raw_parts(start, end as usize - start as usize) }
}

/// Offset of the four parameters in the start page.
fn parameters_offset() -> usize {
    (&raw const smp_root) as usize - (&raw const smp_start) as usize
}

/// Starts the processors with local APIC IDs 0 to `count - 1` that are not this one. Those that do not answer are left out: the
/// count is the host's claim. Answers how many run.
pub fn start_others(count: u32, entry: extern "C" fn(u32) -> !) -> Result<u32, MemoryError> {
    let mut running = 1;
    if count <= 1 {
        return Ok(running);
    }
    if !guest_memory::contains(START_PAGE, 0x1000) {
        log::warn!("the host has no memory at {START_PAGE:#x}: only one processor is used");
        return Ok(running);
    }
    let frame = PhysFrame::containing_address(PhysAddr::new(START_PAGE));
    // The kernel's tables with the start page at its own address: the processor turns paging on in it.
    let tables = Tables::try_new()?;
    tables.share_kernel(crate::machine::kernel_root());
    tables.map(START_PAGE, frame, Flags::PRESENT)?;
    temporary::copy_in(frame, 0, code());
    let own = local_apic::id();
    for apic_id in (0..count).filter(|id| *id != own) {
        if running as usize >= MAX_CPUS {
            break;
        }
        crate::prepare_cpu(running)?;
        let stack = CpuArea::of(running).idle_stack_top();
        let root = tables.root().start_address().as_u64();
        for (index, value) in [root, stack, entry as usize as u64, u64::from(running)].into_iter().enumerate()
        {
            temporary::copy_in(frame, parameters_offset() + index * 8, &value.to_le_bytes());
        }
        if start_one(apic_id, running) {
            running += 1;
        } else {
            log::warn!("processor with local APIC ID {apic_id} did not start; it is left out");
            break;
        }
    }
    temporary::copy_in(frame, 0, &[0; 4096]);
    Ok(running)
}

fn start_one(apic_id: u32, number: u32) -> bool {
    local_apic::start_processor(apic_id, (START_PAGE >> 12) as u8);
    for _ in 0..START_TIMEOUT_MS {
        if STARTED.load(Ordering::Acquire) > number {
            return true;
        }
        time::spin_us(1000);
    }
    per_cpu::of(number).is_some()
}

/// The processor has left the start page's tables.
pub fn started(number: u32) {
    STARTED.store(number + 1, Ordering::Release);
}
