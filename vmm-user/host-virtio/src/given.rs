//! What a process is given that drives a virtio device of the host's for others.

use alloc::format;

use runtime::abi::operation::SystemInfo;
use runtime::channel::{Channel, Endpoint};
use runtime::{Start, call};

/// What it is given: handles that its settings name, and the time.
pub struct Given {
    /// Gives the function ([`crate::claim`]). Claimed only when everything else is there: it is then out of
    /// use for everybody else.
    pub function: Channel,
    /// Where clients call.
    pub endpoint: Endpoint,
    /// TSC ticks of a second.
    pub ticks_second: u64,
}

impl Given {
    /// By the settings `function` and `serve`, and the handle `system`. The error names what is missing.
    ///
    /// # Errors
    /// When something is.
    pub fn of(start: &Start) -> Result<Self, &'static str> {
        let function = start.setting("function").and_then(|name| start.handle(name)).map(Channel);
        let endpoint = start.setting("serve").and_then(|name| start.handle(&format!("{name}-endpoint")));
        let info = start.handle("system").and_then(|system| call(system, SystemInfo::default()).ok());
        Ok(Self {
            function: function.ok_or("what `function` names")?,
            endpoint: endpoint.map(Endpoint).ok_or("the endpoint of what `serve` names")?,
            ticks_second: info.ok_or("system")?.tsc_hz,
        })
    }
}
