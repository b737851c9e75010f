//! Operations: what a process asks of an object it holds a handle to. One or many are given in a batch.
//!
//! An operation is 64 bytes: code, flags, handle, status, and a payload whose type the code decides. Each is
//! declared once, below, by `operations!`; the kernel's dispatch
//! ([`with_operation!`](crate::with_operation)), the runtime's wrappers and the C header derive from the
//! declaration.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::run_page::PAGE_BYTES;

/// Size of [`Operation::payload`].
pub const PAYLOAD_BYTES: usize = 48;

/// The most operations a batch may have: a page full.
pub const BATCH_MAX: usize = PAGE_BYTES / size_of::<Operation>();

/// In [`Operation::flags`]: go on with the next operation when this one fails.
pub const FLAG_GO_ON: u32 = 1 << 0;

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

bitflags! {
    /// What a handle allows. A child gets at most what its parent has.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Rights: u32 {
        /// Read its contents or state.
        const READ = 1 << 0;
        /// Change its contents or state.
        const WRITE = 1 << 1;
        /// Map it.
        const MAP = 1 << 2;
        /// Create other objects from it.
        const CREATE = 1 << 3;
        /// Wait for it.
        const WAIT = 1 << 4;
        /// Signal or kick it.
        const SIGNAL = 1 << 5;
        /// Run or start it.
        const RUN = 1 << 6;
        /// Give it to a child.
        const GRANT = 1 << 7;
    }
}

/// Kinds of object; the high half of an operation's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ObjectKind {
    /// The machine as a whole.
    System = 1,
    /// The kernel's log.
    Log = 2,
    /// The image's directory of files.
    Files = 3,
    /// One file of it.
    File = 4,
    /// A process.
    Process = 5,
    /// An event.
    Event = 6,
    /// Guest memory: what of the machine's memory is not Plinth's.
    GuestMemory = 7,
    /// A virtual machine.
    Vm = 8,
    /// A virtual processor.
    Vcpu = 9,
    /// A range of the host's I/O ports.
    HostPorts = 10,
    /// An interrupt line of the host.
    HostInterrupt = 11,
}

/// The types by which a kernel knows the objects, one for each [`ObjectKind`].
pub trait Objects {
    /// The machine as a whole.
    type System;
    /// The kernel's log.
    type Log;
    /// The image's directory of files.
    type Files;
    /// One file of it.
    type File;
    /// A process.
    type Process;
    /// An event.
    type Event;
    /// Guest memory.
    type GuestMemory;
    /// A virtual machine.
    type Vm;
    /// A virtual processor.
    type Vcpu;
    /// A range of the host's I/O ports.
    type HostPorts;
    /// An interrupt line of the host.
    type HostInterrupt;
}

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

/// How a payload is laid out, for the C header and for tests.
#[derive(Clone, Copy, Debug)]
pub struct Payload {
    /// Its size.
    pub bytes: usize,
    /// Name and Rust type of each field, in order.
    pub fields: &'static [(&'static str, &'static str)],
}

impl Payload {
    /// The bytes of the reserved field, if there is one.
    pub fn reserved(&self) -> Option<core::ops::Range<usize>> {
        // There is no padding: a payload can be seen as bytes.
        let mut start = 0;
        for (name, field_type) in self.fields {
            let end = start + if *field_type == "u64" { 8 } else { 4 };
            if is_reserved(name) {
                return Some(start..end);
            }
            start = end;
        }
        None
    }
}

/// Whether a field has no meaning yet.
const fn is_reserved(field: &str) -> bool {
    matches!(field.as_bytes(), b"reserved")
}

