//! Which functions there are on bus 0 (PCI local bus specification 3.0, 6.1).

use alloc::format;
use alloc::string::String;

/// Double words of configuration space.
mod register {
    pub const ID: u32 = 0x00;
    pub const COMMAND: u32 = 0x04;
    pub const HEADER: u32 = 0x0c;
    pub const BAR0: u32 = 0x10;
    /// Of a bridge: base and limit of what it passes on, in 16 bits each; prefetchable behind it.
    pub const BRIDGE_WINDOWS: [u32; 2] = [0x20, 0x24];
}

/// In the command register: decode memory.
const DECODES_MEMORY: u32 = 1 << 1;
/// In the header type: there are more functions than 0.
const MANY: u32 = 0x80;

/// Bus 0 as the host answers for it.
pub trait Bus {
    /// A double word of a function's configuration space.
    fn read(&self, function: u32, offset: u32) -> u32;
    /// The sizes of its BARs; `None`: they cannot be had, as somebody has claimed it or it is a bridge.
    fn sizes(&self, function: u32) -> Option<[u32; 6]>;
}

/// A function that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Device << 3 | function.
    pub number: u32,
    /// Device ID and vendor ID, as the register has them.
    pub id: u32,
}

impl Found {
    /// `vendor:device`.
    pub fn name(&self) -> String {
        format!("{:04x}:{:04x}", self.id & 0xffff, self.id >> 16)
    }
}

/// A function that a driver wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    id: u32,
    index: usize,
}

impl Wanted {
    /// Reads `VENDOR:DEVICE [INDEX]`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (vendor, device) = words.next()?.split_once(':')?;
        let hex = |text: &str| u16::from_str_radix(text, 16).ok().map(u32::from);
        let index = words.next().map_or(Some(0), |word| word.parse().ok())?;
        let id = hex(device)? << 16 | hex(vendor)?;
        // A word too many is a mistake in `init.conf`: the driver would get another function than was meant.
        words.next().is_none().then_some(Self { id, index })
    }

    /// The function, if there is one.
    pub fn find(&self, bus: &impl Bus) -> Option<u32> {
        functions(bus).filter(|found| found.id == self.id).nth(self.index).map(|found| found.number)
    }
}

/// The functions that there are. Of a device without many functions only the first one is looked at: others
/// may be the same once more.
pub fn functions(bus: &impl Bus) -> impl Iterator<Item = Found> {
    (0..32).flat_map(move |device| {
        let first = device << 3;
        let has_many = bus.read(first, register::HEADER) >> 16 & MANY != 0;
        // A device that is there has a function 0.
        let count = if bus.read(first, register::ID) == u32::MAX {
            0
        } else if has_many {
            8
        } else {
            1
        };
        (first..first + count)
            .map(|number| Found { number, id: bus.read(number, register::ID) })
            .filter(|found| found.id & 0xffff != 0xffff)
    })
}

/// Where functions that nobody has claimed decode memory, or pass it on: first and last byte.
pub fn decoded(bus: &impl Bus) -> impl Iterator<Item = (u32, u32)> {
    functions(bus)
        // What decodes nothing is nowhere, whatever its BARs say.
        .filter(|found| bus.read(found.number, register::COMMAND) & DECODES_MEMORY != 0)
        .flat_map(|found| bars(bus, found.number).chain(windows(bus, found.number)))
}

fn is_bridge(bus: &impl Bus, function: u32) -> bool {
    bus.read(function, register::HEADER) >> 16 & 0x7f == 1
}

fn bars(bus: &impl Bus, function: u32) -> impl Iterator<Item = (u32, u32)> {
    // Without sizes it is claimed, and the kernel holds its places against ours; or it is a bridge.
    let sizes = bus.sizes(function).unwrap_or_default();
    sizes.into_iter().zip(0..).filter(|(bytes, _)| *bytes != 0).map(move |(bytes, bar)| {
        let start = bus.read(function, register::BAR0 + 4 * bar) & !0xf;
        // The host says both: a range that wrapped would leave out what it covers.
        (start, start.saturating_add(bytes - 1))
    })
}

fn windows(bus: &impl Bus, function: u32) -> impl Iterator<Item = (u32, u32)> {
    let windows = if is_bridge(bus, function) { register::BRIDGE_WINDOWS.as_slice() } else { &[] };
    windows.iter().filter_map(move |register| {
        let word = bus.read(function, *register);
        let (base, limit) = ((word & 0xfff0) << 16, word & 0xfff0_0000 | 0xf_ffff);
        // A base beyond the limit: it passes nothing on (PCI-to-PCI Bridge Architecture Specification 1.2,
        // 3.2.5.8).
        (base <= limit).then_some((base, limit))
    })
}

#[cfg(test)]
pub(crate) mod tests;
