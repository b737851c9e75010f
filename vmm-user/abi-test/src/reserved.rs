//! What has no meaning yet is refused, so that it can get one: reserved fields of operations, and the upper
//! half of `SYS_RUN`'s handle.
#![allow(unsafe_code, reason = "a system call with an argument that the runtime does not make")]

use runtime::abi::operation::{
    Call, HANDLE_SELF, LogWrite, OPERATIONS, Operation, PAYLOADS, PortRead, PortWrite, SystemEnd, VmMap,
    end_reason,
};
use runtime::abi::status::Status;
use runtime::{process, syscall};

use crate::handles::{KINDS, one_of_each};
use crate::suite::Suite;

/// Sets the reserved field, if there is one, of an operation that is the one with this index.
pub fn set(operation: &mut Operation, index: usize, value: u64) -> bool {
    let place = PAYLOADS.get(index).and_then(|p| p.reserved()).and_then(|r| operation.payload.get_mut(r));
    place.is_some_and(|place| {
        place.iter_mut().zip(value.to_le_bytes()).for_each(|(to, from)| *to = from);
        true
    })
}

/// An operation that would not be refused for another argument.
fn good(code: u32) -> Operation {
    match code {
        LogWrite::CODE => LogWrite { address: 0, bytes: 0, level: 4, reserved: 0 }.on(0),
        PortRead::CODE => PortRead { offset: 7, width: 1, value: 0, reserved: 0 }.on(0),
        PortWrite::CODE => PortWrite { offset: 7, width: 1, value: 0, reserved: 0 }.on(0),
        VmMap::CODE => VmMap { memory: 0, reserved: 0, gpa: 0x800_0000, bytes: 4096 }.on(0),
        SystemEnd::CODE => SystemEnd { reason: end_reason::TESTS_FAILED, reserved: 0 }.on(0),
        _ => Operation { code, flags: 0, handle: 0, status: 0, payload: [0; 48] },
    }
}

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let objects = match one_of_each(suite) {
        Ok(objects) => objects,
        Err(status) => return suite.check(false, format_args!("one of each object: {status:?}")),
    };
    let mut tried = 0;
    for (index, (code, name)) in OPERATIONS.iter().enumerate() {
        let of_kind =
            |(kind, _): &&(&str, u32)| KINDS.iter().any(|(n, k)| n == kind && *k as u32 == code >> 16);
        let handle = objects.iter().find(of_kind).map_or(HANDLE_SELF, |(_, handle)| *handle);
        for value in [1, 1 << 31, 0x100, 1 << 63 | 1] {
            let mut batch = [Operation { handle, ..good(*code) }];
            if set(&mut batch[0], index, value) {
                let status = syscall::batch(&mut batch).err().map_or(Status::Ok, |(status, _)| status);
                let what = format_args!("{name} with a reserved field of {value:#x}: {status:?}");
                suite.check(status == Status::BadArgument, what);
                tried += 1;
            }
        }
    }
    suite.check(tried > 60, format_args!("only {tried} tried"));
    let vcpu = objects.iter().find(|(name, _)| *name == "vcpu").map_or(0, |(_, handle)| *handle);
    for upper in [1 << 32, 1 << 63, u64::MAX << 32] {
        // SAFETY: the kernel writes nothing when it refuses the handle, and the run page otherwise.
        let (status, _) = unsafe { syscall::raw_run(upper | u64::from(vcpu)) };
        let status = Status::from_code(status as i32);
        suite
            .check(status == Some(Status::BadHandle), format_args!("a run of {upper:#x} | vCPU: {status:?}"));
    }
    for (name, handle) in objects {
        if suite.start.handle(name).is_none() {
            suite.expect(process::close(handle), Status::Ok, format_args!("closing {name}"));
        }
    }
}
