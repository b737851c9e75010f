//! The processor itself as the oracle.
//!
//! A process that has nothing else to do (`native-oracle`) maps a page of code and some pages of data at
//! fixed addresses. A case is run by a signal handler that loads its registers by returning; it ends with a
//! second signal, from a breakpoint behind the instruction or from the fault it takes, whose handler saves
//! what came of it. So all of a case's state, 32- and 16-bit code segments included, is loaded and stored by
//! the kernel.
#![allow(
    unsafe_code,
    reason = "runs arbitrary instructions by way of signals, descriptor tables and fixed mappings; \
              traces a child"
)]

mod cases;
mod compare;
pub mod count;
mod descriptors;
mod guest_table;
mod mapping;
mod processor;
mod twin;

pub use compare::{Report, run};
pub use guest_table::{Summary as GuestTable, table as guest_table};
