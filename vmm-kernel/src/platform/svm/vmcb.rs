//! The virtual machine control block (APM volume 2, appendix B), as far as Plinth uses it.
//!
//! The processor reads and writes it at VMRUN and #VMEXIT, which the compiler does not see: every field is
//! volatile, and a shared reference is all that there ever is to a block.
#![allow(unsafe_code, reason = "a block lies beside its run page, and is cleared as words")]

use crate::layout::PAGE;
use crate::run_page::SharedRunPage;
use crate::volatile::{Volatile, VolatileSegment};

/// Control area, offsets 000h to 3FFh.
#[repr(C)]
pub struct Control {
    /// 000h: CR reads (low half) and writes (high half) intercepted.
    pub intercept_cr: Volatile<u32>,
    /// 004h: DR reads and writes.
    pub intercept_dr: Volatile<u32>,
    /// 008h: exceptions.
    pub intercept_exceptions: Volatile<u32>,
    /// 00Ch: [`intercept1`].
    pub intercept1: Volatile<u32>,
    /// 010h: [`intercept2`].
    pub intercept2: Volatile<u32>,
    /// 014h.
    pub intercept3: Volatile<u32>,
    reserved_018: Volatile<[u32; 9]>,
    /// 03Ch.
    pub pause_filter: Volatile<u32>,
    /// 040h: physical address of the I/O permission map.
    pub iopm_base: Volatile<u64>,
    /// 048h: physical address of the MSR permission map.
    pub msrpm_base: Volatile<u64>,
    /// 050h: added to the guest's RDTSC.
    pub tsc_offset: Volatile<u64>,
    /// 058h: ASID in the low half, TLB control in the byte above.
    pub asid_and_tlb_control: Volatile<u64>,
    /// 060h: [`vintr`].
    pub vintr: Volatile<u64>,
    /// 068h: bit 0: interrupt shadow.
    pub interrupt_shadow: Volatile<u64>,
    /// 070h: [`exit_code`].
    pub exit_code: Volatile<u64>,
    /// 078h.
    pub exit_info1: Volatile<u64>,
    /// 080h.
    pub exit_info2: Volatile<u64>,
    /// 088h: the event whose delivery was interrupted.
    pub exit_int_info: Volatile<u64>,
    /// 090h: bit 0: nested paging.
    pub nested_control: Volatile<u64>,
    reserved_098: Volatile<[u64; 2]>,
    /// 0A8h: the event to inject.
    pub event_injection: Volatile<u64>,
    /// 0B0h: root of the nested tables.
    pub nested_cr3: Volatile<u64>,
    reserved_0b8: Volatile<u64>,
    /// 0C0h: clean bits.
    pub clean: Volatile<u64>,
    /// 0C8h: RIP behind the instruction, where the processor gives it.
    pub next_rip: Volatile<u64>,
    reserved_0d0: Volatile<[u8; 0x310]>,
    /// 3E0h: the guest's TSC_AUX. The processor looks at nothing from here to the end of the area, which is
    /// the hypervisor's to use.
    pub tsc_aux: Volatile<u32>,
    reserved_3e4: Volatile<[u8; 0x1c]>,
}

