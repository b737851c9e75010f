//! A network device (virtio 1.2, 5.1): one pair of queues, Ethernet frames, no offloads. Frames are copied to
//! and from memory that is shared with the device.

use core::sync::atomic::AtomicU64;

use runtime::event::Event;
use runtime::host_function::{DeviceMemory, HostFunction};
use runtime::syscall;
use virtio_devices::net::spec::{HEADER_BYTES, feature, queue as number};

use crate::DriverError;
use crate::queue::{self, Buffer, Queue};
use crate::transport::Transport;

/// Bytes of a buffer: the longest frame, and what is in front of it.
const BUFFER_BYTES: u64 = 2048;
/// Where a frame begins in its buffer: at a word, with the header (5.1.6) right in front of it.
const FRAME: u64 = 16;
const HEADER: u64 = FRAME - HEADER_BYTES as u64;
/// The longest frame that there is room for.
pub const FRAME_MAX: usize = (BUFFER_BYTES - FRAME) as usize;
/// Buffers of a queue are in two pieces of memory, as each can be no larger.
const PIECE_BYTES: u64 = 64 * 1024;
const PIECES: usize = 2;

const _: () = assert!(PIECES as u64 * PIECE_BYTES / BUFFER_BYTES >= queue::SIZE_MAX as u64);

/// A queue, with a buffer for each of its chains.
struct Side {
    index: u16,
    queue: Queue,
    pieces: [DeviceMemory; PIECES],
    /// The device has not been notified of all that was made available.
    is_news: bool,
}

/// A network device of the host's.
pub struct Net {
    transport: Transport,
    receive: Side,
    send: Side,
    /// Its MAC address.
    pub address: [u8; 6],
}

impl Side {
    fn new(transport: &Transport, index: u16) -> Result<Self, DriverError> {
        let function = transport.function();
        let memory = function.allocate(queue::BYTES)?;
        let queue = Queue::of_single_buffers(memory, transport.queue_size(index))?;
        let pieces = [function.allocate(PIECE_BYTES)?, function.allocate(PIECE_BYTES)?];
        Ok(Self { index, queue, pieces, is_news: false })
    }

    /// The memory that a chain's buffer is in, and where it begins there.
    fn place(&self, chain: u16) -> Option<(&DeviceMemory, u64)> {
        let at = u64::from(chain) * BUFFER_BYTES;
        Some((self.pieces.get((at / PIECE_BYTES) as usize)?, at % PIECE_BYTES))
    }

    /// Makes the next buffer available, for a frame of so many bytes.
    fn submit(&mut self, bytes: usize, is_written: bool) -> Result<(), DriverError> {
        let place = self.queue.free().and_then(|chain| self.place(chain));
        let (memory, at) = place.ok_or(DriverError::Nonsense)?;
        let physical = memory.physical + at + HEADER;
        let buffer = Buffer { physical, bytes: (HEADER_BYTES + bytes) as u32, is_written };
        self.queue.submit(&[buffer]).ok_or(DriverError::Nonsense)?;
        self.is_news = true;
        Ok(())
    }

    fn notify(&mut self, transport: &Transport) {
        if core::mem::take(&mut self.is_news) && self.queue.wants_notification() {
            transport.notify(self.index);
        }
    }
}

impl Net {
    /// Starts a device. What it has to say signals `event`. `ticks_second`: TSC ticks of a second.
    ///
    /// # Errors
    /// What it lacks, or what went wrong.
    pub fn start(function: HostFunction, ticks_second: u64, event: Event) -> Result<Self, DriverError> {
        let transport = Transport::open(function)?;
        transport.reset(syscall::tsc().saturating_add(ticks_second))?;
        if transport.negotiate(feature::MAC)? & feature::MAC == 0 {
            return Err(DriverError::Lacks("an address"));
        }
        let [a, b, c, d, e, f, ..] = transport.read_u64(0)?.to_le_bytes();
        // Not before the reset: queues of an earlier driver's must not be written to any more.
        function.enable(true)?;
        function.bind(0, event)?;
        let receive = Side::new(&transport, number::RECEIVE)?;
        let send = Side::new(&transport, number::SEND)?;
        for side in [&receive, &send] {
            transport.start_queue(side.index, &side.queue, 0)?;
        }
        let mut net = Self { transport, receive, send, address: [a, b, c, d, e, f] };
        net.begin()?;
        Ok(net)
    }

