//! Operations on the functions of the host's PCI bus.

use vcpu_abi::operation::{
    FunctionAllocate, FunctionBind, FunctionEnable, FunctionMap, FunctionRead, PciBars, PciClaim, PciRead,
    Rights,
};
use vcpu_abi::status::Status;

use super::execute::{Done, Execute};
use crate::object::pool::Ref;
use crate::pci::config::{self, Address, Config};
use crate::pci::{self, Function};
use crate::task::handle::HostPci;
use crate::task::process::Process;

impl Execute for PciRead {
    fn execute(&mut self, _: &Ref<Process>, _: HostPci) -> Done {
        self.value = Address::new(self.function)?.read(config::offset(self.offset)?);
        Ok(())
    }
}

impl Execute for PciBars {
    fn execute(&mut self, _: &Ref<Process>, _: HostPci) -> Done {
        let sizes = pci::sizes(Address::new(self.function)?)?;
        [self.bytes0, self.bytes1, self.bytes2, self.bytes3, self.bytes4, self.bytes5] = sizes;
        Ok(())
    }
}

impl Execute for PciClaim {
    fn execute(&mut self, process: &Ref<Process>, _: HostPci) -> Done {
        let addresses = [self.bar0, self.bar1, self.bar2, self.bar3, self.bar4, self.bar5];
        let function = Function::try_claim(Address::new(self.function)?, addresses, &process.account)?;
        self.handle = process.handles.lock().insert(function, Rights::all())?;
        Ok(())
    }
}

impl Execute for FunctionRead {
    fn execute(&mut self, _: &Ref<Process>, function: Ref<Function>) -> Done {
        self.value = function.read(config::offset(self.offset)?);
        Ok(())
    }
}

impl Execute for FunctionMap {
    fn execute(&mut self, process: &Ref<Process>, function: Ref<Function>) -> Done {
        // Before anything is mapped: with the last reference the BARs' addresses are free for another's, and
        // the process would reach those.
        process.mapped.lock().keep(function.clone())?;
        function.map(self.bar, self.offset, self.bytes, &process.space, self.address)
    }
}

impl Execute for FunctionBind {
    fn execute(&mut self, process: &Ref<Process>, function: Ref<Function>) -> Done {
        let event = Process::find(process, self.event, Rights::SIGNAL)?;
        function.bind(self.entry, event, &process.account)
    }
}

impl Execute for FunctionEnable {
    fn execute(&mut self, _: &Ref<Process>, function: Ref<Function>) -> Done {
        match self.enable {
            0 | 1 => function.enable(self.enable == 1),
            _ => return Err(Status::BadArgument),
        }
        Ok(())
    }
}

impl Execute for FunctionAllocate {
    fn execute(&mut self, process: &Ref<Process>, function: Ref<Function>) -> Done {
        // As above: with the function its memory goes to the next driver, while this process would have it
        // mapped.
        process.mapped.lock().keep(function.clone())?;
        self.physical = function.allocate(&process.space, self.address, self.bytes, &process.account)?;
        Ok(())
    }
}
