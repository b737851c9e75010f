//! ACPI tables for firmware that places them itself: the tables, with addresses that count from their own
//! start, and a list of commands that makes real ones of them (QEMU, `hw/acpi/bios-linker-loader.c`).

use alloc::vec::Vec;

use devices::acpi::AcpiTables;

/// The name of the file with the tables.
pub const TABLES: &str = "etc/acpi/tables";
/// Of that with the RSDP.
pub const RSDP: &str = "etc/acpi/rsdp";
/// Of the list of commands.
pub const LOADER: &str = "etc/table-loader";

/// The bytes of a command, and of a file's name in it.
const COMMAND_BYTES: usize = 128;
const NAME_BYTES: usize = 56;
/// Commands.
const ALLOCATE: u32 = 1;
const ADD_POINTER: u32 = 2;
const ADD_CHECKSUM: u32 = 3;
/// Where a file goes: anywhere below 4 GiB, or E0000h to FFFFFh.
const ZONE_HIGH: u8 = 1;
const ZONE_FIRMWARE: u8 = 2;

/// The bytes of an RSDP, and of its first version (ACPI 6.5, 5.2.5.3); where it has the XSDT's address, and
/// its two checksums.
const RSDP_BYTES: usize = 36;
const RSDP_BYTES_FIRST: usize = 20;
const RSDP_XSDT: usize = 24;
const RSDP_CHECKSUM: usize = 8;
const RSDP_CHECKSUM_EXTENDED: usize = 32;
/// Where a table has its length and its checksum, and where its header ends.
const LENGTH: usize = 4;
const CHECKSUM: usize = 9;
const HEADER_BYTES: usize = 36;
/// What addresses a FADT has, and how many bytes of each.
const FADT_ADDRESSES: [(usize, usize); 4] = [(36, 4), (40, 4), (132, 8), (140, 8)];
const FADT: &[u8] = b"FACP";

/// The files' contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoaderFiles {
    /// [`TABLES`].
    pub tables: Vec<u8>,
    /// [`RSDP`].
    pub rsdp: Vec<u8>,
    /// [`LOADER`].
    pub loader: Vec<u8>,
}

/// Makes the files of tables that were made for address 0. `None` if they are not whole.
pub fn files(made: &AcpiTables) -> Option<LoaderFiles> {
    let mut list = List { tables: made.bytes.clone(), loader: Vec::new() };
    let mut rsdp = made.bytes.get(..RSDP_BYTES)?.to_vec();
    list.allocate(TABLES, 64, ZONE_HIGH);
    list.allocate(RSDP, 16, ZONE_FIRMWARE);
    let xsdt = number(&rsdp, RSDP_XSDT, 8)?;
    let end = xsdt.checked_add(number(&list.tables, xsdt + LENGTH, 4)?)?;
    for entry in (xsdt + HEADER_BYTES..end).step_by(8) {
        let table = number(&list.tables, entry, 8)?;
        if list.tables.get(table..)?.starts_with(FADT) {
            list.fadt(table)?;
        }
        list.pointer(TABLES, entry, 8);
    }
    list.checksum_of_table(xsdt)?;
    list.pointer(RSDP, RSDP_XSDT, 8);
    for (at, bytes) in [(RSDP_CHECKSUM, RSDP_BYTES_FIRST), (RSDP_CHECKSUM_EXTENDED, RSDP_BYTES)] {
        *rsdp.get_mut(at)? = 0;
        list.checksum(RSDP, at, 0, bytes);
    }
    Some(LoaderFiles { tables: list.tables, rsdp, loader: list.loader })
}

/// A number of a table.
fn number(bytes: &[u8], at: usize, count: usize) -> Option<usize> {
    let mut whole = [0; 8];
    let from = bytes.get(at..at.checked_add(count)?)?;
    whole.iter_mut().zip(from).for_each(|(place, byte)| *place = *byte);
    usize::try_from(u64::from_le_bytes(whole)).ok()
}

struct List {
    tables: Vec<u8>,
    loader: Vec<u8>,
}

impl List {
    fn command(&mut self, code: u32, operands: &[&[u8]]) {
        let mut command = code.to_le_bytes().to_vec();
        operands.iter().for_each(|operand| command.extend_from_slice(operand));
        command.resize(COMMAND_BYTES, 0);
        self.loader.extend(command);
    }

    fn allocate(&mut self, file: &str, alignment: u32, zone: u8) {
        self.command(ALLOCATE, &[&name(file), &alignment.to_le_bytes(), &[zone]]);
    }

