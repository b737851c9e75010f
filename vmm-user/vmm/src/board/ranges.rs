//! Ranges of ports and addresses of which the configuration says what is there: `range` in `init.conf`.
//!
//! What is forwarded or absent is a device on the board like any: whatever else claims it is refused, by both
//! names. What is emulated has to be claimed.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use devices::acpi::{FIRMWARE_BYTES, FIRMWARE_GPA};
use devices::apic::spec::DEFAULT_BASE;
use devices::bus::{BarClaim, MmioMap, PortMap};
use devices::capability::{MmioRange, PortRange, Width};
use runtime::abi::operation::{Handle, PortRead, PortWrite};
use runtime::guest_range::{GuestRange, Policy, Space};
use runtime::{Start, call};

use super::BoardAccess;
use super::builder::{BoardError, Builder};
use super::device::{BoardDevice, Claims};

/// Addresses at which there is something although nothing on the board claims them.
const BESIDE: [(&str, u64, u64); 2] =
    [("local APIC", DEFAULT_BASE, 0x1000), ("firmware area", FIRMWARE_GPA, FIRMWARE_BYTES as u64)];

/// Ports of the host's, from the start of a range.
pub trait HostRange: Send + 'static {
    /// IN. `None`: it may not be read.
    fn read(&mut self, offset: u32, width: Width) -> Option<u32>;
    /// OUT. What may not be written is dropped.
    fn write(&mut self, offset: u32, width: Width, value: u32);
}

impl HostRange for Handle {
    fn read(&mut self, offset: u32, width: Width) -> Option<u32> {
        let read = PortRead { offset, width: width.bytes() as u32, value: 0, reserved: 0 };
        call(*self, read).ok().map(|read| read.value)
    }

    fn write(&mut self, offset: u32, width: Width, value: u32) {
        // Not logged: a guest could repeat it without end.
        let _ = call(*self, PortWrite { offset, width: width.bytes() as u32, value, reserved: 0 });
    }
}

/// A range that is not emulated.
struct Fixed<H> {
    name: &'static str,
    range: GuestRange,
    /// The host's ports, if they are forwarded.
    host: Option<H>,
}

impl<H: HostRange> BoardDevice for Fixed<H> {
    fn claims(&self) -> Claims {
        let GuestRange { space, first, count, .. } = self.range;
        let is_ports = space == Space::Ports;
        // It was checked that ports have such numbers.
        let ports = PortRange { first: first as u16, count: count as u16 };
        Claims {
            name: self.name,
            ports: if is_ports { vec![ports] } else { vec![] },
            ranges: if is_ports { vec![] } else { vec![MmioRange { gpa: first, bytes: count }] },
            lines: vec![],
            is_timed: false,
            acpi: vec![],
        }
    }

    fn port_read(&mut self, port: u16, width: Width, _: &mut BoardAccess<'_>) -> u32 {
        let offset = u32::from(port).saturating_sub(self.range.first as u32);
        let value = self.host.as_mut().and_then(|host| host.read(offset, width));
        // The host's word for a narrow access may be wider.
        value.unwrap_or(u32::MAX) & width.mask() as u32
    }

    fn port_write(&mut self, port: u16, width: Width, value: u32, _: &mut BoardAccess<'_>) {
        let offset = u32::from(port).saturating_sub(self.range.first as u32);
        if let Some(host) = &mut self.host {
            host.write(offset, width, value);
        }
    }

    fn mmio_read(&mut self, _: u64, width: Width, _: &mut BoardAccess<'_>) -> u64 {
        width.mask()
    }

