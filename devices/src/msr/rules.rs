//! The policy: a table, and an index into it made when the crate is compiled.

use super::{
    VcpuMsr::{self, *},
    mtrr::Mtrr,
};

/// What a register does.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// The local APIC's.
    Lapic,
    /// The time stamp counter.
    Tsc,
    /// How far software has moved it.
    TscAdjust,
    /// When the local APIC's timer fires in TSC-deadline mode.
    TscDeadline,
    /// Switched state.
    Vcpu(VcpuMsr),
    /// Reads as this; a write faults.
    Constant(u64),
    /// Reads as this; writes are ignored.
    Ignored(u64),
    /// Keeps the writable bits that are written.
    Stored {
        /// Value after reset.
        reset: u64,
        /// Bits that take what is written; the others keep their reset value.
        writable: u64,
    },
    /// Keeps values that are valid for the register; others fault.
    Mtrr {
        /// Which.
        register: Mtrr,
        /// Value after reset.
        reset: u64,
    },
}

/// A run of registers that do the same.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The first register.
    pub first: u32,
    /// The last register.
    pub last: u32,
    /// What they do.
    pub kind: Kind,
    /// Where the values of stored ones start.
    pub slot: u16,
}

impl Rule {
    /// How many registers.
    pub const fn count(&self) -> usize {
        (self.last - self.first + 1) as usize
    }
}

const fn run(first: u32, last: u32, kind: Kind) -> Rule {
    Rule { first, last, kind, slot: 0 }
}

const fn one(msr: u32, kind: Kind) -> Rule {
    run(msr, msr, kind)
}

const fn stored(reset: u64) -> Kind {
    Kind::Stored { reset, writable: u64::MAX }
}

const fn mtrr(register: Mtrr, reset: u64) -> Kind {
    Kind::Mtrr { register, reset }
}

/// Eight variable ranges, fixed ranges, write-combining.
const MTRR_CAP: u64 = 0x508;
/// MTRRs on, fixed ranges on, write-back.
const MTRR_DEFAULT: u64 = 0xc06;
/// Eight times write-back.
const WRITE_BACK: u64 = 0x0606_0606_0606_0606;
/// Variable ranges start out off: a guest's MMIO never reaches a cache, the default type will do.
const OFF: u64 = 0;
/// A microcode level that no list of bad ones has.
const MICROCODE: u64 = 0x0100_0065;
/// HWCR: TSC counts at the P0 frequency (Linux complains of the firmware where it does not).
const HWCR: u64 = 1 << 24;
/// DE_CFG: LFENCE serializes.
const DE_CFG: u64 = 1 << 1;
/// VM_CR: SVM disabled and locked.
const VM_CR: u64 = 1 << 4 | 1 << 3;

