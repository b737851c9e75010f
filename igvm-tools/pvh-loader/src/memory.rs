//! Guest physical memory as the loader sees it: a trait, so that all but the access itself is tested on the
//! host.

/// Access to guest physical memory. `None` means that the range is not there, or not the loader's to touch.
pub trait Memory {
    /// The bytes of `gpa..gpa + bytes`, to read.
    fn slice(&self, gpa: u64, bytes: u64) -> Option<&[u8]>;

    /// The bytes of `gpa..gpa + bytes`, to write.
    fn slice_mut(&mut self, gpa: u64, bytes: u64) -> Option<&mut [u8]>;

    /// Reads a little-endian number.
    fn read_u64(&self, gpa: u64) -> Option<u64> {
        self.slice(gpa, 8)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// Reads a little-endian number.
    fn read_u32(&self, gpa: u64) -> Option<u32> {
        self.slice(gpa, 4)?.try_into().ok().map(u32::from_le_bytes)
    }
}
