use super::*;

#[test]
fn what_is_written_and_read() {
    // Offset, written, read: of a controller that is not enabled.
    let cases = [
        (0x00, 0, 0x1401_00ff),
        (0x04, 0, 0x20),
        (0x08, 0, 0x0001_0400),
        (0x0c, 0x8000_0005, 0x8000_0005),
        (0x14, 0xffff_fffe, 0x00ff_fff0),
        (0x18, 1, 0),
        (0x1c, 0xffff_ffff, 0),
        (0x20, 0x4e56_4d65, 0),
        (0x24, 0xffff_ffff, 0x0fff_0fff),
        (0x28, 0xffff_ffff, 0xffff_f000),
        (0x2c, 0xffff_ffff, 0xffff_ffff),
        (0x30, 0x1234_5678, 0x1234_5000),
        (0x34, 0x9abc_def0, 0x9abc_def0),
        (0x38, 0xffff_ffff, 0),
        (0xffc, 0xffff_ffff, 0),
    ];
    let mut registers = Registers::default();
    for (offset, written, read) in cases {
        assert_eq!(registers.write(offset, written), Wish::Nothing, "{offset:#x}");
        assert_eq!(registers.read(offset), read, "{offset:#x}");
    }
    assert_eq!((registers.admin_submission, registers.admin_completion), (!0 << 12, 0x9abc_def0_1234_5000));
}

#[test]
fn the_mask_is_set_and_cleared_by_bits() {
    let mut registers = Registers::default();
    registers.write(register::INTMS, 0b0110);
    registers.write(register::INTMS, 0b1000);
    registers.write(register::INTMC, 0b0010);
    assert_eq!((registers.read(register::INTMS), registers.read(register::INTMC)), (0b1100, 0b1100));
}

#[test]
fn admin_queues_and_choices() {
    // AQA, CC, whether that can be enabled.
    for (sizes, configuration, is_valid) in [
        (0x0001_0001, 1, true),
        (0x00ff_00ff, 0x0046_0001, true),
        (0x0001_0000, 1, false),
        (0x0000_0001, 1, false),
        (0x0100_0001, 1, false),
        (0x0001_0100, 1, false),
        (0x0001_0001, 1 | 1 << 4, false),
        (0x0001_0001, 1 | 1 << 7, false),
        (0x0001_0001, 1 | 8 << 7, false),
        (0x0001_0001, 1 | 1 << 11, false),
        (0x0001_0001, 1 | 1 << 14, true),
    ] {
        let mut registers = Registers::default();
        registers.write(register::AQA, sizes);
        assert_eq!(registers.write(register::CC, configuration), Wish::Enable);
        assert_eq!(registers.admin_queues().is_some(), is_valid, "{sizes:#x} {configuration:#x}");
    }
}

#[test]
fn while_enabled_choices_and_admin_queues_stay() {
    let mut registers = Registers::default();
    registers.write(register::AQA, 0x0001_0001);
    registers.write(register::ASQ, 0x1000);
    registers.write(register::CC, 1);
    for (offset, value) in [(register::AQA, 0x0002_0002), (register::ASQ, 0x5000), (register::ACQ, 0x5000)] {
        registers.write(offset, value);
    }
    assert_eq!(registers.admin_queues(), Some([(0x1000, 2), (0, 2)]));
    assert_eq!(registers.write(register::CC, 0x0046_3ff1), Wish::Nothing);
    assert_eq!(registers.read(register::CC), 0x0046_0001);
    assert!(registers.has_entry_sizes());
    assert_eq!(registers.write(register::CC, 0x0046_4001), Wish::Shutdown);
    assert_eq!(registers.write(register::CC, 0x0046_4001), Wish::Nothing);
    assert_eq!(registers.write(register::CC, 0x0046_0000), Wish::Reset);
    registers.status = csts::READY | csts::FATAL;
    registers.mask = 1;
    registers.reset();
    assert_eq!((registers.status, registers.mask), (0, 0));
    assert_eq!(registers.admin_queues(), Some([(0x1000, 2), (0, 2)]));
}

#[test]
fn a_fatal_error_is_not_ready() {
    for (status, is_ready) in [(0, false), (1, true), (2, false), (3, false), (0xd, true)] {
        assert_eq!(Registers { status, ..Registers::default() }.is_ready(), is_ready);
    }
}
