//! What each operation has to bring along.

use vcpu_abi::operation::Call;
use vcpu_abi::status::Status;

use crate::object::pool::Ref;
use crate::task::handle::Kinds;
use crate::task::process::Process;

/// How an operation ends.
pub type Done = Result<(), Status>;

/// What an operation does. Each has its own, in the modules here: of one without, the
/// [dispatch](super::dispatch) would not compile.
pub trait Execute: Call {
    /// Whether it may only be the last one of its batch.
    const ENDS_BATCH: bool = false;

    /// Does it, on the object that its handle names, and leaves its results in the payload.
    fn execute(&mut self, caller: &Ref<Process>, object: Self::Object<Kinds>) -> Done;
}
