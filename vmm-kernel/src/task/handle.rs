//! Handles: what a process may name, and what it may do with it.

use vcpu_abi::operation::{Call, HANDLE_SELF, Handle, ObjectKind, Operation, Rights};
use vcpu_abi::status::Status;

use super::event::Event;
use super::files::File;
use super::process::Process;
use crate::guest::vcpu::Vcpu;
use crate::guest::vm::Vm;
use crate::object::pool::Ref;

/// The most handles a process holds.
pub const HANDLES_MAX: usize = 96;

/// A range of the host's I/O ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPorts {
    /// First port.
    pub first: u16,
    /// How many.
    pub count: u16,
}

/// What a handle names.
#[derive(Clone)]
pub enum Object {
    /// The machine.
    System,
    /// The log, with the name under which the process writes.
    Log,
    /// The directory.
    Files,
    /// A file, by its place in the directory.
    File(File),
    /// A process.
    Process(Ref<Process>),
    /// An event.
    Event(Ref<Event>),
    /// Guest memory.
    GuestMemory,
    /// A virtual machine.
    Vm(Ref<Vm>),
    /// A virtual processor.
    Vcpu(Ref<Vcpu>),
    /// Ports.
    HostPorts(HostPorts),
    /// An interrupt line.
    HostInterrupt(u8),
}

impl Object {
    fn kind(&self) -> ObjectKind {
        match self {
            Self::System => ObjectKind::System,
            Self::Log => ObjectKind::Log,
            Self::Files => ObjectKind::Files,
            Self::File(_) => ObjectKind::File,
            Self::Process(_) => ObjectKind::Process,
            Self::Event(_) => ObjectKind::Event,
            Self::GuestMemory => ObjectKind::GuestMemory,
            Self::Vm(_) => ObjectKind::Vm,
            Self::Vcpu(_) => ObjectKind::Vcpu,
            Self::HostPorts(_) => ObjectKind::HostPorts,
            Self::HostInterrupt(_) => ObjectKind::HostInterrupt,
        }
    }
}

/// An entry of a handle table.
#[derive(Clone)]
pub struct Entry {
    /// What.
    pub object: Object,
    /// What may be done with it.
    pub rights: Rights,
}

/// A process's handles. Handle `n` is entry `n`; entry 0 stays empty, entry 1 is the process itself and not stored (it would
/// keep itself alive).
pub struct HandleTable {
    entries: [Option<Entry>; HANDLES_MAX],
}

impl HandleTable {
    /// No handles.
    pub const fn new() -> Self {
        Self { entries: [const { None }; HANDLES_MAX] }
    }

    /// Adds one.
    pub fn insert(&mut self, object: Object, rights: Rights) -> Result<Handle, Status> {
        let first = HANDLE_SELF as usize + 1;
        let free = self.entries.iter().skip(first).position(Option::is_none).ok_or(Status::Exhausted)?;
        let index = first + free;
        if let Some(place) = self.entries.get_mut(index) {
            *place = Some(Entry { object, rights });
        }
        Ok(index as Handle)
    }

    /// Finds one.
    pub fn get(&self, handle: Handle) -> Result<&Entry, Status> {
        self.entries.get(handle as usize).and_then(Option::as_ref).ok_or(Status::BadHandle)
    }

    /// Removes one. What it named is dropped by the caller, outside of the table's lock.
    pub fn remove(&mut self, handle: Handle) -> Result<Entry, Status> {
        self.entries.get_mut(handle as usize).and_then(Option::take).ok_or(Status::BadHandle)
    }

    /// Removes any one, until there is none.
    pub fn remove_any(&mut self) -> Option<Entry> {
        self.entries.iter_mut().find_map(Option::take)
    }
}

/// Finds what an operation is on, and checks kind and rights.
pub fn resolve<C: Call>(process: &Ref<Process>, operation: &Operation) -> Result<Object, Status> {
    find(process, operation.handle, C::OBJECT, C::RIGHTS)
}

/// What a handle allows; nothing, if there is none.
pub fn rights_of(process: &Ref<Process>, handle: Handle) -> Rights {
    process.handles.lock().get(handle).map_or(Rights::empty(), |entry| entry.rights)
}

/// Finds a handle of a kind, with rights.
pub fn find(
    process: &Ref<Process>,
    handle: Handle,
    kind: ObjectKind,
    rights: Rights,
) -> Result<Object, Status> {
    if handle == HANDLE_SELF {
        return if kind == ObjectKind::Process {
            Ok(Object::Process(process.clone()))
        } else {
            Err(Status::BadHandle)
        };
    }
    let handles = process.handles.lock();
    let entry = handles.get(handle)?;
    if entry.object.kind() != kind {
        return Err(Status::BadHandle);
    }
    if !entry.rights.contains(rights) {
        return Err(Status::NoRight);
    }
    Ok(entry.object.clone())
}

#[cfg(test)]
mod tests;
