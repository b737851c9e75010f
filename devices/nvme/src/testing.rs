//! A driver for the tests: guest memory, a disk, queues, and the function's registers.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use std::sync::{Mutex, MutexGuard, PoisonError};

use devices::capability::{Platform, PowerEvent, Width};
use devices::disk::{AtOnce, Backend, Disk, DiskError, Job};
use devices::guest_memory::{GuestMemory, NotMemory};
use devices::pci::{PciFunction, PciPlatform};

use crate::spec::register;
use crate::{Nvme, NvmeConfig};

/// Bytes of the guest's memory, from address 0.
pub const RAM_BYTES: usize = 1 << 20;
/// Sectors of a disk.
pub const SECTORS: u64 = 1024;
/// Both admin queues, with so many entries each.
pub const ADMIN_SUBMISSION: u64 = 0x1000;
pub const ADMIN_COMPLETION: u64 = 0x2000;
pub const ADMIN_ENTRIES: u16 = 16;
/// I/O queues: submission, and completion behind it.
pub const QUEUES: u64 = 0x1_0000;
/// Buffers are from here on.
pub const DATA: u64 = 0x8_0000;

/// Guest memory.
#[derive(Clone)]
pub struct Ram(Arc<Mutex<Vec<u8>>>);

impl Ram {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many bytes at an address.
    pub fn copy(&self, gpa: u64, bytes: usize) -> Vec<u8> {
        self.bytes()[gpa as usize..][..bytes].to_vec()
    }

    /// Stores bytes.
    pub fn put(&self, gpa: u64, bytes: &[u8]) {
        self.bytes()[gpa as usize..][..bytes.len()].copy_from_slice(bytes);
    }
}

impl Default for Ram {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(vec![0xee; RAM_BYTES])))
    }
}

fn range(gpa: u64, bytes: usize) -> Option<core::ops::Range<usize>> {
    let start = usize::try_from(gpa).ok()?;
    Some(start..start.checked_add(bytes)?)
}

impl GuestMemory for Ram {
    fn read(&self, gpa: u64, bytes: &mut [u8]) -> Result<(), NotMemory> {
        let ram = self.bytes();
        let from = range(gpa, bytes.len()).and_then(|range| ram.get(range)).ok_or(NotMemory)?;
        bytes.copy_from_slice(from);
        Ok(())
    }

    fn write(&self, gpa: u64, bytes: &[u8]) -> Result<(), NotMemory> {
        let mut ram = self.bytes();
        let to = range(gpa, bytes.len()).and_then(|range| ram.get_mut(range)).ok_or(NotMemory)?;
        to.copy_from_slice(bytes);
        Ok(())
    }

    fn load_u16(&self, gpa: u64) -> Result<u16, NotMemory> {
        let mut bytes = [0; 2];
        self.read(gpa, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    fn store_u16(&self, gpa: u64, value: u16) -> Result<(), NotMemory> {
        assert!(gpa.is_multiple_of(2), "a phase tag at an odd address");
        self.write(gpa, &value.to_le_bytes())
    }
}

/// Records a function's interrupts.
#[derive(Default)]
pub struct Bench {
    /// Messages: their data.
    pub messages: Vec<u32>,
    /// The pin.
    pub intx: bool,
}

impl Platform for Bench {
    fn now_ns(&self) -> u64 {
        0
    }

    fn set_line(&mut self, _: u8, _: bool) {}

    fn power(&mut self, _: PowerEvent) {}
}

impl PciPlatform for Bench {
    fn send_msi(&mut self, _: u64, data: u32) {
        self.messages.push(data);
    }

    fn set_intx(&mut self, level: bool) {
        self.intx = level;
    }
}

/// A disk in memory, which records what is asked of it.
pub struct Memory {
    pub bytes: Vec<u8>,
    pub is_read_only: bool,
    pub is_broken: bool,
    /// Names of operations, in order.
    pub record: Vec<&'static str>,
    pub discarded: Vec<(u64, u64)>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            bytes: (0..SECTORS * 512).map(|at| (at / 512 * 7 + at % 251) as u8).collect(),
            is_read_only: false,
            is_broken: false,
            record: Vec::new(),
            discarded: Vec::new(),
        }
    }
}

impl Memory {
    /// Records it. What is not on the disk may never be asked for.
    fn range(
        &mut self,
        name: &'static str,
        offset: u64,
        bytes: u64,
    ) -> Result<core::ops::Range<usize>, DiskError> {
        self.record.push(name);
        let end = offset.checked_add(bytes).filter(|end| *end <= self.bytes.len() as u64);
        assert!(end.is_some() && offset.is_multiple_of(512) && bytes.is_multiple_of(512));
        if self.is_broken { Err(DiskError) } else { Ok(offset as usize..(offset + bytes) as usize) }
    }
}

