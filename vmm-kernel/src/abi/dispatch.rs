//! From an operation's code to what it does, by the one declaration of all operations in `vcpu-abi`.

use vcpu_abi::operation::{FLAG_CONTINUE, Operation};
use vcpu_abi::status::Status;
use vcpu_abi::with_operation;

use super::execute::{Done, Execute, Kinds};
use crate::cpu::masked_time;
use crate::object::pool::Ref;
use crate::task::handle::HandleObject;
use crate::task::process::Process;

/// Resolves the object, reads the payload, does what is asked, writes the payload back.
fn call<C: Execute>(process: &Ref<Process>, operation: &mut Operation, last: bool) -> Done
where
    C::Object<Kinds>: HandleObject,
{
    if C::ENDS_BATCH && !last {
        return Err(Status::BadOperation);
    }
    let object = Process::find(process, operation.handle, C::RIGHTS)?;
    let mut payload = C::from_operation(operation);
    // So that the field can get a meaning: no process may have come to rely on its being passed over.
    if !payload.reserved_is_zero() {
        return Err(Status::BadArgument);
    }
    payload.execute(process, object)?;
    let bytes = payload.as_bytes();
    operation.payload.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    Ok(())
}

/// Executes one operation. `last`: it ends its batch, so it may be a run.
pub fn execute(process: &Ref<Process>, operation: &mut Operation, last: bool) -> Status {
    // Bits without a meaning are refused like reserved fields, and for the same reason.
    if operation.flags & !FLAG_CONTINUE != 0 {
        return Status::BadArgument;
    }
    masked_time::name(operation.code);
    let done = with_operation!(
        operation.code,
        C => call::<C>(process, operation, last),
        else Err(Status::BadOperation)
    );
    match done {
        Ok(()) => Status::Ok,
        Err(status) => status,
    }
}
