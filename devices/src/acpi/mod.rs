//! ACPI tables for exactly what is there (ACPI 6.5).
//!
//! The result is one blob for the firmware area: RSDP at its start, the tables behind it, every pointer made
//! for the address the blob is to lie at. [`AcpiConfig`] says what every machine has; each device brings its
//! own [`AcpiEntry`]s. Addresses are taken from the device models' `spec`, so that tables and devices cannot
//! disagree.

mod dsdt;
mod fixed;
mod madt;
pub mod presence;
pub mod tpm2;

use acpi_tables::{Aml, AmlSink, facs::FACS, rsdp::Rsdp, xsdt::XSDT};
use alloc::vec::Vec;

use crate::acpi_entry::{AcpiEntry, OEM_ID, OEM_REVISION, OEM_TABLE_ID};
use crate::{apic, ioapic, pm};

/// Where firmware tables go: E0000h to FFFFFh.
pub const FIRMWARE_GPA: u64 = 0xe_0000;
/// Size of that area.
pub const FIRMWARE_BYTES: usize = 0x2_0000;

/// The local APICs.
pub const LOCAL_APIC_GPA: u32 = apic::spec::DEFAULT_BASE as u32;
/// The I/O APIC.
pub const IO_APIC_GPA: u32 = ioapic::IOAPIC_BASE as u32;

/// What the guest's machine is made of.
#[derive(Clone, Copy, Debug)]
pub struct AcpiConfig {
    /// Number of CPUs; their APIC IDs are 0 and on.
    pub cpus: u32,
    /// The I/O APIC's ID.
    pub io_apic_id: u8,
    /// How wide the PM timer is.
    pub timer_width: pm::TimerWidth,
    /// A window for 64-bit BARs: first byte, and size.
    pub high_window: Option<(u64, u64)>,
}

/// Why there are no tables. To blame: the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcpiError {
    /// More CPUs than the tables can name (4096).
    Cpus,
    /// The blob does not start at a multiple of 64 (the FACS' alignment), or its area does not end below 4
    /// GiB.
    Base,
    /// The tables are larger than the area for them.
    TooLarge {
        /// How large they are.
        bytes: usize,
    },
}

impl core::fmt::Display for AcpiError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Cpus => write!(f, "ACPI tables name at most {} CPUs", dsdt::MAX_CPUS),
            Self::Base => write!(f, "ACPI tables must start at a multiple of 64 below 4 GiB"),
            Self::TooLarge { bytes } => write!(f, "{bytes} bytes of ACPI tables do not fit"),
        }
    }
}

impl core::error::Error for AcpiError {}

/// The tables, ready to be copied to guest memory.
#[derive(Clone, Debug)]
pub struct AcpiTables {
    /// Where the first byte goes. The RSDP is there.
    pub rsdp_gpa: u64,
    /// The contents.
    pub bytes: Vec<u8>,
    /// Where the TPM's event log goes ([`tpm2::LOG_BYTES`] of zeros among the contents), if there is a TPM.
    pub tpm_log_gpa: Option<u64>,
}

/// Tables laid one behind the other.
struct Blob {
    base: u64,
    bytes: Vec<u8>,
}

impl Blob {
    /// Appends a table and says where it is.
    fn place(&mut self, alignment: usize, table: &dyn Aml) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        let gpa = self.base + self.bytes.len() as u64;
        table.to_aml_bytes(&mut self.bytes);
        gpa
    }
}

impl AcpiTables {
    /// Makes the tables of a machine and its devices' `entries`, for a blob at `base` that may have
    /// `limit_bytes`.
    pub fn new(
        config: &AcpiConfig,
        entries: &[AcpiEntry],
        base: u64,
        limit_bytes: usize,
    ) -> Result<Self, AcpiError> {
        // Beyond that the names of processor devices would repeat.
        if config.cpus > dsdt::MAX_CPUS {
            return Err(AcpiError::Cpus);
        }
        let end = base.checked_add(limit_bytes as u64);
        // The FACS wants that alignment (ACPI 6.5, 5.2.10), and the RSDP's tables have 32 bits for some
        // addresses.
        if !base.is_multiple_of(64) || end.is_none_or(|end| end > 1 << 32) {
            return Err(AcpiError::Base);
        }
        // Tables name each other by address, so what is named is placed first; the RSDP, which names them
        // all, has the first place kept for it, where it is looked for.
        let mut blob = Blob { base, bytes: alloc::vec![0; Rsdp::len()] };
        let facs = blob.place(64, &FACS::new());
        let dsdt = blob.place(16, &dsdt::table(config, entries));
        let mut xsdt = XSDT::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
        // Without the bit a guest does not look for the controller at all.
        let keyboard = entries.contains(&AcpiEntry::KeyboardController);
        xsdt.add_entry(blob.place(16, &fixed::fadt(config, keyboard, facs as u32, dsdt as u32)));
        xsdt.add_entry(blob.place(16, &madt::table(config)));
        xsdt.add_entry(blob.place(16, &fixed::waet()));
        for entry in entries {
            if let AcpiEntry::Table(table) = entry {
                xsdt.add_entry(blob.place(16, &Raw(table)));
            }
        }
        let tpm_log_gpa = tpm2::interface(entries).map(|interface| {
            let log = blob.place(16, &Raw(&[0; tpm2::LOG_BYTES]));
            xsdt.add_entry(blob.place(16, &tpm2::table(interface, log)));
            log
        });
        let xsdt = blob.place(16, &xsdt);
        let mut bytes = Vec::new();
        Rsdp::new(OEM_ID, xsdt).to_aml_bytes(&mut bytes);
        bytes.extend(blob.bytes.into_iter().skip(Rsdp::len()));
        // Only known at the end, as the devices bring as much as they like.
        if bytes.len() > limit_bytes {
            return Err(AcpiError::TooLarge { bytes: bytes.len() });
        }
        Ok(Self { rsdp_gpa: base, bytes, tpm_log_gpa })
    }
}

/// What is encoded already.
struct Raw<'a>(&'a [u8]);

impl Aml for Raw<'_> {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        sink.vec(self.0);
    }
}

#[cfg(test)]
mod tests;
