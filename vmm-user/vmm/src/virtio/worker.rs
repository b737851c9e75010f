//! Has a thread do the work of a disk that takes time, so that no vCPU waits for it.
//!
//! The thread is more urgent than those of vCPUs: a disk waits for it, and it does little but wait for
//! others. So it may never wait for a lock that a vCPU's thread may hold, which would then not run again on
//! the same processor; that includes the heap's. Jobs are handed over in slots instead: the slot's state says
//! whose the job is, and its lock is free whenever the state lets somebody in.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU8, Ordering};

use devices::disk::{Backend, Disk, DiskError, Job};
use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::sync::Mutex;
use runtime::thread;

/// The priority of the thread, which the process has to have (`priority 2` in `init.conf`); that of vCPUs is
/// 1.
const PRIORITY: u32 = 2;
/// The processor that it runs on: that of the processes of the host's devices, so that a call to them is
/// handed over at once.
const CPU: u32 = 0;
/// The most jobs at a time.
const JOBS: usize = 8;

/// Whose a slot's job is.
mod state {
    /// There is none: the device may put one there.
    pub const FREE: u8 = 0;
    /// It waits for the thread.
    pub const READY: u8 = 1;
    /// The thread's.
    pub const RUNNING: u8 = 2;
    /// The device's.
    pub const DONE: u8 = 3;
}

/// A place for a job.
struct Slot {
    state: AtomicU8,
    job: Mutex<Option<Job>>,
}

/// What device and thread share.
struct Slots([Slot; JOBS]);

impl Slots {
    fn new() -> Self {
        Self(core::array::from_fn(|_| Slot { state: AtomicU8::new(state::FREE), job: Mutex::new(None) }))
    }

    /// The device puts a job into a free slot. It comes back if there is none.
    fn put(&self, job: Job) -> Result<(), Job> {
        for slot in self.in_state(state::FREE) {
            // Never waited for, by neither side: the state says that nobody has it.
            if let Some(mut place) = slot.job.try_lock() {
                *place = Some(job);
                // Before the state says so: the thread may look at once.
                drop(place);
                slot.state.store(state::READY, Ordering::Release);
                return Ok(());
            }
        }
        Err(job)
    }

    /// The device takes a job back that is done.
    fn take(&self) -> Option<Job> {
        let slot = self.in_state(state::DONE).next()?;
        let job = slot.job.try_lock()?.take();
        // Only when the job is out: the device may put the next one there at once.
        slot.state.store(state::FREE, Ordering::Release);
        job
    }

    /// Jobs that wait are done, as they are.
    fn cancel(&self) {
        for slot in &self.0 {
            // One that the thread has taken meanwhile is its own, and done as any.
            let _ = slot.change(state::READY, state::DONE);
        }
    }

    /// The thread does a job, if there is one.
    fn work(&self, disk: &mut impl Disk) -> bool {
        // By an exchange, as the device may cancel the job at the same time: one of the two has it.
        let Some(slot) = self.0.iter().find(|slot| slot.change(state::READY, state::RUNNING)) else {
            return false;
        };
        if let Some(job) = slot.job.try_lock().as_mut().and_then(|place| place.as_mut()) {
            job.carry_out(disk);
        }
        slot.state.store(state::DONE, Ordering::Release);
        true
    }

    fn in_state(&self, state: u8) -> impl Iterator<Item = &Slot> {
        self.0.iter().filter(move |slot| slot.state.load(Ordering::Acquire) == state)
    }
}

