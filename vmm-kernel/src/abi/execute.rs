//! What each operation has to bring along.

use vcpu_abi::operation::{Call, Objects};
use vcpu_abi::status::Status;

use crate::channel::{Channel, Endpoint};
use crate::event::Event;
use crate::guest::vcpu::Vcpu;
use crate::guest::vm::Vm;
use crate::object::pool::Ref;
use crate::pci::Function;
use crate::task::files::File;
use crate::task::handle::{Directory, GuestMemory, HostLine, HostPci, HostPorts, Log, Machine, Shared};
use crate::task::process::Process;

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
    type Endpoint = Ref<Endpoint>;
    type Channel = Ref<Channel>;
    type SharedMemory = Shared;
    type HostPci = HostPci;
    type HostFunction = Ref<Function>;
}

/// How an operation ends.
pub type Done = Result<(), Status>;

/// What an operation does. Each has its own, in the modules here: of one without, the
/// [dispatch](super::dispatch) would not compile.
pub trait Execute: Call {
    /// Whether it may only be the last one of its batch.
    const ENDS_BATCH: bool = false;

    /// Does it, on the object that its handle names, and leaves its results in the payload.
    fn execute(&mut self, caller: &Ref<Process>, object: Self::Object<Kinds>) -> Done;
}
