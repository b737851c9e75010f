//! Where a virtio device's registers are: its vendor-specific capabilities (virtio 1.2, 4.1.4).

/// Registers in a BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Which BAR.
    pub bar: u32,
    /// First byte in there.
    pub offset: u32,
    /// How many.
    pub bytes: u32,
}

/// Where all of them are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The common configuration.
    pub common: Region,
    /// Where queues are notified.
    pub notify: Region,
    /// How far the places of two queues are apart in there.
    pub multiplier: u32,
    /// The device's own configuration.
    pub device: Option<Region>,
}

/// In configuration space.
const STATUS: u32 = 0x04;
const HAS_CAPABILITIES: u32 = 1 << 20;
const FIRST: u32 = 0x34;
/// The most capabilities there is room for.
const CAPABILITIES_MAX: usize = 48;
/// Vendor-specific.
const VENDOR: u32 = 0x09;
/// Where the double words of a capability end at the latest.
const END: u32 = 0x100;

/// Types of structures.
const COMMON: u32 = 1;
const NOTIFY: u32 = 2;
const DEVICE: u32 = 4;

/// Reads the capabilities of a function, whose configuration space `read` reads. Of each structure the first
/// one counts. `None`: it is no modern virtio device.
pub fn find(read: impl Fn(u32) -> u32) -> Option<Layout> {
    let (mut common, mut notify, mut device) = (None, None, None);
    if read(STATUS) & HAS_CAPABILITIES == 0 {
        return None;
    }
    let mut at = read(FIRST) & 0xfc;
    // Counted, as the host may have made the list a ring.
    for _ in 0..CAPABILITIES_MAX {
        if at < 0x40 || at + 20 > END {
            break;
        }
        let first = read(at);
        let region = || Region { bar: read(at + 4) & 0xff, offset: read(at + 8), bytes: read(at + 12) };
        if first & 0xff == VENDOR {
            match first >> 24 {
                COMMON => common = common.or_else(|| Some(region())),
                NOTIFY => notify = notify.or_else(|| Some((region(), read(at + 16)))),
                DEVICE => device = device.or_else(|| Some(region())),
                _ => {}
            }
        }
        at = first >> 8 & 0xfc;
    }
    let (notify, multiplier) = notify?;
    Some(Layout { common: common?, notify, multiplier, device })
}

impl Region {
    /// The whole pages that it lies in, at most so many bytes, and where it is in them.
    pub fn pages(self, most: u64) -> (u64, u64, u64) {
        const PAGE: u64 = 4096;
        let (start, end) = (u64::from(self.offset), u64::from(self.offset) + u64::from(self.bytes));
        let first = start & !(PAGE - 1);
        // Whole pages, since nothing less can be mapped; what else lies in them is the same device's.
        (first, (end.next_multiple_of(PAGE) - first).min(most), start - first)
    }
}

#[cfg(test)]
mod tests;
