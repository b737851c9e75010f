//! The NATIVE VP context: which ones this loader can set, and the processor structures that set them.
//!
//! The last instruction before the image runs is `mov cr3, rax`, mapped just below the image's entry point:
//! when it has run, the next fetch is at the entry point in the image's own page tables. So RAX has to be
//! CR3, and the entry point has to be in the upper half, away from the loader's identity mapping. Everything
//! else that can be set otherwise than the context says would be a different start than QEMU's own loader
//! gives, and is refused.

use igvm_defs::IgvmNativeVpContextX64;

use crate::memory::Memory;
use crate::walk;

/// First address of the upper half of the 48-bit canonical address space.
const UPPER_HALF: u64 = 0xffff_8000_0000_0000;

/// Entries of the GDT that [`gdt`] makes, the null descriptor included.
pub const GDT_ENTRIES: usize = 8;

/// Bytes of `mov cr3, rax`.
pub const SWITCH_CODE: [u8; 3] = [0x0f, 0x22, 0xd8];

mod bits {
    pub const CR0_NEEDED: u64 = 1 << 31 | 1 << 0; // PG, PE
    pub const CR0_ALLOWED: u64 = CR0_NEEDED | 0b11_1110 | 1 << 16 | 1 << 18; // MP EM TS ET NE, WP, AM
    pub const CR4_NEEDED: u64 = 1 << 5; // PAE
    // DE PSE MCE PGE OSFXSR OSXMMEXCPT
    pub const CR4_ALLOWED: u64 = CR4_NEEDED | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 9 | 1 << 10;
    pub const EFER_NEEDED: u64 = 1 << 8 | 1 << 10; // LME, LMA
    pub const EFER_ALLOWED: u64 = EFER_NEEDED | 1 << 0 | 1 << 11; // SCE, NXE
    pub const RFLAGS_NEEDED: u64 = 1 << 1;
    pub const RFLAGS_ALLOWED: u64 = RFLAGS_NEEDED | 0xcd5; // CF PF AF ZF SF DF OF
}

/// A context this loader can't set, or one that leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// A register has a value that this loader can't give it.
    #[error("the VP context has {register} = {value:#x}, which this loader can't set")]
    Register {
        /// Its name.
        register: &'static str,
        /// The value.
        value: u64,
    },
    /// The processor lacks what the context switches on.
    #[error("this processor lacks {0}, which the image needs")]
    Feature(&'static str),
    /// A segment other than flat 64-bit code and flat data at privilege level 0.
    #[error("the VP context has a {0} segment that is not a flat 64-bit one")]
    Segment(&'static str),
    /// RAX is not CR3.
    #[error("the VP context has RAX = {rax:#x} and CR3 = {cr3:#x}; this loader needs them equal")]
    RaxIsNotCr3 {
        /// RAX.
        rax: u64,
        /// CR3.
        cr3: u64,
    },
    /// The page tables that were loaded do not map the entry point for execution.
    #[error(
        "the image's page tables do not map its entry point {0:#x} for execution, or not to its own pages"
    )]
    EntryUnmapped(u64),
    /// The page tables that were loaded do not map the stack for writing.
    #[error("the image's page tables do not map its stack below {0:#x} for writing")]
    StackUnmapped(u64),
}

/// Checks that the registers are ones this loader can set.
///
/// # Errors
/// [`ContextError`].
pub fn check(context: &IgvmNativeVpContextX64) -> Result<(), ContextError> {
    control("CR0", context.cr0, bits::CR0_NEEDED, bits::CR0_ALLOWED)?;
    control("CR4", context.cr4, bits::CR4_NEEDED, bits::CR4_ALLOWED)?;
    control("EFER", context.efer, bits::EFER_NEEDED, bits::EFER_ALLOWED)?;
    control("RFLAGS", context.rflags, bits::RFLAGS_NEEDED, bits::RFLAGS_ALLOWED)?;
    // A page, below 4 GiB because the survey lets nothing else be loaded; no PCID, no cache bits.
    control("CR3", context.cr3, 0, 0xffff_f000)?;
    // The bridge has one instruction, and it takes CR3 from RAX.
    if context.rax != context.cr3 {
        return Err(ContextError::RaxIsNotCr3 { rax: context.rax, cr3: context.cr3 });
    }
    // Room for the switch code below the entry point, in the upper half.
    let rip_ok = context.rip >= UPPER_HALF + SWITCH_CODE.len() as u64;
    require("RIP", context.rip, rip_ok)?;
    // Otherwise the instruction that loads it faults, when there is no IDT any more.
    for (register, value) in
        [("GDTR", context.gdtr_base), ("IDTR", context.idtr_base), ("GS base", context.gs_base)]
    {
        require(register, value, canonical(value))?;
    }
    segments(context)
}

/// What CPUID says of the processor (APM volume 3, appendix E): leaf 1, EDX, and leaf 8000_0001h, EDX.
#[derive(Clone, Copy, Debug)]
pub struct Processor {
    /// Leaf 1.
    pub basic: u32,
    /// Leaf 8000_0001h.
    pub extended: u32,
}

