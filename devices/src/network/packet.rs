//! What of a frame is addresses, and what is TCP's or UDP's.

/// EtherTypes.
const VLAN: [u8; 2] = [0x81, 0];
const IPV4: [u8; 2] = [8, 0];
const IPV6: [u8; 2] = [0x86, 0xdd];
/// Bytes of an Ethernet header, and of a VLAN tag.
const ETHERNET_BYTES: usize = 14;
const TAG_BYTES: usize = 4;
/// IPv4: the bits of the fragment's offset, and the one that says that more follow.
const FRAGMENT: u16 = 0x3fff;

/// Which IP a frame has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Where the IP packet begins in a frame, and which one it is. `None`: there is none.
pub fn ip(frame: &[u8]) -> Option<(usize, Version)> {
    let kind = |at: usize| frame.get(at..).and_then(|bytes| bytes.first_chunk::<2>()).copied();
    let at = match kind(ETHERNET_BYTES - 2)? {
        VLAN => ETHERNET_BYTES + TAG_BYTES,
        _ => ETHERNET_BYTES,
    };
    match kind(at - 2)? {
        IPV4 => Some((at, Version::V4)),
        IPV6 => Some((at, Version::V6)),
        _ => None,
    }
}

/// The VLAN of a frame; `None`: it has no tag.
pub fn vlan(frame: &[u8]) -> Option<u16> {
    let tag = frame.get(ETHERNET_BYTES - 2..).and_then(|bytes| bytes.first_chunk::<4>())?;
    let [a, b, high, low] = *tag;
    ([a, b] == VLAN).then_some(u16::from_be_bytes([high, low]) & 0xfff)
}

/// What an IP packet carries that is neither a fragment nor has extension headers of IPv6's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Where it comes from and where it goes to.
    pub addresses: &'a [u8],
    /// IP's number of the protocol.
    pub protocol: u8,
    /// All of it, from its header on, without what fills the frame up.
    pub bytes: &'a [u8],
}

impl<'a> Segment<'a> {
    /// That of a frame, if there is one.
    pub fn find(frame: &'a [u8]) -> Option<Self> {
        let (at, version) = ip(frame)?;
        let packet = frame.get(at..)?;
        match version {
            Version::V4 => Self::in_v4(packet),
            Version::V6 => Self::in_v6(packet),
        }
    }

    /// RFC 791, 3.1.
    fn in_v4(packet: &'a [u8]) -> Option<Self> {
        let header: &[u8; 20] = packet.first_chunk()?;
        let header_bytes = 4 * usize::from(header[0] & 0xf);
        let is_whole = u16::from_be_bytes([header[6], header[7]]) & FRAGMENT == 0;
        if header[0] >> 4 != 4 || header_bytes < header.len() || !is_whole {
            return None;
        }
        let bytes = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let bytes = packet.get(header_bytes..bytes)?;
        Some(Self { addresses: packet.get(12..20)?, protocol: header[9], bytes })
    }

    /// RFC 8200, 3.
    fn in_v6(packet: &'a [u8]) -> Option<Self> {
        let (header, rest) = packet.split_first_chunk::<40>()?;
        let bytes = rest.get(..usize::from(u16::from_be_bytes([header[4], header[5]])))?;
        (header[0] >> 4 == 6).then_some(Self { addresses: packet.get(8..40)?, protocol: header[6], bytes })
    }

    /// A number that all segments between the same two ends have, either way.
    pub fn flow(&self) -> u32 {
        let (words, _) = self.addresses.as_chunks::<4>();
        let addresses = words.iter().fold(0, |flow, word| flow ^ u32::from_be_bytes(*word));
        let ports = self
            .bytes
            .first_chunk()
            .map_or(0, |[a, b, c, d]| u32::from(u16::from_be_bytes([*a, *b]) ^ u16::from_be_bytes([*c, *d])));
        addresses ^ ports ^ u32::from(self.protocol) << 16
    }
}

#[cfg(test)]
pub(crate) mod tests;
