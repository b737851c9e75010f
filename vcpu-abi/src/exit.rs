//! The exit record: why the guest stopped, the same for every platform.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::registers::EventInjection;

/// Why [`SYS_RUN`](crate::syscall::SYS_RUN) came back.
pub mod reason {
    /// No exit yet.
    pub const NONE: u32 = 0;
    /// CPUID.
    pub const CPUID: u32 = 1;
    /// RDMSR.
    pub const MSR_READ: u32 = 2;
    /// WRMSR.
    pub const MSR_WRITE: u32 = 3;
    /// IN, OUT, INS or OUTS. `qualification`: [`super::PortAccess`]; `next_rip` is valid.
    pub const PORT: u32 = 4;
    /// An access to a guest physical address that is not mapped, or not mapped that way. `gpa` and `access`
    /// are valid.
    pub const MEMORY: u32 = 5;
    /// HLT.
    pub const HALT: u32 = 6;
    /// VMMCALL or VMCALL.
    pub const HYPERCALL: u32 = 7;
    /// XSETBV.
    pub const XSETBV: u32 = 8;
    /// An instruction that the guest's processor does not have (SVM's, RDPMC, ...): `raw_code` says which.
    pub const UNDEFINED: u32 = 9;
    /// WBINVD, INVD and their like: nothing to do but to go on behind the instruction.
    pub const CACHE_CONTROL: u32 = 10;
    /// A triple fault.
    pub const SHUTDOWN: u32 = 11;
    /// The interrupt window that the VMM asked for is open.
    pub const INTERRUPT_WINDOW: u32 = 12;
    /// `pending_work` is not zero.
    pub const WORK: u32 = 13;
    /// `deadline_tsc` has passed.
    pub const DEADLINE: u32 = 14;
    /// The registers that the VMM loaded are not a state the processor enters.
    pub const INVALID_STATE: u32 = 15;
    /// An exit that the backend does not know; `raw_code` has the platform's number.
    pub const UNKNOWN: u32 = 16;
    /// IRET, when `nmi_return` asked for it. It has not been executed yet.
    pub const NMI_RETURN: u32 = 17;
    /// An instruction that writes a control register, in a way that the platform does not let through. It has
    /// not been executed yet, and the VMM is to decode it. The whole of SYSTEM is stored.
    pub const REGISTER_WRITE: u32 = 18;
    /// #DB or #AC before its delivery, one that the VMM asked for by
    /// [`VcpuIntercept`](crate::operation::VcpuIntercept), or another exception that the VMM is to deliver in
    /// the platform's place. `qualification`: the vector, and the error code in the upper half; of a page
    /// fault `gva` is what CR2 is to become. The whole of SYSTEM is stored; DR6 says already why.
    pub const EXCEPTION: u32 = 19;
    /// The first number that is no reason.
    pub const END: u32 = 20;
    /// The names, by number.
    pub const NAMES: [&str; END as usize] = [
        "none",
        "cpuid",
        "rdmsr",
        "wrmsr",
        "port",
        "memory",
        "hlt",
        "vmmcall",
        "xsetbv",
        "undefined",
        "cache-control",
        "shutdown",
        "interrupt-window",
        "work",
        "deadline",
        "invalid-state",
        "unknown",
        "nmi-return",
        "register-write",
        "exception",
    ];
}

/// The exceptions that a VMM may have as exits, a bit a vector (APM volume 2, 8.2): those that are faults on
/// every platform. #DB and #AC are exits in any case. Not among them are those of INT3 and INTO (3, 4), which
/// platforms report differently, NMI (2), double faults (8) and machine checks (18).
pub const INTERCEPTABLE: u32 =
    1 << 0 | 1 << 1 | 0x7 << 5 | 0x1f << 10 | 1 << 16 | 1 << 17 | 1 << 19 | 1 << 21;

bitflags! {
    /// How the guest touched memory. The first bits are those of a page fault's error code (APM volume 2,
    /// 8.4.2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u32 {
        /// The page is mapped, but not for this access.
        const PROTECTION = 1 << 0;
        /// A write; else a read.
        const WRITE = 1 << 1;
        /// An instruction fetch.
        const EXECUTE = 1 << 4;
        /// By the guest's page walk, not by the instruction itself.
        const PAGE_WALK = 1 << 5;
        /// To memory shared with the host.
        const SHARED = 1 << 6;
    }
}

