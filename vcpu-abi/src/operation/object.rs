//! Kinds of object, and the types by which a kernel knows them.

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
    /// Where a server receives calls.
    Endpoint = 12,
    /// A client's end of an endpoint: what it calls by.
    Channel = 13,
    /// Memory that several processes may map.
    SharedMemory = 14,
    /// The functions of the host's PCI bus.
    HostPci = 15,
    /// One of them, claimed.
    HostFunction = 16,
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
    /// Where a server receives calls.
    type Endpoint;
    /// A client's end of an endpoint.
    type Channel;
    /// Memory that several processes may map.
    type SharedMemory;
    /// The functions of the host's PCI bus.
    type HostPci;
    /// One of them, claimed.
    type HostFunction;
}
