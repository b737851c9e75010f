//! Which pair of queues a frame belongs to that is received: the one by which the guest has last sent one of
//! the same flow (virtio 1.2, 5.1.6.5.6.1).

use devices::network::packet::Segment;

/// Flows that are told apart.
const FLOWS: usize = 256;

/// The pairs of flows.
#[derive(Debug)]
pub struct Flows([u8; FLOWS]);

impl Default for Flows {
    fn default() -> Self {
        Self([0; FLOWS])
    }
}

/// The place of a frame's flow. Frames without one share the first.
fn place(frame: &[u8]) -> usize {
    let flow = Segment::find(frame).map_or(0, |segment| segment.flow());
    // By the upper bits of a product, which all bits of the number have a part in (Fibonacci hashing).
    (flow.wrapping_mul(0x9e37_79b9) >> 24) as usize
}

impl Flows {
    /// The guest has sent a frame by this pair.
    pub fn sent(&mut self, frame: &[u8], pair: u16) {
        if let Some(slot) = self.0.get_mut(place(frame)) {
            *slot = pair as u8;
        }
    }

    /// The pair of a frame that is received, one of so many.
    pub fn pair(&self, frame: &[u8], pairs: u16) -> u16 {
        let pair = self.0.get(place(frame)).copied().map_or(0, u16::from);
        // The driver may use fewer since.
        if pair < pairs { pair } else { 0 }
    }
}
