//! Faults, page crossings and alignment checks.

use decoder::{Exception, Mode, Outcome, Size};
use decoder_oracle::TestMachine;
use decoder_oracle::page_tables::{Builder, Style};

/// Pages at 400000h and 401000h, at 5000h and 3000h, and what the second one's entry holds besides.
fn machine(second: u64) -> (TestMachine, Builder, [u64; 2]) {
    let mut machine = TestMachine::new(Mode::Bits64);
    let mut tables = Builder::new(&mut machine, Style::Four, 0x10_0000);
    let first = tables.map(&mut machine, 0x40_0000, 0x5000, 7, 4)[3];
    let second = tables.map(&mut machine, 0x40_1000, 0x3000, second, 4)[3];
    machine.put(0x5000, &[0x11; 4096]);
    machine.put(0x3000, &[0x22; 4096]);
    (machine, tables, [first, second])
}

#[test]
fn an_access_may_cross_pages() {
    for split in 1..8 {
        let (mut machine, ..) = machine(7);
        machine.gprs[3] = 0x40_1000 - split;
        machine.complete(&[0x48, 0x8b, 0x03]);
        let front = u64::MAX >> (64 - 8 * split);
        let ones = 0x1111_1111_1111_1111;
        assert_eq!(machine.gprs[0], ones & front | (2 * ones) & !front, "{split}");
        machine.gprs[0] = 0x0807_0605_0403_0201;
        machine.complete(&[0x48, 0x89, 0x03]);
        let bytes = [machine.get(0x6000 - split, split as usize), machine.get(0x3000, 8 - split as usize)];
        assert_eq!(bytes.concat(), [1, 2, 3, 4, 5, 6, 7, 8]);
        machine.complete(&[0x48, 0xff, 0x03]);
        assert_eq!(machine.get(0x6000 - split, 1), [2]);
    }
}

/// One half in RAM, the other on a device; the device sees aligned pieces.
#[test]
fn an_access_may_cross_into_a_device() {
    let (mut machine, ..) = machine(7);
    machine.ram.remove(&3);
    machine.gprs[3] = 0x40_0ffd;
    machine.gprs[0] = 0x0807_0605_0403_0201;
    machine.complete(&[0x48, 0x89, 0x03]);
    assert_eq!(machine.get(0x5ffd, 3), [1, 2, 3]);
    let log: Vec<_> = machine.device_log.iter().map(|access| (access.address, access.size)).collect();
    assert_eq!(log, [(0x3000, Size::B4), (0x3004, Size::B1)]);
}

#[test]
fn a_fault_in_the_second_page_leaves_the_first_untouched() {
    let (mut machine, tables, [first, _]) = machine(0);
    machine.gprs[3] = 0x40_0ffe;
    let before = machine.clone();
    for (code, error_code) in
        [(&[0x89, 0x03][..], 2), (&[0x8b, 0x03], 0), (&[0xff, 0x03], 2), (&[0x0f, 0xb1, 0x0b], 2)]
    {
        assert_eq!(machine.fault(code), Exception::page_fault(error_code, 0x40_1000), "{code:02x?}");
        assert_eq!(machine.get(0x5000, 4096), before.get(0x5000, 4096));
        assert_eq!((machine.gprs, machine.rflags, machine.rip), (before.gprs, before.rflags, before.rip));
        assert_eq!(tables.get(&machine, first) & 0x60, 0, "neither accessed nor dirty");
    }
}

#[test]
fn the_first_page_faults_first() {
    let (mut machine, tables, entries) = machine(0);
    for entry in entries {
        tables.set(&mut machine, entry, 0);
    }
    machine.gprs[3] = 0x40_0ffe;
    assert_eq!(machine.fault(&[0x8b, 0x03]), Exception::page_fault(0, 0x40_0ffe));
}

/// What reads and writes faults as a write at once; what only compares reads.
#[test]
fn read_only_pages() {
    let (mut machine, ..) = machine(5);
    machine.gprs[3] = 0x40_1000;
    machine.cpl = 3;
    for (code, faults) in [
        (&[0x8b, 0x03][..], false),
        (&[0x39, 0x03], false),
        (&[0x0f, 0xa3, 0x03], false),
        (&[0x89, 0x03], true),
        (&[0x01, 0x03], true),
        (&[0x0f, 0xab, 0x0b], true),
        (&[0x87, 0x03], true),
        (&[0x0f, 0xb1, 0x03], true),
        (&[0x0f, 0xc7, 0x0b], true),
    ] {
        machine.gprs[0] = 0;
        if faults {
            assert_eq!(machine.fault(code), Exception::page_fault(7, 0x40_1000), "{code:02x?}");
        } else {
            machine.complete(code);
        }
    }
}

#[test]
fn alignment_checks() {
    for (cpl, ac, am, faults) in
        [(3, true, true, true), (0, true, true, false), (3, false, true, false), (3, true, false, false)]
    {
        let mut machine = TestMachine::new(Mode::Bits64);
        machine.put(0x8000, &[0; 16]);
        machine.cpl = cpl;
        machine.rflags |= u64::from(ac) << 18;
        machine.paging.cr0 = (machine.paging.cr0 & !(1 << 18)) | u64::from(am) << 18;
        machine.gprs[3] = 0x8001;
        machine.complete(&[0x8a, 0x03]);
        if faults {
            assert_eq!(machine.fault(&[0x66, 0x8b, 0x03]), Exception::ALIGNMENT_CHECK);
        } else {
            machine.complete(&[0x66, 0x8b, 0x03]);
        }
        machine.gprs[3] = 0x8002;
        machine.complete(&[0x66, 0x8b, 0x03]);
    }
}

#[test]
fn page_tables_outside_ram_have_reserved_bits_set() {
    let (mut machine, ..) = machine(7);
    machine.ram.remove(&0x100);
    machine.gprs[3] = 0x40_0000;
    assert_eq!(machine.fault(&[0x8b, 0x03]), Exception::page_fault(9, 0x40_0000));
    assert_eq!(machine.fault(&[0x89, 0x03]), Exception::page_fault(0xb, 0x40_0000));
}

#[test]
fn page_tables_that_always_change_are_tried_again_later() {
    let (mut machine, tables, [first, _]) = machine(7);
    machine.gprs[3] = 0x40_0000;
    // Upper levels are marked already; the leaf's bits 15:8 are all software's or the page's.
    machine.complete(&[0x8b, 0x03]);
    tables.set(&mut machine, first, 0x5007);
    machine.interference = u32::MAX;
    assert_eq!(machine.run(&[0x8b, 0x03], 1), Outcome::Retry);
    assert_eq!(machine.gprs[3], 0x40_0000);
}
