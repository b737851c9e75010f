use super::*;
use alloc::vec::Vec;

const CONFIG: AcpiConfig = AcpiConfig {
    cpus: 2,
    io_apic_id: 2,
    hpet_block_id: Some(0x8086_a201),
    timer_width: pm::TimerWidth::Bits32,
    com1: true,
    i8042: true,
    high_window: Some((0x80_0000_0000, 1 << 38)),
};

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
        let made = AcpiTables::new(&CONFIG, base, FIRMWARE_BYTES).unwrap();
        assert_eq!(&made.bytes[..8], b"RSD PTR ");
        assert_eq!((sum(&made.bytes[..20]), sum(&made.bytes[..36])), (0, 0));
        let names: Vec<Vec<u8>> = tables(&made).into_iter().map(|(name, _)| name).collect();
        let expected: [&[u8]; 8] = [b"FACP", b"APIC", b"MCFG", b"HPET", b"WAET", b"DSDT", b"FACS", b"XSDT"];
        assert_eq!(names, expected);
        for (name, table) in tables(&made) {
            assert!(name == b"FACS" || sum(&table) == 0, "{name:?}");
        }
    }
}
