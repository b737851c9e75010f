//! Commands and responses between the threads that serve registers and the one that executes.
//!
//! There is one parcel, and it belongs to one side at a time: `state` says to which. So no thread ever waits
//! for the lock around it: that would keep a vCPU from running where the two threads share a processor.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, Ordering};

use spin::Mutex;
use zeroize::Zeroizing;

/// The parcel is the registers' side's, and empty.
const FREE: u8 = 0;
/// It is the executing side's, with a command.
const ORDERED: u8 = 1;
/// It is the registers' side's, with a response.
const DONE: u8 = 2;

/// Bytes of a command or a response. Either may have secrets.
pub type Bytes = Zeroizing<Vec<u8>>;

#[derive(Default)]
struct Parcel {
    locality: u8,
    bytes: Bytes,
}

/// Where a command goes to, and its response comes from.
#[derive(Default)]
pub struct Exchange {
    state: AtomicU8,
    parcel: Mutex<Parcel>,
}

impl Exchange {
    /// Gives a command to the executing side. `false`: that has another one, or the response of one has not
    /// been taken.
    pub fn order(&self, locality: u8, bytes: Bytes) -> bool {
        if self.state.load(Ordering::Acquire) != FREE {
            return false;
        }
        // Nobody holds the lock: the state was free, and only this side leaves it.
        *self.parcel.lock() = Parcel { locality, bytes };
        self.state.store(ORDERED, Ordering::Release);
        true
    }

    /// The response of the command that was ordered, once it is there.
    pub fn take_response(&self) -> Option<Bytes> {
        if self.state.load(Ordering::Acquire) != DONE {
            return None;
        }
        // Taken, not copied: no secret stays in the parcel.
        let response = core::mem::take(&mut self.parcel.lock().bytes);
        self.state.store(FREE, Ordering::Release);
        Some(response)
    }

    /// Executes the command that was ordered: from a locality, a command and where its response goes.
    /// `false`: there is none.
    pub fn execute(&self, execute: impl FnOnce(u8, &[u8], &mut Vec<u8>)) -> bool {
        if self.state.load(Ordering::Acquire) != ORDERED {
            return false;
        }
        // Taken out, and the lock let go of: a command may take seconds.
        let Parcel { locality, bytes } = core::mem::take(&mut *self.parcel.lock());
        let mut response = Bytes::default();
        execute(locality, &bytes, &mut response);
        self.parcel.lock().bytes = response;
        self.state.store(DONE, Ordering::Release);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_goes_and_its_response_comes() {
        let exchange = Exchange::default();
        assert!(!exchange.execute(|_, _, _| panic!("nothing was ordered")));
        assert!(exchange.take_response().is_none());
        assert!(exchange.order(3, Bytes::new([1, 2].into())));
        assert!(!exchange.order(0, Bytes::default()), "one at a time");
        assert!(exchange.take_response().is_none());
        assert!(exchange.execute(|locality, command, response| {
            assert_eq!((locality, command), (3, &[1, 2][..]));
            response.push(9);
        }));
        assert!(!exchange.order(0, Bytes::default()), "its response comes first");
        assert_eq!(**exchange.take_response().unwrap(), [9]);
        assert!(exchange.take_response().is_none() && exchange.order(0, Bytes::default()));
    }
}
