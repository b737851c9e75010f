//! Registers, commands and statuses (NVM Express 1.4, 3.1, 4.2, 4.6, 5 and 6).

/// PCI: vendor and device of the controller that QEMU has. Drivers find a controller by its class; by this
/// one they know that it is emulated.
pub const VENDOR: u16 = 0x1b36;
/// Its device.
pub const DEVICE: u16 = 0x0010;
/// PCI: subsystem, vendor and number.
pub const SUBSYSTEM: (u16, u16) = (0x1af4, 0x1100);
/// PCI: mass storage, non-volatile memory, NVM Express I/O controller.
pub const CLASS: u32 = 0x01_0802;

/// The BAR with everything.
pub const BAR: u8 = 0;
/// Its size.
pub const BAR_BYTES: u64 = 0x4000;
/// Where the doorbells are, eight bytes a pair of queues.
pub const DOORBELLS: u64 = 0x1000;
/// Where the MSI-X table is.
pub const TABLE: u64 = 0x2000;
/// Where its pending bits are.
pub const PENDING: u64 = 0x3000;

/// The only size of a memory page that is offered.
pub const PAGE_BYTES: u64 = 4096;
/// Bytes of a command.
pub const COMMAND_BYTES: usize = 64;
/// Bytes of a completion.
pub const COMPLETION_BYTES: u64 = 16;
/// The most entries of a queue.
pub const ENTRIES_MAX: u16 = 256;
/// The most I/O queues of either kind.
pub const QUEUES_MAX: u16 = 64;
/// The most bytes that a command transfers, as a power of two of pages: 64 KiB, the data of one job.
pub const TRANSFER_SHIFT: u8 = 4;
/// The number of the only namespace.
pub const NAMESPACE: u32 = 1;
/// All namespaces.
pub const ALL_NAMESPACES: u32 = u32::MAX;

/// Registers, by their places in the BAR.
pub mod register {
    /// Capabilities, eight bytes.
    pub const CAP: u64 = 0x00;
    /// Version.
    pub const VS: u64 = 0x08;
    /// Interrupt mask: bits written as 1 are set.
    pub const INTMS: u64 = 0x0c;
    /// Interrupt mask: bits written as 1 are cleared.
    pub const INTMC: u64 = 0x10;
    /// Controller configuration.
    pub const CC: u64 = 0x14;
    /// Controller status.
    pub const CSTS: u64 = 0x1c;
    /// Admin queues' sizes.
    pub const AQA: u64 = 0x24;
    /// Admin submission queue, eight bytes.
    pub const ASQ: u64 = 0x28;
    /// Admin completion queue, eight bytes.
    pub const ACQ: u64 = 0x30;
}

/// Version 1.4.
pub const VERSION: u32 = 0x0001_0400;
/// CAP: the sizes of queues, which have to be contiguous; ready within ten seconds (20 times 500 ms); the
/// NVM command set; pages of 4 KiB and no others; doorbells side by side.
pub const CAPABILITIES: u64 = (ENTRIES_MAX - 1) as u64 | 1 << 16 | 20 << 24 | 1 << 37;

/// Fields of CC.
pub mod cc {
    /// Enable.
    pub const ENABLE: u32 = 1 << 0;
    /// Command set, page size and arbitration: 0 is the only value that is offered of each.
    pub const CHOICES: u32 = 0x3ff0;
    /// Shutdown notification.
    pub const SHUTDOWN: u32 = 3 << 14;
    /// Entry sizes of I/O submission and completion queues, as powers of two.
    pub const ENTRY_SIZES: u32 = 0xff << 16;
    /// Those that there are: 64 and 16 bytes.
    pub const ENTRY_SIZES_VALID: u32 = 0x46 << 16;
    /// The bits that are kept.
    pub const KEPT: u32 = 0x00ff_fff1;
}

/// Fields of CSTS.
pub mod csts {
    /// Ready.
    pub const READY: u32 = 1 << 0;
    /// A fatal error: nothing is done until the controller is reset.
    pub const FATAL: u32 = 1 << 1;
    /// Shutdown is under way.
    pub const SHUTDOWN_OCCURRING: u32 = 1 << 2;
    /// Shutdown is complete.
    pub const SHUTDOWN_COMPLETE: u32 = 2 << 2;
}

