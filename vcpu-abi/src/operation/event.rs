//! Operations on events.

macro_rules! event_operations {
    ([$next:ident $($rest:ident)*] $($before:tt)*) => { $next! { [$($rest)*] $($before)*
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
    /// Makes every signal of the event a notification at an endpoint, instead of waking a waiter. Signals
    /// that nobody has received yet are one.
    EventBindEndpoint(Event, 4, WRITE) {
        /// In: an endpoint of the caller's; it must have CREATE.
        endpoint: Handle,
        /// Zero.
        reserved: u32,
        /// In: the key by which the notification is known.
        key: u64,
    }
    } };
}