/// Declares operations: `Name(Object, number, RIGHTS) { field: type, ... }`, each with its documents. `$d` is
/// a dollar sign, for the macro that is declared within.
macro_rules! operations {
    ($d:tt $($(#[$meta:meta])* $name:ident($object:ident, $number:literal, $($right:ident)|+) {
        $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
    })*) => {
        $(
            $(#[$meta])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
            pub struct $name {
                $($(#[$field_meta])* pub $field: $type,)*
            }

            impl Call for $name {
                type Object<O: Objects> = O::$object;
                const OBJECT: ObjectKind = ObjectKind::$object;
                const CODE: u32 = (ObjectKind::$object as u32) << 16 | $number;
                const RIGHTS: Rights = Rights::empty()$(.union(Rights::$right))+;
                const NAME: &'static str = stringify!($name);

                #[inline]
                fn reserved_is_zero(&self) -> bool {
                    true $(&& (const { !is_reserved(stringify!($field)) } || self.$field == 0))*
                }
            }
        )*

        /// Code and name of every operation.
        pub const OPERATIONS: &[(u32, &str)] = &[$(($name::CODE, $name::NAME)),*];

        /// The payload of every operation, in the order of [`OPERATIONS`].
        pub const PAYLOADS: &[Payload] = &[$(Payload {
            bytes: size_of::<$name>(),
            fields: &[$((stringify!($field), stringify!($type))),*],
        }),*];

        /// An expression for the operation of a code, with a name for its type: `with_operation!(code, C =>
        /// f::<C>(), else g())`. It must hold for every operation, so that none can be forgotten; `else` is
        /// for codes that are none's.
        #[macro_export]
        macro_rules! with_operation {
            ($d code:expr, $d call:ident => $d then:expr, else $d otherwise:expr) => {
                match $d code {
                    $(<$crate::operation::$name as $crate::operation::Call>::CODE => {
                        type $d call = $crate::operation::$name;
                        $d then
                    })*
                    _ => $d otherwise,
                }
            };
        }
    };
}

operations! { $
    /// Facts about the machine.
    SystemInfo(System, 1, READ) {
        /// Out: frequency of the TSC in Hz, as calibrated.
        tsc_hz: u64,
        /// Out: physical memory that Plinth keeps for itself, in bytes.
        kept_bytes: u64,
        /// Out: of that, how much is free.
        free_bytes: u64,
        /// Out: processors that run.
        cpus: u32,
        /// Out: `BOOT_FLAG_*` of the image.
        boot_flags: u32,
        /// Out: TSC value when the kernel was entered.
        boot_tsc: u64,
    }
    /// Ends the machine. Does not come back.
    SystemEnd(System, 2, WRITE) {
        /// In: [`end_reason`].
        reason: u32,
        /// Zero.
        reserved: u32,
    }
    /// The host's CPUID: hostile.
    SystemCpuid(System, 3, READ) {
        /// In: EAX; out: EAX.
        eax: u32,
        /// Out.
        ebx: u32,
        /// In: ECX; out: ECX.
        ecx: u32,
        /// Out.
        edx: u32,
    }
    /// What the kernel handled by itself, without an exit to the VMM.
    SystemHandled(System, 4, READ) {
        /// In: index into [`handled`].
        index: u32,
        /// Zero.
        reserved: u32,
        /// Out: how often, on all processors.
        count: u64,
    }
    /// Creates a VM.
    SystemCreateVm(System, 5, CREATE) {
        /// Out: the VM, with all rights.
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    /// Writes a line to the log. Control characters are replaced, what is over 240 bytes is cut.
    LogWrite(Log, 1, WRITE) {
        /// In: address of the text.
        address: u64,
        /// In: its length in bytes.
        bytes: u64,
        /// In: 1 error, 2 warning, 3 information, 4 debug.
        level: u32,
        /// Zero.
        reserved: u32,
    }
    /// Finds a file.
    FilesOpen(Files, 1, READ) {
        /// In: address of the name.
        name: u64,
        /// In: its length in bytes.
        name_bytes: u64,
        /// Out: the file, with the rights of the directory's handle.
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    /// What a file is.
    FileInfo(File, 1, READ) {
        /// Out: size in bytes.
        bytes: u64,
        /// Out: for a payload file, where it lies in guest memory; else zero.
        gpa: u64,
        /// Out: `boot::file_kind`.
        kind: u32,
        /// Zero.
        reserved: u32,
    }
    /// Reads from a file of the RAM file system.
    FileRead(File, 2, READ) {
        /// In: where in the file.
        offset: u64,
        /// In: where to.
        address: u64,
        /// In: how much at most; out: how much was read.
        bytes: u64,
    }
    /// Creates a process of an ELF file. It has no handles but [`HANDLE_SELF`] and does not run yet.
    ProcessCreate(File, 3, RUN) {
        /// Out: the process, with all rights.
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    /// Gives a process that does not run yet a handle of the caller's.
    ProcessGrant(Process, 1, WRITE) {
        /// In: the caller's handle; it must have GRANT.
        source: Handle,
        /// In: what the child's handle allows; bits the source lacks are refused.
        rights: u32,
        /// Out: the child's handle.
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    /// Starts a process. Its first thread enters with `RDI` = address of a copy of the start page.
    ProcessStart(Process, 2, RUN) {
        /// In: address of what it is told, at most a page.
        start_page: u64,
        /// In: its length in bytes.
        bytes: u64,
        /// In: the processor it runs on.
        cpu: u32,
        /// In: priority, 0 (lowest) to 3.
        priority: u32,
    }
    /// What became of a process.
    ProcessState(Process, 3, READ) {
        /// Out: 0 not started, 1 running, 2 ended.
        state: u32,
        /// Out: exit code, when ended.
        code: u32,
        /// Out: for an exception: RIP.
        rip: u64,
        /// Out: for a page fault: the address.
        address: u64,
        /// Out: for an exception: its error code.
        error_code: u64,
    }
    /// Asks for an event to be signalled when the process ends; at most four events do.
    ProcessWatch(Process, 4, READ) {
        /// In: an event of the caller's.
        event: Handle,
        /// Zero.
        reserved: u32,
    }
    /// Gives the calling process zeroed memory, readable and writable. On [`HANDLE_SELF`] only.
    ProcessAllocate(Process, 5, WRITE) {
        /// In: where, page-aligned.
        address: u64,
        /// In: how much, in whole pages.
        bytes: u64,
    }
    /// Starts a thread in the calling process. On [`HANDLE_SELF`] only.
    ThreadCreate(Process, 6, WRITE) {
        /// In: RIP.
        entry: u64,
        /// In: RSP.
        stack: u64,
        /// In: RDI.
        argument: u64,
        /// In: the processor it runs on.
        cpu: u32,
        /// In: priority, at most the process's.
        priority: u32,
    }
    /// Creates an event in the calling process. On [`HANDLE_SELF`] only.
    EventCreate(Process, 7, WRITE) {
        /// Out: the event, with all rights.
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    /// Closes one of the calling process's handles. On [`HANDLE_SELF`] only.
    HandleClose(Process, 8, WRITE) {
        /// In: the handle; not [`HANDLE_SELF`].
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    /// Asks that the calling process's threads may use the FPU: its registers are then saved and restored at
    /// their switches. On [`HANDLE_SELF`] only.
    ProcessUseFpu(Process, 9, WRITE) {
        /// Zero.
        reserved: u64,
    }
    /// Signals an event: it stays signalled until one wait has taken it.
    EventSignal(Event, 1, SIGNAL) {
        /// Zero.
        reserved: u64,
    }
    /// Waits until the event is signalled, and takes the signal.
    EventWait(Event, 2, WAIT) {
        /// In: TSC value to wait for at most; `u64::MAX` for ever, 0 not to wait.
        deadline_tsc: u64,
    }
    /// Makes every signal of the event set a bit of a vCPU's `pending_work` and kick it, instead of waking a
    /// waiter.
    EventBindVcpu(Event, 3, WRITE) {
        /// In: a vCPU of the caller's.
        vcpu: Handle,
        /// In: the bit, 8 to 31.
        bit: u32,
    }
    /// A range of the guest's memory.
    MemoryRange(GuestMemory, 1, READ) {
        /// In: which, from 0; NotFound past the last.
        index: u64,
        /// Out: first byte.
        gpa: u64,
        /// Out: size in bytes.
        bytes: u64,
    }
    /// Maps guest memory into the calling process, readable and writable.
    MemoryMap(GuestMemory, 2, MAP) {
        /// In: where, page-aligned.
        address: u64,
        /// In: first byte, page-aligned; all of the range must be guest memory.
        gpa: u64,
        /// In: size, in whole pages.
        bytes: u64,
    }
    /// Maps guest memory into the VM's nested tables, with its own address: all that a range says.
    VmMap(Vm, 1, MAP) {
        /// In: a guest memory handle of the caller's.
        memory: Handle,
        /// Zero.
        reserved: u32,
        /// In: first byte, page-aligned.
        gpa: u64,
        /// In: size, in whole pages.
        bytes: u64,
    }
    /// Gives the VM pages of its own, zeroed, at an address that is not guest memory (a ROM), and maps them
    /// in the calling process.
    VmAllocate(Vm, 2, MAP) {
        /// In: guest physical address, page-aligned.
        gpa: u64,
        /// In: size, in whole pages, at most 256 of them in all.
        bytes: u64,
        /// In: where in the caller, page-aligned.
        address: u64,
        /// In: 1 when the guest may write it.
        writable: u64,
    }
    /// Creates a vCPU and maps its run page and batch page in the calling process.
    VcpuCreate(Vm, 3, CREATE) {
        /// In: where the two pages go, page-aligned.
        address: u64,
        /// In: the processor that it runs on.
        cpu: u32,
        /// Out: the vCPU, with all rights.
        handle: Handle,
    }
    /// Sets `pending_work` bits and makes the vCPU come back from its run, now or at its next start.
    VcpuKick(Vcpu, 1, SIGNAL) {
        /// In: bits to set.
        work: u32,
        /// Zero.
        reserved: u32,
    }
    /// Stores register groups in the run page: of a vCPU of the calling thread's processor that is not in a
    /// run.
    VcpuFetch(Vcpu, 2, READ) {
        /// In: [`Groups`](crate::registers::Groups).
        groups: u32,
        /// Zero.
        reserved: u32,
    }
    /// Runs the vCPU, as `SYS_RUN` without its batch. The last operation of a batch only.
    VcpuRun(Vcpu, 3, RUN) {
        /// Zero.
        reserved: u64,
    }
    /// Reads a port of the host's: hostile.
    PortRead(HostPorts, 1, READ) {
        /// In: which, from the start of the window.
        offset: u32,
        /// In: 1, 2 or 4 bytes.
        width: u32,
        /// Out.
        value: u32,
        /// Zero.
        reserved: u32,
    }
    /// Writes a port of the host's.
    PortWrite(HostPorts, 2, WRITE) {
        /// In: which, from the start of the window.
        offset: u32,
        /// In: 1, 2 or 4 bytes.
        width: u32,
        /// In.
        value: u32,
        /// Zero.
        reserved: u32,
    }
    /// Makes the host's interrupt signal an event.
    InterruptBind(HostInterrupt, 1, WAIT) {
        /// In: an event of the caller's.
        event: Handle,
        /// Zero.
        reserved: u32,
    }
}

/// Why the machine ends, for [`SystemEnd`].
pub mod end_reason {
    /// The guest switched itself off.
    pub const POWER_OFF: u32 = 0;
    /// The guest asked for a reset.
    pub const RESET: u32 = 1;
    /// The guest's processor shut down (triple fault).
    pub const TRIPLE_FAULT: u32 = 2;
    /// The process that ran the guest failed.
    pub const PROCESS_FAILED: u32 = 3;
    /// In-guest tests passed.
    pub const TESTS_PASSED: u32 = 4;
    /// In-guest tests failed.
    pub const TESTS_FAILED: u32 = 5;
    /// The first number that is no reason.
    pub const END: u32 = 6;
}

/// What the kernel handles by itself, for [`SystemHandled`].
pub mod handled {
    /// Host interrupts while a guest ran.
    pub const HOST_INTERRUPT: u32 = 0;
    /// Host NMIs while a guest ran.
    pub const HOST_NMI: u32 = 1;
    /// The first number that is none.
    pub const END: u32 = 2;
    /// The names, by number.
    pub const NAMES: [&str; END as usize] = ["host interrupt", "host nmi"];
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
