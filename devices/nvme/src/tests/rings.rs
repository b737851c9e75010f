//! Queues: their ends, doorbells, interrupts by the pin and by message.

use devices::capability::Width;
use devices::disk::AtOnce;
use devices::pci::PciFunction;

use crate::spec::register;
use crate::testing::{ADMIN_COMPLETION, ADMIN_ENTRIES, Machine, Memory, Plain, Sent};

/// Get Features: the write cache.
const GET: Sent = Sent { opcode: 10, flags: 0, namespace: 0, prps: [0; 2], dwords: [6, 0, 0, 0, 0, 0] };
const FLUSH: Sent = Sent { opcode: 0, flags: 0, namespace: 1, prps: [0; 2], dwords: [0; 6] };

fn machine() -> Plain {
    let mut machine = Machine::fresh(AtOnce::new(Memory::default()), 4);
    machine.enable();
    machine
}

#[test]
fn queues_wrap_and_phases_change() {
    let mut machine = machine();
    machine.create_pair(4);
    for round in 0..70 {
        let done = machine.command(1, FLUSH);
        assert_eq!((done.head, done.status), ((round + 1) % 4, 0), "{round}");
        let done = machine.admin(GET);
        assert_eq!((done.result, done.status), (1, 0));
    }
}

#[test]
fn a_full_completion_queue_holds_commands_back() {
    let mut machine = machine();
    machine.create_pair(4);
    for _ in 0..3 {
        machine.put(1, FLUSH);
    }
    machine.ring(1);
    assert!((0..3).all(|_| machine.peek(1).is_some()));
    machine.put(1, FLUSH);
    machine.put(1, FLUSH);
    machine.ring(1);
    assert_eq!(machine.peek(1), None, "there is no room");
    assert_eq!(machine.function.backend().disk().record.len(), 3, "nor is it carried out");
    machine.taken(1);
    assert!(machine.peek(1).is_some() && machine.peek(1).is_some());
    assert_eq!(machine.peek(1), None);
}

#[test]
fn requests_for_events_take_no_room() {
    let mut machine = machine();
    for _ in 0..4 {
        machine.put(0, Sent { opcode: 0x0c, ..Sent::default() });
    }
    machine.ring(0);
    for _ in 0..ADMIN_ENTRIES - 1 {
        machine.put(0, GET);
    }
    machine.ring(0);
    for _ in 0..ADMIN_ENTRIES - 1 {
        assert!(machine.peek(0).is_some());
    }
    // An event has to wait for room.
    machine.write(0x1008, 0);
    assert_eq!(machine.peek(0), None);
    machine.taken(0);
    assert!(machine.peek(0).is_some_and(|event| event.result == 0x1_0000));
}

#[test]
fn doorbells_that_are_none_do_nothing() {
    let mut machine = machine();
    machine.create_pair(4);
    machine.put(1, FLUSH);
    // Values behind the end, of queues that there are not, of narrow or crooked stores.
    for (offset, value) in [(0x1008, 4), (0x1008, u32::MAX), (0x100c, 1), (0x1010, 1), (0x1ffc, 1)] {
        machine.write(offset, value);
        assert_eq!(machine.peek(1), None, "{offset:#x} {value}");
    }
    for (offset, width) in [(0x1008, Width::Byte), (0x1008, Width::Word), (0x1006, Width::Dword)] {
        machine.function.bar_write(0, offset, width, 1, &mut machine.bench);
        assert_eq!(machine.peek(1), None);
    }
    machine.ring(1);
    assert!(machine.peek(1).is_some());
    assert_eq!(machine.read(0x1008), 0);
    // More commands than a queue has room for: one is always free.
    machine.put(1, FLUSH);
    machine.write(0x1008, 1);
    assert_eq!(machine.peek(1), None, "no command was added");
}

#[test]
fn more_commands_than_there_is_room_for() {
    let mut machine = machine();
    machine.create_pair(4);
    for _ in 0..3 {
        machine.put(1, FLUSH);
    }
    machine.ring(1);
    // The completion queue is full: of these three, none is taken.
    for _ in 0..3 {
        machine.put(1, FLUSH);
    }
    machine.ring(1);
    assert_eq!(machine.read(0x1008), 0);
    let id = machine.put(0, Sent { opcode: 0x0c, ..Sent::default() });
    machine.ring(0);
    // Back by one is as many as the queue has.
    machine.write(0x1008, 1);
    let event = machine.receive(0).unwrap();
    assert_eq!((event.id, event.result), (id, 0x1_0100));
    assert_eq!((0..9).filter(|_| machine.receive(1).is_some()).count(), 6);
}

#[test]
fn by_the_pin() {
    let mut machine = machine();
    assert!(!machine.bench.intx);
    machine.put(0, GET);
    machine.put(0, GET);
    machine.ring(0);
    assert!(machine.bench.intx);
    let status = |machine: &mut Plain| machine.function.config_read(6, Width::Word, &mut machine.bench);
    assert_eq!(status(&mut machine) & 8, 8);
    // Masked here, or there.
    machine.write(register::INTMS, 1);
    assert!(!machine.bench.intx);
    machine.write(register::INTMC, 1);
    assert!(machine.bench.intx);
    machine.function.config_write(4, Width::Word, 0x406, &mut machine.bench);
    assert!(!machine.bench.intx && status(&mut machine) & 8 == 8);
    machine.function.config_write(4, Width::Word, 6, &mut machine.bench);
    assert!(machine.bench.intx);
    assert!(machine.receive(0).is_some() && machine.bench.intx, "one is left");
    assert!(machine.receive(0).is_some() && !machine.bench.intx);
    assert_eq!(machine.bench.messages, []);
    machine.put(0, GET);
    machine.ring(0);
    machine.write(register::CC, 0);
    assert!(!machine.bench.intx, "a reset takes it down");
}