bitflags! {
    /// What of an exit record is valid, and the state of the guest at the exit.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ExitFlags: u32 {
        /// `gva` is valid.
        const GVA = 1 << 0;
        /// `instruction_length` is valid.
        const LENGTH = 1 << 1;
        /// `instruction_bytes` are valid.
        const BYTES = 1 << 2;
        /// `next_rip` is valid.
        const NEXT_RIP = 1 << 3;
        /// RIP already points behind the instruction.
        const ADVANCED = 1 << 4;
        /// `interrupted_event` was being delivered and is lost unless injected again.
        const EVENT = 1 << 5;
        /// The guest is in an interrupt shadow (after STI or MOV SS).
        const INTERRUPT_SHADOW = 1 << 6;
        /// The record is the host's claim, not the hardware's.
        const HOST_CLAIM = 1 << 7;
        /// An event loaded for injection has not been delivered yet.
        const INJECTION_PENDING = 1 << 8;
        /// `cr8` is another than the one that was there before the exit.
        const TASK_PRIORITY = 1 << 9;
        /// The interrupt of the run page's `window_vector` has been delivered: the guest's handler may have
        /// begun before this exit.
        const DELIVERED = 1 << 10;
    }
}

impl ExitFlags {
    /// What of them [`NOTABLE`] says there is.
    pub const OF_NOTE: Self =
        Self::EVENT.union(Self::INJECTION_PENDING).union(Self::TASK_PRIORITY).union(Self::DELIVERED);
}

/// In what [`SYS_RUN`](crate::syscall::SYS_RUN) returns beside Ok, the [`reason`] of the exit: some of
/// [`ExitFlags::OF_NOTE`] are set, to be looked at before the exit itself.
pub const NOTABLE: u32 = 1 << 31;

/// Why and where the guest stopped. Only the fields that the reason names, and what `flags` and `groups` say,
/// are valid: the record is filled per reason, not whole.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ExitRecord {
    /// [`reason`].
    pub reason: u32,
    /// [`ExitFlags`] bits.
    pub flags: u32,
    /// The platform's own number of the exit, for diagnosis, where the reason does not tell it.
    pub raw_code: u64,
    /// Meaning by reason.
    pub qualification: u64,
    /// RIP behind the instruction.
    pub next_rip: u64,
    /// Guest physical address.
    pub gpa: u64,
    /// Guest linear address.
    pub gva: u64,
    /// [`Access`] bits.
    pub access: u32,
    /// The register groups stored, as [`Groups`](crate::registers::Groups) bits; GENERAL always.
    pub groups: u32,
    /// The event whose delivery the exit interrupted.
    pub interrupted_event: EventInjection,
    /// The task priority (CR8) at the exit.
    pub cr8: u8,
    /// Length of the instruction in bytes.
    pub instruction_length: u8,
    /// The instruction's bytes, zero behind its end.
    pub instruction_bytes: [u8; 15],
    /// The privilege level, with DECODING.
    pub cpl: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

/// The qualification of a [`reason::PORT`] exit: laid out as SVM's EXITINFO1 (APM volume 2, 15.10.2). Bits
/// that are not named here mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortAccess(pub u64);

impl PortAccess {
    /// Set for IN and INS.
    pub const IN: u64 = 1 << 0;
    /// Set for INS and OUTS.
    pub const STRING: u64 = 1 << 2;
    /// Set with a REP prefix.
    pub const REP: u64 = 1 << 3;
    const WIDTH_SHIFT: u32 = 4;
    const PORT_SHIFT: u32 = 16;

    /// Packs an access. `width`: 1, 2 or 4 bytes.
    pub const fn new(port: u16, width: u8, flags: u64) -> Self {
        Self((port as u64) << Self::PORT_SHIFT | (width as u64) << Self::WIDTH_SHIFT | flags)
    }
    /// The port.
    pub const fn port(self) -> u16 {
        (self.0 >> Self::PORT_SHIFT) as u16
    }
    /// The width in bytes.
    pub const fn width(self) -> u8 {
        // SVM has a bit each for one, two and four bytes: together they are the number itself.
        (self.0 >> Self::WIDTH_SHIFT) as u8 & 7
    }
    /// Whether the guest reads.
    pub const fn is_in(self) -> bool {
        self.0 & Self::IN != 0
    }
    /// Whether it is INS or OUTS.
    pub const fn is_string(self) -> bool {
        self.0 & Self::STRING != 0
    }
    /// Whether it has a REP prefix.
    pub const fn is_repeated(self) -> bool {
        self.0 & Self::REP != 0
    }
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<ExitRecord>() == 88);
    assert!(offset_of!(ExitRecord, gpa) == 32);
    assert!(offset_of!(ExitRecord, interrupted_event) == 56);
};
