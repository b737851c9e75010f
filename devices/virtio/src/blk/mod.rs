//! The block device (virtio 1.2, 5.2): reads, writes, flushes, discards and zeroes, on any number of queues.
//!
//! What a request asks of the disk is cut into [`Job`]s, which a [`Backend`] does. One whose disk is memory
//! does them at once ([`AtOnce`](devices::disk::AtOnce)), and the request is done in the notification that it
//! came with. Another one does them later, on a thread of its own, and has the device look for those that are
//! done (`input`): no vCPU waits for it. A job has data of its own; guest memory is copied from when a job
//! begins, and copied to when it is done, both under the device's lock. So a reset has nothing to wait for:
//! what is done behind it is dropped.

mod request;
pub mod spec;

use alloc::vec::Vec;

use devices::disk::{BUFFER_BYTES, Backend, DiskError, Job, SECTOR_BYTES};
use devices::guest_memory::GuestMemory;

use crate::device::{Queues, VirtioDevice};
use crate::queue::{Chain, RingError};
use request::{About, Request};
use spec::feature;

/// The most bytes that one job fills with zeroes.
const ZEROES_BYTES: u64 = 1 << 20;
/// The most sectors that one discard or one request for zeroes may have.
const RANGE_SECTORS_MAX: u32 = 1 << 20;
/// The most ranges that one such request may have.
const RANGES_MAX: u32 = 64;

/// What is said of a block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockConfig {
    /// What the guest is told as serial number; of more than 20 bytes the first 20.
    pub serial: Vec<u8>,
    /// How many queues, 1 to 64.
    pub queues: u16,
}

/// A request that a back end works for.
struct Running {
    /// Its job's.
    id: u64,
    queue: u16,
    chain: Chain,
    request: Request,
}

/// A block device.
pub struct Block<B> {
    // Configuration.
    backend: B,
    config: BlockConfig,
    // Glue, kept from request to request.
    /// Buffers that no job has, and chains that no request has.
    spare: Vec<Vec<u8>>,
    chains: Vec<Chain>,
    /// The last job's; none is used twice.
    last_id: u64,
    // Volatile state.
    running: Vec<Running>,
    /// Queues that may have more, for which there was no buffer: a bit each.
    waiting: u64,
}

impl<B: Backend> Block<B> {
    /// A block device.
    pub fn new(backend: B, config: BlockConfig) -> Self {
        Self {
            backend,
            config,
            // All the memory that it will ever need for data, however many requests the guest makes.
            spare: (0..B::JOBS).map(|_| Vec::with_capacity(BUFFER_BYTES)).collect(),
            chains: Vec::new(),
            last_id: 0,
            running: Vec::new(),
            waiting: 0,
        }
    }

