//! A terminal that sends back what it gets.

use alloc::collections::VecDeque;

use virtio_devices::console::Terminal;

/// Bytes that are kept; what comes then is lost.
const ROOM: usize = 4096;

/// Bytes on their way back.
#[derive(Default)]
pub struct Loopback(VecDeque<u8>);

impl Terminal for Loopback {
    fn take(&mut self, bytes: &[u8]) {
        // A guest that takes nothing back must not fill the VMM's memory.
        let room = ROOM.saturating_sub(self.0.len());
        self.0.extend(bytes.iter().take(room));
    }

    fn has_input(&self) -> bool {
        !self.0.is_empty()
    }

    fn give(&mut self, bytes: &mut [u8]) -> usize {
        let count = self.0.len().min(bytes.len());
        bytes.iter_mut().zip(self.0.drain(..count)).for_each(|(to, from)| *to = from);
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_lost() {
        let mut loopback = Loopback::default();
        loopback.take(&[7; 4000]);
        loopback.take(&[8; 4000]);
        let mut bytes = [0; 5000];
        assert!(loopback.has_input());
        assert_eq!(loopback.give(&mut bytes), ROOM);
        assert_eq!((bytes[3999], bytes[4000], bytes[4095], bytes[4096]), (7, 8, 8, 0));
        assert!(!loopback.has_input());
    }
}
