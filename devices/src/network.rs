//! What is at the other end of a network device: between a front end, virtio or 82574L, and what is behind;
//! and what either front end does to frames in the place of the guest: checksums, segments.

pub mod checksum;
pub mod packet;
pub mod segments;

/// The longest frame: MTU 1500, Ethernet header, VLAN tag.
pub const FRAME_MAX: usize = 1518;
/// The most bytes of a frame before it is cut into segments: an IP packet of 64 KiB and its headers.
pub const UNCUT_MAX: usize = 0x1_1000;

/// What is at the other end of the cable. Nothing here waits for anybody.
pub trait Link: Send {
    /// Whether the link is up.
    fn is_up(&self) -> bool {
        true
    }
    /// The other end has signalled. Returns whether the link went up or down.
    fn attend(&mut self) -> bool {
        false
    }
    /// Whether a frame can be sent now. If not, the other end signals when one can.
    fn has_room(&mut self) -> bool {
        true
    }
    /// Takes a frame that the guest has sent.
    fn send(&mut self, frame: &[u8]);
    /// Gives the next frame for the guest, from the buffer's start. Returns its length, 0 if there is none.
    fn receive(&mut self, frame: &mut [u8; FRAME_MAX]) -> usize;
    /// Whether there is one. If not, the other end signals when there is.
    fn has_frame(&mut self) -> bool;
    /// What was sent and received so far is for the other end to see. `is_all`: there was no more to do; else
    /// this end is to be called again soon, as if the other one had signalled.
    fn finish(&mut self, _is_all: bool) {}
}
