//! What one device adds to the ACPI tables. The tables themselves are made in [`crate::acpi`].

use acpi_tables::{
    Aml,
    aml::{Device, EISAName, IO, Interrupt, Name, Path, ResourceTemplate},
    sdt::Sdt,
};
use alloc::{boxed::Box, string::String, vec, vec::Vec};

use crate::capability::PortRange;

pub(crate) const OEM_ID: [u8; 6] = *b"PLINTH";
pub(crate) const OEM_TABLE_ID: [u8; 8] = *b"PLINTHVM";
pub(crate) const OEM_REVISION: u32 = 1;

/// What one device adds to the ACPI tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcpiEntry {
    /// A device behind the ISA bridge.
    Isa(IsaDevice),
    /// A device directly under `\_SB`, as AML.
    System(Vec<u8>),
    /// A table of its own, header included.
    Table(Vec<u8>),
    /// The FADT says that there is a keyboard controller (ACPI 6.5, 5.2.9.3, bit 1).
    KeyboardController,
    /// A TPM 2.0 at its usual addresses: a device under `\_SB` and the table TPM2, both made here.
    Tpm(TpmInterface),
}

/// By which registers software reaches a TPM (PC Client Platform TPM Profile, chapter 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TpmInterface {
    /// The command response buffer.
    Crb,
    /// The FIFO, which Linux calls TIS.
    Fifo,
}

/// A device behind the ISA bridge, as a guest's ACPI tables name it. Not AML: a device in a process of its
/// own says this of itself, and must not have the guest interpret what it likes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsaDevice {
    name: [u8; NAME_BYTES],
    id: [u8; ID_BYTES],
    number: Option<u8>,
    resources: Vec<Resource>,
}

/// What an ISA device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Ports.
    Ports(PortRange),
    /// An interrupt line: edge-triggered, active high, not shared.
    Line(u8),
}

/// A name has four characters (ACPI 6.5, 5.3).
pub const NAME_BYTES: usize = 4;
/// An EISA identifier has three letters and four hexadecimal digits (ACPI 6.5, 6.1.5).
pub const ID_BYTES: usize = 7;

impl IsaDevice {
    /// A device of that name, EISA identifier, _UID (if there are several of a kind) and resources. `None`:
    /// the name or the identifier is none, or a resource has more ports than can be said.
    pub fn new(
        name: [u8; NAME_BYTES],
        id: [u8; ID_BYTES],
        number: Option<u8>,
        resources: &[Resource],
    ) -> Option<Self> {
        let letter = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'_';
        let [first, others @ ..] = &name;
        // Checked, since a device in a process of its own says these: bytes of its choice must not become
        // AML.
        let is_name = letter(first) && others.iter().all(|byte| letter(byte) || byte.is_ascii_digit());
        let (maker, product) = id.split_at(3);
        let is_digit = |byte: &u8| matches!(*byte, b'0'..=b'9' | b'A'..=b'F');
        let is_id = maker.iter().all(u8::is_ascii_uppercase) && product.iter().all(is_digit);
        // An I/O port descriptor has eight bits for how many (ACPI 6.5, 6.4.2.5).
        let fits = |resource: &Resource| match resource {
            Resource::Ports(range) => (1..=u16::from(u8::MAX)).contains(&range.count),
            Resource::Line(_) => true,
        };
        let all_fit = resources.iter().all(fits);
        (is_name && is_id && all_fit).then(|| Self { name, id, number, resources: resources.to_vec() })
    }

    /// The name.
    pub fn name(&self) -> [u8; NAME_BYTES] {
        self.name
    }

    /// The EISA identifier.
    pub fn id(&self) -> [u8; ID_BYTES] {
        self.id
    }

    /// The _UID.
    pub fn number(&self) -> Option<u8> {
        self.number
    }

    /// What it has.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// The device as AML.
    pub(crate) fn to_aml(&self) -> Vec<u8> {
        let resources: Vec<Box<dyn Aml>> = self.resources.iter().map(|resource| resource.aml()).collect();
        let resources: Vec<&dyn Aml> = resources.iter().map(|resource| &**resource).collect();
        device(&text(&self.name), &text(&self.id), self.number, &resources)
    }
}

impl Resource {
    fn aml(self) -> Box<dyn Aml> {
        match self {
            // At most 255: looked at when the device was made.
            Self::Ports(PortRange { first, count }) => Box::new(IO::new(first, first, 1, count as u8)),
            Self::Line(line) => Box::new(Interrupt::new(true, true, false, false, line.into())),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

impl AcpiEntry {
    /// A device behind the ISA bridge: its name, EISA identifier and resources. Nothing, if
    /// [`IsaDevice::new`] says that it is none.
    pub fn isa(name: &[u8; NAME_BYTES], id: &[u8; ID_BYTES], resources: &[Resource]) -> Vec<Self> {
        IsaDevice::new(*name, *id, None, resources).map(Self::Isa).into_iter().collect()
    }

    /// The same for one of several of a kind, whose number ends the name and is the _UID: a name of three
    /// characters.
    pub fn numbered(
        name: &[u8; NAME_BYTES - 1],
        number: u8,
        id: &[u8; ID_BYTES],
        resources: &[Resource],
    ) -> Vec<Self> {
        let [a, b, c] = *name;
        let digit = char::from_digit(u32::from(number), 16).map_or(b'_', |d| d.to_ascii_uppercase() as u8);
        IsaDevice::new([a, b, c, digit], *id, Some(number), resources).map(Self::Isa).into_iter().collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_says_what_it_was_made_with() {
        let resources = [Resource::Ports(PortRange { first: 0x3f8, count: 8 }), Resource::Line(4)];
        let device = IsaDevice::new(*b"COM1", *b"PNP0501", Some(7), &resources).unwrap();
        assert_eq!((device.name(), device.id()), (*b"COM1", *b"PNP0501"));
        assert_eq!((device.number(), device.resources()), (Some(7), &resources[..]));
        assert_eq!(IsaDevice::new(*b"COM1", *b"PNP0501", None, &[]).unwrap().number(), None);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let ports = |count| [Resource::Ports(PortRange { first: 0x70, count })];
        assert!(IsaDevice::new(*b"RTC_", *b"PNP0B00", None, &ports(255)).is_some());
        for (name, id, count) in [
            (b"rtc_", b"PNP0B00", 1),
            (b"1TC_", b"PNP0B00", 1),
            (b"RTC.", b"PNP0B00", 1),
            (b"RTC_", b"pnp0B00", 1),
            (b"RTC_", b"PNP0b00", 1),
            (b"RTC_", b"PNP0G00", 1),
            (b"RTC_", b"PNP0B00", 0),
            (b"RTC_", b"PNP0B00", 256),
        ] {
            assert_eq!(IsaDevice::new(*name, *id, None, &ports(count)), None);
        }
    }
}
