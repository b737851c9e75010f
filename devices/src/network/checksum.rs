//! The Internet checksum (RFC 1071), and whether a frame has the right one of TCP or UDP.

use super::packet::Segment;

/// IP's numbers of the protocols.
const TCP: u8 = 6;
const UDP: u8 = 17;
/// The shortest headers of the two.
const TCP_BYTES: usize = 20;
const UDP_BYTES: usize = 8;

/// The sum of 16-bit words in ones' complement, the first byte of each the higher. A last byte alone is a
/// word's first one.
pub fn sum(bytes: &[u8]) -> u16 {
    // By 32 bits: the sum modulo 2^16 - 1 is the same, since 2^16 is 1 there.
    let halves = |word: [u8; 8]| {
        let word = u64::from_be_bytes(word);
        (word >> 32) + (word & 0xffff_ffff)
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    // No slice has so many words that this overflows: 2^31 of them.
    fold(words.iter().map(|word| halves(*word)).fold(halves(last), u64::wrapping_add))
}

/// A sum of words, with what it carries.
fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + (sum & 0xffff)) as u16
}

/// Two sums together.
pub fn add(a: u16, b: u16) -> u16 {
    fold(u64::from(a) + u64::from(b))
}

/// Whether a frame is a whole TCP or UDP segment with the right checksum. `false` says of no other frame that
/// something is wrong with it: fragments, other protocols and UDP without a checksum are left to the guest.
pub fn is_right(frame: &[u8]) -> bool {
    let Some(segment) = Segment::find(frame) else { return false };
    let bytes = segment.bytes;
    let has_sum = match segment.protocol {
        TCP => bytes.len() >= TCP_BYTES,
        // Its own length, which the sum has twice, and a sum of zero, which is none.
        UDP => {
            bytes.len() >= UDP_BYTES
                && bytes.get(4..6) == Some(&(bytes.len() as u16).to_be_bytes())
                && bytes.get(6..8) != Some(&[0, 0])
        }
        _ => false,
    };
    // The pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1): addresses, protocol, length, which is below 2^16.
    let pseudo = add(add(sum(segment.addresses), segment.protocol.into()), bytes.len() as u16);
    has_sum && add(pseudo, sum(bytes)) == 0xffff
}

#[cfg(test)]
mod tests;