    /// The number there, an offset into [`TABLES`], becomes an address.
    fn pointer(&mut self, file: &str, at: usize, bytes: u8) {
        self.command(ADD_POINTER, &[&name(file), &name(TABLES), &(at as u32).to_le_bytes(), &[bytes]]);
    }

    fn checksum(&mut self, file: &str, at: usize, start: usize, bytes: usize) {
        let [at, start, bytes] = [at, start, bytes].map(|number| (number as u32).to_le_bytes());
        self.command(ADD_CHECKSUM, &[&name(file), &at, &start, &bytes]);
    }

    /// A table's checksum is made anew.
    fn checksum_of_table(&mut self, table: usize) -> Option<()> {
        let bytes = number(&self.tables, table + LENGTH, 4)?;
        // It counts itself.
        *self.tables.get_mut(table + CHECKSUM)? = 0;
        self.checksum(TABLES, table + CHECKSUM, table, bytes);
        Some(())
    }

    fn fadt(&mut self, table: usize) -> Option<()> {
        for (at, bytes) in FADT_ADDRESSES {
            // Zero says that there is no such table.
            if number(&self.tables, table + at, bytes)? != 0 {
                self.pointer(TABLES, table + at, bytes as u8);
            }
        }
        self.checksum_of_table(table)
    }
}

fn name(file: &str) -> [u8; NAME_BYTES] {
    let mut name = [0; NAME_BYTES];
    name.iter_mut().zip(file.bytes()).for_each(|(place, byte)| *place = byte);
    name
}

#[cfg(test)]
mod tests {
    use devices::acpi::AcpiConfig;
    use devices::pm::TimerWidth;
    use std::vec::Vec;

    use super::*;

    /// Where this test's firmware puts the two files.
    const PLACES: [(&str, u64); 2] = [(TABLES, 0x7f00_0000), (RSDP, 0xf_5000)];

    fn made_at(base: u64) -> AcpiTables {
        let config =
            AcpiConfig { cpus: 2, io_apic_id: 0, timer_width: TimerWidth::Bits32, high_window: None };
        AcpiTables::new(&config, &[], base, 0x2_0000).unwrap()
    }

    fn word(command: &[u8], at: usize) -> usize {
        number(command, at, 4).unwrap()
    }

    /// Carries the commands out, as firmware does; returns both files.
    fn load(files: &LoaderFiles) -> [Vec<u8>; 2] {
        let mut loaded = [files.tables.clone(), files.rsdp.clone()];
        let which = |command: &[u8], at: usize| {
            PLACES.iter().position(|(file, _)| command[at..at + 56] == name(file)).unwrap()
        };
        for command in files.loader.chunks_exact(COMMAND_BYTES) {
            let file = which(command, 4);
            match word(command, 0) as u32 {
                ADD_POINTER => {
                    let (at, bytes) = (word(command, 116), usize::from(command[120]));
                    let address = number(&loaded[file], at, bytes).unwrap() as u64;
                    let address = address + PLACES[which(command, 60)].1;
                    loaded[file][at..at + bytes].copy_from_slice(&address.to_le_bytes()[..bytes]);
                }
                ADD_CHECKSUM => {
                    let [at, start, bytes] = [60, 64, 68].map(|at| word(command, at));
                    let sum = loaded[file][start..start + bytes].iter().fold(0u8, |a, b| a.wrapping_add(*b));
                    loaded[file][at] = loaded[file][at].wrapping_sub(sum);
                }
                code => assert_eq!(code, ALLOCATE),
            }
        }
        loaded
    }

    #[test]
    fn firmware_makes_the_tables_that_would_have_been_made_for_their_place() {
        let files = files(&made_at(0)).unwrap();
        assert!(files.loader.len().is_multiple_of(COMMAND_BYTES));
        let [tables, rsdp] = load(&files);
        let expected = made_at(PLACES[0].1).bytes;
        assert_eq!(tables[RSDP_BYTES..], expected[RSDP_BYTES..]);
        assert_eq!(rsdp, expected[..RSDP_BYTES]);
    }

    #[test]
    fn tables_that_are_not_whole_are_refused() {
        let made = made_at(0);
        for bytes in [0, RSDP_BYTES, made.bytes.len() - 1] {
            let cut = AcpiTables { bytes: made.bytes[..bytes].to_vec(), ..made.clone() };
            assert_eq!(files(&cut), None, "{bytes}");
        }
    }
}
