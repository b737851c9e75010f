//! What CPUID returns: the page that the firmware has checked at launch (SNP ABI, 8.17.2.6), in the place of
//! the instruction, which would ask the host.

use core::fmt;

use plinth_snp_abi::cpuid_page::{CpuidEntry, CpuidPage, MAX_ENTRIES};

use crate::cpu::Cpuid;

/// The leaf of XSAVE's states, whose first two subleaves depend on what is switched on.
const XSAVE_LEAF: u32 = 0xd;
/// Bytes of an XSAVE area without any state beyond x87 and SSE.
const XSAVE_BASE: u32 = 0x240;
/// In ECX of a state's subleaf: it is one of XSS.
const IN_XSS: u32 = 1 << 0;
/// In ECX of a state's subleaf: it is aligned to 64 bytes in the compacted form.
const ALIGNED: u32 = 1 << 1;
/// States that are not in the part that all areas have.
const EXTENDED: u64 = !3;

/// Why the page is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// There are more entries than it has room for, or none.
    Count(u32),
    /// Two entries are for the same question.
    Twice {
        /// The function.
        function: u32,
        /// The subfunction.
        subfunction: u32,
    },
    /// There is nothing of memory encryption in it.
    NoEncryption,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "the CPUID page has {count} entries"),
            Self::Twice { function, subfunction } => {
                write!(f, "the CPUID page has leaf {function:#x}, subleaf {subfunction:#x} twice")
            }
            Self::NoEncryption => write!(f, "the CPUID page says nothing of SEV-SNP"),
        }
    }
}

/// The page's entries, checked.
#[derive(Clone, Debug)]
pub struct Table {
    entries: [CpuidEntry; MAX_ENTRIES],
    count: usize,
}

/// What decides which entry is meant.
fn key(entry: &CpuidEntry) -> (u32, u32, u64, u64) {
    (entry.eax_in, entry.ecx_in, entry.xcr0_in, entry.xss_in)
}

/// Functions that have subfunctions (APM volume 3, appendix E; Intel SDM volume 2, CPUID).
const fn has_subfunctions(function: u32) -> bool {
    matches!(
        function,
        0x4 | 0x7 | 0xb | 0xd | 0xf | 0x10 | 0x12 | 0x14 | 0x17 | 0x18 | 0x1d
            ..=0x1f | 0x8000_001d | 0x8000_0020 | 0x8000_0026
    )
}

impl Table {
    /// One that has no entry.
    pub const fn new() -> Self {
        const NONE: CpuidEntry = CpuidEntry {
            eax_in: 0,
            ecx_in: 0,
            xcr0_in: 0,
            xss_in: 0,
            eax: 0,
            ebx: 0,
            ecx: 0,
            edx: 0,
            reserved: 0,
        };
        Self { entries: [NONE; MAX_ENTRIES], count: 0 }
    }

    /// Takes over what the page has. Nothing is taken over of a page that is refused.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn load(&mut self, page: &CpuidPage) -> Result<(), TableError> {
        let valid = page.valid().filter(|valid| !valid.is_empty()).ok_or(TableError::Count(page.count))?;
        for (index, entry) in valid.iter().enumerate() {
            // The first one would be found, and the other be what somebody else reads there.
            if valid.iter().take(index).any(|before| key(before) == key(entry)) {
                return Err(TableError::Twice { function: entry.eax_in, subfunction: entry.ecx_in });
            }
        }
        let encryption = valid.iter().find(|entry| entry.eax_in == plinth_snp_abi::cpuid::ENCRYPTION_LEAF);
        if encryption.is_none_or(|entry| entry.eax & plinth_snp_abi::cpuid::SEV_SNP == 0) {
            return Err(TableError::NoEncryption);
        }
        self.entries.iter_mut().zip(valid).for_each(|(place, entry)| *place = *entry);
        self.count = valid.len();
        Ok(())
    }

    /// How many entries it has.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn valid(&self) -> impl Iterator<Item = &CpuidEntry> {
        self.entries.iter().take(self.count)
    }

    /// What CPUID returns for a function and subfunction where XCR0 and XSS have these values. What the page
    /// does not have is zero, as of a processor that has no such leaf.
    pub fn find(&self, function: u32, subfunction: u32, xcr0: u64, xss: u64) -> Cpuid {
        let found = self.valid().find(|entry| {
            entry.eax_in == function && (!has_subfunctions(function) || entry.ecx_in == subfunction)
        });
        let Some(&CpuidEntry { eax, mut ebx, ecx, edx, .. }) = found else {
            return Cpuid { eax: 0, ebx: 0, ecx: 0, edx: 0 };
        };
        if function == XSAVE_LEAF && subfunction <= 1 {
            // The firmware checked the size for one value of XCR0; that of others follows from the states.
            ebx = self.xsave_bytes(subfunction == 1, xcr0, xss);
        }
        Cpuid { eax, ebx, ecx, edx }
    }

    /// How many bytes an XSAVE area takes (APM volume 2, 11.5.2 and 11.5.3).
    fn xsave_bytes(&self, is_compacted: bool, xcr0: u64, xss: u64) -> u32 {
        let states = if is_compacted { xcr0 | xss } else { xcr0 } & EXTENDED;
        let mut bytes = XSAVE_BASE;
        for number in (2..63).filter(|number| states & 1 << number != 0) {
            let state = self.valid().find(|entry| entry.eax_in == XSAVE_LEAF && entry.ecx_in == number);
            let Some(state) = state else { continue };
            bytes = if is_compacted {
                let aligned = state.ecx & ALIGNED != 0;
                let start = if aligned { bytes.checked_next_multiple_of(64).unwrap_or(bytes) } else { bytes };
                start.saturating_add(state.eax)
            } else if state.ecx & IN_XSS == 0 {
                bytes.max(state.ebx.saturating_add(state.eax))
            } else {
                bytes
            };
        }
        bytes
    }
}

#[cfg(test)]
mod tests;
