//! A lock between the threads of a process.
//!
//! On one processor the most urgent thread runs, as long as it can. One that spun for a lock which a less
//! urgent thread has would keep that one from ever giving it back. So who waits leaves its processor to all
//! others for a while, and looks again. That is a system call; where all who take a lock have one priority,
//! as the VMM's vCPUs, `spin`'s costs less on the way of each exit, and their turns end by themselves.

pub use spin::MutexGuard;

/// For how long, in ticks of the TSC: some microseconds on any processor, more than most locks are held.
const PAUSE_TICKS: u64 = 20_000;

/// A lock that a thread of any priority may wait for.
#[derive(Debug, Default)]
pub struct Mutex<T: ?Sized>(spin::Mutex<T>);

impl<T> Mutex<T> {
    /// A lock that nobody has.
    pub const fn new(value: T) -> Self {
        Self(spin::Mutex::new(value))
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until nobody else has the lock.
    #[inline(always)]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        match self.try_lock() {
            Some(guard) => guard,
            None => self.wait(),
        }
    }

    /// The same without waiting: `None` while another has it.
    #[inline(always)]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock()
    }

    // Not a part of what is done when nobody has it, which is almost always so.
    #[cold]
    #[inline(never)]
    fn wait(&self) -> MutexGuard<'_, T> {
        loop {
            core::hint::spin_loop();
            leave_processor();
            if let Some(guard) = self.try_lock() {
                return guard;
            }
        }
    }
}

fn leave_processor() {
    // The host's threads are no threads of Plinth's.
    #[cfg(target_os = "none")]
    crate::syscall::yield_until(crate::syscall::tsc().saturating_add(PAUSE_TICKS));
    #[cfg(not(target_os = "none"))]
    let _ = PAUSE_TICKS;
}
