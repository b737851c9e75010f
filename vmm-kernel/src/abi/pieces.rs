//! Calls that take long, piece by piece: between two of them interrupts are taken and other threads have
//! their turn.

use vcpu_abi::status::Status;

use super::execute::Done;
use crate::memory::narrowing::{Cached, Narrowing};
use crate::task::scheduler;

/// Lets others have their turn. The process may have ended meanwhile: the caller then comes back, and nobody
/// sees with which status.
fn take_turns() -> Done {
    if scheduler::take_turns() { Ok(()) } else { Err(Status::WrongState) }
}

/// Gives back the frames of tables that nobody uses any more. Of a process that ends meanwhile the rest is
/// left to others.
pub fn give_back() {
    while scheduler::give_back() && scheduler::take_turns() {}
}

/// Does what is so many bytes long. `piece` is given how many are done, and returns how many more it did.
pub fn in_pieces(bytes: u64, mut piece: impl FnMut(u64) -> Result<u64, Status>) -> Done {
    // The first without a question: what is short is done at once, and an empty range is the piece's to
    // refuse.
    let mut done = piece(0)?;
    while done < bytes {
        take_turns()?;
        done += piece(done)?;
    }
    Ok(())
}

/// Does a piece as long as there is more, as that returns.
pub fn while_some(mut piece: impl FnMut() -> Result<bool, Status>) -> Done {
    while piece()? {
        take_turns()?;
    }
    Ok(())
}

/// Does all of a change, and has processors forget what was there before.
pub fn to_the_end<C: Cached>(mut change: Narrowing<'_, C>) -> Done {
    // On each way out the change is dropped, and processors forget what was taken away up to there.
    while change.some()? {
        take_turns()?;
    }
    Ok(())
}
