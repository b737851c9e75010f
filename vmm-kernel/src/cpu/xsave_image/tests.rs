use super::*;

/// States that the tests' processor has: x87, SSE, AVX, AVX-512, protection keys.
const SUPPORTED: u64 = 0b111 | 0b111 << 5 | 1 << 9;

/// Where they are: AVX at 576, the mask registers at 1088, protection keys at 2688.
fn place_of(state: u32) -> Cpuid {
    let (ebx, eax) = match state {
        2 => (576, 256),
        5 => (1088, 64),
        6 => (1152, 512),
        7 => (1664, 1024),
        9 => (2688, 8),
        _ => (0, 0),
    };
    Cpuid { eax, ebx, ecx: 0, edx: 0 }
}

fn alleged(states: u64) -> [u8; XSAVE_BYTES] {
    let mut area = [0x11; XSAVE_BYTES];
    area[MXCSR..MXCSR + 4].copy_from_slice(&0x1f80_u32.to_le_bytes());
    area[XSTATE_BV..HEADER_END].fill(0);
    area[XSTATE_BV..XSTATE_BV + 8].copy_from_slice(&states.to_le_bytes());
    area
}

fn own(states: u64, mask: u32) -> [u8; 4096] {
    let mut area = [0x22; 4096];
    area[MXCSR..MXCSR + 4].copy_from_slice(&0x1f80_u32.to_le_bytes());
    area[MXCSR_MASK..MXCSR_MASK + 4].copy_from_slice(&mask.to_le_bytes());
    area[XSTATE_BV..HEADER_END].fill(0);
    area[XSTATE_BV..XSTATE_BV + 8].copy_from_slice(&states.to_le_bytes());
    area
}

#[test]
fn what_xrstor_refuses_is_refused_and_nothing_done() {
    type Change = fn(&mut [u8; XSAVE_BYTES]);
    let changes: [(&str, Change); 7] = [
        ("a state that the processor has not", |area| area[XSTATE_BV + 1] |= 4),
        ("bit 63", |area| area[XSTATE_BV + 7] |= 0x80),
        ("XCOMP_BV", |area| area[XSTATE_BV + 8] = 1),
        ("the compact form", |area| area[XSTATE_BV + 15] = 0x80),
        ("a reserved byte of the header", |area| area[HEADER_END - 1] = 1),
        ("a reserved bit of MXCSR", |area| area[MXCSR + 2] = 1),
        ("DAZ where there is none", |area| area[MXCSR] |= 0x40),
    ];
    for (what, change) in changes {
        let (mut area, mut target) = (alleged(SUPPORTED), own(7, 0));
        change(&mut area);
        let before = target;
        assert_eq!(merge(&area, &mut target, SUPPORTED, place_of), None, "{what}");
        assert_eq!(target, before, "{what}");
    }
}

#[test]
fn a_processors_own_mask_of_mxcsr_is_asked() {
    let mut area = alleged(3);
    area[MXCSR] |= 0x40;
    assert_eq!(merge(&area, &mut own(0, 0xffff), 7, place_of), Some(()));
    assert_eq!(merge(&area, &mut own(0, 0xffbf), 7, place_of), None);
}

#[test]
fn what_the_processor_itself_has_in_mxcsr_is_taken_back() {
    let mut area = alleged(3);
    let mut target = own(0, 0xffff);
    target[MXCSR + 2] = 0x81;
    for (byte, taken) in [(0x81, true), (0x80, true), (0x82, false)] {
        area[MXCSR + 2] = byte;
        assert_eq!(merge(&area, &mut target.clone(), 7, place_of).is_some(), taken, "{byte:#x}");
    }
}

#[test]
fn registers_are_taken_and_what_is_the_kernels_is_not() {
    let mut target = own(0, 0xffff);
    merge(&alleged(SUPPORTED), &mut target, SUPPORTED, place_of).unwrap();
    for (bytes, expected) in [
        (0..MXCSR, 0x11),
        (MXCSR_MASK + 4..LEGACY_BYTES, 0x11),
        (LEGACY_BYTES..XSTATE_BV, 0x22),
        (XSTATE_BV + 8..HEADER_END, 0),
        (576..832, 0x11),
        (832..1088, 0x22),
        (1088..2688, 0x11),
        (2688..2696, 0x11),
        (2696..4096, 0x22),
    ] {
        assert!(target[bytes.clone()].iter().all(|byte| *byte == expected), "{bytes:?}");
    }
    assert_eq!(word(&target, MXCSR), Some(0x1f80));
    assert_eq!(word(&target, MXCSR_MASK), Some(0xffff));
    assert_eq!(long(&target, XSTATE_BV), Some(SUPPORTED));
}

#[test]
fn states_that_are_not_marked_stay_or_become_initial() {
    // MPX (bits 3 and 4) is not taken, so what is there stays; AVX, not marked, becomes initial.
    let mut target = own(0b11100, 0xffff);
    merge(&alleged(3), &mut target, SUPPORTED | 0b11000, place_of).unwrap();
    assert_eq!(long(&target, XSTATE_BV), Some(0b11011));
    assert!(target[576..].iter().all(|byte| *byte == 0x22));
}

#[test]
fn places_that_make_no_sense_are_left_alone() {
    for (ebx, eax) in
        [(0, 64), (512, 64), (575, 64), (3072, 64), (3000, 100), (u32::MAX, u32::MAX), (4090, 100)]
    {
        let mut target = own(0, 0xffff);
        let before = target;
        merge(&alleged(4), &mut target, SUPPORTED, |_| Cpuid { eax, ebx, ecx: 0, edx: 0 }).unwrap();
        assert_eq!(target[LEGACY_BYTES..XSTATE_BV], before[LEGACY_BYTES..XSTATE_BV], "{ebx}");
        assert_eq!(target[XSTATE_BV + 8..], before[XSTATE_BV + 8..], "{ebx}");
    }
}

#[test]
fn an_area_too_short_for_a_header_is_refused() {
    let mut short = own(0, 0xffff)[..XSTATE_BV + 4].to_vec();
    assert_eq!(merge(&alleged(3), &mut short, 7, place_of), None);
}
