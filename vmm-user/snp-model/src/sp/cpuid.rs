//! What the firmware accepts of a CPUID page (SNP ABI, 8.17.2.6). Which bits it polices is not confirmed by a
//! public source: here a host may take features away, and may not invent any.

use alloc::vec::Vec;

use plinth_snp_abi::cpuid_page::{CpuidEntry, CpuidPage};

use super::Status;

/// The platform's own CPUID: EAX, EBX, ECX, EDX of a function and subfunction.
pub trait PlatformCpuid {
    /// What the processor returns.
    fn cpuid(&self, function: u32, subfunction: u32) -> [u32; 4];
}

impl<F: Fn(u32, u32) -> [u32; 4]> PlatformCpuid for F {
    fn cpuid(&self, function: u32, subfunction: u32) -> [u32; 4] {
        self(function, subfunction)
    }
}

/// Registers of a function that are bits of features, by which a guest decides what it uses.
fn features(function: u32, subfunction: u32) -> [bool; 4] {
    match (function, subfunction) {
        (1, _) => [false, false, true, true],
        (7, 0) => [false, true, true, true],
        (7, 1) => [true, true, true, true],
        (0xd, 1) => [true, false, false, false],
        (0x8000_0001, _) => [false, false, true, true],
        (0x8000_0008, _) => [false, true, false, false],
        (0x8000_0021, _) => [true, false, false, false],
        (0x8000_001f, _) => [true, false, false, false],
        _ => [false; 4],
    }
}

/// Bits of functions that say something of the vCPU, not of the processor: OSXSAVE and the hypervisor's.
fn dynamic(function: u32) -> [u32; 4] {
    match function {
        1 => [0, 0, 1 << 27 | 1 << 31, 0],
        7 => [0, 0, 1 << 4, 0],
        _ => [0; 4],
    }
}

/// The XSAVE area that the firmware wants to read in leaf Dh: the x87 and SSE parts and the header.
const XSAVE_BASE: u32 = 0x240;

fn corrected(entry: &CpuidEntry, platform: &impl PlatformCpuid) -> CpuidEntry {
    let mut entry = *entry;
    let has = platform.cpuid(entry.eax_in, entry.ecx_in);
    let counts = features(entry.eax_in, entry.ecx_in);
    let dynamic = dynamic(entry.eax_in);
    let registers = [&mut entry.eax, &mut entry.ebx, &mut entry.ecx, &mut entry.edx];
    for (((register, has), counts), dynamic) in registers.into_iter().zip(has).zip(counts).zip(dynamic) {
        if counts {
            *register &= has | dynamic;
        }
    }
    if entry.eax_in == 0xd && entry.ecx_in < 2 {
        entry.ebx = XSAVE_BASE;
    }
    entry
}

/// Checks a page; one with values that are not accepted becomes what would be.
///
/// # Errors
/// [`Status::InvalidParam`]. The page is as it was where it has more entries than there is room for, two of
/// the same, or a function that is neither a standard, a hypervisor's nor an extended one.
pub fn correct(page: &mut CpuidPage, platform: &impl PlatformCpuid) -> Result<(), Status> {
    let entries = page.valid().ok_or(Status::InvalidParam)?;
    let key = |entry: &CpuidEntry| (entry.eax_in, entry.ecx_in, entry.xcr0_in, entry.xss_in);
    for (number, entry) in entries.iter().enumerate() {
        let is_range = matches!(entry.eax_in >> 16, 0 | 0x4000 | 0x8000);
        let is_again = entries.iter().take(number).any(|other| key(other) == key(entry));
        if !is_range || is_again {
            return Err(Status::InvalidParam);
        }
    }
    let accepted: Vec<_> = entries.iter().map(|entry| corrected(entry, platform)).collect();
    if accepted == entries {
        return Ok(());
    }
    for (place, entry) in page.entries.iter_mut().zip(accepted) {
        *place = entry;
    }
    Err(Status::InvalidParam)
}
