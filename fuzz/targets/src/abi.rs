//! The operations of a batch, as a kernel reads them.

use std::ops::Range;

use vcpu_abi::operation::{Call, OPERATIONS, Operation, PAYLOADS};
use zerocopy::FromBytes;

/// 64 bytes as an operation of each kind in turn: the payload is what lies there, written back it is the
/// same, and it is refused exactly when one of the bytes is not zero that the ABI says have no meaning.
///
/// # Panics
/// If a property does not hold.
pub fn operation(input: &[u8]) {
    let mut bytes = [0; size_of::<Operation>()];
    bytes.iter_mut().zip(input).for_each(|(to, from)| *to = *from);
    let Ok(operation) = Operation::read_from_bytes(&bytes) else { panic!("an operation is 64 bytes") };
    for ((code, name), payload) in OPERATIONS.iter().zip(PAYLOADS) {
        let reserved = payload.reserved().unwrap_or(0..0);
        vcpu_abi::with_operation!(*code, C => check::<C>(&operation, reserved), else {
            panic!("{name} is none")
        });
    }
}

fn check<C: Call>(operation: &Operation, reserved: Range<usize>) {
    let payload = C::from_operation(operation);
    let is_zero = operation.payload.get(reserved).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0));
    assert_eq!(payload.reserved_is_zero(), is_zero, "{}", C::NAME);
    let again = payload.on(operation.handle);
    assert_eq!((again.code, again.handle, again.flags), (C::CODE, operation.handle, 0));
    let (own, rest) = again.payload.split_at(size_of::<C>());
    assert_eq!(Some(own), operation.payload.get(..own.len()), "{}", C::NAME);
    assert!(rest.iter().all(|byte| *byte == 0), "{}", C::NAME);
}
