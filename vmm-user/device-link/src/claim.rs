//! What a device claims of the board, one message each: asked when the machine is put together, and believed
//! as far as any device is. Two devices that claim the same make no board.
//!
//! | word | |
//! |---|---|
//! | 0 | the answer's code in bits 7:0 (`DONE`), the kind of claim in bits 15:8 |
//! | 1, 2 | PORTS, ISA_PORTS: first, count. RANGE: address, bytes. LINE, ISA_LINE: line |
//! | 1 to 3 | ISA: name (4 bytes); EISA identifier (7 bytes); _UID, all ones for none |
//! | 1 | TPM: 0 for the command response buffer, 1 for the FIFO |
//!
//! ISA_PORTS and ISA_LINE stand behind the ISA they belong to: what the guest's ACPI tables say it has. Bytes
//! of text are in the order of memory, from the lowest byte of the word.

use alloc::vec::Vec;

use devices::acpi_entry::{AcpiEntry, ID_BYTES, IsaDevice, NAME_BYTES, Resource, TpmInterface};
use devices::capability::{MmioRange, PortRange};

use crate::Words;
use crate::answer::code;

/// The most claims that a device may have.
pub const CLAIMS_MAX: usize = 64;
/// The word for no number.
const NONE: u64 = u64::MAX;

/// Kinds, in bits 15:8 of word 0.
pub mod kind {
    /// Ports.
    pub const PORTS: u8 = 1;
    /// Guest physical addresses.
    pub const RANGE: u8 = 2;
    /// An interrupt line.
    pub const LINE: u8 = 3;
    /// A timer.
    pub const TIMER: u8 = 4;
    /// A device behind the ISA bridge.
    pub const ISA: u8 = 5;
    /// More resources of the ISA device before it: ports.
    pub const ISA_PORTS: u8 = 6;
    /// A line of it.
    pub const ISA_LINE: u8 = 7;
    /// A TPM, for the guest's ACPI tables.
    pub const TPM: u8 = 8;
}

/// One claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Ports.
    Ports(PortRange),
    /// Guest physical addresses.
    Range(MmioRange),
    /// An interrupt line.
    Line(u8),
    /// It has a timer.
    Timer,
    /// A device behind the ISA bridge, for the guest's ACPI tables.
    Isa {
        /// Its name.
        name: [u8; NAME_BYTES],
        /// Its EISA identifier.
        id: [u8; ID_BYTES],
        /// Its _UID.
        number: Option<u8>,
    },
    /// What the ISA device said before has: the guest's tables tell it so.
    IsaResource(Resource),
    /// A TPM, for the guest's ACPI tables.
    Tpm(TpmInterface),
}

impl Claim {
    /// The words of an answer.
    pub fn words(&self) -> Words {
        let (kind, one, two, three) = match *self {
            Self::Ports(range) => (kind::PORTS, range.first.into(), range.count.into(), 0),
            Self::Range(range) => (kind::RANGE, range.gpa, range.bytes, 0),
            Self::Line(line) => (kind::LINE, line.into(), 0, 0),
            Self::Timer => (kind::TIMER, 0, 0, 0),
            Self::Isa { name, id, number } => {
                (kind::ISA, pack(&name), pack(&id), number.map_or(NONE, u64::from))
            }
            Self::IsaResource(Resource::Ports(range)) => {
                (kind::ISA_PORTS, range.first.into(), range.count.into(), 0)
            }
            Self::IsaResource(Resource::Line(line)) => (kind::ISA_LINE, line.into(), 0, 0),
            Self::Tpm(interface) => (kind::TPM, u64::from(interface == TpmInterface::Fifo), 0, 0),
        };
        [u64::from(code::DONE) | u64::from(kind) << 8, one, two, three]
    }

