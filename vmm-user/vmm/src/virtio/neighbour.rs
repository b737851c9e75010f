//! The other end of a network cable, until there is a network: a machine at 10.0.2.2 that replies to ARP
//! (RFC 826) and to echo requests (RFC 792), and does nothing else.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use devices::network::{FRAME_MAX, Link};

/// Its addresses.
const MAC: [u8; 6] = [0x02, 0x50, 0x4c, 0x00, 0x00, 0x02];
const IP: [u8; 4] = [10, 0, 2, 2];
/// Frames that are kept; what comes then is lost.
const ROOM: usize = 16;

/// Replies on their way.
#[derive(Default)]
pub struct Neighbour(VecDeque<Vec<u8>>);

/// Places in a frame.
mod at {
    /// Source of the frame.
    pub const SOURCE: usize = 6;
    /// EtherType.
    pub const TYPE: usize = 12;
    /// ARP, from hardware type to operation.
    pub const ARP: usize = 14;
    pub const ARP_SENDER: usize = 22;
    pub const ARP_TARGET_IP: usize = 38;
    pub const ARP_END: usize = 42;
    /// IPv4, without options.
    pub const IP_VERSION: usize = 14;
    pub const IP_PROTOCOL: usize = 23;
    pub const IP_SOURCE: usize = 26;
    pub const IP_TARGET: usize = 30;
    pub const ICMP: usize = 34;
    pub const ICMP_CHECKSUM: usize = 36;
    pub const ICMP_END: usize = 42;
}

/// Ethernet and IPv4, six and four bytes, a request.
const ARP_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
const ECHO_REQUEST: u8 = 8;
const ICMP: u8 = 1;

fn field<const N: usize>(frame: &[u8], at: usize) -> Option<[u8; N]> {
    frame.get(at..at + N)?.try_into().ok()
}

/// Nothing if it does not fit.
fn set(frame: &mut [u8], at: usize, bytes: &[u8]) {
    frame.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
}

fn arp_reply(frame: &[u8]) -> Option<Vec<u8>> {
    let is_for_us = field(frame, at::ARP) == Some(ARP_REQUEST) && field(frame, at::ARP_TARGET_IP) == Some(IP);
    let sender: [u8; 10] = field(frame, at::ARP_SENDER).filter(|_| is_for_us)?;
    // Without what filled the request up to the least size of a frame.
    let mut reply = frame.get(..at::ARP_END)?.to_vec();
    set(&mut reply, at::ARP, &[0, 1, 8, 0, 6, 4, 0, 2]);
    set(&mut reply, at::ARP_SENDER, &MAC);
    set(&mut reply, at::ARP_SENDER + 6, &IP);
    set(&mut reply, at::ARP_SENDER + 10, &sender);
    Some(reply)
}

/// The IP header's sum is the same with source and target exchanged.
fn echo_reply(frame: &[u8]) -> Option<Vec<u8>> {
    // A header without options, since the places of what follows it are fixed.
    let is_echo = field(frame, at::IP_VERSION) == Some([0x45])
        && field(frame, at::IP_PROTOCOL) == Some([ICMP])
        && field(frame, at::IP_TARGET) == Some(IP)
        && field(frame, at::ICMP) == Some([ECHO_REQUEST, 0])
        && frame.len() >= at::ICMP_END;
    let source: [u8; 4] = field(frame, at::IP_SOURCE).filter(|_| is_echo)?;
    let mut reply = frame.to_vec();
    set(&mut reply, at::IP_SOURCE, &IP);
    set(&mut reply, at::IP_TARGET, &source);
    set(&mut reply, at::ICMP, &[0, 0]);
    // A sum of ones' complements, which has 0800h less to count (RFC 1624).
    let sum = u32::from(u16::from_be_bytes(field(frame, at::ICMP_CHECKSUM)?)) + 0x0800;
    // The carry goes round to the lowest bit, as in any such sum.
    let sum = (sum + (sum >> 16)) as u16;
    set(&mut reply, at::ICMP_CHECKSUM, &sum.to_be_bytes());
    Some(reply)
}

impl Link for Neighbour {
    fn send(&mut self, frame: &[u8]) {
        let reply = match field(frame, at::TYPE) {
            Some([8, 6]) => arp_reply(frame),
            Some([8, 0]) => echo_reply(frame),
            _ => None,
        };
        let source: Option<[u8; 6]> = field(frame, at::SOURCE);
        if let (Some(mut reply), Some(source)) = (reply, source)
            // A guest that takes nothing must not fill the VMM's memory.
            && self.0.len() < ROOM
        {
            set(&mut reply, 0, &source);
            set(&mut reply, at::SOURCE, &MAC);
            self.0.push_back(reply);
        }
    }

    fn receive(&mut self, frame: &mut [u8; FRAME_MAX]) -> usize {
        let Some(reply) = self.0.pop_front() else { return 0 };
        set(frame, 0, &reply);
        reply.len().min(FRAME_MAX)
    }

    fn has_frame(&mut self) -> bool {
        !self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const GUEST: [u8; 6] = [2, 0, 0, 0, 0, 9];

    fn frame(kind: [u8; 2], body: &[&[u8]]) -> Vec<u8> {
        [&[0xff; 6][..], &GUEST, &kind, &body.concat()].concat()
    }

    fn reply(frame: &[u8]) -> Option<Vec<u8>> {
        let mut neighbour = Neighbour::default();
        neighbour.send(frame);
        let mut bytes = [0; FRAME_MAX];
        let length = neighbour.receive(&mut bytes);
        (length > 0).then(|| bytes[..length].to_vec())
    }

    #[test]
    fn arp_for_its_address_is_replied_to() {
        let request = |target: [u8; 4]| {
            frame([8, 6], &[&ARP_REQUEST, &GUEST, &[10, 0, 2, 15], &[0; 6], &target, &[0; 18]])
        };
        let expected =
            [&GUEST[..], &MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &MAC, &IP, &GUEST, &[10, 0, 2, 15]].concat();
        assert_eq!(reply(&request(IP)), Some(expected));
        assert_eq!(reply(&request([10, 0, 2, 3])), None);
        assert_eq!(reply(&request(IP)[..40]), None);
    }

    /// Sum of ones' complements of 16-bit words.
    fn sum(bytes: &[u8]) -> u16 {
        let mut sum: u32 = bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    #[test]
    fn an_echo_comes_back_with_a_right_sum() {
        for data in [[0; 2], [0xff; 2], [0xf7, 0xff], [0x12, 0x34]] {
            let mut icmp = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1, data[0], data[1]];
            let checksum = !sum(&icmp);
            set(&mut icmp, 2, &checksum.to_be_bytes());
            let header = [0x45, 0, 0, 30, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2];
            let reply = reply(&frame([8, 0], &[&header, &icmp])).unwrap();
            assert_eq!(reply[..14], [&GUEST[..], &MAC, &[8, 0]].concat());
            assert_eq!(reply[26..34], [10, 0, 2, 2, 10, 0, 2, 15]);
            assert_eq!((reply[34], sum(&reply[34..])), (0, 0xffff));
            assert_eq!(reply[38..], icmp[4..]);
        }
        assert_eq!(reply(&frame([8, 0], &[&[0x45; 20]])), None);
        assert_eq!(reply(&[1; 13]), None);
    }
}
