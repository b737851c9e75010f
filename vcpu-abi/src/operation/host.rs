//! Operations on what of the host a process was given: ports and interrupts.

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
    } };
}
