//! An entropy device (virtio 1.2, 5.4): it writes what the host says are random bytes.

use runtime::event::Event;
use runtime::host_function::{DeviceMemory, HostFunction};
use runtime::syscall;

use crate::DriverError;
use crate::queue::{self, Buffer, Queue};
use crate::transport::Transport;

/// Memory that the device writes.
const DATA_BYTES: u64 = 4096;
/// The most bytes that are asked for at once.
pub const BYTES_MAX: usize = 64;

const _: () = assert!(BYTES_MAX as u64 <= DATA_BYTES);

/// An entropy device of the host's.
pub struct Rng {
    transport: Transport,
    queue: Queue,
    data: DeviceMemory,
    done: Event,
    /// TSC ticks that a request may take.
    request_ticks: u64,
}

impl Rng {
    /// Starts a device. `ticks_second`: TSC ticks of a second; a request may take so many `seconds`.
    ///
    /// # Errors
    /// What it lacks, or what went wrong.
    pub fn start(function: HostFunction, ticks_second: u64, seconds: u64) -> Result<Self, DriverError> {
        let transport = Transport::open(function)?;
        transport.reset(syscall::tsc().saturating_add(ticks_second))?;
        transport.negotiate(0)?;
        // Not before the reset: a queue of an earlier driver's must not be written to any more.
        function.enable(true)?;
        let queue = Queue::of_single_buffers(function.allocate(queue::BYTES)?, transport.queue_size(0))?;
        let done = Event::try_new()?;
        function.bind(0, done)?;
        transport.start_queue(0, &queue, 0)?;
        // Last: from here on the device may use what it was told of (3.1.1).
        transport.ready();
        let data = function.allocate(DATA_BYTES)?;
        Ok(Self { transport, queue, data, done, request_ticks: ticks_second.saturating_mul(seconds) })
    }

    /// Fills the buffer, in as many requests as it takes.
    ///
    /// # Errors
    /// The device cannot be driven any more.
    pub fn fill(&mut self, bytes: &mut [u8]) -> Result<(), DriverError> {
        let deadline = syscall::tsc().saturating_add(self.request_ticks);
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let wanted = rest.len().min(BYTES_MAX);
            self.submit(wanted)?;
            let written = self.wait(deadline)?;
            done += self.take(written, rest)?;
        }
        Ok(())
    }

    fn submit(&mut self, bytes: usize) -> Result<(), DriverError> {
        let buffer = Buffer { physical: self.data.physical, bytes: bytes as u32, is_written: true };
        self.queue.submit(&[buffer]).ok_or(DriverError::Nonsense)?;
        self.transport.notify(0);
        Ok(())
    }

    /// Takes bytes that the device has written out of its memory. Returns how many.
    fn take(&mut self, written: u32, to: &mut [u8]) -> Result<usize, DriverError> {
        let count = to.len().min(written as usize);
        // At least one (5.4.6.2): else this would go on for ever.
        if count == 0 {
            return Err(DriverError::Nonsense);
        }
        for (at, byte) in (0..).zip(to.iter_mut().take(count)) {
            *byte = self.data.window.read_u8(at);
            // Nobody else is to find them here.
            self.data.window.write_u8(at, 0);
        }
        Ok(count)
    }

    /// Waits until the device is done with the one chain that it has. Returns how many bytes it has written:
    /// not more than it may, as the queue holds.
    fn wait(&mut self, deadline_tsc: u64) -> Result<u32, DriverError> {
        loop {
            // The ring decides, before and after each signal: signals come when the host likes.
            if let Some((_, written)) = self.queue.take()? {
                return Ok(written);
            }
            if self.done.wait_until(deadline_tsc).is_err() {
                return Err(DriverError::Silent);
            }
        }
    }
}

#[cfg(test)]
mod tests;
