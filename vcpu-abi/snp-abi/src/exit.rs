//! Exit codes: why a guest stopped, which is also the error code of a #VC (APM 2, appendix C).

use bitflags::bitflags;

/// The vector of #VC, the VMM communication exception (APM 2, 8.2.20). It pushes the exit code.
pub const VC_VECTOR: u8 = 29;
/// The vector of #HV, the hypervisor injection exception (APM 2, 8.2.19). It pushes nothing.
pub const HV_VECTOR: u8 = 28;

/// Reads of CR0 to CR15, by number.
pub const CR_READ: u64 = 0x00;
/// Writes of CR0 to CR15, by number.
pub const CR_WRITE: u64 = 0x10;
/// Reads of DR0 to DR15, by number.
pub const DR_READ: u64 = 0x20;
/// A read of DR7.
pub const DR7_READ: u64 = 0x27;
/// Writes of DR0 to DR15, by number.
pub const DR_WRITE: u64 = 0x30;
/// A write of DR7.
pub const DR7_WRITE: u64 = 0x37;
/// Exceptions, by vector.
pub const EXCEPTION: u64 = 0x40;
/// #MC.
pub const MACHINE_CHECK: u64 = 0x52;
/// An external interrupt.
pub const INTR: u64 = 0x60;
/// An NMI.
pub const NMI: u64 = 0x61;
/// An SMI.
pub const SMI: u64 = 0x62;
/// INIT.
pub const INIT: u64 = 0x63;
/// A virtual interrupt can be delivered.
pub const VINTR: u64 = 0x64;
/// A write of CR0 beyond TS and MP.
pub const CR0_SELECTIVE_WRITE: u64 = 0x65;
/// SIDT.
pub const IDTR_READ: u64 = 0x66;
/// SGDT.
pub const GDTR_READ: u64 = 0x67;
/// SLDT.
pub const LDTR_READ: u64 = 0x68;
/// STR.
pub const TR_READ: u64 = 0x69;
/// LIDT.
pub const IDTR_WRITE: u64 = 0x6a;
/// LGDT.
pub const GDTR_WRITE: u64 = 0x6b;
/// LLDT.
pub const LDTR_WRITE: u64 = 0x6c;
/// LTR.
pub const TR_WRITE: u64 = 0x6d;
/// RDTSC.
pub const RDTSC: u64 = 0x6e;
/// RDPMC.
pub const RDPMC: u64 = 0x6f;
/// PUSHF.
pub const PUSHF: u64 = 0x70;
/// POPF.
pub const POPF: u64 = 0x71;
/// CPUID.
pub const CPUID: u64 = 0x72;
/// RSM.
pub const RSM: u64 = 0x73;
/// IRET.
pub const IRET: u64 = 0x74;
/// INT n.
pub const SOFTWARE_INTERRUPT: u64 = 0x75;
/// INVD.
pub const INVD: u64 = 0x76;
/// PAUSE.
pub const PAUSE: u64 = 0x77;
/// HLT. RIP points behind it already in a VMSA.
pub const HLT: u64 = 0x78;
/// INVLPG.
pub const INVLPG: u64 = 0x79;
/// INVLPGA.
pub const INVLPGA: u64 = 0x7a;
/// IN, OUT, INS, OUTS: see [`IoInfo`].
pub const IOIO: u64 = 0x7b;
/// RDMSR or WRMSR: bit 0 of EXITINFO1 is 1 for a write.
pub const MSR: u64 = 0x7c;
/// A task switch.
pub const TASK_SWITCH: u64 = 0x7d;
/// The processor is frozen by FERR.
pub const FERR_FREEZE: u64 = 0x7e;
/// A triple fault.
pub const SHUTDOWN: u64 = 0x7f;
/// VMRUN.
pub const VMRUN: u64 = 0x80;
/// VMMCALL.
pub const VMMCALL: u64 = 0x81;
/// VMLOAD.
pub const VMLOAD: u64 = 0x82;
/// VMSAVE.
pub const VMSAVE: u64 = 0x83;
/// STGI.
pub const STGI: u64 = 0x84;
/// CLGI.
pub const CLGI: u64 = 0x85;
/// SKINIT.
pub const SKINIT: u64 = 0x86;
/// RDTSCP.
pub const RDTSCP: u64 = 0x87;
/// ICEBP.
pub const ICEBP: u64 = 0x88;
/// WBINVD.
pub const WBINVD: u64 = 0x89;
/// MONITOR.
pub const MONITOR: u64 = 0x8a;
/// MWAIT.
pub const MWAIT: u64 = 0x8b;
/// MWAIT while the monitor is armed.
pub const MWAIT_ARMED: u64 = 0x8c;
/// XSETBV.
pub const XSETBV: u64 = 0x8d;
/// RDPRU.
pub const RDPRU: u64 = 0x8e;
/// EFER has been written.
pub const EFER_WRITE_TRAP: u64 = 0x8f;
/// CR0 to CR15 have been written, by number.
pub const CR_WRITE_TRAP: u64 = 0x90;
/// INVLPGB.
pub const INVLPGB: u64 = 0xa0;
/// INVLPGB that the processor refuses.
pub const INVLPGB_ILLEGAL: u64 = 0xa1;
/// INVPCID.
pub const INVPCID: u64 = 0xa2;
/// MCOMMIT.
pub const MCOMMIT: u64 = 0xa3;
/// TLBSYNC.
pub const TLBSYNC: u64 = 0xa4;
/// A bus lock.
pub const BUS_LOCK: u64 = 0xa5;
/// HLT while nothing waits.
pub const IDLE_HLT: u64 = 0xa6;
/// A nested page fault: EXITINFO1 is [`NpfInfo`], EXITINFO2 the guest physical address.
pub const NPF: u64 = 0x400;
/// AVIC: an IPI that could not be delivered.
pub const AVIC_INCOMPLETE_IPI: u64 = 0x401;
/// AVIC: an access of a register that is not accelerated.
pub const AVIC_UNACCELERATED: u64 = 0x402;
/// VMGEXIT.
pub const VMGEXIT: u64 = 0x403;
/// The private page that was accessed is not validated: only ever a #VC (APM 2, 15.36.7).
pub const PAGE_NOT_VALIDATED: u64 = 0x404;
/// The guest can't be entered again. As OpenVMM has it.
pub const NOT_RESTARTABLE: u64 = 0x406;
/// VMRUN refused the state.
pub const INVALID: u64 = !0;
/// The VMSA is busy (APM 2, 15.36.16).
pub const BUSY: u64 = !1;

