//! Structures of part 2 as they are on the wire.

pub(crate) mod pcr_selection;
pub(crate) mod public;
pub(crate) mod scheme;
pub(crate) mod sensitive;
pub(crate) mod signature;
pub(crate) mod ticket;
