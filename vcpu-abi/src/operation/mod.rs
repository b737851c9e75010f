//! Operations: what a process asks of an object it holds a handle to. One or many are given in a batch.
//!
//! An operation is 64 bytes: code, flags, handle, status, and a payload whose type the code decides. Each is
//! declared once, in the modules here, by `operations!`; the kernel's dispatch
//! ([`with_operation!`](crate::with_operation)), the runtime's wrappers and the C header derive from the
//! declaration.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::run_page::PAGE_BYTES;

pub mod budget;
#[macro_use]
mod channel;
#[macro_use]
mod declare;
#[macro_use]
mod event;
#[macro_use]
mod file;
#[macro_use]
mod guest;
#[macro_use]
mod host;
mod object;
#[macro_use]
mod process;
mod rights;
#[macro_use]
mod shared;
#[macro_use]
mod system;

pub use self::declare::Payload;
use self::declare::is_reserved;
pub use self::object::{ObjectKind, Objects};
pub use self::rights::{Permissions, Rights};
pub use self::system::{end_reason, handled};

/// Size of [`Operation::payload`].
pub const PAYLOAD_BYTES: usize = 48;

/// The most operations a batch may have: a page full.
pub const BATCH_MAX: usize = PAGE_BYTES / size_of::<Operation>();

/// In [`Operation::flags`]: go on with the next operation when this one fails.
pub const FLAG_CONTINUE: u32 = 1 << 0;

/// A handle: an index into the process's handle table. 0 is never a handle.
pub type Handle = u32;

/// The process's own handle, in every process.
pub const HANDLE_SELF: Handle = 1;

/// One operation. The kernel takes them at any address.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Operation {
    /// Which: [`Call::CODE`].
    pub code: u32,
    /// `FLAG_*`; other bits are zero.
    pub flags: u32,
    /// The object.
    pub handle: Handle,
    /// Kernel: a [`Status`](crate::status::Status) code, once executed.
    pub status: i32,
    /// The arguments; results are written over them.
    pub payload: [u8; PAYLOAD_BYTES],
}

const _: () = assert!(size_of::<Operation>() == 64 && BATCH_MAX == 64);

/// A typed operation: its payload, with the code, the kind of object and the rights it takes.
pub trait Call: FromBytes + IntoBytes + Immutable + KnownLayout + Copy {
    /// The object, as a kernel knows it.
    type Object<O: Objects>;
    /// The object.
    const OBJECT: ObjectKind;
    /// The code: the object's kind in the high half.
    const CODE: u32;
    /// What the handle must allow.
    const RIGHTS: Rights;
    /// The name, as documents and logs have it.
    const NAME: &'static str;

    /// Whether the fields named `reserved` are zero. The kernel refuses an operation in which they are not,
    /// so that they can get a meaning.
    fn reserved_is_zero(&self) -> bool;

    /// This operation on `handle`.
    fn on(self, handle: Handle) -> Operation {
        const { assert!(size_of::<Self>() <= PAYLOAD_BYTES) };
        let mut payload = [0; PAYLOAD_BYTES];
        // The payload is at least as long as the type: asserted above.
        let _ = self.write_to_prefix(&mut payload);
        Operation { code: Self::CODE, flags: 0, handle, status: 0, payload }
    }

    /// The payload read back from an operation.
    fn from_operation(operation: &Operation) -> Self {
        const { assert!(size_of::<Self>() <= PAYLOAD_BYTES) };
        match Self::read_from_prefix(&operation.payload) {
            Ok((value, _)) => value,
            // Not reached, by the assertion above; a value all the same, so that nothing here can panic.
            Err(_) => Self::new_zeroed(),
        }
    }
}

// The last of the names is that of the macro which declares what all the others have handed on.
system_operations! {
    [file_operations process_operations event_operations guest_operations host_operations
     channel_operations shared_operations operations] $
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_of_reserved_fields_are_theirs() {
        for payload in PAYLOADS {
            let bytes: usize = payload.fields.iter().map(|(_, t)| if *t == "u64" { 8 } else { 4 }).sum();
            assert_eq!(bytes, payload.bytes);
        }
        assert_eq!(PAYLOADS[0].reserved(), None);
        let write = OPERATIONS.iter().position(|(code, _)| *code == LogWrite::CODE).map(|i| &PAYLOADS[i]);
        assert_eq!(write.and_then(Payload::reserved), Some(20..24));
    }

    #[test]
    fn each_code_has_its_operation() {
        for (code, name) in OPERATIONS {
            assert_eq!(
                with_operation!(*code, C => Some((C::CODE, C::NAME)), else None),
                Some((*code, *name))
            );
        }
        assert_eq!(with_operation!(0, C => Some(C::NAME), else None), None);
        assert_eq!(with_operation!(VcpuKick::CODE | 0xff, C => Some(C::NAME), else None), None);
    }

    #[test]
    fn reserved_fields_are_looked_at() {
        let good = LogWrite { address: 1, bytes: 2, level: 3, reserved: 0 };
        assert!(good.reserved_is_zero());
        assert!(!LogWrite { reserved: 1, ..good }.reserved_is_zero());
        assert!(!EventSignal { reserved: 1 << 63 }.reserved_is_zero());
        assert!(SystemCpuid { eax: 1, ebx: 2, ecx: 3, edx: 4 }.reserved_is_zero());
    }
}
