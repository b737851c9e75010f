use super::*;
use crate::acpi_entry::TpmInterface;
use crate::capability::Device;
use crate::{hpet, i8042, pci, pit, rtc, uart};
use alloc::vec::Vec;

const CONFIG: AcpiConfig = AcpiConfig {
    cpus: 2,
    io_apic_id: 2,
    timer_width: pm::TimerWidth::Bits32,
    high_window: Some((0x80_0000_0000, 1 << 38)),
};

/// What the devices of a PC bring.
fn entries() -> Vec<AcpiEntry> {
    let legacy = hpet::LegacyReplacement::default();
    let router = crate::router::Router::new(alloc::sync::Arc::new(apic::Apics::new(&[0]).unwrap()));
    [
        router.acpi(),
        pit::Pit::new(legacy.clone()).acpi(),
        hpet::Hpet::new(legacy).acpi(),
        rtc::Rtc::new(0, &rtc::CmosConfig { low_ram_bytes: 0, high_ram_bytes: 0, cpus: 1 }).acpi(),
        pm::Pm::new(CONFIG.timer_width, false).acpi(),
        i8042::I8042::new().acpi(),
        pci::PciHost::acpi(),
        uart::Uart::new(uart::spec::COM[0], |_: u8| {}).acpi(),
    ]
    .concat()
}

