//! Operations on what of the host a process was given: ports, interrupts, PCI functions.

macro_rules! host_operations {
    ([$next:ident $($rest:ident)*] $($before:tt)*) => { $next! { [$($rest)*] $($before)*
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
    /// Reads the configuration space of a function of the host's PCI bus: hostile.
    PciRead(HostPci, 1, READ) {
        /// In: which, device << 3 | function, on bus 0.
        function: u32,
        /// In: which double word: a multiple of 4 below 256.
        offset: u32,
        /// Out. All-ones where there is no function.
        value: u32,
        /// Zero.
        reserved: u32,
    }
    /// Finds out how large the BARs of a function are that nobody has claimed.
    PciBars(HostPci, 2, CREATE) {
        /// In: the function.
        function: u32,
        /// Zero.
        reserved: u32,
        /// Out: size of BAR 0 in bytes; 0 if it is none that decodes memory. The same of the others.
        bytes0: u32,
        /// Out: BAR 1.
        bytes1: u32,
        /// Out: BAR 2.
        bytes2: u32,
        /// Out: BAR 3.
        bytes3: u32,
        /// Out: BAR 4.
        bytes4: u32,
        /// Out: BAR 5.
        bytes5: u32,
    }
    /// Claims a function for one driver, and places its BARs.
    PciClaim(HostPci, 3, CREATE) {
        /// In: the function.
        function: u32,
        /// Out: the function, with all rights.
        handle: Handle,
        /// In: physical address of BAR 0; 0 if it has no size. The same of the others.
        bar0: u32,
        /// In: BAR 1.
        bar1: u32,
        /// In: BAR 2.
        bar2: u32,
        /// In: BAR 3.
        bar3: u32,
        /// In: BAR 4.
        bar4: u32,
        /// In: BAR 5.
        bar5: u32,
    }
    /// Reads the function's configuration space: hostile.
    FunctionRead(HostFunction, 1, READ) {
        /// In: which double word: a multiple of 4 below 256.
        offset: u32,
        /// Out.
        value: u32,
    }
    /// Maps registers of the function in the calling process, uncached.
    FunctionMap(HostFunction, 2, MAP) {
        /// In: where, page-aligned.
        address: u64,
        /// In: first byte in the BAR, page-aligned.
        offset: u64,
        /// In: size, in whole pages.
        bytes: u64,
        /// In: the BAR, 0 to 5.
        bar: u32,
        /// Zero.
        reserved: u32,
    }
    /// Makes a message of the function's (MSI-X) signal an event.
    FunctionBind(HostFunction, 3, WAIT) {
        /// In: the entry of the function's table of messages.
        entry: u32,
        /// In: an event of the caller's.
        event: Handle,
    }
    /// Lets the function access memory and send messages, or stops it.
    FunctionEnable(HostFunction, 4, WRITE) {
        /// In: 1 or 0.
        enable: u32,
        /// Zero.
        reserved: u32,
    }
    /// Maps zeroed memory in the calling process that the function may access, in one piece of physical
    /// memory.
    FunctionAllocate(HostFunction, 5, CREATE) {
        /// In: where, page-aligned.
        address: u64,
        /// In: size, in whole pages, at most 64 KiB.
        bytes: u64,
        /// Out: the address by which the function reaches it.
        physical: u64,
    }
    } };
}
