//! Handles: what a process may name, and what it may do with it.

use vcpu_abi::operation::{HANDLE_SELF, Handle, Rights};
use vcpu_abi::status::Status;

use super::files::File;
use crate::memory::shared::SharedMemory;
use crate::object::pool::Ref;
use crate::object::pool::any::AnyRef;

/// The first handle that is not the process itself.
const FIRST: usize = HANDLE_SELF as usize + 1;
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

/// What of the machine's memory is the guest's, or a part of that.
#[derive(Clone, Copy, Debug)]
pub struct GuestMemory {
    /// Its first byte.
    pub start: u64,
    /// The byte behind its last.
    pub end: u64,
    /// What its handle allows, and so those that are made of it.
    pub rights: Rights,
}

impl GuestMemory {
    /// All of it.
    pub const ALL: Self = Self { start: 0, end: u64::MAX, rights: Rights::empty() };

    /// Whether a range lies in this part.
    pub fn contains(&self, start: u64, bytes: u64) -> bool {
        start >= self.start && start.checked_add(bytes).is_some_and(|end| end <= self.end)
    }
}

/// An interrupt line of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostLine(pub u8);

/// The functions of the host's PCI bus.
#[derive(Clone, Copy, Debug)]
pub struct HostPci;

/// What a handle may name.
pub trait HandleObject: Sized {
    /// What a handle to it holds.
    fn into_object(self) -> Object;

    /// What a handle names, if it is of this type.
    fn of(entry: &Entry) -> Option<Self>;
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
    /// Guest memory, from a first byte to the one behind the last.
    GuestMemory(u64, u64),
    /// Ports.
    HostPorts(HostPorts),
    /// An interrupt line.
    HostLine(HostLine),
    /// The host's PCI bus.
    HostPci,
    /// An object in a pool: a process, an event, a virtual machine or processor.
    Counted(AnyRef),
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
    HostPorts: Object::HostPorts(ports) => *ports, Object::HostPorts;
    HostLine: Object::HostLine(line) => *line, Object::HostLine;
    HostPci: Object::HostPci => HostPci, |_| Object::HostPci;
}

impl HandleObject for Directory {
    fn into_object(self) -> Object {
        Object::Directory
    }

    fn of(entry: &Entry) -> Option<Self> {
        if let Object::Directory = &entry.object { Some(Self { rights: entry.rights }) } else { None }
    }
}

impl HandleObject for GuestMemory {
    fn into_object(self) -> Object {
        Object::GuestMemory(self.start, self.end)
    }

    fn of(entry: &Entry) -> Option<Self> {
        let Object::GuestMemory(start, end) = entry.object else { return None };
        Some(Self { start, end, rights: entry.rights })
    }
}

impl<T: Send + Sync> HandleObject for Ref<T> {
    fn into_object(self) -> Object {
        Object::Counted(self.into())
    }

    #[inline(always)]
    fn of(entry: &Entry) -> Option<Self> {
        if let Object::Counted(object) = &entry.object { object.to() } else { None }
    }
}

/// Memory that several processes may map.
pub struct Shared {
    /// The memory.
    pub memory: Ref<SharedMemory>,
    /// What its handle allows, and so its mappings.
    pub rights: Rights,
}

impl HandleObject for Shared {
    fn into_object(self) -> Object {
        self.memory.into_object()
    }

    fn of(entry: &Entry) -> Option<Self> {
        Some(Self { memory: Ref::of(entry)?, rights: entry.rights })
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
    /// How many there may be.
    limit: usize,
}

impl HandleTable {
    /// No handles.
    pub const fn new() -> Self {
        Self { entries: [const { None }; HANDLES_MAX], limit: HANDLES_MAX - FIRST }
    }

    /// Adds one.
    pub fn insert(&mut self, object: impl HandleObject, rights: Rights) -> Result<Handle, Status> {
        self.insert_object(object.into_object(), rights)
    }

    /// Adds one of any kind.
    pub fn insert_object(&mut self, object: Object, rights: Rights) -> Result<Handle, Status> {
        let mut places = self.entries.iter_mut().enumerate().skip(FIRST).take(self.limit);
        let free = places.find(|(_, place)| place.is_none());
        let (index, place) = free.ok_or(Status::OutOfHandles)?;
        *place = Some(Entry { object, rights });
        Ok(index as Handle)
    }

    /// How many may be added.
    pub fn free(&self) -> usize {
        self.entries.iter().skip(FIRST).take(self.limit).filter(|entry| entry.is_none()).count()
    }

    /// How many there may be.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Says how many there may be. Those beyond stay.
    pub fn set_limit(&mut self, limit: u64) {
        // No limit is a number beyond all, and the table has no more places for that.
        self.limit = (HANDLES_MAX - FIRST).min(usize::try_from(limit).unwrap_or(HANDLES_MAX));
    }

    /// Finds one.
    pub fn get(&self, handle: Handle) -> Result<&Entry, Status> {
        self.entries.get(handle as usize).and_then(Option::as_ref).ok_or(Status::BadHandle)
    }

    /// What is given to another by one of them, which has at least these rights and may be given.
    pub fn to_give(&self, handle: Handle, rights: Rights) -> Result<Entry, Status> {
        let given = self.get(handle)?.clone();
        if given.rights.contains(rights | Rights::GRANT) { Ok(given) } else { Err(Status::NoRight) }
    }

    /// Adds another of one of them, with these of its rights.
    pub fn narrow(&mut self, handle: Handle, rights: Rights) -> Result<Handle, Status> {
        let source = self.get(handle)?.clone();
        if !source.rights.contains(rights) {
            return Err(Status::NoRight);
        }
        self.insert_object(source.object, rights)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.entries.iter().flatten().count()
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

#[cfg(test)]
mod tests;