bitflags! {
    /// EXITINFO1 of a nested page fault (APM 2, 15.25.6; the RMP's bits 15.36.10, as Linux and OpenVMM have
    /// them).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct NpfInfo: u64 {
        /// The nested translation is there.
        const PRESENT = 1 << 0;
        /// A write.
        const WRITE = 1 << 1;
        /// An access at CPL 3; nested table walks always count as one.
        const USER = 1 << 2;
        /// A reserved bit is set in a nested table.
        const RESERVED = 1 << 3;
        /// An instruction fetch.
        const FETCH = 1 << 4;
        /// A shadow-stack access.
        const SHADOW_STACK = 1 << 6;
        /// The RMP's check failed.
        const RMP = 1 << 31;
        /// The access was to the final address.
        const FINAL = 1 << 32;
        /// The access was by the walk of the guest's tables.
        const TABLE_WALK = 1 << 33;
        /// The access was to private memory: the C-bit was set.
        const ENCRYPTED = 1 << 34;
        /// The sizes of the nested mapping, or of the operand, and of the RMP entry are not the same.
        const SIZE_MISMATCH = 1 << 35;
        /// The VMPL lacks the permission.
        const VMPL = 1 << 36;
        /// The nested mapping is no supervisor shadow stack.
        const NOT_SHADOW_STACK = 1 << 37;
        /// The guest can't be entered again.
        const NOT_RESTARTABLE = 1 << 63;
    }
}

/// EXITINFO1 of a port exit (APM 2, 15.10.2), and SW_EXITINFO1 of the GHCB's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoInfo(pub u64);

impl IoInfo {
    const IN: u64 = 1;
    const STRING: u64 = 1 << 2;
    const REP: u64 = 1 << 3;

    /// An access without string or repetition; `bytes` is 1, 2 or 4.
    #[must_use]
    pub const fn new(port: u16, bytes: u8, is_in: bool) -> Self {
        Self((port as u64) << 16 | (bytes as u64 & 7) << 4 | is_in as u64)
    }

    /// Bits 31:16, the port.
    #[must_use]
    pub const fn port(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The width in bytes; None unless exactly one of bits 6:4 is set.
    #[must_use]
    pub const fn bytes(self) -> Option<u8> {
        match self.0 >> 4 & 7 {
            1 => Some(1),
            2 => Some(2),
            4 => Some(4),
            _ => None,
        }
    }

    /// Whether it is IN or INS.
    #[must_use]
    pub const fn is_in(self) -> bool {
        self.0 & Self::IN != 0
    }

    /// Whether it is INS or OUTS.
    #[must_use]
    pub const fn is_string(self) -> bool {
        self.0 & Self::STRING != 0
    }

    /// Whether it has a REP prefix.
    #[must_use]
    pub const fn is_repeated(self) -> bool {
        self.0 & Self::REP != 0
    }

    /// Bits 12:10, the segment register of a string instruction: ES, CS, SS, DS, FS, GS from 0 on.
    #[must_use]
    pub const fn segment(self) -> u8 {
        (self.0 >> 10 & 7) as u8
    }
}
