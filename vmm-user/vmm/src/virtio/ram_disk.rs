//! A disk in memory. It begins as a file of the image and ends with the machine.

use devices::disk::{Disk, DiskError};

use crate::guest_memory::GuestRam;

const SECTOR_BYTES: u64 = 512;
const ZEROES: [u8; 4096] = [0; 4096];

/// Memory that is a disk.
pub struct RamDisk {
    /// Nothing but it.
    memory: GuestRam,
    /// Where it begins there.
    gpa: u64,
    bytes: u64,
    is_read_only: bool,
}

impl RamDisk {
    /// A disk of `bytes` from `gpa` on, rounded up to whole sectors: a file's last page is filled with
    /// zeroes.
    pub fn new(memory: GuestRam, gpa: u64, bytes: u64, is_read_only: bool) -> Self {
        let bytes = bytes.checked_next_multiple_of(SECTOR_BYTES).unwrap_or(0);
        Self { memory, gpa, bytes, is_read_only }
    }
}

/// The caller has looked that all of it is on the disk; what is not is an error once more.
impl Disk for RamDisk {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
        self.memory.copy_out(self.gpa.wrapping_add(offset), bytes).then_some(()).ok_or(DiskError)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.memory.copy_in(self.gpa.wrapping_add(offset), bytes).then_some(()).ok_or(DiskError)
    }

    /// Memory is as lasting as it will ever be.
    fn flush(&mut self) -> Result<(), DiskError> {
        Ok(())
    }

    // It is advice, and memory that is not needed costs nothing here.
    fn discard(&mut self, _: u64, _: u64) -> Result<(), DiskError> {
        Ok(())
    }

    fn write_zeroes(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        // By pieces, since a guest may name any length of its disk.
        let mut done = 0;
        while done < bytes {
            let part = (bytes - done).min(ZEROES.len() as u64);
            self.write(offset.wrapping_add(done), ZEROES.get(..part as usize).unwrap_or(&ZEROES))?;
            done += part;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec;

    use super::*;

    #[test]
    fn a_disk_is_its_memory_and_no_more() {
        let memory = GuestRam::of(Box::leak(vec![0x1111_1111_1111_1111_u64; 0x800].into_boxed_slice()));
        let mut all = memory.clone();
        let own = all.take(0x1000, 0x1f00).unwrap();
        let mut disk = RamDisk::new(own, 0x1000, 0x1f00, false);
        assert_eq!(disk.bytes(), 0x2000);
        let mut sector = [0; 512];
        assert_eq!(disk.write(0x1e00, &[7; 512]), Ok(()));
        assert_eq!(disk.read(0x1e00, &mut sector), Ok(()));
        assert_eq!(sector, [7; 512]);
        assert_eq!(disk.write_zeroes(0, 0x1e00), Ok(()));
        assert!(memory.copy_out(0x2c00, &mut sector));
        assert_eq!(sector, [0; 512]);
        assert_eq!((disk.flush(), disk.discard(0, 512)), (Ok(()), Ok(())));
        for offset in [0x2000, 0x1f00, u64::MAX - 0x1000] {
            assert_eq!(disk.write(offset, &[1; 512]), Err(DiskError));
            assert_eq!(disk.read(offset, &mut sector), Err(DiskError));
        }
        // What was in front of it and behind it is as it was.
        for gpa in [0xe00, 0x3000] {
            assert!(memory.copy_out(gpa, &mut sector));
            assert_eq!(sector, [0x11; 512]);
        }
    }
}
