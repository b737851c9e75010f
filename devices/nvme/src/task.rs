//! I/O commands (NVM Express 1.4, 6), and what each asks of the disk, piece by piece.

use alloc::vec::Vec;

use devices::disk::{DiskError, Job, Operation, SECTOR_BYTES};
use devices::guest_memory::GuestMemory;

use crate::command::Command;
use crate::prp::Buffer;
use crate::spec::{ALL_NAMESPACES, NAMESPACE, Status, nvm};

/// The most bytes that one job fills with zeroes, so that a reset has little to wait for.
const ZEROES_BYTES: u64 = 1 << 20;
/// Bytes of a range of Dataset Management: attributes, blocks, first block.
const RANGE_BYTES: usize = 16;

/// What a command asks of the disk, and how far that is.
#[derive(Debug)]
pub struct Task {
    kind: Kind,
    /// Where the next piece is, and how many bytes are left.
    offset: u64,
    left: u64,
    /// Where the data are.
    buffer: Buffer,
    /// Of Dataset Management: offsets and bytes.
    ranges: Vec<(u64, u64)>,
    /// A flush comes first, or last.
    flush_before: bool,
    flush_behind: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Zeroes,
    Discard,
    Flush,
}

impl Task {
    /// A flush, and nothing else.
    pub const FLUSH: Self = Self {
        kind: Kind::Flush,
        offset: 0,
        left: 0,
        buffer: Buffer::EMPTY,
        ranges: Vec::new(),
        flush_before: false,
        flush_behind: true,
    };

    /// What a command of an I/O queue asks for.
    ///
    /// # Errors
    /// How the command ends if nothing is done.
    pub fn new(command: &Command, memory: &impl GuestMemory, disk: &About) -> Result<Self, Status> {
        if command.is_fused_or_sgl() {
            return Err(Status::INVALID_FIELD);
        }
        // A flush may be of all namespaces, as Identify says of the cache (5.15.2.2).
        let is_all = command.opcode() == nvm::FLUSH && command.namespace() == ALL_NAMESPACES;
        if command.namespace() != NAMESPACE && !is_all {
            return Err(Status::INVALID_NAMESPACE);
        }
        match command.opcode() {
            nvm::FLUSH => Ok(Self::FLUSH),
            nvm::READ => Self::transfer(Kind::Read, command, memory, disk),
            nvm::WRITE => Self::transfer(Kind::Write, command, memory, disk),
            nvm::WRITE_ZEROES => Self::of(Kind::Zeroes, command, disk),
            nvm::DATASET => Self::discard(command, memory, disk),
            _ => Err(Status::INVALID_OPCODE),
        }
    }

    /// A read, a write, or zeroes: which bytes of the disk.
    fn of(kind: Kind, command: &Command, disk: &About) -> Result<Self, Status> {
        // The number of blocks is one more than the field.
        let blocks = u64::from(command.low(12)) + 1;
        let (offset, left) = disk.place(command.first_block(), blocks)?;
        let is_forced = command.dword(12) & nvm::FORCE_UNIT_ACCESS != 0;
        let is_write = kind != Kind::Read;
        if is_write {
            disk.check_writable()?;
        }
        Ok(Self {
            kind,
            offset,
            left,
            // What such a read gives is on the medium, so what is in the cache goes there first (6.9).
            flush_before: is_forced && !is_write,
            // Without a cache every write is on the medium when it is done.
            flush_behind: is_write && (is_forced || !disk.has_cache),
            ..Self::FLUSH
        })
    }

    fn transfer(
        kind: Kind,
        command: &Command,
        memory: &impl GuestMemory,
        disk: &About,
    ) -> Result<Self, Status> {
        // Before the place on the disk: a transfer of too many bytes is invalid wherever it is.
        let bytes = (usize::from(command.low(12)) + 1) * SECTOR_BYTES as usize;
        let buffer = Buffer::new(memory, command.prps(), bytes)?;
        Ok(Self { buffer, ..Self::of(kind, command, disk)? })
    }