/// Opcodes of admin commands.
pub mod admin {
    /// Delete I/O Submission Queue.
    pub const DELETE_SUBMISSION: u8 = 0x00;
    /// Create I/O Submission Queue.
    pub const CREATE_SUBMISSION: u8 = 0x01;
    /// Get Log Page.
    pub const GET_LOG: u8 = 0x02;
    /// Delete I/O Completion Queue.
    pub const DELETE_COMPLETION: u8 = 0x04;
    /// Create I/O Completion Queue.
    pub const CREATE_COMPLETION: u8 = 0x05;
    /// Identify.
    pub const IDENTIFY: u8 = 0x06;
    /// Abort.
    pub const ABORT: u8 = 0x08;
    /// Set Features.
    pub const SET_FEATURES: u8 = 0x09;
    /// Get Features.
    pub const GET_FEATURES: u8 = 0x0a;
    /// Asynchronous Event Request.
    pub const EVENT_REQUEST: u8 = 0x0c;
}

/// Opcodes of the NVM command set.
pub mod nvm {
    /// Flush.
    pub const FLUSH: u8 = 0x00;
    /// Write.
    pub const WRITE: u8 = 0x01;
    /// Read.
    pub const READ: u8 = 0x02;
    /// Write Zeroes.
    pub const WRITE_ZEROES: u8 = 0x08;
    /// Dataset Management.
    pub const DATASET: u8 = 0x09;
    /// Command dword 12 of reads and writes: the data are on the medium when the command is done.
    pub const FORCE_UNIT_ACCESS: u32 = 1 << 30;
    /// Command dword 11 of Dataset Management: the ranges are not needed any more.
    pub const DEALLOCATE: u32 = 1 << 2;
}

/// How a command ended: the type of status in bits 8 to 10, the status below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

/// Completion: it is no use to try again.
const DO_NOT_RETRY: u16 = 1 << 14;

impl Status {
    /// Well.
    pub const SUCCESS: Self = Self(0x000);
    /// There is no such command.
    pub const INVALID_OPCODE: Self = Self(0x001);
    /// A field of the command has a value that is not supported.
    pub const INVALID_FIELD: Self = Self(0x002);
    /// Buffers are not memory.
    pub const DATA_TRANSFER: Self = Self(0x004);
    /// The disk failed.
    pub const INTERNAL: Self = Self(0x006);
    /// An Abort command ended it.
    pub const ABORTED: Self = Self(0x007);
    /// There is no such namespace.
    pub const INVALID_NAMESPACE: Self = Self(0x00b);
    /// It came at the wrong time.
    pub const SEQUENCE: Self = Self(0x00c);
    /// A PRP entry has an offset that it must not have.
    pub const INVALID_PRP_OFFSET: Self = Self(0x013);
    /// The namespace can't be written.
    pub const WRITE_PROTECTED: Self = Self(0x020);
    /// Blocks that are not on the disk.
    pub const OUT_OF_RANGE: Self = Self(0x080);
    /// There is no such completion queue.
    pub const INVALID_COMPLETION_QUEUE: Self = Self(0x100);
    /// A queue's number is none, or taken.
    pub const INVALID_QUEUE: Self = Self(0x101);
    /// A queue's size is none.
    pub const INVALID_QUEUE_SIZE: Self = Self(0x102);
    /// More requests for events than are kept.
    pub const EVENT_REQUESTS_EXCEEDED: Self = Self(0x105);
    /// There is no such interrupt vector.
    pub const INVALID_VECTOR: Self = Self(0x108);
    /// There is no such log page.
    pub const INVALID_LOG: Self = Self(0x109);
    /// A completion queue whose submission queues are still there.
    pub const INVALID_DELETION: Self = Self(0x10c);
    /// A feature that is not kept over a reset.
    pub const NOT_SAVEABLE: Self = Self(0x10d);
    /// A feature that is not a namespace's.
    pub const NOT_OF_NAMESPACE: Self = Self(0x10f);
    /// The disk failed to write.
    pub const WRITE_FAULT: Self = Self(0x280);
    /// The disk failed to read.
    pub const READ_ERROR: Self = Self(0x281);

    /// The status field of a completion, without the phase tag below it.
    pub fn field(self) -> u16 {
        match self {
            Self::SUCCESS => 0,
            // Another attempt may find the disk better, or was not made at all.
            Self::INTERNAL | Self::ABORTED | Self::WRITE_FAULT | Self::READ_ERROR => self.0,
            _ => self.0 | DO_NOT_RETRY,
        }
    }
}
