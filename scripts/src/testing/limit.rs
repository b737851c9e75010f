//! The time limit of a check. A check that hangs waits for a program: when its time is over the programs that
//! it started are killed, with all of their children, so that it ends and the run goes on. (Those of a check
//! that runs beside it as well: this program does not know who of its threads has started which.)

mod processes;

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often what a late check has started meanwhile is killed.
const AGAIN: Duration = Duration::from_millis(100);

/// A limit that runs. It stops when this is dropped.
#[derive(Debug)]
pub struct Limit {
    limit: Duration,
    end: Option<Sender<()>>,
    watch: Option<JoinHandle<bool>>,
}

impl Limit {
    /// Starts the time. When it is over all that this program has started is killed. A check that none the
    /// less goes on for as long as `grace` hangs by itself, and no thread can be stopped from outside: then
    /// `give_up` is called, which is expected to end this program.
    pub fn start(limit: Duration, grace: Duration, give_up: impl FnOnce() + Send + 'static) -> Self {
        processes::adopt_orphans();
        let (end, ended) = channel();
        let watch = std::thread::spawn(move || watch(&ended, limit, grace, give_up));
        Self { limit, end: Some(end), watch: Some(watch) }
    }

    /// Stops the time; returns what to say if it was over before.
    pub fn finish(mut self) -> Option<String> {
        self.stop().then(|| {
            let seconds = self.limit.as_secs();
            format!("no end after {seconds} s (PLINTH_CHECK_LIMIT): the programs that it started were killed")
        })
    }

    fn stop(&mut self) -> bool {
        // The watch sees the channel close, and ends at once.
        self.end = None;
        // A watch that panicked has watched nothing: better a check that fails than one without a limit.
        self.watch.take().is_some_and(|watch| watch.join().unwrap_or(true))
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits for the end of the check or of its time; returns whether its time came first.
fn watch(ended: &Receiver<()>, limit: Duration, grace: Duration, give_up: impl FnOnce()) -> bool {
    let goes_on = |time| matches!(ended.recv_timeout(time), Err(RecvTimeoutError::Timeout));
    if !goes_on(limit) {
        return false;
    }
    let late = Instant::now();
    processes::kill_all();
    while goes_on(AGAIN) {
        if late.elapsed() >= grace {
            give_up();
            return true;
        }
        // Again, as a check may start the next program when the first one has gone.
        processes::kill_all();
    }
    true
}
