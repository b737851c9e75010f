//! What one device adds to the ACPI tables. The tables themselves are made in [`crate::acpi`].

use acpi_tables::{
    Aml,
    aml::{Device, EISAName, Interrupt, Name, Path, ResourceTemplate},
    sdt::Sdt,
};
use alloc::{format, vec, vec::Vec};

pub(crate) const OEM_ID: [u8; 6] = *b"PLINTH";
pub(crate) const OEM_TABLE_ID: [u8; 8] = *b"PLINTHVM";
pub(crate) const OEM_REVISION: u32 = 1;

/// What one device adds to the ACPI tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcpiEntry {
    /// A device behind the ISA bridge, as AML.
    Isa(Vec<u8>),
    /// A device directly under `\_SB`, as AML.
    System(Vec<u8>),
    /// A table of its own, header included.
    Table(Vec<u8>),
    /// The FADT says that there is a keyboard controller (ACPI 6.5, 5.2.9.3, bit 1).
    KeyboardController,
}

impl AcpiEntry {
    /// A device behind the ISA bridge: its name (four characters), EISA identifier and resources.
    pub fn isa(name: &str, id: &str, resources: &[&dyn Aml]) -> Self {
        Self::Isa(device(name, id, None, resources))
    }

    /// The same for one of several of a kind, whose number ends the name and is the _UID: a name of three
    /// characters.
    pub fn numbered(name: &str, number: u8, id: &str, resources: &[&dyn Aml]) -> Self {
        Self::Isa(device(&format!("{name}{number:X}"), id, Some(number), resources))
    }

    /// A table of its own: its signature, its revision, and what follows the header.
    pub fn table(signature: [u8; 4], revision: u8, body: &[u8]) -> Self {
        let mut table = header(signature, revision);
        table.append_slice(body);
        let mut bytes = Vec::new();
        table.to_aml_bytes(&mut bytes);
        Self::Table(bytes)
    }

    /// A device directly under `\_SB`.
    pub fn system(name: &str, id: &str, resources: &[&dyn Aml]) -> Self {
        Self::System(device(name, id, None, resources))
    }
}

/// The header of a table of ours.
pub(crate) fn header(signature: [u8; 4], revision: u8) -> Sdt {
    Sdt::new(signature, 36, revision, OEM_ID, OEM_TABLE_ID, OEM_REVISION)
}

/// An ISA interrupt line as a resource: edge-triggered, active high, not shared.
pub fn isa_line(line: u8) -> Interrupt {
    Interrupt::new(true, true, false, false, line.into())
}

fn device(name: &str, id: &str, number: Option<u8>, resources: &[&dyn Aml]) -> Vec<u8> {
    let id = Name::new("_HID".into(), &EISAName::new(id));
    let number = number.map(|number| Name::new("_UID".into(), &number));
    let resources = Name::new("_CRS".into(), &ResourceTemplate::new(resources.to_vec()));
    let mut parts: Vec<&dyn Aml> = vec![&id];
    parts.extend(number.iter().map(|number| number as &dyn Aml));
    parts.push(&resources);
    let mut aml = Vec::new();
    Device::new(Path::new(name), parts).to_aml_bytes(&mut aml);
    aml
}
