//! DSDT: CPUs, the PCI root bridge with its windows and interrupt routing, and what the devices bring.

use super::{AcpiConfig, Raw, tpm2};
use crate::acpi_entry::{AcpiEntry, header};
use crate::pci::{self, spec::intx_line};
use crate::pm::spec as pm;
use acpi_tables::{
    Aml,
    aml::{
        AddressSpace, AddressSpaceCacheable, Device, EISAName, IO, Name, Package, PackageBuilder, Path,
        ResourceTemplate, Scope,
    },
    sdt::Sdt,
};
use alloc::{format, vec, vec::Vec};

/// CPUs have names of one letter and three hexadecimal digits.
pub const MAX_CPUS: u32 = 4096;

/// The table.
pub fn table(config: &AcpiConfig, entries: &[AcpiEntry]) -> Sdt {
    let mut aml = Vec::new();
    let s5 = pm::SLEEP_TYPE_S5;
    Name::new("_S5_".into(), &Package::new(vec![&s5, &s5, &0u8, &0u8])).to_aml_bytes(&mut aml);
    let mut system = Vec::new();
    for cpu in 0..config.cpus {
        processor(cpu, &mut system);
    }
    for entry in entries {
        if let AcpiEntry::System(device) = entry {
            system.extend_from_slice(device);
        }
    }
    // A machine has one TPM, whatever devices say.
    if tpm2::interface(entries).is_some() {
        system.extend(tpm2::device());
    }
    // In `_SB`, beside the processors: everything else hangs below the bridge.
    root_bridge(config, entries, &mut system);
    aml.extend(Scope::raw("\\_SB_".into(), system));
    let mut table = header(*b"DSDT", 2);
    table.append_slice(&aml);
    table
}

/// A processor device (ACPI0007) whose UID is that of its MADT entry.
fn processor(cpu: u32, aml: &mut Vec<u8>) {
    let id = Name::new("_HID".into(), &"ACPI0007");
    let uid = Name::new("_UID".into(), &cpu);
    Device::new(Path::new(&format!("C{cpu:03X}")), vec![&id, &uid]).to_aml_bytes(aml);
}

fn root_bridge(config: &AcpiConfig, entries: &[AcpiEntry], aml: &mut Vec<u8>) {
    let hid = Name::new("_HID".into(), &EISAName::new("PNP0A08"));
    // A system that knows no PCI Express finds the bridge by this.
    let cid = Name::new("_CID".into(), &EISAName::new("PNP0A03"));
    let uid = Name::new("_UID".into(), &0u8);
    let bus = Name::new("_BBN".into(), &0u8);
    let segment = Name::new("_SEG".into(), &0u8);
    let windows = windows(config);
    let routing = interrupt_routing();
    let isa = IsaBridge { entries };
    Device::new("PCI0".into(), vec![&hid, &cid, &uid, &bus, &segment, &windows, &routing, &isa])
        .to_aml_bytes(aml);
}

/// What the bridge passes on: all buses, all ports but its own, the legacy VGA range, and the windows for
/// BARs.
fn windows(config: &AcpiConfig) -> Name {
    let memory = |first: u32, last: u32| {
        AddressSpace::new_memory(AddressSpaceCacheable::NotCacheable, true, first, last, None)
    };
    let own = pci::spec::CONFIG_ADDRESS;
    let buses = AddressSpace::<u16>::new_bus_number(0, 255);
    // These eight ports are the bridge's own; all others it passes on.
    let configuration = IO::new(own, own, 1, 8);
    let (low, high) =
        (AddressSpace::new_io(0u16, own - 1, None), AddressSpace::new_io(own + 8, u16::MAX, None));
    let vga = memory(0xa_0000, 0xb_ffff);
    let bars = memory(pci::spec::WINDOW_GPA, pci::spec::WINDOW_LAST_GPA);
    let mut all: Vec<&dyn Aml> = vec![&buses, &configuration, &low, &high, &vga, &bars];
    let large = config.high_window.and_then(|(first, bytes)| {
        // An empty window, or one that runs past the end, is left out instead of described wrongly.
        let last = first.checked_add(bytes.checked_sub(1)?)?;
        Some(AddressSpace::new_memory(AddressSpaceCacheable::NotCacheable, true, first, last, None))
    });
    if let Some(large) = &large {
        all.push(large);
    }
    Name::new("_CRS".into(), &ResourceTemplate::new(all))
}

/// Every pin of every slot goes to a fixed input of the I/O APIC.
fn interrupt_routing() -> Name {
    let mut routing = PackageBuilder::new();
    for slot in 0..32u8 {
        for pin in 0..4u8 {
            // FFFFh stands for all functions of the slot (ACPI 6.5, 6.2.13).
            let address = u32::from(slot) << 16 | 0xffff;
            routing.add_element(&Package::new(vec![&address, &pin, &0u8, &intx_line(slot, pin)]));
        }
    }
    Name::new("_PRT".into(), &routing)
}

/// The ISA bridge, with the devices behind it.
struct IsaBridge<'a> {
    entries: &'a [AcpiEntry],
}

impl Aml for IsaBridge<'_> {
    fn to_aml_bytes(&self, sink: &mut dyn acpi_tables::AmlSink) {
        let address = Name::new("_ADR".into(), &(u32::from(pci::LPC_DEVFN >> 3) << 16));
        let mut devices = Vec::new();
        for entry in self.entries {
            if let AcpiEntry::Isa(device) = entry {
                devices.extend(device.to_aml());
            }
        }
        Device::new("ISA_".into(), vec![&address, &Raw(&devices)]).to_aml_bytes(sink);
    }
}
