//! Where a PC has the ROMs of its cards: memory that reads as ones and keeps nothing, as without any card.
//!
//! What nobody claims would read so too, by an exit for each access; and Linux reads all of it at its start
//! when it looks for tables of the firmware: 16,000 exits.

use alloc::vec::Vec;

use devices::bus::MmioMap;
use runtime::abi::operation::{Handle, VmAllocate};
use runtime::abi::status::Status;
use runtime::{call, heap};

use super::{Result, StartError, kernel};
use crate::guest_memory::Range;

/// The area, up to the firmware's (System V ABI of the IBM PC: expansion ROMs from C0000h to DFFFFh).
const AREA: Range = Range { gpa: 0xc_0000, bytes: 0x2_0000 };
const PAGE_BYTES: u64 = 4096;

/// Gives the VM these pages where neither memory nor a device is.
pub fn place_option_roms(vm: Handle, mmio: &MmioMap, ram: &[Range]) -> Result<()> {
    for gpa in free_pages(mmio, ram) {
        let what = "the area of option ROMs";
        let address = heap::reserve(PAGE_BYTES).ok_or(StartError::Kernel(what, Status::Exhausted))?;
        call(vm, VmAllocate { gpa, bytes: PAGE_BYTES, address, writable: 0 }).map_err(kernel(what))?;
        fill_with_ones(address);
    }
    Ok(())
}

/// The pages of the area in which nobody claims a byte.
fn free_pages(mmio: &MmioMap, ram: &[Range]) -> Vec<u64> {
    let is_ram =
        |gpa: u64| ram.iter().any(|r| gpa + PAGE_BYTES > r.gpa && gpa < r.gpa.saturating_add(r.bytes));
    let is_claimed = |gpa: u64| (gpa..gpa + PAGE_BYTES).any(|byte| mmio.find(byte).is_some());
    let pages = (AREA.gpa..AREA.gpa + AREA.bytes).step_by(PAGE_BYTES as usize);
    pages.filter(|gpa| !is_ram(*gpa) && !is_claimed(*gpa)).collect()
}

/// Fills a page of this process's.
fn fill_with_ones(address: u64) {
    for offset in (0..PAGE_BYTES).step_by(8) {
        #[allow(unsafe_code, reason = "the kernel has mapped this page for us")]
        // SAFETY: within the page that `VmAllocate` mapped at this address, which nothing else uses.
        unsafe {
            ((address + offset) as *mut u64).write_volatile(u64::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use devices::bus::{DeviceId, MmioClaim};
    use devices::capability::MmioRange;

    use super::*;

    #[test]
    fn what_somebody_claims_stays_theirs() {
        let all: Vec<u64> = (0xc0..0xe0).map(|page| page << 12).collect();
        let none = MmioMap::new(&[]).unwrap();
        assert_eq!(free_pages(&none, &[]), all);
        let low = Range { gpa: 0, bytes: 0xa_0000 };
        let high = Range { gpa: 0x10_0000, bytes: 0x10_0000 };
        assert_eq!(free_pages(&none, &[low, high]), all);
        // A byte at the end of the first page, a range that begins in the third, and memory at the end.
        let claims = [MmioRange { gpa: 0xc_0fff, bytes: 1 }, MmioRange { gpa: 0xc_2ff0, bytes: 0x20 }];
        let claims: Vec<_> = MmioClaim::each(DeviceId(0), &claims).collect();
        let some = MmioMap::new(&claims).unwrap();
        let ram = Range { gpa: 0xd_f800, bytes: 0x1000 };
        let taken = [0xc_0000, 0xc_2000, 0xc_3000, 0xd_f000];
        let left: Vec<u64> = all.into_iter().filter(|gpa| !taken.contains(gpa)).collect();
        assert_eq!(free_pages(&some, &[low, ram]), left);
    }
}