impl Disk for Memory {
    fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
        let range = self.range("read", offset, bytes.len() as u64)?;
        bytes.copy_from_slice(&self.bytes[range]);
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let range = self.range("write", offset, bytes.len() as u64)?;
        self.bytes[range].copy_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.range("flush", 0, 0).map(drop)
    }

    fn discard(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        self.range("discard", offset, bytes)?;
        self.discarded.push((offset, bytes));
        Ok(())
    }

    fn write_zeroes(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        let range = self.range("zeroes", offset, bytes)?;
        self.bytes[range].fill(0);
        Ok(())
    }
}

/// Keeps jobs until they are to be done. Those that have begun can't be taken back.
pub struct Slow {
    inner: Arc<Mutex<SlowState>>,
}

/// What is behind it.
#[derive(Default)]
pub struct SlowState {
    pub disk: Memory,
    pub begun: Vec<Job>,
    done: Vec<Job>,
    pub cancelled: u32,
}

/// Its other end.
#[derive(Clone)]
pub struct SlowDisk(Arc<Mutex<SlowState>>);

impl SlowDisk {
    /// What is behind it.
    pub fn state(&self) -> MutexGuard<'_, SlowState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the job that was started last, or first.
    pub fn work(&self, is_last: bool) {
        let mut state = self.state();
        let at = if is_last { state.begun.len() - 1 } else { 0 };
        let mut job = state.begun.remove(at);
        job.carry_out(&mut state.disk);
        state.done.push(job);
    }
}

impl Slow {
    /// Both ends.
    pub fn new() -> (Self, SlowDisk) {
        let inner = Arc::<Mutex<SlowState>>::default();
        (Self { inner: inner.clone() }, SlowDisk(inner))
    }

    fn state(&self) -> MutexGuard<'_, SlowState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Slow {
    const JOBS: usize = 3;

    fn bytes(&self) -> u64 {
        SECTORS * 512
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn start(&mut self, job: Job) {
        let mut state = self.state();
        assert!(state.begun.len() + state.done.len() < Self::JOBS);
        assert_eq!(job.result, Err(DiskError));
        state.begun.push(job);
    }

    fn take_done(&mut self) -> Option<Job> {
        self.state().done.pop()
    }

    fn cancel(&mut self) {
        let mut state = self.state();
        state.cancelled += 1;
        // The first one is being done.
        let at = state.begun.len().min(1);
        let rest = state.begun.split_off(at);
        state.done.extend(rest);
    }
}

/// A command: opcode, namespace, PRP entries, dwords 10 to 15.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    pub opcode: u8,
    /// Bits 8 to 15 of dword 0.
    pub flags: u8,
    pub namespace: u32,
    pub prps: [u64; 2],
    pub dwords: [u32; 6],
}

/// A completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    pub result: u32,
    pub head: u16,
    pub queue: u16,
    pub id: u16,
    /// Without phase tag and "do not retry".
    pub status: u16,
}

/// The driver's side of a pair of queues.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    submission: u64,
    completion: u64,
    entries: u16,
    tail: u16,
    head: u16,
    phase: bool,
    next_id: u16,
}

/// A controller and its driver.
pub struct Machine<B> {
    pub function: Nvme<B, Ram>,
    pub ram: Ram,
    pub bench: Bench,
    pub pairs: Vec<Pair>,
}

/// A controller whose disk is memory.
pub type Plain = Machine<AtOnce<Memory>>;

impl Plain {
    /// One that is ready, with an I/O queue.
    pub fn with_disk(disk: Memory) -> Self {
        let mut machine = Self::fresh(AtOnce::new(disk), 4);
        machine.enable();
        machine.create_pair(16);
        machine
    }
}

impl<B: Backend> Machine<B> {
    /// A controller that its driver has not touched but to make it a master of the bus.
    pub fn fresh(backend: B, queues: u16) -> Self {
        let ram = Ram::default();
        let config = NvmeConfig { serial: b"serial-1".to_vec(), queues };
        let mut function = Nvme::new(backend, ram.clone(), config);
        let mut bench = Bench::default();
        function.config_write(4, Width::Word, 6, &mut bench);
        Self { function, ram, bench, pairs: Vec::new() }
    }

    /// A load of a dword.
    pub fn read(&mut self, offset: u64) -> u32 {
        self.function.bar_read(0, offset, Width::Dword, &mut self.bench) as u32
    }

    /// A store of a dword.
    pub fn write(&mut self, offset: u64, value: u32) {
        self.function.bar_write(0, offset, Width::Dword, value.into(), &mut self.bench);
    }

