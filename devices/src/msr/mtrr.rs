//! Memory types: which values MTRRs and PAT take (APM 2, 7.7 and 7.8). They are stored and checked; the
//! memory type of guest RAM comes from the nested tables and, through PAT, from the guest's.

/// Which kind of MTRR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mtrr {
    /// Base (even numbers) and mask (odd numbers) of a variable range.
    Variable,
    /// Eight types of a fixed range.
    Fixed,
    /// The default type and the enables.
    DefaultType,
}

/// Guest-physical addresses have at most 52 bits.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// AMD's RdMem and WrMem in each type of a fixed range.
const FIXED_EXTENSION: u8 = 0x18;

/// UC, WC, WT, WP, WB.
const fn is_mtrr_type(value: u8) -> bool {
    matches!(value, 0 | 1 | 4 | 5 | 6)
}

impl Mtrr {
    /// Whether a write faults not.
    pub(super) fn accepts(self, msr: u32, value: u64) -> bool {
        match self {
            Self::Variable if msr & 1 == 0 => value & !(ADDRESS | 0xff) == 0 && is_mtrr_type(value as u8),
            Self::Variable => value & !(ADDRESS | 1 << 11) == 0,
            // The two extra bits say whether RAM or the bus serves an address. Nested tables decide that
            // here, so any value will do.
            Self::Fixed => value.to_le_bytes().into_iter().all(|t| is_mtrr_type(t & !FIXED_EXTENSION)),
            Self::DefaultType => value & !0xcff == 0 && is_mtrr_type(value as u8),
        }
    }
}

/// Whether WRMSR of PAT faults not: eight types of UC, WC, WT, WP, WB, UC-.
pub fn pat_is_valid(value: u64) -> bool {
    value.to_le_bytes().into_iter().all(|t| is_mtrr_type(t) || t == 7)
}
