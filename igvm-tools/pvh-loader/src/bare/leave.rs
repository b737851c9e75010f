//! Leaving: the processor in the state of the VP context, at the entry point, in the image's page tables.
//!
//! The image's tables map nothing of the loader and the loader's nothing of the image. The bridge is one
//! instruction, `mov cr3, rax`, put into a page of the loader that its tables also map just below the entry
//! point: the processor fetches it through the loader's tables and what follows it, the entry point, through
//! the image's.
#![allow(unsafe_code, reason = "page tables, segment registers and the jump itself")]

use core::arch::asm;
use core::cell::UnsafeCell;

use igvm_defs::IgvmNativeVpContextX64;
use pvh_loader::context::{GDT_ENTRIES, SWITCH_CODE};

use super::entry::Tables;

const PRESENT_WRITABLE: u64 = 3;
const PAGE: u64 = 4096;

/// Pages of the bridge: two code pages, for an entry point less than three bytes into a page, and tables for
/// both: they may differ at every level below the root, where the upper half begins at index 256.
#[repr(C, align(4096))]
struct Bridge {
    code: [u8; 2 * PAGE as usize],
    tables: [[u64; 512]; 6],
}

/// What the assembly reads, in the order it needs it.
#[repr(C)]
struct Departure {
    context: IgvmNativeVpContextX64,
    switch: u64,
    gdt: [u64; GDT_ENTRIES],
    own_gdt: TablePointer,
    gdtr: TablePointer,
    idtr: TablePointer,
}

/// The operand of LGDT and LIDT, after six bytes that keep the base aligned.
#[repr(C)]
#[derive(Clone, Copy)]
struct TablePointer {
    padding: [u16; 3],
    limit: u16,
    base: u64,
}

impl TablePointer {
    fn new(limit: u16, base: u64) -> Self {
        Self { padding: [0; 3], limit, base }
    }
}

/// Memory of the loader that the processor reads behind the compiler's back.
#[repr(transparent)]
struct Fixed<T>(UnsafeCell<T>);

// SAFETY: one processor runs the loader, and `leave` runs once.
unsafe impl<T> Sync for Fixed<T> {}

static BRIDGE: Fixed<Bridge> =
    Fixed(UnsafeCell::new(Bridge { code: [0; 2 * PAGE as usize], tables: [[0; 512]; 6] }));

unsafe extern "C" {
    static mut loader_tables: Tables;
}

/// Starts the image. The context has passed `context::check`, and `gdt` was made from it.
pub fn leave(context: &IgvmNativeVpContextX64, gdt: [u64; GDT_ENTRIES]) -> ! {
    let switch = context.rip - SWITCH_CODE.len() as u64;
    build_bridge(switch);
    let mut departure = Departure {
        context: *context,
        switch,
        gdt,
        own_gdt: TablePointer::new((size_of::<[u64; GDT_ENTRIES]>() - 1) as u16, 0),
        gdtr: TablePointer::new(context.gdtr_limit, context.gdtr_base),
        idtr: TablePointer::new(context.idtr_limit, context.idtr_base),
    };
    // Only now: until the structure was made, the table had no address.
    departure.own_gdt.base = (&raw const departure.gdt) as u64;
    // SAFETY: the identity mapping keeps every address valid until the last instruction; the bridge is in
    // place; the context's control registers are ones every processor with long mode takes, and keep paging
    // and long mode on.
    unsafe { depart(&departure) }
}

/// Puts the switch code where `switch` will be, and maps it there.
fn build_bridge(switch: u64) {
    // SAFETY: the only reference to the bridge: `leave` does not return and is called once.
    let bridge = unsafe { &mut *BRIDGE.0.get() };
    for (byte, code) in bridge.code.iter_mut().skip((switch % PAGE) as usize).zip(SWITCH_CODE) {
        *byte = code;
    }
    // Identity-mapped, so that the pointer is the physical address.
    let code = bridge.code.as_ptr() as u64;
    let mut pool = bridge.tables.iter_mut();
    let tables = &raw mut loader_tables;
    // SAFETY: as above; the tables in use are only added to, in the upper half, where nothing is mapped yet.
    let root = unsafe { &mut (*tables).level4 };
    let first = switch - switch % PAGE;
    for (page, code) in [(first, code), (first.wrapping_add(PAGE), code + PAGE)] {
        // Wraps only if the entry point is in the last page, whose next page is not needed.
        if page >= first {
            map(root, page, code, &mut pool);
        }
    }
}

/// Maps one 4 KiB page, with new tables from `pool` where there are none: two pages need three each at most.
fn map<'a>(
    root: &mut [u64; 512],
    address: u64,
    physical: u64,
    pool: &mut impl Iterator<Item = &'a mut [u64; 512]>,
) {
    let mut table = root;
    for shift in [39, 30, 21] {
        let entry = &mut table[(address >> shift) as usize % 512];
        // The second page shares with the first one what tables it can.
        if *entry == 0 {
            let Some(fresh) = pool.next() else { return };
            *entry = fresh.as_ptr() as u64 | PRESENT_WRITABLE;
        }
        let next = (*entry & !0xfff) as *mut [u64; 512];
        // SAFETY: an entry made by this function, so a table of the bridge, mapped by identity. The pool's
        // own references to it ended when it was taken.
        table = unsafe { &mut *next };
    }
    table[(address >> 12) as usize % 512] = physical | PRESENT_WRITABLE;
}

