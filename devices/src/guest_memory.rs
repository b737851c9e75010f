//! Guest memory as a device reaches it that is a master of the bus.
//!
//! The guest changes its memory while a device looks at it. So a value is read once, copied, and checked
//! then; nothing here gives a reference.

/// The address is not in the guest's memory, or not all of the bytes are. To blame: the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMemory;

impl core::fmt::Display for NotMemory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("an address that is not the guest's memory")
    }
}

impl core::error::Error for NotMemory {}

/// The guest's memory.
///
/// # Errors
/// All of it gives [`NotMemory`] when not all of the bytes are memory, and then has done nothing.
pub trait GuestMemory {
    /// Copies bytes out, in no particular order.
    fn read(&self, gpa: u64, bytes: &mut [u8]) -> Result<(), NotMemory>;
    /// Copies bytes in, in no particular order.
    fn write(&self, gpa: u64, bytes: &[u8]) -> Result<(), NotMemory>;
    /// Loads two bytes, little-endian; at once, at an even address.
    fn load_u16(&self, gpa: u64) -> Result<u16, NotMemory>;
    /// Stores two bytes, little-endian; at once, at an even address.
    fn store_u16(&self, gpa: u64, value: u16) -> Result<(), NotMemory>;
}
