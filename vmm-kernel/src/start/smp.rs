//! Starting the other processors: INIT, start-up IPI, and a page of real-mode code below 1 MiB.
//!
//! A processor that has not answered in time may still do so at any later moment, when the guest runs: it
//! then executes the start page with all privilege there is. A second INIT would not make sure that it does
//! not: it may be late as well, and QEMU keeps a start-up IPI that is pending when an INIT comes. So the
//! start page is withheld from the guest for good when a processor is missing, and it, its tables and the
//! processor's area stay as they are: whoever comes late comes into the kernel, finds nothing to do, and
//! idles.
#![allow(unsafe_code, reason = "code and tables for processors that are not in long mode yet")]

use core::arch::global_asm;
use core::sync::atomic::{AtomicU32, Ordering};

use x86_64::PhysAddr;
use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

use super::processor;
use crate::cpu::{local_apic, per_cpu, time};
use crate::layout::{CpuArea, MAX_CPUS};
use crate::memory::host_map::Range;
use crate::memory::payer::Payer;
use crate::memory::tables::Tables;
use crate::memory::{MemoryError, guest_memory, temporary};

/// The page the processors start in: guest memory, borrowed before there is a guest, and given back zeroed.
const START_PAGE: u64 = 0x8000;
/// All of it.
pub const START_RANGE: Range = Range { start: START_PAGE, end: START_PAGE + 0x1000 };
/// Offsets in the start page: a GDT, its pointer for LGDT, one for LIDT, and what the code is told: root of
/// the page tables, stack, entry, number.
const GDT: usize = 0xe00;
const GDT_POINTER: usize = 0xe40;
const IDT_POINTER: usize = 0xe48;
const PARAMETERS: usize = 0xf00;
/// Null, 32-bit code, data, 64-bit code.
const FLAT_GDT: [u64; 4] = [0, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x00af_9b00_0000_ffff];
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
    // An NMI must not go through the vectors at address 0, which may be the guest's: with no table it is a
    // shutdown.
    lidt cs:[{idt_pointer}]
    cli
    mov ax, cs
    mov ds, ax
    lgdt [{gdt_pointer}]
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
    mov eax, 0xa0                     // PAE, PGE
    mov cr4, eax
    mov eax, [{root}]
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
    mov rsp, [{root} + 8]
    mov edi, [{root} + 24]
    mov rax, [{root} + 16]
    xor ebp, ebp
    // Where a return address would lie: the stack is aligned as behind a call.
    push 0
    jmp rax
smp_end:
    .popsection
    "#,
    page = const START_PAGE,
    gdt_pointer = const GDT_POINTER,
    idt_pointer = const IDT_POINTER,
    root = const START_PAGE + PARAMETERS as u64,
);

unsafe extern "C" {
    static smp_start: u8;
    static smp_end: u8;
}

/// The start page's code, as bytes.
fn code() -> &'static [u8] {
    let (start, end) = (&raw const smp_start, &raw const smp_end);
    // SAFETY: both labels are in the kernel's read-only data, in this order.
    unsafe { core::slice::from_raw_parts(start, end as usize - start as usize) }
}

/// What became of the other processors.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// How many processors run, this one included.
    pub running: u32,
    /// One did not answer: [`START_RANGE`] must never be the guest's.
    pub missing: bool,
}

/// Starts the processors with local APIC IDs 0 to `count - 1` that are not this one. One that does not answer
/// is left out, and those after it: the count is the host's claim.
pub fn start_others(count: u32, entry: extern "C" fn(u32) -> !) -> Result<Started, MemoryError> {
    let mut started = Started { running: 1, missing: false };
    if count <= 1 {
        return Ok(started);
    }
    if !guest_memory::contains(START_PAGE, 0x1000) {
        log::warn!("the host has no memory at {START_PAGE:#x}: only one processor is used");
        return Ok(started);
    }
    let frame = PhysFrame::containing_address(PhysAddr::new(START_PAGE));
    let tables = prepare_page(frame)?;
    let own = local_apic::id();
    // One after the other: they share the start page, with what it says of stack and number.
    for apic_id in (0..count).filter(|id| *id != own) {
        if started.running as usize >= MAX_CPUS {
            break;
        }
        processor::prepare(started.running)?;
        let stack = CpuArea::of(started.running).idle_stack_top();
        let root = tables.root().start_address().as_u64();
        copy_words(frame, PARAMETERS, &[root, stack, entry as usize as u64, u64::from(started.running)]);
        if !start_one(apic_id, started.running) {
            log::warn!("processor with local APIC ID {apic_id} did not start; it is left out");
            // The tables stay, as the page does.
            core::mem::forget(tables);
            return Ok(Started { missing: true, ..started });
        }
        started.running += 1;
    }
    temporary::copy_in(frame, 0, &[0; 4096]);
    Ok(started)
}

/// Fills the start page, but for its parameters. Returns the kernel's tables with that page at its own
/// address: a processor turns paging on in it.
fn prepare_page(frame: PhysFrame) -> Result<Tables, MemoryError> {
    let mut tables = Tables::try_new(Payer::NOBODY)?;
    tables.share_kernel(crate::image::kernel_root());
    tables.map(START_PAGE, frame, Flags::PRESENT)?;
    temporary::copy_in(frame, 0, code());
    copy_words(frame, GDT, &FLAT_GDT);
    copy_words(frame, GDT_POINTER, &[(START_PAGE + GDT as u64) << 16 | 31]);
    copy_words(frame, IDT_POINTER, &[0]);
    Ok(tables)
}

fn copy_words(frame: PhysFrame, offset: usize, words: &[u64]) {
    for (index, word) in words.iter().enumerate() {
        temporary::copy_in(frame, offset + index * 8, &word.to_le_bytes());
    }
}

fn start_one(apic_id: u32, number: u32) -> bool {
    local_apic::start_processor(apic_id, (START_PAGE >> 12) as u8);
    for _ in 0..START_TIMEOUT_MS {
        if STARTED.load(Ordering::Acquire) > number {
            return true;
        }
        time::spin_us(1000);
    }
    // Its area is published behind the change of page tables: one that has come so far is late, and needs the
    // start page no more.
    per_cpu::of(number).is_some()
}

/// The processor has left the start page's tables.
pub fn started(number: u32) {
    STARTED.store(number + 1, Ordering::Release);
}