    fn mmio_write(&mut self, _: u64, _: Width, _: u64, _: &mut BoardAccess<'_>) {}

    fn deadline_ns(&self) -> Option<u64> {
        None
    }

    fn expire(&mut self, _: &mut BoardAccess<'_>) {}

    fn input(&mut self, _: &mut BoardAccess<'_>) {}
}

/// A range that the configuration speaks of.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    name: &'static str,
    range: GuestRange,
}

impl Builder {
    /// Says what is at a range. `host`: the host's ports, if they are forwarded.
    pub fn set_range(&mut self, range: GuestRange, host: Option<impl HostRange>) {
        // Once for each line of the configuration, and for as long as the board lives.
        let name: &'static str = String::leak(format!("range {range}"));
        if range.policy != Policy::Emulated {
            self.insert(Box::new(Fixed { name, range, host }));
        }
        self.ranges.push(Named { name, range });
    }
}

/// Puts the ranges of the configuration on the board.
///
/// # Errors
/// A range that init would not have let pass, or the host's ports of which it gave no handle.
pub fn add_all(start: &Start, board: &mut Builder) -> Result<(), String> {
    for (key, value) in start.settings().filter(|(key, _)| key.starts_with("range.")) {
        let words: Vec<&str> = value.split_whitespace().collect();
        let range = GuestRange::parse(&words).map_err(|error| format!("range {value}: {error}"))?;
        let host = start.handle(key);
        if range.policy == Policy::Forwarded && host.is_none() {
            return Err(format!("range {value}: no handle named {key}"));
        }
        board.set_range(range, host.filter(|_| range.policy == Policy::Forwarded));
    }
    Ok(())
}

/// Where two ranges of addresses begin to have something in common.
fn common(first: &GuestRange, gpa: u64, bytes: u64) -> Option<u64> {
    let last = gpa.saturating_add(bytes.checked_sub(1)?);
    (first.space == Space::Memory && gpa <= first.last() && first.first <= last)
        .then_some(first.first.max(gpa))
}

/// Holds the ranges against each other and against what the maps do not know. `bars`: each with its first
/// address, and `name` gives a device's.
pub fn check(
    ranges: &[Named],
    bars: &[(BarClaim, Option<u64>)],
    name: impl Fn(&BarClaim) -> &'static str,
) -> Result<(), BoardError> {
    for (index, one) in ranges.iter().enumerate() {
        let later = ranges.get(index + 1..).unwrap_or_default();
        if let Some(other) = later.iter().find(|other| one.range.overlaps(&other.range)) {
            let at = one.range.first.max(other.range.first);
            let what = if one.range.space == Space::Ports { "port" } else { "address" };
            return Err(BoardError::Overlap { what, at, first: one.name, second: other.name });
        }
    }
    for Named { name: second, range } in ranges.iter().filter(|named| named.range.policy != Policy::Emulated)
    {
        let beside = BESIDE.iter().map(|(name, gpa, bytes)| (*name, *gpa, *bytes));
        // A device would be where the guest's firmware has put it, and not be seen.
        let placed = bars.iter().filter_map(|(claim, base)| Some((name(claim), (*base)?, claim.bytes)));
        let taken =
            beside.chain(placed).find_map(|(first, gpa, bytes)| Some((first, common(range, gpa, bytes)?)));
        if let Some((first, at)) = taken {
            return Err(BoardError::Overlap { what: "address", at, first, second });
        }
    }
    Ok(())
}

/// Whether devices claim all of what is to be emulated.
pub fn check_emulated(ranges: &[Named], ports: &PortMap, mmio: &MmioMap) -> Result<(), BoardError> {
    for Named { name, range } in ranges.iter().filter(|named| named.range.policy == Policy::Emulated) {
        let unclaimed = match range.space {
            Space::Ports => (range.first..=range.last()).find(|port| ports.owner(*port as u16).is_none()),
            Space::Memory => unclaimed_address(range, mmio),
        };
        if let Some(at) = unclaimed {
            return Err(BoardError::Unclaimed { range: name, at });
        }
    }
    Ok(())
}

fn unclaimed_address(range: &GuestRange, mmio: &MmioMap) -> Option<u64> {
    let mut at = range.first;
    loop {
        let beside = BESIDE.iter().find(|(_, gpa, bytes)| (*gpa..gpa + bytes).contains(&at));
        let claimed = match (mmio.find(at), beside) {
            (Some(hit), _) => hit.remaining,
            (None, Some((_, gpa, bytes))) => gpa + bytes - at,
            (None, None) => return Some(at),
        };
        // Each turn passes over one device's range.
        at = at.checked_add(claimed).filter(|next| *next <= range.last())?;
    }
}

#[cfg(test)]
mod tests;
