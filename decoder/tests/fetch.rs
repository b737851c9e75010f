//! Fetching at CS:RIP.

use decoder::fetch::{Code, FetchError, fetch};
use decoder::{Exception, Mode, Operation};
use decoder_oracle::TestMachine;
use decoder_oracle::page_tables::{Builder, Style};

/// `mov dword ptr [rbx + 0x11223344], 0x55667788`
const LONG_MOV: [u8; 10] = [0xc7, 0x83, 0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55];

#[test]
fn an_instruction_across_two_pages() {
    for split in 1..LONG_MOV.len() as u64 {
        let mut machine = TestMachine::new(Mode::Bits64);
        let mut tables = Builder::new(&mut machine, Style::Four, 0x10_0000);
        tables.map(&mut machine, 0x40_0000, 0x5000, 7, 4);
        tables.map(&mut machine, 0x40_1000, 0x3000, 7, 4);
        let (front, back) = LONG_MOV.split_at(split as usize);
        machine.put(0x6000 - split, front);
        machine.put(0x3000, back);
        machine.rip = 0x40_1000 - split;
        let mut code = Code::EMPTY;
        let instruction = fetch(&mut machine, &mut code).unwrap();
        assert_eq!((instruction.operation, instruction.length), (Operation::Mov, 10));
        assert!(code.bytes().starts_with(&LONG_MOV));
    }
}

#[test]
fn the_page_behind_faults_only_if_it_is_needed() {
    let mut machine = TestMachine::new(Mode::Bits64);
    let mut tables = Builder::new(&mut machine, Style::Four, 0x10_0000);
    tables.map(&mut machine, 0x40_0000, 0x5000, 7, 4);
    machine.put(0x5ffe, &[0x89, 0x03]);
    machine.rip = 0x40_0ffe;
    let mut code = Code::EMPTY;
    assert_eq!(fetch(&mut machine, &mut code).unwrap().length, 2);
    machine.put(0x5ffe, &LONG_MOV[..2]);
    let fault = Exception::page_fault(0x10, 0x40_1000);
    assert_eq!(fetch(&mut machine, &mut code), Err(FetchError::Exception(fault)));
}

#[test]
fn limits_of_code() {
    let mut machine = TestMachine::new(Mode::Bits16);
    machine.put(0x1_fff0, &[0x90; 16]);
    machine.put(0x1_fffe, &[0x89, 0x07]);
    machine.segments[1].base = 0x1_0000;
    machine.segments[1].limit = 0xffff;
    machine.rip = 0xfffe;
    assert_eq!(fetch(&mut machine, &mut { Code::EMPTY }).unwrap().length, 2);
    machine.put(0x1_fffe, &[0xc7, 0x07]);
    let fault = Err(FetchError::Exception(Exception::GENERAL_PROTECTION));
    assert_eq!(fetch(&mut machine, &mut { Code::EMPTY }), fault);
}

#[test]
fn code_outside_ram() {
    let mut machine = TestMachine::new(Mode::Bits64);
    machine.rip = 0xfee0_0000;
    assert_eq!(fetch(&mut machine, &mut { Code::EMPTY }), Err(FetchError::NotRam { gpa: 0xfee0_0000 }));
}

#[test]
fn rejections_become_what_the_guest_gets() {
    for (code, expected) in [
        (&[0xf0, 0x89, 0x03][..], FetchError::Exception(Exception::UNDEFINED_OPCODE)),
        (&[0x66; 15], FetchError::Exception(Exception::GENERAL_PROTECTION)),
        (&[0x89, 0xc3], FetchError::Retry),
        (&[0x90], FetchError::Unsupported),
    ] {
        let mut machine = TestMachine::new(Mode::Bits64);
        machine.put(0x1000, code);
        let mut fetched = Code::EMPTY;
        assert_eq!(fetch(&mut machine, &mut fetched), Err(expected), "{code:02x?}");
        assert!(fetched.bytes().starts_with(code));
    }
}

#[test]
fn addresses_that_are_not_canonical() {
    let mut machine = TestMachine::new(Mode::Bits64);
    Builder::new(&mut machine, Style::Four, 0x10_0000);
    machine.rip = 1 << 63;
    let fault = Err(FetchError::Exception(Exception::GENERAL_PROTECTION));
    assert_eq!(fetch(&mut machine, &mut { Code::EMPTY }), fault);
}

#[test]
fn tables_that_change_and_tables_outside_ram() {
    let mut machine = TestMachine::new(Mode::Bits64);
    let mut tables = Builder::new(&mut machine, Style::Four, 0x10_0000);
    let path = tables.map(&mut machine, 0x40_0000, 0x5000, 7, 4);
    machine.put(0x5000, &LONG_MOV);
    machine.rip = 0x40_0000;
    fetch(&mut machine, &mut { Code::EMPTY }).unwrap();
    tables.set(&mut machine, path[3], 0x5007);
    machine.interference = u32::MAX;
    assert_eq!(fetch(&mut machine, &mut { Code::EMPTY }), Err(FetchError::Retry));
    machine.ram.remove(&0x100);
    let fault = Err(FetchError::Exception(Exception::page_fault(0x19, 0x40_0000)));
    assert_eq!(fetch(&mut machine, &mut { Code::EMPTY }), fault);
}