/// State save area, offsets 400h and up.
#[repr(C)]
pub struct Save {
    /// 400h.
    pub es: VolatileSegment,
    /// 410h.
    pub cs: VolatileSegment,
    /// 420h.
    pub ss: VolatileSegment,
    /// 430h.
    pub ds: VolatileSegment,
    /// 440h.
    pub fs: VolatileSegment,
    /// 450h.
    pub gs: VolatileSegment,
    /// 460h.
    pub gdtr: VolatileSegment,
    /// 470h.
    pub ldtr: VolatileSegment,
    /// 480h.
    pub idtr: VolatileSegment,
    /// 490h.
    pub tr: VolatileSegment,
    reserved_4a0: Volatile<[u8; 0x2b]>,
    /// 4CBh.
    pub cpl: Volatile<u8>,
    reserved_4cc: Volatile<u32>,
    /// 4D0h.
    pub efer: Volatile<u64>,
    reserved_4d8: Volatile<[u64; 14]>,
    /// 548h.
    pub cr4: Volatile<u64>,
    /// 550h.
    pub cr3: Volatile<u64>,
    /// 558h.
    pub cr0: Volatile<u64>,
    /// 560h.
    pub dr7: Volatile<u64>,
    /// 568h.
    pub dr6: Volatile<u64>,
    /// 570h.
    pub rflags: Volatile<u64>,
    /// 578h.
    pub rip: Volatile<u64>,
    reserved_580: Volatile<[u64; 11]>,
    /// 5D8h.
    pub rsp: Volatile<u64>,
    reserved_5e0: Volatile<[u64; 3]>,
    /// 5F8h.
    pub rax: Volatile<u64>,
    /// 600h.
    pub star: Volatile<u64>,
    /// 608h.
    pub lstar: Volatile<u64>,
    /// 610h.
    pub cstar: Volatile<u64>,
    /// 618h.
    pub sfmask: Volatile<u64>,
    /// 620h.
    pub kernel_gs_base: Volatile<u64>,
    /// 628h.
    pub sysenter_cs: Volatile<u64>,
    /// 630h.
    pub sysenter_esp: Volatile<u64>,
    /// 638h.
    pub sysenter_eip: Volatile<u64>,
    /// 640h.
    pub cr2: Volatile<u64>,
    reserved_648: Volatile<[u64; 4]>,
    /// 668h.
    pub pat: Volatile<u64>,
    /// 670h.
    pub debug_control: Volatile<u64>,
    reserved_678: Volatile<[u8; 0x988]>,
}

/// The block: one page.
#[repr(C, align(4096))]
pub struct Vmcb {
    /// What the hypervisor decides.
    pub control: Control,
    /// The guest's state.
    pub save: Save,
}

impl Vmcb {
    /// The block of the vCPU that has this run page, in the page before it.
    ///
    /// # Safety
    /// The run page is a vCPU's of this backend, whose pages are mapped together, for as long as `'a`.
    #[inline(always)]
    pub unsafe fn beside<'a>(page: SharedRunPage) -> &'a Self {
        // SAFETY: the caller's promise; all of a block's fields are volatile places.
        unsafe { &*page.address().byte_sub(PAGE as usize).cast() }
    }

    /// Makes all of it zero.
    pub fn clear(&self) {
        // SAFETY: the block is as many words, all of them volatile places.
        let words = unsafe { &*(&raw const *self).cast::<[Volatile<u64>; 512]>() };
        words.iter().for_each(|word| word.set(0));
    }
}

/// Bits of [`Control::intercept_cr`].
pub mod intercept_cr {
    /// All writes of CR0.
    pub const CR0_WRITE: u32 = 1 << 16;
    /// Writes of CR4.
    pub const CR4_WRITE: u32 = 1 << 20;
    /// Writes of CR8.
    pub const CR8_WRITE: u32 = 1 << 24;
}

/// Bits of [`Control::intercept_exceptions`].
pub mod intercept_exceptions {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const DB: u32 = 1 << 1;
    pub const AC: u32 = 1 << 17;
    pub const MC: u32 = 1 << 18;
    /// Those that are never delivered before the VMM or the kernel has seen them. Delivering #AC or #DB may
    /// raise it again, for ever and without an interrupt being taken (CVE-2015-5307, CVE-2015-8104). A
    /// machine check is about the host's processor.
    pub const ALWAYS: u32 = DB | AC | MC;
}

/// Bits of [`Control::intercept1`].
pub mod intercept1 {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const INTR: u32 = 1 << 0;
    pub const NMI: u32 = 1 << 1;
    pub const INIT: u32 = 1 << 3;
    pub const VINTR: u32 = 1 << 4;
    /// Writes of CR0 that change more than TS and MP.
    pub const CR0_SELECTIVE: u32 = 1 << 5;
    pub const RDPMC: u32 = 1 << 15;
    pub const CPUID: u32 = 1 << 18;
    pub const IRET: u32 = 1 << 20;
    pub const INVD: u32 = 1 << 22;
    pub const HLT: u32 = 1 << 24;
    pub const INVLPGA: u32 = 1 << 26;
    pub const IOIO: u32 = 1 << 27;
    pub const MSR: u32 = 1 << 28;
    pub const SHUTDOWN: u32 = 1 << 31;
}

