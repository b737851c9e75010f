//! 32-bit paging: two levels of entries of four bytes, with 4 MiB pages (APM 2, 5.2.2; SDM 3, 4.3).

use super::rights::{self, Rights};
use super::{Access, Paging, Trace, Translation, WalkError, entry};
use crate::bits::CR4_PSE;
use crate::{GuestMemory, Size};

const LARGE_PAGE_BYTES: u64 = 1 << 22;

/// Bits of a 4 MiB page's entry that must be clear: bit 21, and those of PSE-36's bits 20:13 (which are bits
/// 39:32 of the address) that the guest has no physical address bits for.
fn reserved(paging: &Paging) -> u64 {
    let high_bits = u32::from(paging.physical_bits.clamp(32, 40)) - 32;
    (1 << 22) - (1 << (13 + high_bits))
}

pub(super) fn walk(
    memory: &mut (impl GuestMemory + ?Sized),
    paging: &Paging,
    linear: u64,
    access: Access,
) -> Result<Translation, WalkError> {
    let mut rights = Rights::default();
    let mut trace = Trace::new(Size::B4, false);
    let mut read = |table: u64, index: u64| {
        let gpa = table + (index & 0x3ff) * 4;
        let value = memory.read(gpa, Size::B4).unwrap_or(entry::ABSENT & 0xffff_ffff);
        trace.push(gpa, value);
        if value & entry::PRESENT == 0 {
            return Err(access.fault(paging, linear, 0));
        }
        rights.narrow(value);
        Ok(value)
    };
    let directory = read(paging.cr3 & 0xffff_f000, linear >> 22)?;
    // Without CR4.PSE the bit means nothing (SDM 3, 4.3).
    if directory & entry::LARGE != 0 && paging.cr4 & CR4_PSE != 0 {
        if directory & reserved(paging) != 0 {
            return Err(access.fault(paging, linear, rights::PRESENT | rights::RESERVED));
        }
        rights.check(paging, linear, access)?;
        // PSE-36: bits 20:13 of the entry are bits 39:32 of the address (APM 2, 5.2.2).
        let page = (directory & 0xffc0_0000) | (directory >> 13 & 0xff) << 32;
        return Ok(rights.translation(page | (linear & (LARGE_PAGE_BYTES - 1)), LARGE_PAGE_BYTES, trace));
    }
    let leaf = read(directory & 0xffff_f000, linear >> 12)?;
    rights.check(paging, linear, access)?;
    Ok(rights.translation((leaf & 0xffff_f000) | (linear & 0xfff), crate::PAGE_BYTES, trace))
}
