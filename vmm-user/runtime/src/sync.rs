//! A lock between the threads of a process.
//!
//! On one processor the most urgent thread runs, as long as it can. One that spun for a lock which a less
//! urgent thread has would keep that one from ever giving it back. So who waits leaves its processor to all
//! others for a while, and looks again.

use spin::relax::RelaxStrategy;

/// A lock that a thread of any priority may wait for.
pub type Mutex<T> = spin::mutex::SpinMutex<T, LeaveProcessor>;

/// For how long, in ticks of the TSC: some microseconds on any processor, more than most locks are held.
const PAUSE_TICKS: u64 = 20_000;

/// Waits by leaving the processor to others.
pub struct LeaveProcessor;

impl RelaxStrategy for LeaveProcessor {
    #[cold]
    fn relax() {
        core::hint::spin_loop();
        // The host's threads are no threads of Plinth's.
        #[cfg(target_os = "none")]
        crate::syscall::yield_until(crate::syscall::tsc().saturating_add(PAUSE_TICKS));
        #[cfg(not(target_os = "none"))]
        let _ = PAUSE_TICKS;
    }
}
