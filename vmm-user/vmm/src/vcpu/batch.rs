//! A batch of operations that do not depend on each other.

use runtime::abi::operation::Operation;
use runtime::abi::status::Status;

/// Has all operations executed. One that fails ends its batch, but is not to take those behind it along: they
/// may be other vCPUs' kicks.
pub fn submit_all(
    mut batch: &mut [Operation],
    mut execute: impl FnMut(&mut [Operation]) -> Result<(), (Status, usize)>,
    mut failed: impl FnMut(Status, &Operation),
) {
    while !batch.is_empty() {
        let Err((status, index)) = execute(batch) else { return };
        // An index past the end names no operation to go on behind: the same batch would be tried without
        // end.
        let Some((operation, rest)) = batch.get_mut(index..).and_then(<[_]>::split_first_mut) else { return };
        failed(status, operation);
        batch = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use runtime::abi::operation::{Call, VcpuKick};

    fn operation(handle: u32) -> Operation {
        VcpuKick { work: 1, reserved: 0 }.on(handle)
    }

    fn run(bad: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let mut batch: Vec<Operation> = (0..6).map(operation).collect();
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        let execute = |batch: &mut [Operation]| {
            for (index, operation) in batch.iter().enumerate() {
                if bad.contains(&operation.handle) {
                    return Err((Status::BadHandle, index));
                }
                done.push(operation.handle);
            }
            Ok(())
        };
        submit_all(&mut batch, execute, |status, operation| {
            assert_eq!(status, Status::BadHandle);
            failed.push(operation.handle);
        });
        (done, failed)
    }

    #[test]
    fn what_is_behind_a_failed_operation_is_executed() {
        for bad in [&[][..], &[0], &[5], &[2, 3], &[0, 2, 4], &[0, 1, 2, 3, 4, 5]] {
            let (done, failed) = run(bad);
            let good: Vec<u32> = (0..6).filter(|handle| !bad.contains(handle)).collect();
            assert_eq!((done, &failed[..]), (good, bad));
        }
    }

    #[test]
    fn an_index_that_is_none_ends_it() {
        let mut batch = [operation(0); 3];
        let mut calls = 0;
        let execute = |_: &mut [Operation]| {
            calls += 1;
            Err((Status::BadHandle, 3))
        };
        submit_all(&mut batch, execute, |_, _| panic!("no operation failed"));
        assert_eq!(calls, 1);
    }
}
