//! DSDT: CPUs, the PCI root bridge with its windows and interrupt routing, and the ISA devices.

use super::{AcpiConfig, HPET_GPA};
use crate::{
    hpet, i8042,
    pci::{self, spec::intx_line},
    pm::spec as pm,
    rtc, uart,
};
use acpi_tables::{
    Aml,
    aml::{
        AddressSpace, AddressSpaceCacheable, Device, EISAName, IO, Interrupt, Memory32Fixed, Name, Package,
        PackageBuilder, Path, ResourceTemplate, Scope,
    },
    sdt::Sdt,
};
use alloc::{format, vec, vec::Vec};

/// CPUs have names of one letter and three hexadecimal digits.
pub const MAX_CPUS: u32 = 4096;

/// The table.
pub fn table(config: &AcpiConfig) -> Sdt {
    let mut aml = Vec::new();
    let s5 = pm::SLEEP_TYPE_S5;
    Name::new("_S5_".into(), &Package::new(vec![&s5, &s5, &0u8, &0u8])).to_aml_bytes(&mut aml);
    let mut system = Vec::new();
    for cpu in 0..config.cpus {
        processor(cpu, &mut system);
    }
    ecam(&mut system);
    if config.hpet_block_id.is_some() {
        device(
            "HPET",
            "PNP0103",
            &[&Memory32Fixed::new(true, HPET_GPA, hpet::HPET_BYTES as u32)],
            &mut system,
        );
    }
    root_bridge(config, &mut system);
    aml.extend(Scope::raw("\\_SB_".into(), system));
    let mut table = super::table(*b"DSDT", 2);
    table.append_slice(&aml);
    table
}

/// A processor device (ACPI0007) whose UID is that of its MADT entry.
fn processor(cpu: u32, aml: &mut Vec<u8>) {
    let id = Name::new("_HID".into(), &"ACPI0007");
    let uid = Name::new("_UID".into(), &cpu);
    Device::new(Path::new(&format!("C{cpu:03X}")), vec![&id, &uid]).to_aml_bytes(aml);
}

/// A device with an ID and resources.
fn device(name: &str, id: &str, resources: &[&dyn Aml], aml: &mut Vec<u8>) {
    let id = Name::new("_HID".into(), &EISAName::new(id));
    let resources = Name::new("_CRS".into(), &ResourceTemplate::new(resources.to_vec()));
    Device::new(name.into(), vec![&id, &resources]).to_aml_bytes(aml);
}

/// Motherboard resources: ECAM. Linux uses what MCFG says only if it is reserved here or in E820.
fn ecam(aml: &mut Vec<u8>) {
    let window = Memory32Fixed::new(true, pci::spec::ECAM_GPA as u32, pci::spec::ECAM_BYTES as u32);
    device("ECAM", "PNP0C02", &[&window], aml);
}

fn root_bridge(config: &AcpiConfig, aml: &mut Vec<u8>) {
    let hid = Name::new("_HID".into(), &EISAName::new("PNP0A08"));
    let cid = Name::new("_CID".into(), &EISAName::new("PNP0A03"));
    let uid = Name::new("_UID".into(), &0u8);
    let bus = Name::new("_BBN".into(), &0u8);
    let segment = Name::new("_SEG".into(), &0u8);
    let windows = windows(config);
    let routing = interrupt_routing();
    let isa = IsaBridge { config: *config };
    Device::new("PCI0".into(), vec![&hid, &cid, &uid, &bus, &segment, &windows, &routing, &isa])
        .to_aml_bytes(aml);
}