    /// Enables the controller, with its admin queues.
    pub fn enable(&mut self) {
        let last = u32::from(ADMIN_ENTRIES) - 1;
        self.write(register::AQA, last << 16 | last);
        self.write(register::ASQ, ADMIN_SUBMISSION as u32);
        self.write(register::ACQ, ADMIN_COMPLETION as u32);
        self.ram.put(ADMIN_COMPLETION, &[0; 0x1000]);
        self.write(register::CC, 0x46_0001);
        assert_eq!(self.read(register::CSTS), 1);
        self.pairs = Vec::from([pair(ADMIN_SUBMISSION, ADMIN_COMPLETION, ADMIN_ENTRIES)]);
    }

    /// Makes the next pair of I/O queues.
    pub fn create_pair(&mut self, entries: u16) {
        let id = self.pairs.len() as u32;
        let base = QUEUES + 0x8000 * u64::from(id);
        self.ram.put(base, &[0; 0x8000]);
        let size = u32::from(entries - 1) << 16;
        // By the pin, all vectors are 0.
        let has_messages = self.function.config_read(0x42, Width::Word, &mut self.bench) & 0x8000 != 0;
        let vector = if has_messages { id << 16 } else { 0 };
        for (opcode, gpa, flags) in [(5, base + 0x4000, vector | 3), (1, base, id << 16 | 1)] {
            let dwords = [size | id, flags, 0, 0, 0, 0];
            let made = self.admin(Sent { opcode, prps: [gpa, 0], dwords, ..Sent::default() });
            assert_eq!(made.status, 0);
        }
        self.pairs.push(pair(base, base + 0x4000, entries));
    }

    /// Puts a command into a queue; returns its identifier.
    pub fn put(&mut self, queue: usize, sent: Sent) -> u16 {
        let pair = &mut self.pairs[queue];
        let id = pair.next_id;
        pair.next_id += 1;
        let mut bytes = [0; 64];
        bytes[..2].copy_from_slice(&[sent.opcode, sent.flags]);
        bytes[2..4].copy_from_slice(&id.to_le_bytes());
        bytes[4..8].copy_from_slice(&sent.namespace.to_le_bytes());
        bytes[24..32].copy_from_slice(&sent.prps[0].to_le_bytes());
        bytes[32..40].copy_from_slice(&sent.prps[1].to_le_bytes());
        for (index, dword) in sent.dwords.iter().enumerate() {
            bytes[40 + 4 * index..][..4].copy_from_slice(&dword.to_le_bytes());
        }
        self.ram.put(pair.submission + 64 * u64::from(pair.tail), &bytes);
        pair.tail = (pair.tail + 1) % pair.entries;
        id
    }

    /// Rings the doorbell of a submission queue.
    pub fn ring(&mut self, queue: usize) {
        let tail = self.pairs[queue].tail;
        self.write(0x1000 + 8 * queue as u64, tail.into());
    }

    /// The next completion, without telling the controller that it was taken.
    pub fn peek(&mut self, queue: usize) -> Option<Received> {
        let pair = &mut self.pairs[queue];
        let entry = self.ram.copy(pair.completion + 16 * u64::from(pair.head), 16);
        let half = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        if (half(14) & 1 != 0) != pair.phase {
            return None;
        }
        pair.head = (pair.head + 1) % pair.entries;
        pair.phase ^= pair.head == 0;
        Some(Received {
            result: u32::from(half(0)) | u32::from(half(2)) << 16,
            head: half(8),
            queue: half(10),
            id: half(12),
            status: half(14) >> 1 & 0x7ff,
        })
    }

    /// Rings the doorbell of a completion queue.
    pub fn taken(&mut self, queue: usize) {
        let head = self.pairs[queue].head;
        self.write(0x1004 + 8 * queue as u64, head.into());
    }

    /// The next completion, taken.
    pub fn receive(&mut self, queue: usize) -> Option<Received> {
        let received = self.peek(queue)?;
        self.taken(queue);
        Some(received)
    }

    /// A command from beginning to end.
    pub fn command(&mut self, queue: usize, sent: Sent) -> Received {
        let id = self.put(queue, sent);
        self.ring(queue);
        let received = self.receive(queue).expect("the command is done");
        assert_eq!((received.id, usize::from(received.queue)), (id, queue));
        received
    }

    /// One of the admin queue.
    pub fn admin(&mut self, sent: Sent) -> Received {
        self.command(0, sent)
    }
}

fn pair(submission: u64, completion: u64, entries: u16) -> Pair {
    Pair { submission, completion, entries, tail: 0, head: 0, phase: true, next_id: 0x100 }
}