const UNNUMBERED: [Rule; 70] = [
    one(0x0000_0010, Kind::Tsc),
    one(0x0000_0017, Kind::Ignored(0)), // platform ID
    one(0x0000_001b, Kind::Lapic),
    one(0x0000_002a, Kind::Ignored(0)),  // power-on configuration
    one(0x0000_003a, Kind::Constant(1)), // feature control: locked, VMX off
    one(0x0000_003b, Kind::TscAdjust),
    run(0x0000_0048, 0x0000_0049, Kind::Ignored(0)), // SPEC_CTRL, PRED_CMD: not offered, written by some
    one(0x0000_0079, Kind::Ignored(0)),              // microcode update
    one(0x0000_008b, Kind::Ignored(MICROCODE)),
    run(0x0000_00c1, 0x0000_00c8, Kind::Ignored(0)), // performance counters
    one(0x0000_00ce, Kind::Ignored(0)),              // platform information
    run(0x0000_00e7, 0x0000_00e8, Kind::Ignored(0)), // MPERF, APERF
    one(0x0000_00fe, Kind::Constant(MTRR_CAP)),
    one(0x0000_010a, Kind::Constant(0)), // ARCH_CAPABILITIES
    one(0x0000_0174, Kind::Vcpu(SysenterCs)),
    one(0x0000_0175, Kind::Vcpu(SysenterEsp)),
    one(0x0000_0176, Kind::Vcpu(SysenterEip)),
    one(0x0000_0179, Kind::Constant(0)),             // MCG_CAP: no banks
    one(0x0000_017a, stored(0)),                     // MCG_STATUS
    one(0x0000_017b, Kind::Ignored(0)),              // MCG_CTL
    run(0x0000_0186, 0x0000_018d, Kind::Ignored(0)), // performance event selects
    run(0x0000_0198, 0x0000_0199, Kind::Ignored(0)), // performance status and control
    run(0x0000_019a, 0x0000_019c, Kind::Ignored(0)), // thermal
    one(0x0000_01a0, stored(1)),                     // MISC_ENABLE: fast strings
    one(0x0000_01d9, Kind::Vcpu(DebugCtl)),
    run(0x0000_01db, 0x0000_01de, Kind::Ignored(0)), // last branch and exception
    run(0x0000_0200, 0x0000_020f, mtrr(Mtrr::Variable, OFF)),
    one(0x0000_0250, mtrr(Mtrr::Fixed, WRITE_BACK)),
    one(0x0000_0258, mtrr(Mtrr::Fixed, WRITE_BACK)),
    one(0x0000_0259, mtrr(Mtrr::Fixed, 0)), // A0000h to BFFFFh
    run(0x0000_0268, 0x0000_026f, mtrr(Mtrr::Fixed, WRITE_BACK)),
    one(0x0000_0277, Kind::Vcpu(Pat)),
    one(0x0000_02ff, mtrr(Mtrr::DefaultType, MTRR_DEFAULT)),
    one(0x0000_0345, Kind::Constant(0)),             // PERF_CAPABILITIES
    run(0x0000_038d, 0x0000_0390, Kind::Ignored(0)), // fixed counter control
    run(0x0000_0400, 0x0000_047f, Kind::Ignored(0)), // machine check banks
    one(0x0000_06e0, Kind::TscDeadline),
    run(0x0000_0800, 0x0000_08ff, Kind::Lapic),
    one(0xc000_0080, Kind::Vcpu(Efer)),
    one(0xc000_0081, Kind::Vcpu(Star)),
    one(0xc000_0082, Kind::Vcpu(Lstar)),
    one(0xc000_0083, Kind::Vcpu(Cstar)),
    one(0xc000_0084, Kind::Vcpu(SyscallMask)),
    run(0xc000_00e7, 0xc000_00e8, Kind::Ignored(0)), // read-only MPERF, APERF
    one(0xc000_0100, Kind::Vcpu(FsBase)),
    one(0xc000_0101, Kind::Vcpu(GsBase)),
    one(0xc000_0102, Kind::Vcpu(KernelGsBase)),
    one(0xc000_0103, Kind::Vcpu(TscAux)),
    run(0xc001_0000, 0xc001_0007, Kind::Ignored(0)), // performance counters
    one(0xc001_0010, stored(0)),                     // SYSCFG
    one(0xc001_0015, Kind::Stored { reset: HWCR, writable: 1 << 18 | 1 << 3 | 1 << 6 }),
    run(0xc001_0016, 0xc001_0019, Kind::Ignored(0)), // IORR
    run(0xc001_001a, 0xc001_001d, Kind::Ignored(0)), // TOP_MEM, TOP_MEM2
    one(0xc001_001f, Kind::Ignored(0)),              // NB_CFG
    one(0xc001_0020, Kind::Ignored(0)),              // microcode loader
    one(0xc001_0055, Kind::Ignored(0)),              // interrupt pending
    one(0xc001_0058, Kind::Ignored(0)),              // MMIO configuration: off, ECAM is MCFG's to say
    run(0xc001_0061, 0xc001_0071, Kind::Ignored(0)), // P-states
    run(0xc001_0111, 0xc001_0113, Kind::Ignored(0)), // SMM
    one(0xc001_0114, Kind::Ignored(VM_CR)),
    run(0xc001_0117, 0xc001_0118, Kind::Ignored(0)), // VM_HSAVE_PA, SVM key
    run(0xc001_0140, 0xc001_0141, Kind::Ignored(0)), // OSVW
    run(0xc001_1004, 0xc001_1005, Kind::Ignored(0)), // CPUID feature overrides
    run(0xc001_1019, 0xc001_101b, Kind::Ignored(0)), // debug address masks
    run(0xc001_1020, 0xc001_1028, Kind::Ignored(0)), // LS_CFG to FP_CFG: workarounds for errata
    one(0xc001_1029, Kind::Stored { reset: DE_CFG, writable: u64::MAX }),
    run(0xc001_102a, 0xc001_102d, Kind::Ignored(0)), // further configuration
    run(0xc001_1030, 0xc001_103d, Kind::Ignored(0)), // IBS
    run(0xc001_10e0, 0xc001_10e4, Kind::Ignored(0)), // branch prediction workarounds
    run(0xc001_0290, 0xc001_029b, Kind::Ignored(0)), // P-state and energy readings
];

/// How many values an [`super::MsrFile`] holds.
pub const STORED: usize = stored_count();

/// The rules with their slots.
pub static RULES: [Rule; UNNUMBERED.len()] = numbered();

const fn is_stored(kind: &Kind) -> bool {
    matches!(kind, Kind::Stored { .. } | Kind::Mtrr { .. })
}

const fn stored_count() -> usize {
    let mut count = 0;
    let mut i = 0;
    while i < UNNUMBERED.len() {
        if is_stored(&UNNUMBERED[i].kind) {
            count += UNNUMBERED[i].count();
        }
        i += 1;
    }
    count
}

const fn numbered() -> [Rule; UNNUMBERED.len()] {
    let mut rules = UNNUMBERED;
    let mut slot = 0;
    let mut i = 0;
    while i < rules.len() {
        if is_stored(&rules[i].kind) {
            rules[i].slot = slot;
            slot += rules[i].count() as u16;
        }
        i += 1;
    }
    rules
}

/// MSR numbers come in three blocks, as in the MSR permission map (APM 2, 15.11).
const BLOCK: usize = 0x2000;
const NONE: u8 = u8::MAX;

/// For each MSR the number of its rule.
static INDEX: [u8; 3 * BLOCK] = index();

const fn position(msr: u32) -> Option<usize> {
    let base = match msr & !(BLOCK as u32 - 1) {
        0 => 0,
        0xc000_0000 => BLOCK,
        0xc001_0000 => 2 * BLOCK,
        _ => return None,
    };
    Some(base + (msr as usize & (BLOCK - 1)))
}

const fn index() -> [u8; 3 * BLOCK] {
    let mut index = [NONE; 3 * BLOCK];
    let mut i = 0;
    while i < UNNUMBERED.len() {
        let mut msr = UNNUMBERED[i].first;
        while msr <= UNNUMBERED[i].last {
            match position(msr) {
                Some(at) if index[at] == NONE => index[at] = i as u8,
                // While the crate is compiled: no guest ever gets here.
                _ => panic!("two rules for one MSR, or one outside the three blocks"),
            }
            msr += 1;
        }
        i += 1;
    }
    index
}

/// The rule of a register.
#[inline]
pub fn find(msr: u32) -> Option<&'static Rule> {
    let number = *INDEX.get(position(msr)?)?;
    // [`NONE`] is past the table's end, and needs no case of its own.
    RULES.get(usize::from(number))
}