    /// All ranges are looked at before any is discarded (6.7).
    fn discard(command: &Command, memory: &impl GuestMemory, disk: &About) -> Result<Self, Status> {
        disk.check_writable()?;
        let count = usize::from(command.low(10) & 0xff) + 1;
        let mut list = [0; 256 * RANGE_BYTES];
        let list = list.get_mut(..count * RANGE_BYTES).ok_or(Status::INTERNAL)?;
        Buffer::new(memory, command.prps(), list.len())?.read(memory, list)?;
        let range = |bytes: &[u8]| {
            let words = bytes.first_chunk().copied().map_or(0, u128::from_le_bytes);
            disk.place((words >> 64) as u64, (words >> 32) as u32 as u64)
        };
        let mut ranges = list.chunks(RANGE_BYTES).map(range).collect::<Result<Vec<_>, _>>()?;
        // The other attributes are hints.
        if command.dword(11) & nvm::DEALLOCATE == 0 {
            ranges.clear();
        }
        ranges.retain(|(_, bytes)| *bytes > 0);
        Ok(Self { kind: Kind::Discard, ranges, flush_behind: false, ..Self::FLUSH })
    }

    /// What is to be done next; `None` when that was all.
    pub fn next(&mut self) -> Option<Operation> {
        if core::mem::take(&mut self.flush_before) {
            return Some(Operation::Flush);
        }
        if let Some((offset, bytes)) = self.ranges.pop() {
            return Some(Operation::Discard { offset, bytes });
        }
        if self.left > 0 {
            return Some(self.next_piece());
        }
        core::mem::take(&mut self.flush_behind).then_some(Operation::Flush)
    }

    fn next_piece(&mut self) -> Operation {
        let (offset, most) = (self.offset, if self.kind == Kind::Zeroes { ZEROES_BYTES } else { self.left });
        let bytes = self.left.min(most);
        self.left -= bytes;
        self.offset = offset.saturating_add(bytes);
        match self.kind {
            Kind::Read => Operation::Read { offset },
            Kind::Write => Operation::Write { offset },
            _ => Operation::WriteZeroes { offset, bytes },
        }
    }

    /// Puts a job's data in order.
    ///
    /// # Errors
    /// When what is to be written is not memory.
    pub fn prepare(
        &self,
        operation: Operation,
        data: &mut Vec<u8>,
        memory: &impl GuestMemory,
    ) -> Result<(), Status> {
        // No job has bytes of another's.
        data.clear();
        match operation {
            Operation::Read { .. } => data.resize(self.buffer.bytes(), 0),
            Operation::Write { .. } => {
                data.resize(self.buffer.bytes(), 0);
                self.buffer.read(memory, data)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A job of this task is done.
    ///
    /// # Errors
    /// When the disk has failed, or what was read has no memory to go to.
    pub fn job_done(&self, job: &Job, memory: &impl GuestMemory) -> Result<(), Status> {
        match (job.result, job.operation) {
            (Ok(()), Operation::Read { .. }) => self.buffer.write(memory, &job.data),
            (Ok(()), _) => Ok(()),
            (Err(DiskError), Operation::Read { .. }) => Err(Status::READ_ERROR),
            (Err(DiskError), Operation::Write { .. } | Operation::WriteZeroes { .. }) => {
                Err(Status::WRITE_FAULT)
            }
            (Err(DiskError), _) => Err(Status::INTERNAL),
        }
    }
}

/// What a command is held against.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// How many bytes the disk has.
    pub bytes: u64,
    /// Whether it can't be written.
    pub is_read_only: bool,
    /// Whether writes may wait for a flush.
    pub has_cache: bool,
}

impl About {
    /// Offset and bytes of blocks, if they are on the disk.
    fn place(&self, first: u64, blocks: u64) -> Result<(u64, u64), Status> {
        let bytes = blocks * SECTOR_BYTES;
        // The first block is any 64 bits of the guest's; the number of blocks has 32 at most.
        let offset = first.checked_mul(SECTOR_BYTES).ok_or(Status::OUT_OF_RANGE)?;
        match offset.checked_add(bytes) {
            Some(end) if end <= self.bytes => Ok((offset, bytes)),
            _ => Err(Status::OUT_OF_RANGE),
        }
    }

    fn check_writable(&self) -> Result<(), Status> {
        if self.is_read_only { Err(Status::WRITE_PROTECTED) } else { Ok(()) }
    }
}
