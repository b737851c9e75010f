//! The table of hashes by which a measured OVMF checks kernel, initrd and command line that the host gives.
//!
//! Source: QEMU, `target/i386/sev.c` (`SevHashTable`); edk2, `OvmfPkg/AmdSev/BlobVerifierLibSevHashes`.

use sha2::{Digest, Sha256};

use crate::PAGE_BYTES;
use crate::ovmf::{Guid, guid};

/// 9438d606-4f22-4cc9-b479-a793d411fd21: the table.
const TABLE: Guid = guid(0x9438_d606, 0x4f22, 0x4cc9, 0xb479_a793_d411_fd21);
/// 97d02dd8-bd20-4c94-aa78-e7714d36ab2a: the command line's hash.
const COMMAND_LINE: Guid = guid(0x97d0_2dd8, 0xbd20, 0x4c94, 0xaa78_e771_4d36_ab2a);
/// 44baf731-3a2f-4bd7-9af1-41e29169781d: the initrd's.
const INITRD: Guid = guid(0x44ba_f731, 0x3a2f, 0x4bd7, 0x9af1_41e2_9169_781d);
/// 4de79437-abd2-427f-b835-d5b172d2045b: the kernel's.
const KERNEL: Guid = guid(0x4de7_9437, 0xabd2, 0x427f, 0xb835_d5b1_72d2_045b);

/// Bytes of an entry: GUID, length, SHA-256.
const ENTRY_BYTES: usize = 16 + 2 + 32;
/// Bytes of the table: GUID, length, three entries.
const TABLE_BYTES: usize = 16 + 2 + 3 * ENTRY_BYTES;
/// Bytes that the table takes: it is filled up with zeros.
const PADDED_BYTES: usize = TABLE_BYTES.next_multiple_of(16);

/// The hashes of what a host boots directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelHashes {
    kernel: [u8; 32],
    initrd: [u8; 32],
    command_line: [u8; 32],
}

impl KernelHashes {
    /// Hashes a kernel's file, an initrd's (empty if there is none), and a command line.
    pub fn new(kernel: &[u8], initrd: &[u8], command_line: &str) -> Self {
        // The zero byte that ends it is hashed too, also where there is no command line.
        let terminated = [command_line.as_bytes(), b"\0"].concat();
        Self {
            kernel: Sha256::digest(kernel).into(),
            initrd: Sha256::digest(initrd).into(),
            command_line: Sha256::digest(terminated).into(),
        }
    }

    /// The page with the table at this offset; `None` if the table does not fit behind it.
    pub fn page(&self, offset: usize) -> Option<[u8; PAGE_BYTES as usize]> {
        let mut page = [0; PAGE_BYTES as usize];
        let room = page.get_mut(offset..offset.checked_add(PADDED_BYTES)?)?;
        let mut table = Vec::with_capacity(TABLE_BYTES);
        table.extend(TABLE);
        table.extend((TABLE_BYTES as u16).to_le_bytes());
        // In the order in which QEMU has them, as the page is measured.
        let entries = [(COMMAND_LINE, self.command_line), (INITRD, self.initrd), (KERNEL, self.kernel)];
        for (guid, hash) in entries {
            table.extend(guid);
            table.extend((ENTRY_BYTES as u16).to_le_bytes());
            table.extend(hash);
        }
        room.get_mut(..TABLE_BYTES)?.copy_from_slice(&table);
        Some(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_ends_within_its_page() {
        let hashes = KernelHashes::new(b"kernel", b"", "quiet");
        let page = hashes.page(0xc00).unwrap();
        assert_eq!(page[0xc00..0xc04], [0x06, 0xd6, 0x38, 0x94]);
        assert_eq!(page[0xc10..0xc12], [168, 0]);
        assert_eq!(page[..0xc00], [0; 0xc00]);
        assert_eq!(page[0xc00 + 168..], [0; 0x400 - 168]);
        assert!(hashes.page(4096 - 176).is_some());
        assert_eq!(hashes.page(4096 - 175), None);
        assert_eq!(hashes.page(usize::MAX), None);
    }

    #[test]
    fn every_part_counts() {
        let hashes = KernelHashes::new(b"kernel", b"initrd", "quiet");
        for other in [
            KernelHashes::new(b"kernel ", b"initrd", "quiet"),
            KernelHashes::new(b"kernel", b"", "quiet"),
            KernelHashes::new(b"kernel", b"initrd", ""),
        ] {
            assert_ne!(hashes.page(0), other.page(0));
        }
        // printf '\0' | sha256sum
        let empty = KernelHashes::new(b"", b"", "").page(0).unwrap();
        assert_eq!(empty[18 + 18..18 + 18 + 4], [0x6e, 0x34, 0x0b, 0x9c]);
    }
}
