//! The event log in its crypto-agile form (TCG PC Client Platform Firmware Profile 1.06, chapter 10).

use alloc::vec::Vec;

/// A digest, and the number of its algorithm.
pub type Digest = (u16, Vec<u8>);

/// Type of an event that is not in the PCRs.
const EV_NO_ACTION: u32 = 3;

/// The log.
#[derive(Clone, Debug, Default)]
pub struct EventLog {
    /// Algorithms and digest sizes, as the first event has them.
    algorithms: Vec<(u16, u16)>,
    events: Vec<u8>,
}

impl EventLog {
    /// Adds an event, which is in the PCR already.
    pub fn add(&mut self, pcr: u32, kind: u32, digests: &[Digest], data: &[u8]) {
        if self.algorithms.is_empty() {
            let sizes = digests.iter().map(|(algorithm, digest)| (*algorithm, digest.len() as u16));
            self.algorithms.extend(sizes);
        }
        for word in [pcr, kind, digests.len() as u32] {
            self.events.extend(word.to_le_bytes());
        }
        for (algorithm, digest) in digests {
            self.events.extend(algorithm.to_le_bytes());
            self.events.extend(digest);
        }
        self.events.extend((data.len() as u32).to_le_bytes());
        self.events.extend(data);
    }

    /// The whole log: in front, the event that says which algorithms the others have (10.4.5.1).
    pub fn bytes(&self) -> Vec<u8> {
        let mut identity = b"Spec ID Event03\0".to_vec();
        // The platform class of a client; version 2.0, errata 0; a UINTN is two times 32 bits.
        identity.extend([0, 0, 0, 0, 0, 2, 0, 2]);
        identity.extend((self.algorithms.len() as u32).to_le_bytes());
        for (algorithm, size) in &self.algorithms {
            identity.extend(algorithm.to_le_bytes());
            identity.extend(size.to_le_bytes());
        }
        // No vendor's information.
        identity.push(0);
        // The first event has the form of before there were several algorithms: PCR, type, SHA-1 digest.
        let mut log = [0u32, EV_NO_ACTION].iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        log.extend([0; 20]);
        log.extend((identity.len() as u32).to_le_bytes());
        log.extend(identity);
        log.extend(&self.events);
        log
    }
}