impl Slot {
    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// A disk on a thread of its own.
pub struct Worker {
    slots: Arc<Slots>,
    /// A job that there was no slot for; nothing does it.
    refused: Option<Job>,
    bytes: u64,
    is_read_only: bool,
    /// There is a job.
    work: Event,
    /// One is done.
    done: Event,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The kernel's.
    pub fn start(mut disk: impl Disk + 'static) -> Result<Self, Status> {
        let (work, done) = (Event::try_new()?, Event::try_new()?);
        let slots = Arc::new(Slots::new());
        let (bytes, is_read_only) = (disk.bytes(), disk.is_read_only());
        let worker = Self { slots: slots.clone(), refused: None, bytes, is_read_only, work, done };
        thread::spawn(CPU, PRIORITY, move || {
            loop {
                while slots.work(&mut disk) {
                    // Each by itself: the driver may go on with one while the next is done.
                    if let Err(status) = done.signal() {
                        log::error!("a disk's device hears nothing: {status}");
                    }
                }
                if let Err(status) = work.wait() {
                    // Its event is there as long as the process is.
                    log::error!("a disk's thread can't wait: {status}");
                }
            }
        })?;
        Ok(worker)
    }

    /// What signals that a job is done.
    pub fn done(&self) -> Event {
        self.done
    }
}

impl Backend for Worker {
    const JOBS: usize = JOBS;

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    fn start(&mut self, job: Job) {
        match self.slots.put(job) {
            Ok(()) => {
                if let Err(status) = self.work.signal() {
                    log::error!("a disk's thread hears nothing: {status}");
                    self.slots.cancel();
                }
            }
            // The device keeps to `JOBS`; if it did not, a request would fail, and none would wait for ever.
            Err(job) => self.refused = Some(Job { result: Err(DiskError), ..job }),
        }
    }

    fn take_done(&mut self) -> Option<Job> {
        self.refused.take().or_else(|| self.slots.take())
    }

    fn cancel(&mut self) {
        // What runs is over before the thread begins another one: there is no other thread.
        self.slots.cancel();
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use devices::disk::Operation;

    use super::*;

    /// Counts what is written to it.
    struct Counting(u64);

    impl Disk for Counting {
        fn bytes(&self) -> u64 {
            1 << 20
        }

        fn is_read_only(&self) -> bool {
            false
        }

        fn read(&mut self, _: u64, _: &mut [u8]) -> Result<(), DiskError> {
            Err(DiskError)
        }

        fn write(&mut self, _: u64, bytes: &[u8]) -> Result<(), DiskError> {
            self.0 += bytes.len() as u64;
            Ok(())
        }

        fn flush(&mut self) -> Result<(), DiskError> {
            Ok(())
        }

        fn discard(&mut self, _: u64, _: u64) -> Result<(), DiskError> {
            Ok(())
        }

        fn write_zeroes(&mut self, _: u64, _: u64) -> Result<(), DiskError> {
            Ok(())
        }
    }

    fn job(id: u64) -> Job {
        Job { id, operation: Operation::Write { offset: 0 }, data: vec![0; 512], result: Err(DiskError) }
    }

    #[test]
    fn jobs_come_back_once_and_done() {
        let (slots, mut disk) = (Slots::new(), Counting(0));
        assert!(!slots.work(&mut disk) && slots.take().is_none());
        for round in 0..3 {
            assert!((0..JOBS as u64).all(|id| slots.put(job(id)).is_ok()));
            assert_eq!(slots.put(job(99)).err().map(|job| job.id), Some(99));
            assert!(slots.take().is_none(), "none is done");
            while slots.work(&mut disk) {}
            assert_eq!(disk.0, 512 * JOBS as u64 * (round + 1));
            let mut ids: Vec<_> =
                core::iter::from_fn(|| slots.take()).map(|job| (job.id, job.result)).collect();
            ids.sort_by_key(|(id, _)| *id);
            assert_eq!(ids, (0..JOBS as u64).map(|id| (id, Ok(()))).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_cancelled_is_not_done() {
        let (slots, mut disk) = (Slots::new(), Counting(0));
        (0..3).for_each(|id| assert!(slots.put(job(id)).is_ok()));
        assert!(slots.work(&mut disk));
        slots.cancel();
        assert!(!slots.work(&mut disk));
        assert_eq!(disk.0, 512);
        let results: Vec<_> = core::iter::from_fn(|| slots.take()).map(|job| job.result).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        assert_eq!(results.len(), 3);
    }
}
