//! The guest's memory map: what goes into the E820 table, and finding room in it.

use alloc::vec::Vec;

/// The most ranges of a map: there is room for so many in the E820 table of Linux' `boot_params`
/// (Linux documentation, `zero-page.rst`).
pub(super) const RANGES_MAX: usize = 128;

/// What a range of guest-physical addresses is, with its E820 number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MemoryKind {
    /// RAM the guest may use.
    Ram = 1,
    /// Not for use.
    Reserved = 2,
    /// ACPI tables.
    Acpi = 3,
}

/// A range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// First byte.
    pub gpa: u64,
    /// Size.
    pub bytes: u64,
    /// What it is.
    pub kind: MemoryKind,
}

impl MemoryRange {
    /// One past the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.gpa.saturating_add(self.bytes)
    }
}

/// Where the extended BIOS data area would start: RAM below it is free.
const LOW_RAM_END: u64 = 0x9_fc00;
/// Firmware tables: ACPI goes here.
const FIRMWARE: u64 = 0xe_0000;
const MIB: u64 = 1 << 20;
const FOUR_GIB: u64 = 1 << 32;

/// A PC's memory map with `low_bytes` of RAM from 0 on and `high_bytes` from 4 GiB on. `low_bytes` counts the
/// holes below 1 MiB as RAM, as is usual, and counts up to ECAM at most ([`crate::pci::spec::ECAM_GPA`]).
pub fn pc_memory_map(low_bytes: u64, high_bytes: u64) -> Vec<MemoryRange> {
    let range =
        |start: u64, end: u64, kind| MemoryRange { gpa: start, bytes: end.saturating_sub(start), kind };
    // RAM under ECAM or the APICs would be found by the guest and never be reached.
    let low_bytes = low_bytes.min(crate::pci::spec::ECAM_GPA);
    let (ecam, ecam_bytes) = (crate::pci::spec::ECAM_GPA, crate::pci::spec::ECAM_BYTES);
    let mut map = Vec::from([
        range(0, LOW_RAM_END.min(low_bytes), MemoryKind::Ram),
        range(LOW_RAM_END, 0xa_0000, MemoryKind::Reserved),
        range(FIRMWARE, MIB, MemoryKind::Reserved),
        range(MIB, low_bytes, MemoryKind::Ram),
        range(ecam, ecam + ecam_bytes, MemoryKind::Reserved),
        range(FOUR_GIB, FOUR_GIB.saturating_add(high_bytes), MemoryKind::Ram),
    ]);
    // A small machine ends below some of these.
    map.retain(|r| r.bytes > 0);
    map
}

/// Whether a range is all RAM. Ranges of the map that adjoin are not joined.
pub(crate) fn is_ram(map: &[MemoryRange], gpa: u64, bytes: u64) -> bool {
    // Both numbers may come from a kernel file.
    let Some(end) = gpa.checked_add(bytes) else { return false };
    map.iter().any(|r| r.kind == MemoryKind::Ram && r.gpa <= gpa && end <= r.end())
}

/// How much RAM there is from an address on, up to the first gap.
pub(crate) fn usable_from(map: &[MemoryRange], gpa: u64) -> u64 {
    let mut end = gpa;
    // A map may name one stretch of RAM in several ranges, in any order.
    while let Some(range) = map.iter().find(|r| r.kind == MemoryKind::Ram && r.gpa <= end && end < r.end()) {
        end = range.end();
    }
    end - gpa
}

/// The lowest aligned address from `floor` on where `bytes` of RAM are. `alignment` is a power of two.
pub(super) fn lowest_fit(map: &[MemoryRange], floor: u64, bytes: u64, alignment: u64) -> Option<u64> {
    let ram = map.iter().filter(|r| r.kind == MemoryKind::Ram);
    ram.filter_map(|r| {
        let start = r.gpa.max(floor).checked_next_multiple_of(alignment)?;
        (start.checked_add(bytes)? <= r.end()).then_some(start)
    })
    .min()
}

/// The highest page-aligned address where `bytes` of RAM end at or before `ceiling`, outside `taken`.
pub(crate) fn highest_fit(
    map: &[MemoryRange],
    ceiling: u64,
    bytes: u64,
    taken: &core::ops::Range<u64>,
) -> Option<u64> {
    let ram = map.iter().filter(|r| r.kind == MemoryKind::Ram);
    // Each range of RAM offers its end and the start of what is taken in it.
    let candidates = ram.flat_map(|r| {
        [r.end(), taken.start].map(|end| {
            let start = end.min(r.end()).min(ceiling).checked_sub(bytes)? & !0xfff;
            // The kernel unpacks itself into what is taken, over whatever lies there.
            let free = start + bytes <= taken.start || start >= taken.end;
            (start >= r.gpa && start >= MIB && free).then_some(start)
        })
    });
    candidates.flatten().max()
}
