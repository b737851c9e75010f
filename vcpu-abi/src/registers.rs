//! A guest's registers, in groups that cross the boundary together.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

bitflags! {
    /// Register groups of the run page. In `dirty`: what the VMM changed and the kernel loads before it
    /// enters the guest. In `deliver`: what the kernel stores at every exit. In an exit record: what is
    /// valid.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Groups: u32 {
        /// [`GeneralRegisters`]: stored at every exit. All but RAX, RSP, RIP and RFLAGS are always loaded,
        /// those when dirty; dirty also says that the VMM completed an instruction, which ends an interrupt
        /// shadow.
        const GENERAL = 1 << 0;
        /// [`SystemRegisters`]: stored on request, and at the exits whose reason says so.
        const SYSTEM = 1 << 1;
        /// [`SegmentRegisters`].
        const SEGMENTS = 1 << 2;
        /// [`MsrRegisters`].
        const MSRS = 1 << 3;
        /// [`EventInjection`]: only ever loaded.
        const INJECTION = 1 << 4;
        /// XCR0, in the run page's `xcr0`.
        const XCR0 = 1 << 5;
        /// The XSAVE area, standard form: stored on request.
        const FPU = 1 << 6;
        /// The run page's `cr8`.
        const TPR = 1 << 7;
        /// What the run page says of the run itself: `batch_count`, `activity`, `deadline_tsc`, `deliver`,
        /// `window`, `nmi_return`. The kernel may go on with what it found there last until this is dirty.
        const CONTROLS = 1 << 8;
        /// What decoding an instruction takes beside what the VMM knows: CR3 and CS of [`SystemRegisters`],
        /// and the exit record's `cpl`. Stored at every exit that takes decoding; never loaded. The VMM
        /// knows CR0, CR4 and EFER, as no guest changes them by itself, but for TS and MP of CR0.
        const DECODING = 1 << 9;
    }
}

/// The general registers, RIP and RFLAGS. The order is the architecture's numbering (APM volume 3, 1.2.7).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct GeneralRegisters {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15.
    pub gpr: [u64; 16],
    /// RIP.
    pub rip: u64,
    /// RFLAGS.
    pub rflags: u64,
}

/// Indices into [`GeneralRegisters::gpr`].
pub mod gpr {
    #![allow(missing_docs, reason = "the names are the architecture's")]
    pub const RAX: usize = 0;
    pub const RCX: usize = 1;
    pub const RDX: usize = 2;
    pub const RBX: usize = 3;
    pub const RSP: usize = 4;
    pub const RBP: usize = 5;
    pub const RSI: usize = 6;
    pub const RDI: usize = 7;
    pub const R8: usize = 8;
    pub const R15: usize = 15;
}

/// A segment register with its hidden part.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Segment {
    /// The selector.
    pub selector: u16,
    /// Bits 55:52 and 47:40 of the descriptor, packed into 12 bits (APM volume 2, 15.5.1 and appendix B).
    pub attributes: u16,
    /// The limit in bytes, granularity applied.
    pub limit: u32,
    /// The base address.
    pub base: u64,
}

/// Control and debug registers, and the code and stack segment.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SystemRegisters {
    /// CR0.
    pub cr0: u64,
    /// CR3.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// EFER as the guest sees it, without SVME.
    pub efer: u64,
    /// CS.
    pub cs: Segment,
    /// SS; its DPL is the CPL.
    pub ss: Segment,
    /// CR2.
    pub cr2: u64,
    /// CR8, the task priority (bits 3:0).
    pub cr8: u64,
    /// DR6.
    pub dr6: u64,
    /// DR7.
    pub dr7: u64,
}

/// The other segment and descriptor-table registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SegmentRegisters {
    /// ES.
    pub es: Segment,
    /// DS.
    pub ds: Segment,
    /// FS.
    pub fs: Segment,
    /// GS.
    pub gs: Segment,
    /// LDTR.
    pub ldtr: Segment,
    /// TR.
    pub tr: Segment,
    /// GDTR; selector and attributes are zero.
    pub gdtr: Segment,
    /// IDTR; selector and attributes are zero.
    pub idtr: Segment,
}

/// MSRs that belong to the guest's state and are not intercepted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct MsrRegisters {
    /// STAR.
    pub star: u64,
    /// LSTAR.
    pub lstar: u64,
    /// CSTAR.
    pub cstar: u64,
    /// SFMASK.
    pub sfmask: u64,
    /// KERNEL_GS_BASE.
    pub kernel_gs_base: u64,
    /// SYSENTER_CS.
    pub sysenter_cs: u64,
    /// SYSENTER_ESP.
    pub sysenter_esp: u64,
    /// SYSENTER_EIP.
    pub sysenter_eip: u64,
    /// PAT.
    pub pat: u64,
    /// Added to the host's TSC to give the guest's.
    pub tsc_offset: u64,
    /// TSC_AUX, which RDTSCP and RDPID return. Without effect where the processor has neither.
    pub tsc_aux: u32,
    /// Zero.
    pub reserved: u32,
}

/// An event to deliver on the next entry.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct EventInjection {
    /// [`event_kind`].
    pub kind: u8,
    /// The vector.
    pub vector: u8,
    /// 1 when the event pushes `error_code`.
    pub has_error_code: u8,
    /// Zero.
    pub reserved: u8,
    /// The error code.
    pub error_code: u32,
}

/// Kinds of event.
pub mod event_kind {
    /// None.
    pub const NONE: u8 = 0;
    /// An external interrupt.
    pub const INTERRUPT: u8 = 1;
    /// A non-maskable interrupt.
    pub const NMI: u8 = 2;
    /// A processor exception.
    pub const EXCEPTION: u8 = 3;
    /// A software interrupt (INT n).
    pub const SOFTWARE: u8 = 4;
}

const _: () = {
    use core::mem::size_of;
    assert!(size_of::<GeneralRegisters>() == 144);
    assert!(size_of::<Segment>() == 16);
    assert!(size_of::<SystemRegisters>() == 96);
    assert!(size_of::<SegmentRegisters>() == 128);
    assert!(size_of::<MsrRegisters>() == 88);
    assert!(size_of::<EventInjection>() == 8);
};
