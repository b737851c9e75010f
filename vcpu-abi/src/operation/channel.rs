//! Operations on endpoints.

macro_rules! channel_operations {
    ([$next:ident $($rest:ident)*] $($before:tt)*) => { $next! { [$($rest)*] $($before)*
    /// Creates a channel to an endpoint: what another process calls by.
    ChannelCreate(Endpoint, 1, CREATE) {
        /// In: the key by which the server knows it.
        key: u64,
        /// Out: the channel, with all rights.
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    } };
}
