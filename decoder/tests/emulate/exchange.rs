//! XCHG, XADD, CMPXCHG, CMPXCHG8B and CMPXCHG16B.

use decoder::{Exception, Mode, Outcome, Size, Stop};
use decoder_oracle::TestMachine;

const AT: u64 = 0x8000;
const ZF: u64 = 0x40;

fn machine() -> TestMachine {
    let mut machine = TestMachine::new(Mode::Bits64);
    machine.put(AT, &0x1111_2222_3333_4444_5555_6666_7777_8888_u128.to_le_bytes());
    machine.gprs[7] = AT;
    machine.gprs[0] = 0xaaaa_bbbb_cccc_dddd;
    machine.gprs[1] = 0x0123_4567_89ab_cdef;
    machine
}

#[test]
fn xchg() {
    for (code, memory, rcx) in [
        (&[0x86, 0x0f][..], 0x5555_6666_7777_88ef, 0x0123_4567_89ab_cd88),
        (&[0x66, 0x87, 0x0f], 0x5555_6666_7777_cdef, 0x0123_4567_89ab_8888),
        (&[0x87, 0x0f], 0x5555_6666_89ab_cdef, 0x7777_8888),
        (&[0x48, 0x87, 0x0f], 0x0123_4567_89ab_cdef, 0x5555_6666_7777_8888),
    ] {
        let mut machine = machine();
        machine.complete(code);
        assert_eq!((machine.value(AT, Size::B8), machine.gprs[1]), (memory, rcx), "{code:02x?}");
    }
}

#[test]
fn xadd() {
    let mut machine = machine();
    machine.gprs[1] = 0x9000_0000;
    machine.complete(&[0x0f, 0xc1, 0x0f]);
    assert_eq!(machine.value(AT, Size::B8), 0x5555_6666_0777_8888);
    assert_eq!(machine.gprs[1], 0x7777_8888);
    assert_eq!(machine.rflags & 0x8d5, 1 | 4, "carry, parity");
}

#[test]
fn cmpxchg() {
    let mut machine = machine();
    machine.complete(&[0x0f, 0xb1, 0x0f]);
    assert_eq!(machine.value(AT, Size::B4), 0x7777_8888, "not equal");
    assert_eq!((machine.gprs[0], machine.rflags & ZF), (0x7777_8888, 0));
    machine.complete(&[0x0f, 0xb1, 0x0f]);
    assert_eq!(machine.value(AT, Size::B4), 0x89ab_cdef);
    assert_eq!(machine.rflags & ZF, ZF);
}

#[test]
fn cmpxchg8b() {
    for lock in [&[][..], &[0xf0]] {
        let code = [lock, &[0x0f, 0xc7, 0x0f]].concat();
        let mut machine = machine();
        machine.gprs[3] = 0xdead_beef;
        machine.complete(&code);
        assert_eq!((machine.gprs[2], machine.gprs[0]), (0x5555_6666, 0x7777_8888), "not equal");
        assert_eq!(machine.rflags & ZF, 0);
        machine.complete(&code);
        assert_eq!(machine.value(AT, Size::B8), 0x89ab_cdef_dead_beef);
        assert_eq!(machine.rflags & ZF, ZF);
    }
}

#[test]
fn cmpxchg16b() {
    for lock in [&[][..], &[0xf0]] {
        let code = [lock, &[0x48, 0x0f, 0xc7, 0x0f]].concat();
        let mut machine = machine();
        machine.gprs[3] = 0xdead_beef;
        machine.complete(&code);
        assert_eq!((machine.gprs[2], machine.gprs[0]), (0x1111_2222_3333_4444, 0x5555_6666_7777_8888));
        assert_eq!(machine.value(AT, Size::B8), 0x5555_6666_7777_8888, "not equal");
        assert_eq!(machine.value(AT + 8, Size::B8), 0x1111_2222_3333_4444, "not equal");
        machine.complete(&code);
        assert_eq!(machine.value(AT, Size::B8), 0xdead_beef);
        assert_eq!(machine.value(AT + 8, Size::B8), 0x0123_4567_89ab_cdef);
        machine.gprs[7] = AT + 8;
        assert_eq!(machine.fault(&code), Exception::GENERAL_PROTECTION, "misaligned");
    }
}

#[test]
fn cmpxchg16b_on_a_device_is_two_reads_and_two_writes() {
    let mut machine = machine();
    machine.gprs[7] = 0xfed0_0000;
    machine.complete(&[0xf0, 0x48, 0x0f, 0xc7, 0x0f]);
    assert_eq!(machine.device_log.len(), 4);
    assert_eq!((machine.gprs[2], machine.gprs[0]), (u64::MAX, u64::MAX));
}

/// Another vCPU adds 100h to the operand just before it is exchanged.
#[test]
fn locked_operations_start_again() {
    for (code, expected) in [
        (&[0xf0, 0x83, 0x07, 0x01][..], 0x7777_8b89_u64),
        (&[0xf0, 0x0f, 0xc1, 0x0f], 0x123_5977),
        (&[0xf0, 0xff, 0x0f], 0x7777_8b87),
        (&[0xf0, 0xf7, 0x17], 0x8888_7477),
    ] {
        let mut machine = machine();
        machine.interference = 3;
        machine.complete(code);
        assert_eq!(machine.value(AT, Size::B4), expected, "{code:02x?}");
    }
}

#[test]
fn locked_operations_give_up() {
    let mut machine = machine();
    machine.interference = u32::MAX;
    let before = machine.clone();
    assert_eq!(machine.run(&[0xf0, 0xff, 0x07], 1), Outcome::Retry);
    assert_eq!((machine.rip, machine.rflags, machine.gprs), (before.rip, before.rflags, before.gprs));
}

#[test]
fn locked_operands_do_not_cross_pages() {
    let mut machine = machine();
    machine.put(0x8ffc, &[0; 16]);
    machine.gprs[7] = 0x8ffe;
    for code in [&[0xf0, 0xff, 0x07][..], &[0x87, 0x0f], &[0xf0, 0x0f, 0xc7, 0x0f]] {
        assert_eq!(machine.run(code, 1), Outcome::Stop(Stop::SplitLock), "{code:02x?}");
    }
    // Without LOCK they may.
    machine.complete(&[0xff, 0x07]);
    assert_eq!(machine.get(0x8ffe, 1), [1]);
}

#[test]
fn locked_operations_on_a_device() {
    let mut machine = machine();
    machine.gprs[7] = 0xfed0_0000;
    machine.put_device(0xfed0_0000, &[5, 0, 0, 0]);
    machine.complete(&[0xf0, 0x83, 0x07, 0x02]);
    assert_eq!(machine.device.get(&0xfed0_0000), Some(&7));
}
