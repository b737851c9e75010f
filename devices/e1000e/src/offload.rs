//! Checksums and segmentation of frames that the guest sends.

use devices::network::checksum;

/// What a context descriptor says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// Of the IP header's checksum: start, place, last byte (0: the end).
    ip: (u8, u8, u16),
    /// Of the TCP or UDP checksum.
    payload: (u8, u8, u16),
    /// Bytes of the headers of each segment, and the most bytes behind them.
    header: u8,
    segment: u16,
    is_tcp: bool,
    is_v4: bool,
}

/// What a data descriptor asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// The IP header's checksum.
    pub ip: bool,
    /// The TCP or UDP checksum.
    pub payload: bool,
    /// Segments.
    pub segments: bool,
}

impl Context {
    /// The context in a descriptor.
    pub fn new(words: u128) -> Self {
        let sums = |at: u32| ((words >> at) as u8, (words >> (at + 8)) as u8, (words >> (at + 16)) as u16);
        Self {
            ip: sums(0),
            payload: sums(32),
            header: (words >> 104) as u8,
            segment: (words >> 112) as u16,
            is_tcp: words >> 88 & 1 != 0,
            is_v4: words >> 89 & 1 != 0,
        }
    }

    /// Sends a frame, whole or in segments, with the checksums that are wanted. `scratch` is for segments.
    pub fn send(&self, frame: &mut [u8], wanted: Wanted, scratch: &mut [u8], mut send: impl FnMut(&[u8])) {
        let header = usize::from(self.header);
        if !wanted.segments || self.segment == 0 || frame.len() <= header {
            self.sum(frame, wanted);
            return send(frame);
        }
        let (header, data) = frame.split_at(header);
        let count = data.len().div_ceil(self.segment.into());
        for (number, piece) in data.chunks(self.segment.into()).enumerate() {
            let bytes = header.len() + piece.len();
            let Some(segment) = scratch.get_mut(..bytes) else { return };
            let (to_header, to_data) = segment.split_at_mut(header.len());
            to_header.copy_from_slice(header);
            to_data.copy_from_slice(piece);
            self.number(segment, number, number + 1 == count);
            self.sum(segment, wanted);
            send(segment);
        }
    }

    /// What differs from segment to segment: lengths, identification, sequence number, flags; and the
    /// length's part in the pseudo-header's sum.
    fn number(&self, segment: &mut [u8], number: usize, is_last: bool) {
        let (ip, payload) = (usize::from(self.ip.0), usize::from(self.payload.0));
        let bytes = segment.len();
        if self.is_v4 {
            put(segment, ip + 2, bytes.saturating_sub(ip) as u16);
            put(segment, ip + 4, get(segment, ip + 4).wrapping_add(number as u16));
        } else {
            put(segment, ip + 4, bytes.saturating_sub(ip + 40) as u16);
        }
        let behind = bytes.saturating_sub(payload) as u16;
        if self.is_tcp {
            let sequence = u32::from(get(segment, payload + 4)) << 16 | u32::from(get(segment, payload + 6));
            let sequence = sequence.wrapping_add((number * usize::from(self.segment)) as u32);
            put(segment, payload + 4, (sequence >> 16) as u16);
            put(segment, payload + 6, sequence as u16);
            // FIN and PSH are the last segment's.
            if let Some(flags) = segment.get_mut(payload + 13).filter(|_| !is_last) {
                *flags &= !9;
            }
        } else {
            put(segment, payload + 4, behind);
        }
        let place = usize::from(self.payload.1);
        let sum = checksum::add(get(segment, place), behind);
        put(segment, place, sum);
    }

    fn sum(&self, frame: &mut [u8], wanted: Wanted) {
        for (is_wanted, (start, place, last)) in [(wanted.ip, self.ip), (wanted.payload, self.payload)] {
            if is_wanted {
                insert_sum(frame, start, place, last);
            }
        }
    }
}

fn get(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied().map_or(0, u16::from_be_bytes)
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..).and_then(|bytes| bytes.first_chunk_mut()) {
        *place = value.to_be_bytes();
    }
}

/// The Internet checksum of bytes from `start` to `last`, put to `place`. What is not in the frame is left
/// out.
pub fn insert_sum(frame: &mut [u8], start: u8, place: u8, last: u16) {
    let end = if last == 0 { frame.len() } else { frame.len().min(usize::from(last) + 1) };
    let part = frame.get(start.into()..end).unwrap_or_default();
    let sum = checksum::sum(part);
    put(frame, place.into(), !sum);
}
