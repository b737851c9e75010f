//! The number of processors: from ACPI's MADT, or from QEMU's fw_cfg where the firmware left no tables.

use pvh_loader::acpi;

use super::physical::Physical;
use super::ports;

const SELECTOR: u16 = 0x510;
const DATA: u16 = 0x511;

/// fw_cfg items (QEMU's docs/specs/fw_cfg): the signature and the number of processors.
const KEY_SIGNATURE: u16 = 0;
const KEY_PROCESSORS: u16 = 5;

/// A bound for what a host may claim, far above what QEMU allows.
const MAX_PROCESSORS: u32 = 8192;

/// The number of processors and who told, if anything does.
pub fn count_processors(memory: &Physical, rsdp: u64) -> Option<(u32, &'static str)> {
    // ACPI first: it tells which processors are enabled, and any host has it that runs firmware.
    let acpi = acpi::count_processors(memory, rsdp).map(|count| (count, "ACPI"));
    acpi.or_else(|| Some((from_fw_cfg()?, "fw_cfg"))).filter(|(count, _)| *count <= MAX_PROCESSORS)
}

fn from_fw_cfg() -> Option<u32> {
    // On another host the ports may be anybody's; where nobody answers they read ones.
    if read(KEY_SIGNATURE) != *b"QEMU" {
        return None;
    }
    let [low, high, ..] = read(KEY_PROCESSORS);
    Some(u32::from(u16::from_le_bytes([low, high]))).filter(|count| *count > 0)
}

fn read(key: u16) -> [u8; 4] {
    ports::write_u16(SELECTOR, key);
    [(); 4].map(|()| ports::read(DATA))
}
