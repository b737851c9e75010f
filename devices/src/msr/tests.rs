use super::*;

fn file() -> MsrFile {
    MsrFile::new()
}

#[test]
fn reads() {
    use MsrRead::*;
    let cases = [
        (0x10, Tsc),
        (0x1b, Lapic),
        (0x3b, TscAdjust),
        (0x6e0, TscDeadline),
        (0x8b, Value(0x0100_0065)),
        (0xfe, Value(0x508)),
        (0x174, Vcpu(VcpuMsr::SysenterCs)),
        (0x179, Value(0)),
        (0x1a0, Value(1)),
        (0x200, Value(0)),
        (0x20f, Value(0)),
        (0x210, Unknown),
        (0x250, Value(0x0606_0606_0606_0606)),
        (0x259, Value(0)),
        (0x26f, Value(0x0606_0606_0606_0606)),
        (0x277, Vcpu(VcpuMsr::Pat)),
        (0x2ff, Value(0xc06)),
        (0x400, Value(0)),
        (0x427, Value(0)),
        (0x7ff, Unknown),
        (0x800, Lapic),
        (0x83f, Lapic),
        (0x8ff, Lapic),
        (0x900, Unknown),
        (0x1fff, Unknown),
        (0x2000, Unknown),
        (0x4000_0000, Unknown),
        (0x4b56_4d00, Unknown),
        (0xc000_0080, Vcpu(VcpuMsr::Efer)),
        (0xc000_0102, Vcpu(VcpuMsr::KernelGsBase)),
        (0xc000_0103, Vcpu(VcpuMsr::TscAux)),
        (0xc001_0010, Value(0)),
        (0xc001_0015, Value(1 << 24)),
        (0xc001_0114, Value(0x18)),
        (0xc001_1029, Value(2)),
        (0xc001_2000, Unknown),
        (0xffff_ffff, Unknown),
    ];
    for (msr, outcome) in cases {
        assert_eq!(file().read(msr), outcome, "{msr:#x}");
    }
}

/// Every register that FACTS of a Linux boot name has a rule: none of them is logged.
#[test]
fn linux_meets_no_unknown_register() {
    let singles = [
        0x1b, 0x49, 0x8b, 0xfe, 0x10, 0x174, 0x175, 0x176, 0x179, 0x17a, 0x17b, 0x250, 0x258, 0x259, 0x277,
        0x2ff,
    ];
    let amd = [0xc001_0007, 0xc001_0010, 0xc001_0015, 0xc001_001f, 0xc001_0058, 0xc001_0114, 0xc001_1029];
    let runs = [
        0x200..=0x20f,
        0x268..=0x26f,
        0x400..=0x427,
        0xc000_0080..=0xc000_0084,
        0xc000_0100..=0xc000_0103,
        0xc001_0000..=0xc001_0003,
    ];
    for msr in singles.into_iter().chain(amd).chain(runs.into_iter().flatten()) {
        assert_ne!(file().read(msr), MsrRead::Unknown, "{msr:#x}");
        assert_ne!(file().write(msr, 0), MsrWrite::Unknown, "{msr:#x}");
    }
}

