//! Control registers: what a guest may write to CR0 and CR4, and what they then hold (APM volume 2, 3.1).

#[cfg(test)]
mod tests;

const PE: u64 = 1 << 0;
const ET: u64 = 1 << 4;
const NW: u64 = 1 << 29;
const CD: u64 = 1 << 30;
const PG: u64 = 1 << 31;
/// PE, MP, EM, TS, ET, NE, WP, AM, NW, CD, PG. Others below bit 32 read as zero and are ignored when written.
const CR0_KNOWN: u64 = 0x3f | 1 << 16 | 1 << 18 | NW | CD | PG;
/// CR0's PE, MP, EM and TS.
const STATUS_WORD: u64 = 0xf;

const PAE: u64 = 1 << 5;

const LME: u64 = 1 << 8;
const LMA: u64 = 1 << 10;

/// What is written is not taken. To blame: the guest, which gets #GP(0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneralProtection;

/// The registers that paging and long mode depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// CR0.
    pub cr0: u64,
    /// CR4.
    pub cr4: u64,
    /// EFER, as the guest sees it.
    pub efer: u64,
    /// CS.L: with EFER.LMA, 64-bit mode.
    pub code_is_long: bool,
}

impl Control {
    /// After MOV to CR0. Turning paging on activates long mode where EFER.LME is set, turning it off ends it.
    pub fn with_cr0(self, value: u64) -> Result<Self, GeneralProtection> {
        let has = |bit: u64| value & bit != 0;
        // Only the change counts: with paging on already, EFER.LME and CR4.PAE can't be other than they are.
        let on = has(PG) && self.cr0 & PG == 0;
        let (long, active) = (self.efer & LME != 0, self.efer & LMA != 0);
        // Each of these is #GP (APM 3, MOV CRn). 64-bit code cannot go on where long mode begins or ends.
        let refused = value >> 32 != 0
            || has(PG) && !has(PE)
            || has(NW) && !has(CD)
            || on && long && (self.cr4 & PAE == 0 || self.code_is_long)
            // Long mode is active with paging on alone.
            || active && !has(PG) && self.code_is_long;
        if refused {
            return Err(GeneralProtection);
        }
        // LMA is nobody's to write: it says that both conditions hold.
        let active = if has(PG) && long { LMA } else { 0 };
        // ET reads as 1 whatever is written (APM 2, 3.1.1).
        Ok(Self { cr0: value & CR0_KNOWN | ET, efer: self.efer & !LMA | active, ..self })
    }

    /// After LMSW, which cannot clear PE.
    pub fn with_status_word(self, value: u64) -> Result<Self, GeneralProtection> {
        self.with_cr0(self.cr0 & !(STATUS_WORD & !PE) | value & STATUS_WORD)
    }

    /// After MOV to CR4, of which the guest's CPUID offers `allowed` bits.
    pub fn with_cr4(self, value: u64, allowed: u64) -> Result<Self, GeneralProtection> {
        // Long mode's tables are PAE's: without it the processor would have none that it can walk.
        if value & !allowed != 0 || self.efer & LMA != 0 && value & PAE == 0 {
            return Err(GeneralProtection);
        }
        Ok(Self { cr4: value, ..self })
    }
}
