//! What a guest's disk is kept on, and who does the work: between a disk's front end, virtio or NVMe, and
//! what is behind it. Work is done at once, or later.

use alloc::vec::Vec;

/// Bytes of a sector, the unit of all offsets and sizes.
pub const SECTOR_BYTES: u64 = 512;
/// The most bytes of a job's data.
pub const BUFFER_BYTES: usize = 64 << 10;

/// The disk could not do it. To blame: what the disk is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskError;

/// What a block device keeps its data on. Offsets and sizes are in bytes, and inside the disk.
///
/// # Errors
/// All of it gives [`DiskError`] when it can't be done; the guest gets an I/O error.
pub trait Disk: Send {
    /// How many bytes it has.
    fn bytes(&self) -> u64;
    /// Whether it can't be written.
    fn is_read_only(&self) -> bool;
    /// Reads.
    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), DiskError>;
    /// Writes.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;
    /// What was written before is kept, whatever happens to the machine.
    fn flush(&mut self) -> Result<(), DiskError>;
    /// Nobody needs these bytes any more; they may read as anything.
    fn discard(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError>;
    /// These bytes are zero from now on.
    fn write_zeroes(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError>;
}

/// What is to be done with a disk. Offsets and sizes are in bytes, whole sectors, and on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Fill the job's data from the disk.
    Read {
        /// From where on.
        offset: u64,
    },
    /// Write the job's data to the disk.
    Write {
        /// From where on.
        offset: u64,
    },
    /// What was written before is kept, whatever happens to the machine.
    Flush,
    /// Nobody needs these bytes any more.
    Discard {
        /// From where on.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// These bytes are zero from now on.
    WriteZeroes {
        /// From where on.
        offset: u64,
        /// How many.
        bytes: u64,
    },
}

/// A piece of work. Its data are its own: whoever has the job has them, and nobody else.
#[derive(Debug)]
pub struct Job {
    /// What the device knows it by.
    pub id: u64,
    /// What is to be done.
    pub operation: Operation,
    /// Bytes to write, or room for those that are read; their number does not change.
    pub data: Vec<u8>,
    /// How it ended; an error as long as nobody has done it.
    pub result: Result<(), DiskError>,
}

impl Job {
    /// Does it.
    pub fn carry_out(&mut self, disk: &mut impl Disk) {
        self.result = match self.operation {
            Operation::Read { offset } => disk.read(offset, &mut self.data),
            Operation::Write { offset } => disk.write(offset, &self.data),
            Operation::Flush => disk.flush(),
            Operation::Discard { offset, bytes } => disk.discard(offset, bytes),
            Operation::WriteZeroes { offset, bytes } => disk.write_zeroes(offset, bytes),
        };
    }
}

/// Does jobs. Each that was started comes back by [`Self::take_done`] once, in any order.
pub trait Backend: Send {
    /// The most jobs that it may have at a time, from `start` to `take_done`; at least one.
    const JOBS: usize;

    /// How many bytes the disk has. It never changes.
    fn bytes(&self) -> u64;
    /// Whether it can't be written.
    fn is_read_only(&self) -> bool;
    /// Takes a job, and does it now or later.
    fn start(&mut self, job: Job);
    /// Gives a job back that is done.
    fn take_done(&mut self) -> Option<Job>;
    /// Nobody waits for the jobs any more: one that has not begun does not begin, and what has begun is over
    /// before a job begins that is started after this.
    fn cancel(&mut self);
}

/// A disk that does each job when it is started.
pub struct AtOnce<D> {
    disk: D,
    done: Option<Job>,
}

impl<D: Disk> AtOnce<D> {
    /// On a disk that takes no time.
    pub fn new(disk: D) -> Self {
        Self { disk, done: None }
    }

    /// The disk.
    pub fn disk(&self) -> &D {
        &self.disk
    }
}

impl<D: Disk> Backend for AtOnce<D> {
    const JOBS: usize = 1;

    fn bytes(&self) -> u64 {
        self.disk.bytes()
    }

    fn is_read_only(&self) -> bool {
        self.disk.is_read_only()
    }

    fn start(&mut self, mut job: Job) {
        job.carry_out(&mut self.disk);
        // None is lost: with JOBS of 1, the one before was taken.
        self.done = Some(job);
    }

    fn take_done(&mut self) -> Option<Job> {
        self.done.take()
    }

    fn cancel(&mut self) {}
}
