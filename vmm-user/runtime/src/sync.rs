//! A lock between the threads of a process.
//!
//! On one processor the most urgent thread runs, as long as it can. One that spun for a lock which a less
//! urgent thread has would keep that one from ever giving it back. So who waits spins for a moment, as the
//! thread may be running on another processor, and then leaves its own to all others for a while.

use spin::relax::RelaxStrategy;

/// A lock that a thread of any priority may wait for.
pub type Mutex<T> = spin::mutex::SpinMutex<T, LeaveProcessor>;

/// How often the processor pauses before it is left to others.
const PAUSES: u32 = 16;
/// For how long, in ticks of the TSC: some microseconds on any processor, more than most locks are held.
const PAUSE_TICKS: u64 = 20_000;

/// Waits by leaving the processor to others.
pub struct LeaveProcessor;

impl RelaxStrategy for LeaveProcessor {
    #[cold]
    fn relax() {
        for _ in 0..PAUSES {
            core::hint::spin_loop();
        }
        // The host's threads are no threads of Plinth's.
        #[cfg(target_os = "none")]
        crate::syscall::yield_until(crate::syscall::tsc().saturating_add(PAUSE_TICKS));
        #[cfg(not(target_os = "none"))]
        let _ = PAUSE_TICKS;
    }
}