fn word(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes[at..at + size].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// The tables behind the XSDT, with the DSDT and FACS that the FADT points to.
fn tables(made: &AcpiTables) -> Vec<(Vec<u8>, Vec<u8>)> {
    let at = |gpa: u64| &made.bytes[(gpa - made.rsdp_gpa) as usize..];
    let whole = |gpa: u64| at(gpa)[..word(at(gpa), 4, 4) as usize].to_vec();
    let xsdt = whole(word(&made.bytes, 24, 8));
    let mut found: Vec<Vec<u8>> = (36..xsdt.len()).step_by(8).map(|i| whole(word(&xsdt, i, 8))).collect();
    let fadt = found[0].clone();
    found.push(whole(word(&fadt, 140, 8)));
    found.push(whole(word(&fadt, 36, 4)));
    found.push(xsdt);
    found.into_iter().map(|table| (table[..4].to_vec(), table)).collect()
}

#[test]
fn pointers_lengths_and_checksums_hold() {
    for base in [FIRMWARE_GPA, 0xf_0000, 0x7fe0_0000] {
        let made = AcpiTables::new(&CONFIG, &entries(), base, FIRMWARE_BYTES).unwrap();
        assert_eq!(&made.bytes[..8], b"RSD PTR ");
        assert_eq!((sum(&made.bytes[..20]), sum(&made.bytes[..36])), (0, 0));
        let names: Vec<Vec<u8>> = tables(&made).into_iter().map(|(name, _)| name).collect();
        let expected: [&[u8]; 8] = [b"FACP", b"APIC", b"WAET", b"HPET", b"MCFG", b"DSDT", b"FACS", b"XSDT"];
        assert_eq!(names, expected);
        for (name, table) in tables(&made) {
            assert!(name == b"FACS" || sum(&table) == 0, "{name:?}");
        }
    }
}

fn find(made: &AcpiTables, name: &[u8]) -> Option<Vec<u8>> {
    tables(made).into_iter().find(|(found, _)| found == name).map(|(_, table)| table)
}

fn make(config: AcpiConfig) -> AcpiTables {
    make_with(config, &entries())
}

fn make_with(config: AcpiConfig, entries: &[AcpiEntry]) -> AcpiTables {
    AcpiTables::new(&config, entries, FIRMWARE_GPA, FIRMWARE_BYTES).unwrap()
}

#[test]
fn fadt_says_where_the_registers_are() {
    let fadt = find(&make(CONFIG), b"FACP").unwrap();
    // Offset, size, value (ACPI 6.5, table 5.9).
    let cases = [
        (46, 2, 9),
        (48, 4, 0xb2),
        (52, 1, 2),
        (53, 1, 3),
        (56, 4, 0x600),
        (64, 4, 0x604),
        (76, 4, 0x608),
        (88, 1, 4),
        (89, 1, 2),
        (91, 1, 4),
        (108, 1, 0x32),
        (109, 2, 0x07),
        (112, 4, 0x0565),
        (116, 1, 1),
        (117, 1, 8),
        (120, 8, 0xcf9),
        (128, 1, 0x0e),
        (148, 1, 1),
        (149, 1, 32),
        (152, 8, 0x600),
        (172, 1, 1),
        (176, 8, 0x604),
        (208, 1, 1),
        (212, 8, 0x608),
    ];
    for (offset, size, value) in cases {
        assert_eq!(word(&fadt, offset, size), value, "offset {offset}");
    }
    assert_eq!(word(&fadt, 40, 4), word(&fadt, 140, 8), "both pointers to the DSDT");
    let narrow = make_with(AcpiConfig { timer_width: pm::TimerWidth::Bits24, ..CONFIG }, &[]);
    let fadt = find(&narrow, b"FACP").unwrap();
    assert_eq!((word(&fadt, 112, 4), word(&fadt, 109, 2)), (0x0465, 0x05));
}

#[test]
fn madt_lists_every_interrupt_controller() {
    for cpus in [1u32, 2, 255, 256, 2000] {
        let madt = find(&make(AcpiConfig { cpus, io_apic_id: 9, ..CONFIG }), b"APIC").unwrap();
        assert_eq!((word(&madt, 36, 4), word(&madt, 40, 4)), (0xfee0_0000, 1));
        let (mut at, mut ids, mut others) = (44, Vec::new(), Vec::new());
        while at < madt.len() {
            let entry = &madt[at..at + usize::from(madt[at + 1])];
            match entry[0] {
                0 => ids.push((u64::from(entry[3]), u64::from(entry[2]), word(entry, 4, 4))),
                9 => ids.push((word(entry, 4, 4), word(entry, 12, 4), word(entry, 8, 4))),
                _ => others.push(entry.to_vec()),
            }
            at += entry.len();
        }
        let expected: Vec<(u64, u64, u64)> = (0..u64::from(cpus)).map(|id| (id, id, 1)).collect();
        assert_eq!(ids, expected);
        let mut entries: Vec<&[u8]> = Vec::from([
            &[1, 12, 9, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0][..],
            &[2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
            &[2, 10, 0, 9, 9, 0, 0, 0, 13, 0],
            &[4, 6, 0xff, 0, 0, 1],
        ]);
        if cpus > 255 {
            entries.push(&[10, 12, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
        }
        assert_eq!(others, entries, "{cpus}");
    }
}

#[test]
fn small_tables() {
    let made = make(CONFIG);
    let hpet = find(&made, b"HPET").unwrap();
    assert_eq!((word(&hpet, 36, 4), word(&hpet, 44, 8), hpet.len()), (0x8086_a201, 0xfed0_0000, 56));
    let mcfg = find(&made, b"MCFG").unwrap();
    assert_eq!((word(&mcfg, 44, 8), word(&mcfg, 52, 4), mcfg.len()), (0xe000_0000, 0xff00_0000, 60));
    assert_eq!(word(&find(&made, b"WAET").unwrap(), 36, 4), 2);
    assert_eq!(find(&make_with(CONFIG, &[]), b"HPET"), None);
}

/// What is not there is not in the DSDT either.
#[test]
fn dsdt_has_what_the_devices_bring() {
    let has = |config: AcpiConfig, entries: &[AcpiEntry], name: &[u8]| {
        find(&make_with(config, entries), b"DSDT").unwrap().windows(name.len()).any(|window| window == name)
    };
    for name in [&b"HPET"[..], b"COM1", b"KBD_", b"RTC_", b"PIT_", b"SPKR", b"PIC_", b"PWR_", b"ECAM"] {
        assert_eq!((has(CONFIG, &entries(), name), has(CONFIG, &[], name)), (true, false), "{name:?}");
    }
    for name in [&b"_S5_"[..], b"PCI0", b"_PRT", b"ISA_", b"C000", b"C001"] {
        assert!(has(CONFIG, &[], name), "{name:?}");
    }
    let has = |config, name: &[u8]| has(config, &entries(), name);
    assert!(!has(CONFIG, b"C002"));
    // A 64-bit window that makes no sense is left out; one that does is a QWord descriptor.
    let window =
        |first, bytes| has(AcpiConfig { high_window: Some((first, bytes)), ..CONFIG }, &[0x8a, 0x2b, 0x00]);
    assert!(window(1 << 39, 1 << 38) && !window(1 << 39, 0) && !window(u64::MAX, 2));
}

#[test]
fn what_cannot_be_described_is_refused() {
    let new =
        |cpus, base, limit| AcpiTables::new(&AcpiConfig { cpus, ..CONFIG }, &entries(), base, limit).err();
    let size = make(CONFIG).bytes.len();
    let cases = [
        (new(2, FIRMWARE_GPA, size), None),
        (new(2, FIRMWARE_GPA, size - 1), Some(AcpiError::TooLarge { bytes: size })),
        (new(4097, FIRMWARE_GPA, FIRMWARE_BYTES), Some(AcpiError::Cpus)),
        (new(2, FIRMWARE_GPA + 16, FIRMWARE_BYTES), Some(AcpiError::Base)),
        (new(2, 1 << 32, FIRMWARE_BYTES), Some(AcpiError::Base)),
        (new(2, !63, FIRMWARE_BYTES), Some(AcpiError::Base)),
    ];
    for (is, expected) in cases {
        assert_eq!(is, expected);
    }
}

/// The table and the device of a TPM 2.0, byte by byte where drivers look (TCG ACPI Specification 1.4, 7.3).
#[test]
fn a_tpm_has_a_table_and_a_device() {
    assert_eq!((find(&make(CONFIG), b"TPM2"), make(CONFIG).tpm_log_gpa), (None, None));
    for (interface, method, control) in [(TpmInterface::Crb, 7, 0xfed4_0040), (TpmInterface::Fifo, 6, 0)] {
        let mut entries = entries();
        // A second one changes nothing.
        entries.extend([AcpiEntry::Tpm(interface), AcpiEntry::Tpm(TpmInterface::Crb)]);
        let made = make_with(CONFIG, &entries);
        let table = find(&made, b"TPM2").unwrap();
        let log = made.tpm_log_gpa.unwrap();
        let cases = [
            (4, 4, 76),
            (8, 1, 4),
            (36, 4, 0),
            (40, 8, control),
            (48, 4, method),
            (64, 4, 0x1_0000),
            (68, 8, log),
        ];
        for (offset, size, value) in cases {
            assert_eq!(word(&table, offset, size), value, "offset {offset}");
        }
        let place = (log - made.rsdp_gpa) as usize;
        assert!(made.bytes[place..place + tpm2::LOG_BYTES].iter().all(|byte| *byte == 0));
        assert_eq!(tables(&made).iter().filter(|(name, _)| name == b"TPM2").count(), 1);
        let dsdt = find(&made, b"DSDT").unwrap();
        let occurs = |text: &[u8]| dsdt.windows(text.len()).filter(|window| *window == text).count();
        assert_eq!(occurs(b"MSFT0101"), 1);
        // A 32-bit fixed memory range: writable, base, length (ACPI 6.5, 6.4.3.4).
        assert_eq!(occurs(&[0x86, 9, 0, 1, 0, 0, 0xd4, 0xfe, 0, 0x50, 0, 0]), 1);
    }
}

/// The resources of the root bridge and its interrupt routing, as the AML has them (ACPI 6.5, 6.4.3.5.3 and
/// 6.2.13).
#[test]
fn the_bridge_passes_on_what_is_not_its_own() {
    let dsdt = find(&make(CONFIG), b"DSDT").unwrap();
    let occurs = |bytes: &[u8]| dsdt.windows(bytes.len()).any(|window| window == bytes);
    // Word address space: granularity, first, last, translation, length. All ports but CF8h to CFFh.
    assert!(occurs(&[0, 0, 0x00, 0x00, 0xf7, 0x0c, 0, 0, 0xf8, 0x0c]));
    assert!(occurs(&[0, 0, 0x00, 0x0d, 0xff, 0xff, 0, 0, 0x00, 0xf3]));
    // The ISA bridge is function 0 of slot 31.
    assert!(occurs(b"_ADR\x0c\0\0\x1f\0"));
    for slot in 1..32_u8 {
        for pin in 0..4_u8 {
            // Small numbers have opcodes of their own.
            let pin_aml = if pin < 2 { alloc::vec![pin] } else { alloc::vec![0x0a, pin] };
            let line = pci::spec::intx_line(slot, pin);
            let package = [&[0x0c, 0xff, 0xff, slot, 0][..], &pin_aml, &[0, 0x0a, line]].concat();
            assert!(occurs(&package), "{slot} {pin}");
        }
    }
}
