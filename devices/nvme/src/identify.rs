//! What Identify tells (NVM Express 1.4, 5.15).

use alloc::format;
use alloc::string::String;

use crate::events::REQUESTS_MAX;
use crate::features::WARNING_KELVINS;
use crate::logs::{FIRMWARE, log_features};
use crate::spec::{ALL_NAMESPACES, NAMESPACE, SUBSYSTEM, Status, TRANSFER_SHIFT, VENDOR, VERSION};

/// Bytes of each structure.
pub const BYTES: usize = 4096;
/// The model.
const MODEL: &str = "Plinth NVMe disk";
/// The temperature that is critical, in kelvins.
const CRITICAL_KELVINS: u16 = 373;
/// How many aborts may be under way, less one: one ends before the next begins.
const ABORTS: u8 = 3;

/// Which structure is asked for.
mod structure {
    pub const NAMESPACE: u8 = 0x00;
    pub const CONTROLLER: u8 = 0x01;
    pub const ACTIVE_NAMESPACES: u8 = 0x02;
    pub const DESCRIPTORS: u8 = 0x03;
}

/// What is told.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The serial number; of more than 20 bytes the first 20.
    pub serial: &'a [u8],
    /// The disk's sectors.
    pub sectors: u64,
    /// Whether it can't be written.
    pub is_read_only: bool,
}

/// A structure that is filled in.
struct Page([u8; BYTES]);

impl Page {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    }

    /// Text is filled up with spaces.
    fn text(&mut self, at: usize, bytes: usize, text: &[u8]) {
        let padded = text.iter().copied().chain(core::iter::repeat(b' '));
        self.0.iter_mut().skip(at).take(bytes).zip(padded).for_each(|(to, from)| *to = from);
    }
}

/// The structure of that number.
///
/// # Errors
/// When there is none, or none of that namespace.
pub fn identify(which: u8, namespace: u32, about: About<'_>) -> Result<[u8; BYTES], Status> {
    let mut page = Page([0; BYTES]);
    match (which, namespace) {
        (structure::CONTROLLER, _) => controller(&mut page, about),
        (structure::NAMESPACE, NAMESPACE) => describe(&mut page, about),
        (structure::DESCRIPTORS, NAMESPACE) => {
            // A UUID: type 3, of 16 bytes. There is no other name that would be the world's only one.
            page.put(0, &[3, 16]);
            page.put(4, &uuid(about.serial));
        }
        // Those with a greater number; the two last numbers name no namespace.
        (structure::ACTIVE_NAMESPACES, after) if after < ALL_NAMESPACES - 1 => {
            if after < NAMESPACE {
                page.put(0, &NAMESPACE.to_le_bytes());
            }
        }
        (structure::NAMESPACE | structure::DESCRIPTORS | structure::ACTIVE_NAMESPACES, _) => {
            return Err(Status::INVALID_NAMESPACE);
        }
        _ => return Err(Status::INVALID_FIELD),
    }
    Ok(page.0)
}

fn controller(page: &mut Page, about: About<'_>) {
    page.put(0, &VENDOR.to_le_bytes());
    page.put(2, &SUBSYSTEM.0.to_le_bytes());
    page.text(4, 20, about.serial);
    page.text(24, 40, MODEL.as_bytes());
    page.text(64, 8, FIRMWARE.as_bytes());
    page.put(77, &[TRANSFER_SHIFT]);
    page.put(80, &VERSION.to_le_bytes());
    // An I/O controller.
    page.put(111, &[1]);
    // Limits of Abort and of requests for events, both less one; one slot with firmware, which can't be
    // written; what Get Log Page can do; one entry of the error log.
    page.put(258, &[ABORTS, REQUESTS_MAX as u8 - 1, 3, log_features(), 0]);
    page.put(266, &WARNING_KELVINS.to_le_bytes());
    page.put(268, &CRITICAL_KELVINS.to_le_bytes());
    // Entries of 64 and of 16 bytes.
    page.put(512, &[0x66, 0x44]);
    page.put(516, &NAMESPACE.to_le_bytes());
    // Dataset Management and Write Zeroes.
    page.put(520, &(1u16 << 2 | 1 << 3).to_le_bytes());
    // There is a cache, and a flush may be of all namespaces.
    page.put(525, &[7]);
    page.put(768, name(about.serial).as_bytes());
}

fn describe(page: &mut Page, about: About<'_>) {
    // Size, capacity, and what is in use of it.
    for at in [0, 8, 16] {
        page.put(at, &about.sectors.to_le_bytes());
    }
    page.put(99, &[about.is_read_only.into()]);
    // The only format: blocks of 2^9 bytes, without metadata.
    page.put(128, &[0, 0, 9, 0]);
}

/// A UUID (version 8: of its maker's own making) by the serial number: disks of one guest differ in that.
fn uuid(serial: &[u8]) -> [u8; 16] {
    // FNV-1a of 128 bits.
    let hash = serial.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    let version_and_variant = 0xf << 76 | 3 << 62;
    (hash & !version_and_variant | 8 << 76 | 2 << 62).to_be_bytes()
}

/// The subsystem's qualified name (7.9), made of the same UUID.
fn name(serial: &[u8]) -> String {
    let digits = format!("{:032x}", u128::from_be_bytes(uuid(serial)));
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let [first, second, third] = [part(0, 8), part(8, 12), part(12, 16)];
    let [fourth, fifth] = [part(16, 20), part(20, 32)];
    format!("nqn.2014-08.org.nvmexpress:uuid:{first}-{second}-{third}-{fourth}-{fifth}")
}

#[cfg(test)]
mod tests;
