//! IA32_APIC_BASE.

use super::*;

const DISABLED: u64 = 0;
const XAPIC: u64 = spec::BASE_ENABLE;
const X2APIC: u64 = spec::BASE_ENABLE | spec::BASE_EXTD;
const INVALID: u64 = spec::BASE_EXTD;

#[test]
fn steps_between_modes() {
    // Steps to the state tried from, then the step tried, and whether it is legal.
    let table: &[(&[u64], u64, bool)] = &[
        (&[], DISABLED, true),
        (&[], XAPIC, true),
        (&[], X2APIC, true),
        (&[], INVALID, false),
        (&[X2APIC], X2APIC, true),
        (&[X2APIC], XAPIC, false),
        (&[X2APIC], DISABLED, true),
        (&[X2APIC], INVALID, false),
        (&[DISABLED], DISABLED, true),
        (&[DISABLED], XAPIC, true),
        (&[DISABLED], X2APIC, false),
        (&[DISABLED], INVALID, false),
    ];
    for &(way, to, legal) in table {
        let mut apic = Machine::xapic(1).local.remove(0);
        for step in way {
            apic.set_base(spec::DEFAULT_BASE | step).unwrap();
        }
        let before = apic.base();
        assert_eq!(apic.set_base(spec::DEFAULT_BASE | to).is_ok(), legal, "{way:x?} to {to:x}");
        let expected = if legal { spec::DEFAULT_BASE | to | spec::BASE_BSP } else { before };
        assert_eq!(apic.base(), expected, "{way:x?} to {to:x}");
    }
}

#[test]
fn reserved_bits_and_address() {
    let mut apic = Machine::xapic(1).local.remove(0);
    for bit in (0..8).chain([9]).chain(40..64) {
        assert_eq!(apic.set_base(apic.base() | 1 << bit), Err(GeneralProtection), "bit {bit}");
    }
    assert_eq!(apic.mmio_offset(0xfee0_0080), Some(0x80));
    apic.set_base(0xff_1234_5000 | XAPIC).unwrap();
    assert_eq!(apic.mmio_offset(0xff_1234_5fff), Some(0xfff));
    assert_eq!((apic.mmio_offset(0xff_1234_4fff), apic.mmio_offset(0xff_1234_6000)), (None, None));
    apic.set_base(apic.base() | X2APIC).unwrap();
    assert_eq!([0, 0xfee0_0080, 0xff_1234_5000, u64::MAX].map(|gpa| apic.mmio_offset(gpa)), [None; 4]);
}

#[test]
fn only_the_first_vcpu_is_the_bootstrap_processor() {
    let machine = Machine::reset(2, CONFIG);
    let flags: Vec<_> =
        machine.local.iter().map(|apic| (apic.base() & spec::BASE_BSP != 0, apic.waits_for_sipi())).collect();
    assert_eq!(flags, [(true, false), (false, true)]);
}

#[test]
fn disabling_resets() {
    let mut machine = Machine::xapic(1);
    machine.store(0, spec::TPR, 0x20);
    machine.store(0, spec::LVT_LINT0, 0x700);
    let apic = &mut machine.local[0];
    apic.set_base(spec::DEFAULT_BASE).unwrap();
    apic.set_base(spec::DEFAULT_BASE | XAPIC).unwrap();
    for (register, value) in [(spec::TPR, 0), (spec::SVR, 0xff), (spec::LVT_LINT0, 0x1_0000)] {
        assert_eq!(machine.load(0, register), value, "register {register:x}");
    }
}
