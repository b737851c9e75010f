//! Orders and responses between the threads that serve registers and the one that executes.
//!
//! There is one parcel, and it belongs to one side at a time: `state` says to which. So no thread ever waits
//! for the lock around it: that would keep a vCPU from running where the two threads share a processor.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use runtime::sync::Mutex;
use tpm2_engine::presence::{Presence, Request};
use zeroize::Zeroizing;

/// The parcel is the registers' side's, and empty.
const FREE: u8 = 0;
/// It is the executing side's, with an order.
const ORDERED: u8 = 1;
/// It is the registers' side's, with a response.
const DONE: u8 = 2;

/// Bytes of a command or a response. Either may have secrets.
pub type Bytes = Zeroizing<Vec<u8>>;

/// What the executing side is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Execute a command.
    Command {
        /// The locality that it comes from.
        locality: u8,
        /// The command.
        bytes: Bytes,
    },
    /// Keep a request for the machine's next start. The response is one byte, of
    /// [`tpm2_engine::presence::Submitted`].
    Presence(Request),
}

/// What belongs to one of the sides.
#[derive(Default)]
enum Parcel {
    #[default]
    Nothing,
    Order(Order),
    Response(Bytes),
}

/// Where an order goes to, and its response comes from.
#[derive(Default)]
pub struct Exchange {
    state: AtomicU8,
    parcel: Mutex<Parcel>,
    /// What the registers show of physical presence.
    presence: [AtomicU32; 4],
}

impl Exchange {
    /// Gives an order to the executing side. `false`: that has another one, or the response of one has not
    /// been taken.
    pub fn order(&self, order: Order) -> bool {
        if self.state.load(Ordering::Acquire) != FREE {
            return false;
        }
        // Nobody holds the lock: the state was free, and only this side leaves it.
        *self.parcel.lock() = Parcel::Order(order);
        self.state.store(ORDERED, Ordering::Release);
        true
    }

    /// The response to what was ordered, once it is there.
    pub fn take_response(&self) -> Option<Bytes> {
        if self.state.load(Ordering::Acquire) != DONE {
            return None;
        }
        // Taken, not copied: no secret stays in the parcel.
        let parcel = core::mem::take(&mut *self.parcel.lock());
        self.state.store(FREE, Ordering::Release);
        // Nothing else is there when the state says that it is done.
        if let Parcel::Response(response) = parcel { Some(response) } else { Some(Bytes::default()) }
    }

    /// Does what was ordered: from an order, and where its response goes. `false`: there is none.
    pub fn execute(&self, execute: impl FnOnce(Order, &mut Vec<u8>)) -> bool {
        if self.state.load(Ordering::Acquire) != ORDERED {
            return false;
        }
        // Taken out, and the lock let go of: a command may take seconds.
        let parcel = core::mem::take(&mut *self.parcel.lock());
        let mut response = Bytes::default();
        if let Parcel::Order(order) = parcel {
            execute(order, &mut response);
        }
        *self.parcel.lock() = Parcel::Response(response);
        self.state.store(DONE, Ordering::Release);
        true
    }

    /// Shows what is kept of physical presence. The executing side does it before it responds.
    pub fn show(&self, presence: &Presence) {
        let Presence { pending, last, response, .. } = presence;
        let values = [pending.operation, pending.parameter, *last, *response];
        for (place, value) in self.presence.iter().zip(values) {
            place.store(value, Ordering::Release);
        }
    }

    /// What was shown last: the pending operation, its parameter, the last one, its response.
    pub fn shown(&self) -> [u32; 4] {
        self.presence.each_ref().map(|place| place.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(locality: u8, bytes: &[u8]) -> Order {
        Order::Command { locality, bytes: Bytes::new(bytes.to_vec()) }
    }

    #[test]
    fn a_command_goes_and_its_response_comes() {
        let exchange = Exchange::default();
        assert!(!exchange.execute(|_, _| panic!("nothing was ordered")));
        assert!(exchange.take_response().is_none());
        assert!(exchange.order(command(3, &[1, 2])));
        assert!(!exchange.order(command(0, &[])), "one at a time");
        assert!(exchange.take_response().is_none());
        assert!(exchange.execute(|order, response| {
            assert_eq!(order, command(3, &[1, 2]));
            response.push(9);
        }));
        assert!(!exchange.order(command(0, &[])), "its response comes first");
        assert_eq!(**exchange.take_response().unwrap(), [9]);
        assert!(exchange.take_response().is_none());
        assert!(exchange.order(Order::Presence(Request { operation: 5, parameter: 0 })));
    }
}