    /// Takes the words of an answer apart. `None`: nonsense.
    pub fn read(words: &Words) -> Option<Self> {
        let [head, one, two, three] = *words;
        // All of the word, as in an answer: bits without a meaning are nonsense until they get one.
        if head & !0xff00 != code::DONE.into() {
            return None;
        }
        let ports = || Some(PortRange { first: one.try_into().ok()?, count: two.try_into().ok()? });
        Some(match (head >> 8) as u8 {
            kind::PORTS => Self::Ports(ports()?),
            kind::RANGE => Self::Range(MmioRange { gpa: one, bytes: two }),
            kind::LINE => Self::Line(one.try_into().ok()?),
            kind::TIMER => Self::Timer,
            kind::ISA => Self::Isa { name: unpack(one)?, id: unpack(two)?, number: number(three)? },
            kind::ISA_PORTS => Self::IsaResource(Resource::Ports(ports()?)),
            kind::ISA_LINE => Self::IsaResource(Resource::Line(one.try_into().ok()?)),
            kind::TPM => Self::Tpm(match one {
                0 => TpmInterface::Crb,
                1 => TpmInterface::Fifo,
                _ => return None,
            }),
            _ => return None,
        })
    }
}

fn number(word: u64) -> Option<Option<u8>> {
    if word == NONE { Some(None) } else { Some(Some(word.try_into().ok()?)) }
}

fn pack(text: &[u8]) -> u64 {
    text.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

fn unpack<const BYTES: usize>(word: u64) -> Option<[u8; BYTES]> {
    let bytes = word.to_le_bytes();
    let (text, rest) = bytes.split_first_chunk::<BYTES>()?;
    // What is behind a text is zero, so that each text has one form in words.
    rest.iter().all(|byte| *byte == 0).then_some(*text)
}

/// All that a device claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Its ports.
    pub ports: Vec<PortRange>,
    /// Its guest physical addresses.
    pub ranges: Vec<MmioRange>,
    /// The interrupt lines that it owns.
    pub lines: Vec<u8>,
    /// It has a timer.
    pub is_timed: bool,
    /// What the ACPI tables say of it.
    pub acpi: Vec<AcpiEntry>,
}

impl Claims {
    /// The claims one by one. `None`: the ACPI tables are to say something of the device that only a device
    /// in the VMM may, or there are too many claims.
    pub fn to_list(&self) -> Option<Vec<Claim>> {
        let mut list: Vec<Claim> = self.ports.iter().map(|range| Claim::Ports(*range)).collect();
        list.extend(self.ranges.iter().map(|range| Claim::Range(*range)));
        list.extend(self.lines.iter().map(|line| Claim::Line(*line)));
        list.extend(self.is_timed.then_some(Claim::Timer));
        for entry in &self.acpi {
            if let AcpiEntry::Tpm(interface) = entry {
                list.push(Claim::Tpm(*interface));
                continue;
            }
            // Others are AML and whole tables, by which a process could have the guest interpret what it
            // likes.
            let AcpiEntry::Isa(isa) = entry else { return None };
            list.push(Claim::Isa { name: isa.name(), id: isa.id(), number: isa.number() });
            list.extend(isa.resources().iter().map(|resource| Claim::IsaResource(*resource)));
        }
        // Refused where it is made: the VMM asks for no more than these, and would take the device for one
        // that talks nonsense.
        (list.len() <= CLAIMS_MAX).then_some(list)
    }

    /// The claims of a list. `None`: nonsense.
    pub fn from_list(list: &[Claim]) -> Option<Self> {
        let mut claims = Self::default();
        let mut before = None;
        for (index, claim) in list.iter().enumerate() {
            match *claim {
                Claim::Ports(range) => claims.ports.push(range),
                Claim::Range(range) => claims.ranges.push(range),
                Claim::Line(line) => claims.lines.push(line),
                Claim::Timer => claims.is_timed = true,
                Claim::Tpm(interface) => claims.acpi.push(AcpiEntry::Tpm(interface)),
                Claim::Isa { name, id, number } => {
                    let rest = list.get(index + 1..).unwrap_or_default();
                    let resources: Vec<Resource> = rest.iter().map_while(Claim::resource).collect();
                    claims.acpi.push(AcpiEntry::Isa(IsaDevice::new(name, id, number, &resources)?));
                }
                // Taken with the device before it.
                Claim::IsaResource(_) => {
                    matches!(before, Some(Claim::Isa { .. } | Claim::IsaResource(_))).then_some(())?;
                }
            }
            before = Some(*claim);
        }
        Some(claims)
    }
}

impl Claim {
    fn resource(&self) -> Option<Resource> {
        if let Self::IsaResource(resource) = self { Some(*resource) } else { None }
    }
}
