//! Handles: what a process may name, and what it may do with it.

use vcpu_abi::operation::{HANDLE_SELF, Handle, Objects, Rights};
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

/// The machine as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Machine;

/// The kernel's log.
#[derive(Clone, Copy, Debug)]
pub struct Log;

/// The image's directory.
#[derive(Clone, Copy, Debug)]
pub struct Directory {
    /// What its handle allows, and so those of the files that are found through it.
    pub rights: Rights,
}

/// What of the machine's memory is the guest's.
#[derive(Clone, Copy, Debug)]
pub struct GuestMemory;

/// An interrupt line of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostLine(pub u8);

/// The types of the objects, by the names that the ABI has for their kinds.
pub struct Kinds;

impl Objects for Kinds {
    type System = Machine;
    type Log = Log;
    type Files = Directory;
    type File = File;
    type Process = Ref<Process>;
    type Event = Ref<Event>;
    type GuestMemory = GuestMemory;
    type Vm = Ref<Vm>;
    type Vcpu = Ref<Vcpu>;
    type HostPorts = HostPorts;
    type HostInterrupt = HostLine;
}

/// What a handle may name.
pub trait HandleObject: Sized {
    /// What a handle to it holds.
    fn into_object(self) -> Object;

    /// What a handle names, if it is of this type.
    fn of(entry: &Entry) -> Option<Self>;

    /// What [`HANDLE_SELF`] names, if it is of this type.
    #[inline(always)]
    fn of_self(_: &Ref<Process>) -> Option<Self> {
        None
    }
}

/// An object of any kind.
#[derive(Clone)]
pub enum Object {
    /// The machine.
    Machine,
    /// The log.
    Log,
    /// The directory.
    Directory,
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
    HostLine(HostLine),
}

/// Objects that are all there is to a variant of [`Object`].
macro_rules! handle_objects {
    ($($type:ty: $object:pat => $found:expr, $own:expr;)*) => {
        $(impl HandleObject for $type {
            fn into_object(self) -> Object {
                $own(self)
            }

            #[inline(always)]
            fn of(entry: &Entry) -> Option<Self> {
                if let $object = &entry.object { Some($found) } else { None }
            }
        })*
    };
}

handle_objects! {
    Machine: Object::Machine => Machine, |_| Object::Machine;
    Log: Object::Log => Log, |_| Object::Log;
    File: Object::File(file) => *file, Object::File;
    Ref<Event>: Object::Event(event) => event.clone(), Object::Event;
    GuestMemory: Object::GuestMemory => GuestMemory, |_| Object::GuestMemory;
    Ref<Vm>: Object::Vm(vm) => vm.clone(), Object::Vm;
    Ref<Vcpu>: Object::Vcpu(vcpu) => vcpu.clone(), Object::Vcpu;
    HostPorts: Object::HostPorts(ports) => *ports, Object::HostPorts;
    HostLine: Object::HostLine(line) => *line, Object::HostLine;
}

impl HandleObject for Directory {
    fn into_object(self) -> Object {
        Object::Directory
    }

    fn of(entry: &Entry) -> Option<Self> {
        if let Object::Directory = &entry.object { Some(Self { rights: entry.rights }) } else { None }
    }
}

impl HandleObject for Ref<Process> {
    fn into_object(self) -> Object {
        Object::Process(self)
    }

    fn of(entry: &Entry) -> Option<Self> {
        if let Object::Process(process) = &entry.object { Some(process.clone()) } else { None }
    }

    fn of_self(caller: &Ref<Process>) -> Option<Self> {
        Some(caller.clone())
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

/// A process's handles. Handle `n` is entry `n`; entry 0 stays empty, entry 1 is the process itself and not
/// stored (it would keep itself alive).
pub struct HandleTable {
    entries: [Option<Entry>; HANDLES_MAX],
}

impl HandleTable {
    /// No handles.
    pub const fn new() -> Self {
        Self { entries: [const { None }; HANDLES_MAX] }
    }

    /// Adds one.
    pub fn insert(&mut self, object: impl HandleObject, rights: Rights) -> Result<Handle, Status> {
        self.insert_object(object.into_object(), rights)
    }

    /// Adds one of any kind.
    pub fn insert_object(&mut self, object: Object, rights: Rights) -> Result<Handle, Status> {
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

/// Finds what a handle names: an object of a type, with rights.
pub fn find<T: HandleObject>(process: &Ref<Process>, handle: Handle, rights: Rights) -> Result<T, Status> {
    if handle == HANDLE_SELF {
        return T::of_self(process).ok_or(Status::BadHandle);
    }
    let handles = process.handles.lock();
    let entry = handles.get(handle)?;
    // That it is of another kind is told before what it allows.
    let object = T::of(entry).ok_or(Status::BadHandle)?;
    if entry.rights.contains(rights) { Ok(object) } else { Err(Status::NoRight) }
}

#[cfg(test)]
mod tests;
