//! A TCP segment that is longer than a frame is cut into such that are not (segmentation offload).
//!
//! What all of them have in common the guest has written: the headers of Ethernet and IP, and TCP's, whose
//! checksum has the sum of the pseudo-header so far. They differ in IP's length, identification and sum, and
//! in TCP's sequence number, flags and sum.

use super::packet::{self, Version};
use super::{FRAME_MAX, checksum};

/// Flags of TCP's (RFC 9293, 3.1; RFC 3168, 6.1.2): the last segment's alone, and the first one's.
const LAST_ONLY: u8 = 0x09;
const FIRST_ONLY: u8 = 0x80;
/// Where TCP has its sequence number, its flags and its checksum.
const SEQUENCE: usize = 4;
const FLAGS: usize = 13;
/// Where it has its checksum.
pub const SUM: usize = 16;
/// The shortest headers.
const TCP_BYTES: usize = 20;
const V4_BYTES: usize = 20;
const V6_BYTES: usize = 40;

/// How a frame is cut. Holding one proves that its headers are in the frame, in this order, and that no
/// segment is longer than a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    version: Version,
    /// Where IP's header begins, where TCP's does, and where data do.
    ip: usize,
    tcp: usize,
    data: usize,
    /// Bytes of data in each segment but the last.
    segment: usize,
    /// Bytes of the frame.
    bytes: usize,
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) -> Option<()> {
    *bytes.get_mut(at..)?.first_chunk_mut()? = value;
    Some(())
}

impl Cut {
    /// Cuts a frame with a TCP header at `tcp` into segments of at most so many bytes of data. `None`: it is
    /// no such frame, or cannot be cut so. To blame: the guest.
    pub fn new(frame: &[u8], version: Version, tcp: usize, segment: u16) -> Option<Self> {
        let (ip, found) = packet::ip(frame)?;
        let data = tcp.checked_add(4 * usize::from(*frame.get(tcp.checked_add(12)?)? >> 4))?;
        let segment = usize::from(segment);
        let ip_bytes = match version {
            // A header that says it is shorter than one can be is none.
            Version::V4 => Some(4 * usize::from(frame.get(ip)? & 0xf)).filter(|bytes| *bytes >= V4_BYTES)?,
            Version::V6 => V6_BYTES,
        };
        let is_sound = found == version
            && tcp >= ip + ip_bytes
            && data >= tcp + TCP_BYTES
            && data <= frame.len()
            && segment > 0
            && data + segment <= FRAME_MAX;
        is_sound.then_some(Self { version, ip, tcp, data, segment, bytes: frame.len() })
    }

    /// Bytes of the frame.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many segments there are: one at least.
    pub fn count(&self) -> usize {
        self.bytes.saturating_sub(self.data).div_ceil(self.segment).max(1)
    }

    /// Writes a segment of the frame that this was made of. Returns its size; `None` if there is no such one.
    pub fn write(&self, frame: &[u8], number: usize, to: &mut [u8; FRAME_MAX]) -> Option<usize> {
        let start = self.data.checked_add(number.checked_mul(self.segment)?)?;
        let end = start.saturating_add(self.segment).min(self.bytes);
        let (headers, data) = (frame.get(..self.data)?, frame.get(start..end)?);
        let bytes = headers.len() + data.len();
        let segment = to.get_mut(..bytes)?;
        segment.get_mut(..self.data)?.copy_from_slice(headers);
        segment.get_mut(self.data..)?.copy_from_slice(data);
        self.finish_ip(segment, number)?;
        self.finish_tcp(segment, number, end == self.bytes)?;
        Some(bytes)
    }

    fn finish_ip(&self, segment: &mut [u8], number: usize) -> Option<()> {
        let bytes = segment.len() - self.ip;
        if self.version == Version::V6 {
            return put(segment, self.ip + 4, ((bytes - V6_BYTES) as u16).to_be_bytes());
        }
        put(segment, self.ip + 2, (bytes as u16).to_be_bytes())?;
        // One more for each: they are packets of their own.
        let identification = half(segment, self.ip + 4)?.wrapping_add(number as u16);
        put(segment, self.ip + 4, identification.to_be_bytes())?;
        put(segment, self.ip + 10, [0; 2])?;
        let header = 4 * usize::from(segment.get(self.ip)? & 0xf);
        let sum = !checksum::sum(segment.get(self.ip..self.ip + header)?);
        put(segment, self.ip + 10, sum.to_be_bytes())
    }

    fn finish_tcp(&self, segment: &mut [u8], number: usize, is_last: bool) -> Option<()> {
        let sequence = segment.get(self.tcp + SEQUENCE..)?.first_chunk().copied().map(u32::from_be_bytes)?;
        let sequence = sequence.wrapping_add((number * self.segment) as u32);
        put(segment, self.tcp + SEQUENCE, sequence.to_be_bytes())?;
        let flags = segment.get_mut(self.tcp + FLAGS)?;
        *flags &= if is_last { !0 } else { !LAST_ONLY };
        *flags &= if number == 0 { !0 } else { !FIRST_ONLY };
        // The pseudo-header has a length: the segment's in the place of the whole's.
        let whole = checksum::sum(&((self.bytes - self.tcp) as u32).to_be_bytes());
        let own = (segment.len() - self.tcp) as u16;
        let pseudo = checksum::add(checksum::add(half(segment, self.tcp + SUM)?, !whole), own);
        put(segment, self.tcp + SUM, pseudo.to_be_bytes())?;
        let sum = !checksum::sum(segment.get(self.tcp..)?);
        put(segment, self.tcp + SUM, sum.to_be_bytes())
    }
}

#[cfg(test)]
mod tests;