/// Checks that the processor has what the context switches on: a bit that it does not know is a fault at
/// best, and without NX the image's page tables have reserved bits set. Nothing could tell any more, as there
/// is no IDT by then.
///
/// # Errors
/// [`ContextError::Feature`].
pub fn check_processor(context: &IgvmNativeVpContextX64, processor: Processor) -> Result<(), ContextError> {
    let Processor { basic, extended } = processor;
    let fxsr = 1 << 24;
    for (switched_on, present, name) in [
        (context.efer & 1 << 11, extended & 1 << 20, "NX (no-execute pages)"),
        (context.efer & 1, extended & 1 << 11, "SYSCALL"),
        (context.cr4 & 1 << 3, basic & 1 << 2, "DE (debugging extensions)"),
        (context.cr4 & 1 << 4, basic & 1 << 3, "PSE (4 MiB pages)"),
        (context.cr4 & 1 << 6, basic & 1 << 7, "MCE (machine check exception)"),
        (context.cr4 & 1 << 7, basic & 1 << 13, "PGE (global pages)"),
        (context.cr4 & 1 << 9, basic & fxsr, "FXSR"),
        (context.cr4 & 1 << 10, basic & 1 << 25, "SSE"),
    ] {
        // What the image does not switch on it need not have.
        if switched_on != 0 && present == 0 {
            return Err(ContextError::Feature(name));
        }
    }
    Ok(())
}

/// Checks, once everything is loaded, that the entry point and the stack are there: `memory` is what was
/// loaded.
///
/// # Errors
/// [`ContextError::EntryUnmapped`], [`ContextError::StackUnmapped`].
pub fn check_mapped(context: &IgvmNativeVpContextX64, memory: &impl Memory) -> Result<(), ContextError> {
    // In what was loaded alone: tables that happened to lie in memory are nobody's promise.
    let entry = walk::translate(memory, context.cr3, context.rip).filter(|entry| entry.executable);
    if entry.and_then(|entry| memory.slice(entry.gpa, 1)).is_none() {
        return Err(ContextError::EntryUnmapped(context.rip));
    }
    // An image may come without a stack and make one.
    if context.rsp != 0 {
        // Where the first push goes: RSP itself is behind the stack.
        let slot = context.rsp.wrapping_sub(8);
        let stack = walk::translate(memory, context.cr3, slot).filter(|stack| stack.writable);
        if !canonical(slot) || stack.is_none() {
            return Err(ContextError::StackUnmapped(context.rsp));
        }
    }
    Ok(())
}

/// A GDT whose descriptors at the context's selectors are as the context says. `None` after a failed
/// [`check`] only.
pub fn gdt(context: &IgvmNativeVpContextX64) -> Option<[u64; GDT_ENTRIES]> {
    let mut gdt = [0; GDT_ENTRIES];
    for (selector, attributes) in
        [(context.code_selector, context.code_attributes), (context.data_selector, context.data_attributes)]
    {
        *gdt.get_mut(usize::from(selector / 8))? = descriptor(attributes);
    }
    Some(gdt)
}

/// A flat segment descriptor (APM volume 2, section 4.7). Attributes are laid out as in its upper half, from
/// bit 8 on.
fn descriptor(attributes: u16) -> u64 {
    let attributes = u64::from(attributes);
    0x000f_0000_0000_ffff | (attributes & 0xff) << 40 | (attributes >> 12) << 52
}

fn segments(context: &IgvmNativeVpContextX64) -> Result<(), ContextError> {
    const IGNORED: u16 = 0x0f00; // limit 19:16, which the limit field has
    const ACCESSED: u16 = 1;
    let selector_ok = |selector: u16| {
        selector.is_multiple_of(8) && (1..GDT_ENTRIES as u16).contains(&(selector / 8)) // RPL 0, in the GDT
    };
    // G, L, present, code, readable.
    let code = context.code_attributes & !IGNORED | ACCESSED == 0xa09b
        && selector_ok(context.code_selector)
        // Flat, as 64-bit mode takes them anyhow: another base or limit is a wish that nobody could fulfil.
        && context.code_base == 0
        && context.code_limit == u32::MAX;
    if !code {
        return Err(ContextError::Segment("code"));
    }
    // G, D, present, data, writable.
    let data = context.data_attributes & !IGNORED | ACCESSED == 0xc093
        && selector_ok(context.data_selector)
        // One selector would mean one descriptor for both.
        && context.data_selector != context.code_selector
        && context.data_base == 0
        && context.data_limit == u32::MAX;
    if data { Ok(()) } else { Err(ContextError::Segment("data")) }
}

fn control(register: &'static str, value: u64, needed: u64, allowed: u64) -> Result<(), ContextError> {
    require(register, value, value & needed == needed && value & !allowed == 0)
}

fn require(register: &'static str, value: u64, fine: bool) -> Result<(), ContextError> {
    if fine { Ok(()) } else { Err(ContextError::Register { register, value }) }
}

fn canonical(address: u64) -> bool {
    !(1 << 47..UPPER_HALF).contains(&address)
}

#[cfg(test)]
mod tests;