/// Switches messages on: the vector's number is its data.
fn messages(machine: &mut Plain) {
    for vector in 0..5 {
        let at = 0x2000 + 16 * vector;
        for (offset, value) in [(0, 0xfee0_0000), (4, 0), (8, vector as u32), (12, 0)] {
            machine.write(at + offset, value);
        }
    }
    machine.function.config_write(0x42, Width::Word, 0x8000, &mut machine.bench);
}

#[test]
fn by_message() {
    let mut machine = machine();
    messages(&mut machine);
    machine.create_pair(16);
    machine.create_pair(16);
    machine.bench.messages.clear();
    machine.put(2, FLUSH);
    machine.put(2, FLUSH);
    machine.ring(2);
    assert_eq!((&machine.bench.messages[..], machine.bench.intx), (&[2][..], false), "one for both");
    machine.taken(2);
    machine.put(1, FLUSH);
    machine.ring(1);
    assert_eq!(machine.bench.messages, [2, 1]);
    assert!(machine.receive(1).is_some());
    // A vector is masked, and then is not.
    machine.write(0x201c, 1);
    machine.command(1, FLUSH);
    assert_eq!(machine.bench.messages, [2, 1]);
    assert_eq!(machine.read(0x3000), 2);
    machine.write(0x201c, 0);
    assert_eq!(machine.bench.messages, [2, 1, 1]);
}

#[test]
fn queues_without_interrupts() {
    let mut machine = machine();
    messages(&mut machine);
    let queue = |opcode, base, eleven| Sent {
        opcode,
        prps: [base, 0],
        dwords: [3 << 16 | 1, eleven, 0, 0, 0, 0],
        ..Sent::default()
    };
    machine.create_pair(4);
    for sent in [
        Sent { opcode: 0, dwords: [1, 0, 0, 0, 0, 0], ..Sent::default() },
        Sent { opcode: 4, dwords: [1, 0, 0, 0, 0, 0], ..Sent::default() },
        queue(5, 0x1_c000, 1),
        queue(1, 0x1_8000, 1 << 16 | 1),
    ] {
        assert_eq!(machine.admin(sent).status, 0);
    }
    machine.bench.messages.clear();
    machine.command(1, FLUSH);
    assert_eq!(machine.bench.messages, []);
}

#[test]
fn without_bus_master_nothing_is_reached() {
    let mut machine = machine();
    machine.put(0, GET);
    machine.function.config_write(4, Width::Word, 2, &mut machine.bench);
    machine.ring(0);
    assert_eq!((machine.peek(0), machine.bench.intx), (None, false));
    machine.function.config_write(4, Width::Word, 6, &mut machine.bench);
    assert!(machine.peek(0).is_some());
}

#[test]
fn queues_that_are_not_memory_are_fatal() {
    // The register with the address, and it: no memory at all, a page before the end of all addresses.
    for (register, place) in [
        (register::ASQ, 1 << 40),
        (register::ACQ, 1 << 40),
        (register::ASQ, !0xfff_u64),
        (register::ACQ, !0xfff),
    ] {
        let mut machine = machine();
        machine.write(register::CC, 0);
        machine.write(register, place as u32);
        machine.write(register + 4, (place >> 32) as u32);
        machine.write(register::CC, 1);
        assert_eq!(machine.read(register::CSTS), 1);
        machine.put(0, GET);
        machine.ring(0);
        assert_eq!(machine.read(register::CSTS), 3, "{register:#x}");
        machine.ram.put(ADMIN_COMPLETION, &[0; 16]);
        machine.ring(0);
        assert_eq!(machine.peek(0), None);
        // As new after the reset.
        machine.write(register::CC, 0);
        assert_eq!(machine.read(register::CSTS), 0);
        machine.write(register + 4, 0);
        machine.enable();
        assert_eq!(machine.admin(GET).result, 1);
    }
}

#[test]
fn what_is_not_offered_is_fatal() {
    for configuration in [1 | 1 << 7, 1 | 1 << 4, 1 | 2 << 11] {
        let mut machine = machine();
        machine.write(register::CC, 0);
        machine.write(register::CC, configuration);
        assert_eq!(machine.read(register::CSTS), 2, "{configuration:#x}");
        machine.write(register::CC, 0);
        assert_eq!(machine.read(register::CSTS), 0);
    }
}

#[test]
fn all_widths_read() {
    let mut machine = machine();
    let mut load = |offset, width| machine.function.bar_read(0, offset, width, &mut machine.bench);
    assert_eq!(load(0, Width::Qword), 0x20_1401_00ff);
    assert_eq!(load(8, Width::Word), 0x400);
    assert_eq!(load(10, Width::Byte), 1);
    assert_eq!(load(0x14, Width::Qword), 0x46_0001);
    assert_eq!(load(0x1ff8, Width::Qword), 0);
    assert_eq!(machine.function.bar_read(1, 0, Width::Word, &mut machine.bench), 0xffff);
    // A qword store is two dwords.
    machine.write(register::CC, 0);
    machine.function.bar_write(0, register::ASQ, Width::Qword, 0x12_3456_7000, &mut machine.bench);
    assert_eq!((machine.read(register::ASQ), machine.read(register::ASQ + 4)), (0x3456_7000, 0x12));
}