    fn begin(&mut self) -> Result<(), DriverError> {
        // A frame that was sent is of no interest before there is no room for another.
        self.send.queue.want_signals(false);
        while self.receive.queue.free().is_some() {
            self.receive.submit(FRAME_MAX, true)?;
        }
        self.transport.ready();
        self.notify();
        Ok(())
    }

    /// Takes a frame that was received, into words that have room for [`FRAME_MAX`] bytes. Returns its size.
    ///
    /// # Errors
    /// Nonsense: the device says that it has received what it cannot have.
    pub fn receive(&mut self, words: &[AtomicU64]) -> Result<Option<usize>, DriverError> {
        let Some((chain, bytes)) = self.receive.queue.take()? else { return Ok(None) };
        // At most what the buffer has room for: the queue has looked. Less than a header is no frame.
        let bytes = (bytes as usize).checked_sub(HEADER_BYTES).filter(|bytes| *bytes > 0);
        let bytes = bytes.ok_or(DriverError::Nonsense)?;
        let words = words.get(..bytes.div_ceil(8)).ok_or(DriverError::Lacks("room for a frame"))?;
        let place = self.receive.place(chain);
        if !place.is_some_and(|(memory, at)| memory.window.copy_out(at + FRAME, words)) {
            return Err(DriverError::Nonsense);
        }
        // At once: the device has as many buffers as before, whatever becomes of the frame.
        self.receive.submit(FRAME_MAX, true)?;
        Ok(Some(bytes))
    }

    /// Whether a frame can be sent. If not, the device signals when one can.
    ///
    /// # Errors
    /// Nonsense: the device says that it has sent what it was not given.
    pub fn has_room(&mut self) -> Result<bool, DriverError> {
        let queue = &mut self.send.queue;
        let was_full = queue.free().is_none();
        while queue.take()?.is_some() {}
        if queue.free().is_none() {
            queue.want_signals(true);
            // One more look, as the device may have been done before it saw that.
            while queue.take()?.is_some() {}
        }
        let has_room = queue.free().is_some();
        if was_full && has_room {
            queue.want_signals(false);
        }
        Ok(has_room)
    }

    /// Sends a frame of so many bytes; [`has_room`](Self::has_room) was true. One that is longer than
    /// [`FRAME_MAX`], or than the words, goes nowhere.
    ///
    /// # Errors
    /// Nonsense: there is no room.
    pub fn send(&mut self, words: &[AtomicU64], bytes: usize) -> Result<(), DriverError> {
        let words = words.get(..bytes.div_ceil(8)).filter(|_| (1..=FRAME_MAX).contains(&bytes));
        let Some(words) = words else { return Ok(()) };
        let place = self.send.queue.free().and_then(|chain| self.send.place(chain));
        let (memory, at) = place.ok_or(DriverError::Nonsense)?;
        // All zero: nothing is left for the device to do to the frame.
        memory.window.write_u32(at + HEADER, 0);
        memory.window.write_u64(at + HEADER + 4, 0);
        if !memory.window.copy_in(at + FRAME, words) {
            return Err(DriverError::Nonsense);
        }
        self.send.submit(bytes, false)
    }

    /// Tells the device of what was sent, and of the buffers that it has again.
    pub fn notify(&mut self) {
        self.receive.notify(&self.transport);
        self.send.notify(&self.transport);
    }
}

#[cfg(test)]
mod tests;
