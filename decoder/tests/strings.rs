//! MOVS, CMPS, STOS, LODS, SCAS, INS and OUTS.

use decoder::{Mode, Outcome};
use decoder_oracle::TestMachine;

fn machine() -> TestMachine {
    let mut machine = TestMachine::new(Mode::Bits64);
    machine.put(0x8000, &core::array::from_fn::<u8, 64, _>(|index| index as u8));
    machine.gprs[0] = 0xaabb_ccdd;
    machine.gprs[1] = 4;
    machine.gprs[6] = 0x8000;
    machine.gprs[7] = 0x8020;
    machine
}

#[test]
fn rep_movs_copies_and_counts() {
    let mut machine = machine();
    machine.complete(&[0xf3, 0xa5]);
    assert_eq!(machine.get(0x8020, 16), machine.get(0x8000, 16));
    assert_eq!((machine.gprs[1], machine.gprs[6], machine.gprs[7]), (0, 0x8010, 0x8030));
    assert_eq!(machine.rip, 0x1002);
}

#[test]
fn a_repetition_can_be_left_and_taken_up() {
    let mut machine = machine();
    assert_eq!(machine.run(&[0xf3, 0xab], 3), Outcome::Repeat { single_step: false });
    assert_eq!((machine.gprs[1], machine.gprs[7], machine.rip), (1, 0x802c, 0x1000));
    assert_eq!(machine.run(&[0xf3, 0xab], 3), Outcome::Done { single_step: false });
    assert_eq!((machine.gprs[1], machine.gprs[7], machine.rip), (0, 0x8030, 0x1002));
    assert_eq!(machine.get(0x8020, 16), [0xdd, 0xcc, 0xbb, 0xaa].repeat(4));
}