/// Bits of [`Control::intercept2`].
pub mod intercept2 {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const VMRUN: u32 = 1 << 0;
    pub const VMMCALL: u32 = 1 << 1;
    pub const VMLOAD: u32 = 1 << 2;
    pub const VMSAVE: u32 = 1 << 3;
    pub const STGI: u32 = 1 << 4;
    pub const CLGI: u32 = 1 << 5;
    pub const SKINIT: u32 = 1 << 6;
    pub const WBINVD: u32 = 1 << 9;
    pub const MONITOR: u32 = 1 << 10;
    pub const MWAIT: u32 = 1 << 11;
    pub const XSETBV: u32 = 1 << 13;
    pub const RDPRU: u32 = 1 << 14;
}

/// Bits of [`Control::vintr`].
pub mod vintr {
    /// The guest's task priority (CR8), bits 7:0.
    pub const TPR: u64 = 0xff;
    /// A virtual interrupt is pending.
    pub const IRQ: u64 = 1 << 8;
    /// Where its priority class is.
    pub const PRIORITY_SHIFT: u32 = 16;
    /// All of the request.
    pub const REQUEST: u64 = IRQ | 0xf << PRIORITY_SHIFT | IGNORE_TPR | 0xff << 32;
    /// It is delivered whatever the guest's task priority.
    pub const IGNORE_TPR: u64 = 1 << 20;
    /// Where its vector is.
    pub const VECTOR_SHIFT: u32 = 32;
    /// The guest's IF masks virtual interrupts only.
    pub const MASKING: u64 = 1 << 24;
}

/// Values of the byte above the ASID in [`Control::asid_and_tlb_control`].
pub mod tlb_control {
    /// Every ASID's entries are flushed.
    pub const FLUSH_ALL: u64 = 1 << 32;
    /// This ASID's are.
    pub const FLUSH_ASID: u64 = 3 << 32;
    /// The whole byte.
    pub const ALL: u64 = 0xff << 32;
}

/// Values of [`Control::exit_code`] (APM volume 2, appendix C).
pub mod exit_code {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const CR0_WRITE: u64 = 0x10;
    pub const CR4_WRITE: u64 = 0x14;
    pub const CR8_WRITE: u64 = 0x18;
    pub const EXCEPTION: u64 = 0x40;
    pub const DB: u64 = 0x41;
    pub const PF: u64 = 0x4e;
    pub const AC: u64 = 0x51;
    pub const MC: u64 = 0x52;
    pub const LAST_EXCEPTION: u64 = 0x5f;
    pub const INTR: u64 = 0x60;
    pub const NMI: u64 = 0x61;
    pub const VINTR: u64 = 0x64;
    pub const CR0_SELECTIVE: u64 = 0x65;
    pub const RDPMC: u64 = 0x6f;
    pub const CPUID: u64 = 0x72;
    pub const IRET: u64 = 0x74;
    pub const INVD: u64 = 0x76;
    pub const HLT: u64 = 0x78;
    pub const INVLPGA: u64 = 0x7a;
    pub const IOIO: u64 = 0x7b;
    pub const MSR: u64 = 0x7c;
    pub const SHUTDOWN: u64 = 0x7f;
    pub const VMRUN: u64 = 0x80;
    pub const VMMCALL: u64 = 0x81;
    pub const VMLOAD: u64 = 0x82;
    pub const SKINIT: u64 = 0x86;
    pub const WBINVD: u64 = 0x89;
    pub const MONITOR: u64 = 0x8a;
    pub const MWAIT: u64 = 0x8b;
    pub const XSETBV: u64 = 0x8d;
    pub const RDPRU: u64 = 0x8e;
    pub const NPF: u64 = 0x400;
    pub const INVALID: u64 = u64::MAX;
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<Vmcb>() == 4096);
    assert!(offset_of!(Control, iopm_base) == 0x40);
    assert!(offset_of!(Control, exit_code) == 0x70);
    assert!(offset_of!(Control, event_injection) == 0xa8);
    assert!(offset_of!(Control, next_rip) == 0xc8);
    assert!(offset_of!(Control, tsc_aux) == 0x3e0);
    assert!(offset_of!(Vmcb, save) == 0x400);
    assert!(offset_of!(Save, cpl) == 0xcb);
    assert!(offset_of!(Save, efer) == 0xd0);
    assert!(offset_of!(Save, cr4) == 0x148);
    assert!(offset_of!(Save, rsp) == 0x1d8);
    assert!(offset_of!(Save, rax) == 0x1f8);
    assert!(offset_of!(Save, cr2) == 0x240);
    assert!(offset_of!(Save, pat) == 0x268);
};

#[cfg(test)]
mod tests;
