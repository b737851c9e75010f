//! Writes the ACPI tables of an example machine into a directory, one file each, for `iasl -d` to look at:
//!
//!     cargo run -p devices --example acpi_dump -- DIRECTORY [CPUS]

use devices::{
    acpi::{AcpiConfig, AcpiTables, FIRMWARE_BYTES, FIRMWARE_GPA},
    capability::Device,
    hpet::{Hpet, LegacyReplacement},
    i8042::I8042,
    pci::PciHost,
    pm::TimerWidth,
};
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let directory = arguments.next().ok_or("usage: acpi_dump DIRECTORY [CPUS]")?;
    let config = AcpiConfig {
        cpus: arguments.next().map_or(Ok(2), |cpus| cpus.parse())?,
        io_apic_id: 0,
        timer_width: TimerWidth::Bits32,
        high_window: Some((0x80_0000_0000, 1 << 38)),
    };
    let hpet = Hpet::new(LegacyReplacement::default());
    let entries = [hpet.acpi(), I8042::new().acpi(), PciHost::acpi()].concat();
    let tables = AcpiTables::new(&config, &entries, FIRMWARE_GPA, FIRMWARE_BYTES)?;
    // Tables start at multiples of 16 and say their own length; what does not look like one is padding.
    let mut rest = tables.bytes.get(48..).unwrap_or_default();
    while let Some(header) = rest.get(..8) {
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if header[..4].iter().all(u8::is_ascii_uppercase)
            && let Some(table) = rest.get(..length)
        {
            let name = format!("{}.aml", String::from_utf8_lossy(&header[..4]));
            fs::write(Path::new(&directory).join(&name), table)?;
            println!("{name}: {length} bytes");
            rest = &rest[length.next_multiple_of(16).min(rest.len())..];
        } else {
            rest = rest.get(16..).unwrap_or_default();
        }
    }
    Ok(())
}