    /// What does its work.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    fn sectors(&self) -> u64 {
        self.backend.bytes() / SECTOR_BYTES
    }

    /// Begins the requests of a queue, as far as there are buffers for their data.
    fn serve<M: GuestMemory>(&mut self, queue: u16, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        let bit = 1u64.checked_shl(queue.into()).unwrap_or(0);
        // Set again below, if the buffers do not last.
        self.waiting &= !bit;
        self.collect(queues)?;
        // All that there is: for what comes before the ring is empty, a driver need not notify again.
        while let Some(data) = self.spare.pop() {
            let mut chain = self.chains.pop().unwrap_or_default();
            let found = queues.pop(queue, &mut chain);
            let request = match found {
                Ok(true) => Request::new(&chain, queues.memory()).map(Some),
                found => found.map(|_| None),
            };
            // Whatever was found, buffer and chain are kept: there are no others.
            let Ok(Some(request)) = request else {
                self.put_back(data, chain);
                return request.map(drop);
            };
            self.advance(Running { id: 0, queue, chain, request }, data, queues)?;
            self.collect(queues)?;
        }
        // The driver need not notify of them once more.
        self.waiting |= bit;
        Ok(())
    }

    /// Has the next piece of a request done, or gives it back.
    fn advance<M: GuestMemory>(
        &mut self,
        mut running: Running,
        mut data: Vec<u8>,
        queues: &mut Queues<'_, M>,
    ) -> Result<(), RingError> {
        let about = About {
            bytes: self.backend.bytes(),
            is_read_only: self.backend.is_read_only(),
            serial: &self.config.serial,
        };
        let memory = queues.memory();
        let result = match running.request.next(&running.chain, memory, about, &mut data) {
            Ok(Some(operation)) => {
                self.last_id += 1;
                running.id = self.last_id;
                // Before it is started: the back end may have done it when `start` returns.
                self.running.push(running);
                self.backend.start(Job { id: self.last_id, operation, data, result: Err(DiskError) });
                return Ok(());
            }
            Ok(None) => running.request.finish(&running.chain, memory),
            Err(error) => Err(error),
        };
        let result = result.and_then(|written| queues.push(running.queue, &running.chain, written));
        // Behind an error, too: after the reset they are needed again.
        self.put_back(data, running.chain);
        result
    }

    /// Takes the jobs that are done.
    fn collect<M: GuestMemory>(&mut self, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        while let Some(job) = self.backend.take_done() {
            // One of before a reset is nobody's: its chain's buffers are no more this device's.
            let Some(at) = self.running.iter().position(|running| running.id == job.id) else {
                self.spare.push(job.data);
                continue;
            };
            let mut running = self.running.swap_remove(at);
            match running.request.job_done(&running.chain, queues.memory(), &job) {
                Ok(()) => self.advance(running, job.data, queues)?,
                Err(error) => {
                    self.put_back(job.data, running.chain);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn put_back(&mut self, data: Vec<u8>, chain: Chain) {
        self.spare.push(data);
        self.chains.push(chain);
    }
}

impl<B: Backend> VirtioDevice for Block<B> {
    const NAME: &'static str = "virtio block";
    const ID: u16 = 2;
    const CLASS: u32 = 0x01_0000;

    fn features(&self) -> u64 {
        // A disk that cannot be written takes no discards and no zeroes either.
        let read_only = if self.backend.is_read_only() { feature::READ_ONLY } else { feature::CHANGES };
        let queues = if self.config.queues > 1 { feature::QUEUES } else { 0 };
        feature::SEGMENTS_MAX | feature::BLOCK_SIZE | feature::FLUSH | read_only | queues
    }

    fn queues(&self) -> u16 {
        self.config.queues.max(1)
    }

    fn queue_size(&self) -> u16 {
        256
    }

    fn config(&self, offset: u64) -> u8 {
        // Header and status take one descriptor each.
        let segments = u32::from(self.queue_size()) - 2;
        let (at, bytes): (u64, [u8; 8]) = match offset {
            0..8 => (0, self.sectors().to_le_bytes()),
            12..16 => (12, u64::from(segments).to_le_bytes()),
            20..24 => (20, SECTOR_BYTES.to_le_bytes()),
            34..36 => (34, u64::from(self.queues()).to_le_bytes()),
            36..40 | 48..52 => (offset & !3, u64::from(RANGE_SECTORS_MAX).to_le_bytes()),
            40..44 | 52..56 => (offset & !3, u64::from(RANGES_MAX).to_le_bytes()),
            // Discards are aligned to one sector. Zeroes may be kept without room for them: offset 56 is 1.
            44 | 56 => (offset, 1u64.to_le_bytes()),
            _ => return 0,
        };
        bytes.get((offset - at) as usize).copied().unwrap_or(0)
    }

    fn notified<M: GuestMemory>(&mut self, queue: u16, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        self.serve(queue, queues)
    }

    fn input<M: GuestMemory>(&mut self, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        self.collect(queues)?;
        // There are buffers again, for requests that had to wait for one.
        let waiting = self.waiting;
        for queue in (0..64).filter(|queue| waiting >> queue & 1 != 0) {
            self.serve(queue, queues)?;
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.backend.cancel();
        // Their buffers come back with the jobs, which then belong to no request any more.
        self.chains.extend(self.running.drain(..).map(|running| running.chain));
        self.waiting = 0;
    }
}

#[cfg(test)]
mod tests;