/// What the bridge passes on: all buses, all ports but its own, the legacy VGA range, and the windows for BARs.
fn windows(config: &AcpiConfig) -> Name {
    let memory = |first: u32, last: u32| {
        AddressSpace::new_memory(AddressSpaceCacheable::NotCacheable, true, first, last, None)
    };
    let own = pci::spec::CONFIG_ADDRESS;
    let buses = AddressSpace::<u16>::new_bus_number(0, 255);
    let configuration = IO::new(own, own, 1, 8);
    let (low, high) =
        (AddressSpace::new_io(0u16, own - 1, None), AddressSpace::new_io(own + 8, u16::MAX, None));
    let vga = memory(0xa_0000, 0xb_ffff);
    let bars = memory(pci::spec::WINDOW_GPA, pci::spec::WINDOW_LAST_GPA);
    let mut all: Vec<&dyn Aml> = vec![&buses, &configuration, &low, &high, &vga, &bars];
    let large = config.high_window.and_then(|(first, bytes)| {
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
            let address = u32::from(slot) << 16 | 0xffff;
            routing.add_element(&Package::new(vec![&address, &pin, &0u8, &intx_line(slot, pin)]));
        }
    }
    Name::new("_PRT".into(), &routing)
}

/// The LPC bridge and what is on it.
struct IsaBridge {
    config: AcpiConfig,
}

/// An ISA interrupt: edge, active high, not shared.
fn irq(line: u8) -> Interrupt {
    Interrupt::new(true, true, false, false, line.into())
}

impl Aml for IsaBridge {
    fn to_aml_bytes(&self, sink: &mut dyn acpi_tables::AmlSink) {
        let address = Name::new("_ADR".into(), &(u32::from(pci::LPC_DEVFN >> 3) << 16));
        let mut devices = Vec::new();
        self.timers_and_ports(&mut devices);
        if self.config.com1 {
            serial(&mut devices);
        }
        if self.config.i8042 {
            let [data, command] = [i8042::DATA, i8042::COMMAND].map(|port| IO::new(port, port, 1, 1));
            device("KBD_", "PNP0303", &[&data, &command, &irq(i8042::KEYBOARD_LINE)], &mut devices);
        }
        Device::new("ISA_".into(), vec![&address, &Raw(devices)]).to_aml_bytes(sink);
    }
}

impl IsaBridge {
    fn timers_and_ports(&self, aml: &mut Vec<u8>) {
        let pic = [0x20, 0xa0, 0x4d0].map(|port| IO::new(port, port, 1, 2));
        device("PIC_", "PNP0000", &[&pic[0], &pic[1], &pic[2]], aml);
        device("PIT_", "PNP0100", &[&IO::new(0x40, 0x40, 1, 4), &irq(0)], aml);
        device("SPKR", "PNP0800", &[&IO::new(0x61, 0x61, 1, 1)], aml);
        let clock = IO::new(rtc::spec::INDEX, rtc::spec::INDEX, 1, 4);
        device("RTC_", "PNP0B00", &[&clock, &irq(rtc::spec::LINE)], aml);
        let fixed = [
            IO::new(pm::PM1A_EVENT, pm::PM1A_EVENT, 1, pm::BLOCK_PORTS as u8),
            IO::new(pm::SMI_COMMAND, pm::SMI_COMMAND, 1, 2),
            IO::new(i8042::SYSTEM_CONTROL_A, i8042::SYSTEM_CONTROL_A, 1, 1),
        ];
        device("PWR_", "PNP0C02", &[&fixed[0], &fixed[1], &fixed[2]], aml);
    }
}

fn serial(aml: &mut Vec<u8>) {
    let [com1, ..] = uart::spec::COM;
    let resources = [IO::new(com1.base, com1.base, 1, uart::spec::PORTS_EACH as u8)];
    let crs = Name::new("_CRS".into(), &ResourceTemplate::new(vec![&resources[0], &irq(com1.line)]));
    let hid = Name::new("_HID".into(), &EISAName::new("PNP0501"));
    let uid = Name::new("_UID".into(), &1u8);
    Device::new("COM1".into(), vec![&hid, &uid, &crs]).to_aml_bytes(aml);
}

/// AML that has been made already.
struct Raw(Vec<u8>);

impl Aml for Raw {
    fn to_aml_bytes(&self, sink: &mut dyn acpi_tables::AmlSink) {
        sink.vec(&self.0);
    }
}
