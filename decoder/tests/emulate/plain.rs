//! The short cut for plain moves: which take it, that it is taken, and what it leaves to the general way.

use decoder::{Mode, Processor, Vendor, decode};
use decoder_oracle::TestMachine;
use decoder_oracle::page_tables::{Builder, Style};

const AT: u64 = 0x9000;

/// Code, and whether the short cut is for it.
const MOVES: &[(&[u8], bool)] = &[
    // MOV and MOVZX to four and eight bytes, and stores of any size, of a register and an immediate.
    (&[0x8b, 0x03], true),
    (&[0x48, 0x8b, 0x43, 0x08], true),
    (&[0x0f, 0xb6, 0x03], true),
    (&[0x48, 0x0f, 0xb7, 0x03], true),
    (&[0x88, 0x03], true),
    (&[0x66, 0x89, 0x03], true),
    (&[0x89, 0x03], true),
    (&[0x48, 0x89, 0x03], true),
    (&[0xc6, 0x03, 0x55], true),
    (&[0xc7, 0x03, 1, 2, 3, 4], true),
    (&[0x36, 0x8b, 0x03], true),
    // The rest of the register stays.
    (&[0x8a, 0x03], false),
    (&[0x66, 0x8b, 0x03], false),
    (&[0x66, 0x0f, 0xb6, 0x03], false),
    // AH.
    (&[0x88, 0x23], false),
    // Other operations, addresses and segments.
    (&[0x0f, 0xbe, 0x03], false),
    (&[0x01, 0x03], false),
    (&[0x67, 0x8b, 0x03], false),
    (&[0x8b, 0x04, 0x4b], false),
    (&[0x8b, 0x04, 0x25, 0, 0x90, 0, 0], false),
    (&[0x8b, 0x05, 0, 0, 0, 0], false),
    (&[0x64, 0x8b, 0x03], false),
    (&[0x65, 0x89, 0x03], false),
];

#[test]
fn which_moves_are_plain() {
    for &(code, expected) in MOVES {
        let instruction = decode(code, Mode::Bits64, Processor::full(Vendor::Amd)).unwrap();
        assert_eq!(instruction.plain().is_some(), expected, "{code:02x?}");
    }
    for mode in [Mode::Bits16, Mode::Bits32] {
        let instruction = decode(&[0x89, 0x07], mode, Processor::full(Vendor::Amd)).unwrap();
        assert_eq!(instruction.plain(), None);
    }
}

/// What is taken is carried out, on RAM and on a device alike; the address decides whether it can be.
#[test]
fn what_is_left_to_the_general_way() {
    for &(code, is_plain) in MOVES {
        let instruction = decode(code, Mode::Bits64, Processor::full(Vendor::Amd)).unwrap();
        let Some(plain) = instruction.plain().filter(|_| is_plain) else { continue };
        let bytes = instruction.memory_size.bytes();
        for (offset, flags, expected) in [
            (0, 2, Some(false)),
            (0, 2 | 0x1_0000, Some(false)),
            (0, 2 | 0x100, Some(true)),
            // Not aligned; not canonical; no such page.
            (1, 2, (bytes == 1).then_some(false)),
            (bytes / 2, 2, (bytes == 1).then_some(false)),
            (1 << 63, 2, None),
            (0x1000, 2, None),
        ] {
            for (is_ram, knows_devices) in [(false, false), (false, true), (true, true)] {
                let mut machine = TestMachine::new(Mode::Bits64);
                let mut tables = Builder::new(&mut machine, Style::Four, 0x10_0000);
                tables.map(&mut machine, AT, AT, 7, 4);
                machine.put_device(AT, &[0x11; 32]);
                if is_ram {
                    machine.put(AT, &[0x11; 32]);
                }
                machine.knows_devices = knows_devices;
                machine.gprs[0] = 0xeeee_eeee_eeee_eeee;
                (machine.gprs[3], machine.rflags) = (AT ^ offset, flags);
                let before = machine.clone();
                let context = format!("{code:02x?} {offset:x} {flags:x} {is_ram}");
                assert_eq!(plain.emulate(&mut machine), expected, "{context}");
                if expected.is_none() {
                    assert_eq!((machine.gprs, machine.rip), (before.gprs, before.rip), "{context}");
                    continue;
                }
                assert_eq!(machine.rip, 0x1000 + code.len() as u64, "{context}");
                assert_eq!(machine.rflags, flags & !0x1_0000, "{context}");
                let mut general = before.clone();
                let mut instruction = instruction;
                instruction.attributes.remove(decoder::Attributes::PLAIN);
                decoder::emulate(&instruction, &mut general, 1);
                assert_eq!((machine.gprs, machine.device), (general.gprs, general.device), "{context}");
                assert_eq!((machine.ram, machine.device_log), (general.ram, general.device_log), "{context}");
            }
        }
    }
}
