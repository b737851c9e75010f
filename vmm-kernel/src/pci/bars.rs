//! Base address registers: how large they are, and where they are placed (PCI local bus specification 3.0,
//! 6.2.5.1).
//!
//! Where the host says that they are does not matter: the kernel places them itself, in a window that is
//! never memory and has nothing of its own.

use vcpu_abi::status::Status;

use super::config::{BAR0, COMMAND, Config, command};
use crate::layout::PAGE;

/// Where BARs may be placed: behind where a machine's firmware may have placed its ECAM window, and below the
/// I/O APIC. None of it is memory, whatever the host says (`memory::host_map::NEVER_MEMORY`).
pub const WINDOW: core::ops::Range<u32> = 0xf000_0000..0xfec0_0000;
/// How many a function has.
pub const COUNT: usize = 6;

/// The size of a BAR that cannot be placed: above 2 GiB, below 1 MiB, or nonsense. No window is as large.
pub const UNPLACEABLE: u32 = u32::MAX;

/// A BAR that decodes memory: its size, a power of two, or 0 for none; whether the next register belongs to
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sized {
    /// In bytes.
    pub bytes: u32,
    /// It takes two registers.
    pub is_wide: bool,
}

/// Where a BAR was placed. None is placed at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// First byte; a multiple of the page size.
    pub address: u32,
    /// Size of the BAR; the rest of its last page is nobody else's.
    pub bytes: u32,
}

/// Where the BARs of a function were placed.
pub type Places = [Placed; COUNT];

impl Placed {
    fn end(self) -> u64 {
        u64::from(self.address) + u64::from(self.bytes).next_multiple_of(PAGE)
    }

    fn overlaps(self, other: Self) -> bool {
        let is_there = self.bytes != 0 && other.bytes != 0;
        is_there && u64::from(self.address) < other.end() && u64::from(other.address) < self.end()
    }

    /// Checks that a range is whole pages of it. Returns its physical address.
    pub fn part(self, offset: u64, bytes: u64) -> Result<u64, Status> {
        let end = offset.checked_add(bytes).ok_or(Status::BadArgument)?;
        if !(offset | bytes).is_multiple_of(PAGE) || bytes == 0 {
            return Err(Status::BadArgument);
        }
        let whole = self.end() - u64::from(self.address);
        if end <= whole { Ok(u64::from(self.address) + offset) } else { Err(Status::NotFound) }
    }
}

fn register(bar: usize) -> u8 {
    BAR0 + 4 * bar as u8
}

/// Writes all ones to a register, and returns what of them stayed. Then it is as before.
fn probe(config: &impl Config, register: u8) -> u32 {
    let before = config.read(register);
    config.write(register, u32::MAX);
    let mask = config.read(register);
    config.write(register, before);
    mask
}

/// The size that a mask of address bits says.
fn size(mask: u64) -> u32 {
    let bytes = mask & mask.wrapping_neg();
    match u32::try_from(bytes) {
        // Bits above the lowest that is writable have to be so too: with holes among them it is no size.
        Ok(bytes) if bytes >= 16 && mask == u64::from(bytes - 1) ^ u64::MAX => bytes,
        _ => UNPLACEABLE,
    }
}

/// How large the BARs are. The function decodes nothing meanwhile.
pub fn sizes(config: &impl Config) -> [Sized; COUNT] {
    let decoding = command::PORTS | command::MEMORY | command::MASTER;
    let before = config.read(COMMAND);
    // With all ones in a BAR the function would decode the last addresses below 4 GiB meanwhile, which are
    // others'.
    config.set_command(before & !decoding);
    let mut sizes = [Sized::default(); COUNT];
    let mut bar = 0;
    while let Some(place) = sizes.get_mut(bar) {
        let low = probe(config, register(bar));
        let (is_ports, kind) = (low & 1 != 0, low >> 1 & 3);
        // Behind the last one there is no register of a BAR, whatever it says.
        let is_wide = !is_ports && kind == 2 && bar + 1 < COUNT;
        let high = if is_wide { probe(config, register(bar + 1)) } else { u32::MAX };
        let bytes = match (kind, is_wide) {
            _ if is_ports || low == 0 => 0,
            (0, _) | (_, true) => size(u64::from(high) << 32 | u64::from(low & !0xf)),
            _ => UNPLACEABLE,
        };
        *place = Sized { bytes, is_wide };
        bar += if is_wide { 2 } else { 1 };
    }
    config.set_command(before);
    sizes
}

/// Checks where BARs of these sizes are to be: each that has a size has an address that fits it, in the
/// window, and on none of those in `taken`.
///
/// # Errors
/// BadArgument: an address. Overlap: with another BAR.
pub fn check<'a>(
    sizes: &[Sized; COUNT],
    addresses: [u32; COUNT],
    taken: impl Iterator<Item = &'a Places> + Clone,
) -> Result<Places, Status> {
    let mut places = Places::default();
    for (bar, (size, address)) in sizes.iter().zip(addresses).enumerate() {
        if size.bytes == 0 {
            if address != 0 {
                return Err(Status::BadArgument);
            }
            continue;
        }
        let placed = Placed { address, bytes: size.bytes };
        // By whole pages at least: a page is what a process is given, and no two BARs may be in one.
        let is_aligned = u64::from(address).is_multiple_of(u64::from(size.bytes).max(PAGE));
        if !is_aligned || address < WINDOW.start || placed.end() > u64::from(WINDOW.end) {
            return Err(Status::BadArgument);
        }
        // With those of other functions and its own: of two at one place, who may map the one would reach the
        // other.
        let overlaps = |other: &Placed| other.overlaps(placed);
        if taken.clone().flatten().any(overlaps) || places.iter().any(overlaps) {
            return Err(Status::Overlap);
        }
        if let Some(place) = places.get_mut(bar) {
            *place = placed;
        }
    }
    Ok(places)
}

/// Writes the addresses. The function decodes nothing yet.
///
/// # Errors
/// HostFault: they do not stay.
pub fn write(config: &impl Config, sizes: &[Sized; COUNT], places: &Places) -> Result<(), Status> {
    for (bar, (size, placed)) in sizes.iter().zip(places).enumerate().filter(|(_, (size, _))| size.bytes != 0)
    {
        config.write(register(bar), placed.address);
        // A function that decodes at another place than the kernel knows of could lie over anything.
        if config.read(register(bar)) & !0xf != placed.address {
            return Err(Status::HostFault);
        }
        if size.is_wide {
            // The window for BARs lies below 4 GiB.
            config.write(register(bar + 1), 0);
            if config.read(register(bar + 1)) != 0 {
                return Err(Status::HostFault);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