/// Loads everything but CR3 and RIP, and jumps to the bridge. Order: what needs the loader's GDT first,
/// general registers last.
///
/// # Safety
/// See [`leave`].
unsafe fn depart(departure: &Departure) -> ! {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            // Segments, from a GDT with the context's descriptors; then the context's GDTR, whatever it
            // holds.
            "lgdt [rdi + {own_gdt}]",
            "movzx eax, word ptr [rdi + {code}]",
            "push rax",
            "lea rax, [rip + 2f]",
            "push rax",
            "retfq",
            "2:",
            "movzx eax, word ptr [rdi + {data}]",
            "mov ds, eax",
            "mov es, eax",
            "mov ss, eax",
            "mov fs, eax",
            "mov gs, eax",
            "lgdt [rdi + {gdtr}]",
            "lidt [rdi + {idtr}]",
            // GS base and EFER.
            "mov ecx, 0xc0000101",
            "mov eax, [rdi + {gs_base}]",
            "mov edx, [rdi + {gs_base} + 4]",
            "wrmsr",
            "mov ecx, 0xc0000080",
            "mov eax, [rdi + {efer}]",
            "mov edx, [rdi + {efer} + 4]",
            "wrmsr",
            "mov rax, [rdi + {cr4}]",
            "mov cr4, rax",
            "mov rax, [rdi + {cr0}]",
            "mov cr0, rax",
            "push qword ptr [rdi + {rflags}]",
            "popfq",
            // From here on no flag changes.
            "mov rax, [rdi + {rax}]",
            "mov rcx, [rdi + {rcx}]",
            "mov rdx, [rdi + {rdx}]",
            "mov rbx, [rdi + {rbx}]",
            "mov rbp, [rdi + {rbp}]",
            "mov rsi, [rdi + {rsi}]",
            "mov r8, [rdi + {r8}]",
            "mov r9, [rdi + {r9}]",
            "mov r10, [rdi + {r10}]",
            "mov r11, [rdi + {r11}]",
            "mov r12, [rdi + {r12}]",
            "mov r13, [rdi + {r13}]",
            "mov r14, [rdi + {r14}]",
            "mov r15, [rdi + {r15}]",
            "mov rsp, [rdi + {switch}]",
            "mov [rip + {target}], rsp",
            "mov rsp, [rdi + {rsp}]",
            "mov rdi, [rdi + {rdi_}]",
            "jmp qword ptr [rip + {target}]",
            in("rdi") departure,
            target = sym TARGET,
            own_gdt = const offset_of(Place::OwnGdt),
            gdtr = const offset_of(Place::Gdtr),
            idtr = const offset_of(Place::Idtr),
            switch = const core::mem::offset_of!(Departure, switch),
            code = const core::mem::offset_of!(IgvmNativeVpContextX64, code_selector),
            data = const core::mem::offset_of!(IgvmNativeVpContextX64, data_selector),
            gs_base = const core::mem::offset_of!(IgvmNativeVpContextX64, gs_base),
            efer = const core::mem::offset_of!(IgvmNativeVpContextX64, efer),
            cr4 = const core::mem::offset_of!(IgvmNativeVpContextX64, cr4),
            cr0 = const core::mem::offset_of!(IgvmNativeVpContextX64, cr0),
            rflags = const core::mem::offset_of!(IgvmNativeVpContextX64, rflags),
            rax = const core::mem::offset_of!(IgvmNativeVpContextX64, rax),
            rcx = const core::mem::offset_of!(IgvmNativeVpContextX64, rcx),
            rdx = const core::mem::offset_of!(IgvmNativeVpContextX64, rdx),
            rbx = const core::mem::offset_of!(IgvmNativeVpContextX64, rbx),
            rsp = const core::mem::offset_of!(IgvmNativeVpContextX64, rsp),
            rbp = const core::mem::offset_of!(IgvmNativeVpContextX64, rbp),
            rsi = const core::mem::offset_of!(IgvmNativeVpContextX64, rsi),
            rdi_ = const core::mem::offset_of!(IgvmNativeVpContextX64, rdi),
            r8 = const core::mem::offset_of!(IgvmNativeVpContextX64, r8),
            r9 = const core::mem::offset_of!(IgvmNativeVpContextX64, r9),
            r10 = const core::mem::offset_of!(IgvmNativeVpContextX64, r10),
            r11 = const core::mem::offset_of!(IgvmNativeVpContextX64, r11),
            r12 = const core::mem::offset_of!(IgvmNativeVpContextX64, r12),
            r13 = const core::mem::offset_of!(IgvmNativeVpContextX64, r13),
            r14 = const core::mem::offset_of!(IgvmNativeVpContextX64, r14),
            r15 = const core::mem::offset_of!(IgvmNativeVpContextX64, r15),
            options(noreturn),
        )
    }
}

/// Where the jump goes, once no register is left to hold it.
static TARGET: Fixed<u64> = Fixed(UnsafeCell::new(0));

enum Place {
    OwnGdt,
    Gdtr,
    Idtr,
}

/// The offset of a table pointer's operand: its limit, where the base follows at once.
const fn offset_of(place: Place) -> usize {
    core::mem::offset_of!(TablePointer, limit)
        + match place {
            Place::OwnGdt => core::mem::offset_of!(Departure, own_gdt),
            Place::Gdtr => core::mem::offset_of!(Departure, gdtr),
            Place::Idtr => core::mem::offset_of!(Departure, idtr),
        }
}

const _: () = assert!(core::mem::offset_of!(Departure, context) == 0);
