//! Which frames the guest receives (virtio 1.2, 5.1.6.5.1 to 5.1.6.5.3).

use alloc::vec::Vec;

use devices::network::packet;

/// The most addresses of either kind that are kept; with more, all of the kind are received.
const ADDRESSES_MAX: usize = 64;
/// VLANs that there are.
const VLANS: usize = 4096;

/// A table of addresses.
#[derive(Debug, Default)]
struct Table {
    addresses: Vec<[u8; 6]>,
    has_too_many: bool,
}

impl Table {
    fn has(&self, address: [u8; 6]) -> bool {
        self.has_too_many || self.addresses.contains(&address)
    }

    /// Takes a table out of a command, which ends behind the last one. `None`: it is shorter than it says.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (count, rest) = bytes.split_first_chunk()?;
        let count = u32::from_le_bytes(*count) as usize;
        let (table, rest) = rest.split_at_checked(count.checked_mul(6)?)?;
        let (addresses, _) = table.as_chunks::<6>();
        self.has_too_many = count > ADDRESSES_MAX;
        self.addresses.clear();
        self.addresses.extend(addresses.iter().take(ADDRESSES_MAX));
        Some(rest)
    }
}

/// What of the frames on the cable is for the guest.
#[derive(Debug)]
pub struct Filter {
    /// The device's address.
    pub address: [u8; 6],
    /// All frames; all multicast; all unicast; no multicast; no unicast; no broadcast.
    modes: [bool; 6],
    unicast: Table,
    multicast: Table,
    /// A bit each; `None`: frames of all VLANs are received.
    vlans: Option<[u64; VLANS / 64]>,
}

impl Filter {
    /// All frames are received, until the driver says more.
    pub fn new(address: [u8; 6]) -> Self {
        let modes = [true, false, false, false, false, false];
        let (unicast, multicast) = (Table::default(), Table::default());
        Self { address, modes, unicast, multicast, vlans: None }
    }

    /// Of frames with a VLAN tag only such are received whose VLAN was added.
    pub fn filter_vlans(&mut self) {
        self.vlans = Some([0; VLANS / 64]);
    }

    /// Switches one of the modes, in the order of their commands. `None`: there is no such.
    pub fn set_mode(&mut self, mode: u8, is_on: bool) -> Option<()> {
        *self.modes.get_mut(usize::from(mode))? = is_on;
        Some(())
    }

    /// Takes both tables of addresses. `None`: they are not there; nothing has changed then.
    pub fn set_tables(&mut self, bytes: &[u8]) -> Option<()> {
        let (mut unicast, mut multicast) = (Table::default(), Table::default());
        let rest = unicast.take(bytes)?;
        let rest = multicast.take(rest)?;
        if !rest.is_empty() {
            return None;
        }
        (self.unicast, self.multicast) = (unicast, multicast);
        Some(())
    }

    /// Adds or removes a VLAN. `None`: there is no such one, or they are not filtered.
    pub fn set_vlan(&mut self, vlan: u16, is_on: bool) -> Option<()> {
        let word = self.vlans.as_mut()?.get_mut(usize::from(vlan) / 64)?;
        let bit = 1 << (vlan % 64);
        *word = if is_on { *word | bit } else { *word & !bit };
        Some(())
    }

    fn has_vlan(&self, frame: &[u8]) -> bool {
        match (&self.vlans, packet::vlan(frame)) {
            (Some(vlans), Some(vlan)) => {
                vlans.get(usize::from(vlan) / 64).is_some_and(|word| word >> (vlan % 64) & 1 != 0)
            }
            _ => true,
        }
    }

    /// Whether the guest receives a frame.
    pub fn wants(&self, frame: &[u8]) -> bool {
        let [all, all_multicast, all_unicast, no_multicast, no_unicast, no_broadcast] = self.modes;
        let Some(address) = frame.first_chunk::<6>().copied() else { return false };
        if !self.has_vlan(frame) {
            return false;
        }
        if all {
            return true;
        }
        if address == [0xff; 6] {
            return !no_broadcast;
        }
        if address[0] & 1 != 0 {
            return !no_multicast && (all_multicast || self.multicast.has(address));
        }
        !no_unicast && (all_unicast || address == self.address || self.unicast.has(address))
    }
}