#[test]
fn writes() {
    use MsrWrite::*;
    const WB: u64 = 0x0606_0606_0606_0606;
    // Register, value, outcome, what a read gives then if the value is kept here.
    let cases = [
        (0x10, 5, Tsc, None),
        (0x1b, 0xfee0_0900, Lapic, None),
        (0x830, 0, Lapic, None),
        (0x49, 1, Done, Some(0)),
        (0x8b, 1, Done, Some(0x0100_0065)),
        (0xfe, 0, Fault, Some(0x508)),
        (0x179, 1, Fault, Some(0)),
        (0x17a, 7, Done, Some(7)),
        (0x200, 0x8000_0006, Done, Some(0x8000_0006)),
        (0x200, 0x8000_0002, Fault, Some(0)),
        (0x200, 0x8000_0106, Fault, Some(0)),
        (0x200, 1 << 52, Fault, Some(0)),
        (0x201, 0xf_ffff_c000_0800, Done, Some(0xf_ffff_c000_0800)),
        (0x201, 0x801, Fault, Some(0)),
        (0x250, 0x0605_0401_0006_0606, Done, Some(0x0605_0401_0006_0606)),
        (0x250, 0x1e1e_1e1e_1e1e_1e1e, Done, Some(0x1e1e_1e1e_1e1e_1e1e)),
        (0x250, 0x0606_0606_0606_0602, Fault, Some(WB)),
        (0x258, 0x2606_0606_0606_0606, Fault, Some(WB)),
        (0x2ff, 0xc00, Done, Some(0xc00)),
        (0x2ff, 0x1c00, Fault, Some(0xc06)),
        (0x2ff, 0xc03, Fault, Some(0xc06)),
        (0x277, 0x0007_0406_0007_0406, Vcpu(VcpuMsr::Pat), None),
        (0x277, 0x0007_0406_0007_0402, Fault, None),
        (0x277, 0x0007_0406_0007_0403, Fault, None),
        (0xc000_0080, 0x1000, Vcpu(VcpuMsr::Efer), None),
        (0xc001_0015, u64::MAX, Done, Some(1 << 24 | 1 << 18 | 1 << 6 | 1 << 3)),
        (0xc001_0015, 0, Done, Some(1 << 24)),
        (0xc001_1029, 0x202, Done, Some(0x202)),
        (0xc001_0114, 0, Done, Some(0x18)),
        (0x1234, 1, Unknown, None),
        (0x4000_0070, 1, Unknown, None),
    ];
    for (msr, value, outcome, then) in cases {
        let mut file = file();
        assert_eq!(file.write(msr, value), outcome, "{msr:#x} = {value:#x}");
        if let Some(then) = then {
            assert_eq!(file.read(msr), MsrRead::Value(then), "{msr:#x} = {value:#x}");
        }
    }
}

#[test]
fn stored_registers_are_apart() {
    let mut file = file();
    let stored: alloc::vec::Vec<u32> =
        (0x200..=0x20f).chain([0x250, 0x258, 0x259]).chain(0x268..=0x26f).collect();
    let value = |msr: u32| {
        if msr < 0x250 { u64::from(msr & 0xf) << 12 } else { 0x0101_0101_0101_0101 * u64::from(msr & 1) }
    };
    for msr in &stored {
        assert_eq!(file.write(*msr, value(*msr)), MsrWrite::Done);
    }
    for msr in &stored {
        assert_eq!(file.read(*msr), MsrRead::Value(value(*msr)), "{msr:#x}");
    }
    assert_eq!(file.read(0x2ff), MsrRead::Value(0xc06));
}

#[test]
fn efer() {
    use EferError::*;
    // Current value, written value, paging, result.
    let cases = [
        (0, 0, false, Ok(0)),
        (0, 0x100, false, Ok(0x100)),
        (0, 0x901, false, Ok(0x901)),
        (0x100, 0, true, Err(LmeWithPaging)),
        (0, 0x100, true, Err(LmeWithPaging)),
        (0x500, 0xd01, true, Ok(0xd01)),
        (0x500, 0x901, true, Ok(0xd01)),
        (0x100, 0x500, false, Ok(0x100)),
        (0, 0x1000, false, Err(Reserved)),
        (0, 0x4000, false, Err(Reserved)),
        (0, 1 << 63, false, Err(Reserved)),
    ];
    for (current, value, paging, result) in cases {
        assert_eq!(check_efer(current, value, paging), result, "{current:#x} {value:#x}");
    }
}

/// MISC_ENABLE keeps what is written: a guest that reads it back believes nothing else.
#[test]
fn misc_enable_is_kept() {
    let mut file = file();
    assert_eq!(file.read(0x1a0), MsrRead::Value(1));
    assert_eq!(file.write(0x1a0, 0x4_0080_1889), MsrWrite::Done);
    assert_eq!(file.read(0x1a0), MsrRead::Value(0x4_0080_1889));
}
