//! The run page: one 4 KiB page a vCPU, mapped in the kernel and in the VMM, and the batch page that follows
//! it.
//!
//! The VMM writes it before [`SYS_RUN`](crate::syscall::SYS_RUN), the kernel before it comes back. While the
//! vCPU runs, the VMM may read and write it, but what it then finds or changes there means nothing,
//! `pending_work` aside.

use core::sync::atomic::AtomicU32;

use crate::exit::ExitRecord;
use crate::registers::{EventInjection, GeneralRegisters, MsrRegisters, SegmentRegisters, SystemRegisters};

/// Size of the run page and of the batch page, in bytes.
pub const PAGE_BYTES: usize = 4096;

/// Offset of the XSAVE area.
pub const XSAVE_OFFSET: usize = 1024;

/// Size of the XSAVE area: enough for x87, SSE, AVX, MPX, AVX-512 and protection keys. A processor's states
/// that do not fit are not offered.
pub const XSAVE_BYTES: usize = PAGE_BYTES - XSAVE_OFFSET;

/// Where things are in the XSAVE area (APM volume 2, 11.5.2, standard form): byte offsets, and bits of
/// XSTATE_BV.
pub mod xsave {
    /// The x87 status word, 2 bytes.
    pub const STATUS_WORD: usize = 2;
    /// The abridged x87 tag word, 1 byte: which registers are valid.
    pub const TAGS: usize = 4;
    /// MXCSR, 4 bytes; taken whatever XSTATE_BV says.
    pub const MXCSR: usize = 24;
    /// The x87 registers, 16 bytes each; the first 8 are an MMX register.
    pub const X87_REGISTERS: usize = 32;
    /// XMM0; XMM1 to XMM15 follow, 16 bytes each.
    pub const XMM: usize = 160;
    /// XSTATE_BV, 8 bytes: the states that are not in their initial configuration.
    pub const XSTATE_BV: usize = 512;
    /// The end of the header; behind XSTATE_BV it is zero.
    pub const HEADER_END: usize = 576;
    /// x87.
    pub const X87: u64 = 1 << 0;
    /// XMM0 to XMM15.
    pub const SSE: u64 = 1 << 1;
    /// The upper halves of YMM0 to YMM15.
    pub const AVX: u64 = 1 << 2;
}

/// What the vCPU is doing, in [`RunPage::activity`].
pub mod activity {
    /// Executing instructions.
    pub const RUNNING: u32 = 0;
    /// Stopped until `pending_work` or the deadline: after HLT, or before the start-up IPI.
    pub const HALTED: u32 = 1;
}

/// Bits of [`RunPage::pending_work`]. Bits from 8 up are the VMM's own, set by events bound to the vCPU.
pub mod work {
    /// Another thread kicked the vCPU.
    pub const KICK: u32 = 1 << 0;
    /// The number of the lowest bit an event may be bound to.
    pub const FIRST_EVENT_BIT: u32 = 8;
}

/// Bits of [`RunPage::window`]: which change of the guest's the VMM waits for, to inject an interrupt. Others
/// are ignored.
pub mod window {
    /// Nothing.
    pub const NONE: u32 = 0;
    /// The guest can take an interrupt, whatever its task priority: RFLAGS.IF is set and no shadow is over
    /// it.
    pub const OPEN: u32 = 1 << 0;
    /// The guest is about to write CR8.
    pub const PRIORITY: u32 = 1 << 1;
    /// All of them.
    pub const ALL: u32 = OPEN | PRIORITY;
}

/// The run page. Zero is a valid state of every field.
#[repr(C, align(4096))]
#[derive(Debug)]
pub struct RunPage {
    /// VMM: number of operations in the batch page that are executed first. The kernel resets it.
    pub batch_count: u32,
    /// VMM: [`activity`].
    pub activity: u32,
    /// VMM: host TSC value at which the run ends with [`reason::DEADLINE`](crate::exit::reason::DEADLINE);
    /// `u64::MAX` for never.
    pub deadline_tsc: u64,
    /// VMM: groups changed; [`Groups`](crate::registers::Groups). The kernel resets it when it has loaded
    /// them.
    pub dirty: u32,
    /// VMM: groups to store at every exit.
    pub deliver: u32,
    /// VMM: asks for an exit by [`window`]. A backend may exit for a write of CR8 while OPEN is asked for,
    /// too.
    pub window: u32,
    /// Both, atomically: why the vCPU must come back or not start. The VMM clears what it takes.
    pub pending_work: AtomicU32,
    /// VMM: the task priority (CR8) to load when TPR is dirty; the exit record has the guest's.
    pub cr8: u32,
    /// VMM: 1 asks for an exit when the guest is about to execute IRET, which ends an NMI's handler.
    pub nmi_return: u32,
    /// VMM: with a [`window`], the vector of the interrupt that it is for; 0 if only the VMM knows it when
    /// the window is open. A backend may deliver it there itself, if the task priority lets it through, and
    /// says so by [`DELIVERED`](crate::exit::ExitFlags::DELIVERED). It is looked at at each entry, whether
    /// anything is marked or not.
    pub window_vector: u32,
    /// Zero.
    pub reserved0: [u32; 3],
    /// Kernel: why the guest stopped.
    pub exit: ExitRecord,
    /// Zero.
    pub reserved1: [u64; 5],
    /// Both.
    pub general: GeneralRegisters,
    /// VMM: the event to deliver.
    pub injection: EventInjection,
    /// Both: XCR0.
    pub xcr0: u64,
    /// Both.
    pub system: SystemRegisters,
    /// Both.
    pub segments: SegmentRegisters,
    /// Both.
    pub msrs: MsrRegisters,
    /// Zero.
    pub reserved2: [u64; 46],
    /// Both: the XSAVE area; see [`xsave`].
    pub xsave: [u8; XSAVE_BYTES],
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<RunPage>() == PAGE_BYTES);
    assert!(offset_of!(RunPage, deadline_tsc) == 8);
    assert!(offset_of!(RunPage, pending_work) == 28);
    assert!(offset_of!(RunPage, exit) == 56);
    assert!(offset_of!(RunPage, general) == 184);
    assert!(offset_of!(RunPage, system) == 344);
    assert!(offset_of!(RunPage, segments) == 440);
    assert!(offset_of!(RunPage, msrs) == 568);
    assert!(offset_of!(RunPage, xsave) == XSAVE_OFFSET);
};
