//! Admin commands, with values that there are and values that there are not.

use alloc::vec::Vec;

use devices::capability::Width;
use devices::disk::AtOnce;
use devices::pci::PciFunction;

use crate::testing::{DATA, Machine, Memory, Plain, Received, SECTORS, Sent};

/// A controller that is ready, with interrupts by message.
fn machine() -> Plain {
    let mut machine = Machine::fresh(AtOnce::new(Memory::default()), 4);
    machine.function.config_write(0x42, Width::Word, 0x8000, &mut machine.bench);
    machine.enable();
    machine
}

/// Opcode, namespace, PRP entries, dwords 10 to 13; the status.
type Case = (u8, u32, [u64; 2], [u32; 4], u16);
/// Opcode, namespace, dwords 10 and 11; the result or the status.
type FeatureCase = (u8, u32, u32, u32, Result<u32, u16>);

fn statuses(machine: &mut Plain, cases: &[Case]) {
    for (opcode, namespace, prps, [ten, eleven, twelve, thirteen], status) in cases {
        let dwords = [*ten, *eleven, *twelve, *thirteen, 0, 0];
        let sent = Sent { opcode: *opcode, flags: 0, namespace: *namespace, prps: *prps, dwords };
        assert_eq!(machine.admin(sent).status, *status, "{sent:x?}");
    }
}

#[test]
fn queues_are_made_and_deleted() {
    let (base, odd) = ([0x1_0000, 0], [0x1_0200, 0]);
    let size = 15 << 16;
    statuses(
        &mut machine(),
        &[
            // Completion queues: number, size, whether contiguous, place, vector.
            (5, 0, base, [size, 3, 0, 0], 0x101),
            (5, 0, base, [size | 5, 3, 0, 0], 0x101),
            (5, 0, base, [size | 0xffff, 3, 0, 0], 0x101),
            (5, 0, base, [1, 3, 0, 0], 0x102),
            (5, 0, base, [256 << 16 | 1, 3, 0, 0], 0x102),
            (5, 0, base, [0xffff << 16 | 1, 3, 0, 0], 0x102),
            (5, 0, base, [size | 1, 2, 0, 0], 0x002),
            (5, 0, odd, [size | 1, 3, 0, 0], 0x013),
            (5, 0, base, [size | 1, 5 << 16 | 3, 0, 0], 0x108),
            (5, 0, base, [255 << 16 | 1, 4 << 16 | 3, 0, 0], 0),
            (5, 0, base, [size | 1, 3, 0, 0], 0x101),
            // Submission queues: the same, and the completion queue.
            (1, 0, base, [size | 1, 2 << 16 | 1, 0, 0], 0x100),
            (1, 0, base, [size | 1, 1, 0, 0], 0x100),
            (1, 0, base, [size | 1, 0xffff << 16 | 1, 0, 0], 0x100),
            (1, 0, base, [size, 1 << 16 | 1, 0, 0], 0x101),
            (1, 0, base, [size | 5, 1 << 16 | 1, 0, 0], 0x101),
            (1, 0, base, [1, 1 << 16 | 1, 0, 0], 0x102),
            (1, 0, base, [256 << 16 | 1, 1 << 16 | 1, 0, 0], 0x102),
            (1, 0, base, [size | 1, 1 << 16, 0, 0], 0x002),
            (1, 0, odd, [size | 1, 1 << 16 | 1, 0, 0], 0x013),
            (1, 0, base, [size | 1, 1 << 16 | 1, 0, 0], 0),
            (1, 0, base, [size | 1, 1 << 16 | 1, 0, 0], 0x101),
            (1, 0, base, [size | 3, 1 << 16 | 7, 0, 0], 0),
            // They go in the order in which they depend on each other.
            (4, 0, [0; 2], [0, 0, 0, 0], 0x101),
            (4, 0, [0; 2], [2, 0, 0, 0], 0x101),
            (4, 0, [0; 2], [1, 0, 0, 0], 0x10c),
            (0, 0, [0; 2], [0, 0, 0, 0], 0x101),
            (0, 0, [0; 2], [2, 0, 0, 0], 0x101),
            (0, 0, [0; 2], [0xffff, 0, 0, 0], 0x101),
            (0, 0, [0; 2], [1, 0, 0, 0], 0),
            (4, 0, [0; 2], [1, 0, 0, 0], 0x10c),
            (0, 0, [0; 2], [3, 0, 0, 0], 0),
            (4, 0, [0; 2], [1, 0, 0, 0], 0),
            (4, 0, [0; 2], [1, 0, 0, 0], 0x101),
        ],
    );
}

#[test]
fn entries_of_other_sizes_make_no_queue() {
    for (configuration, status) in
        [(0x46_0001, 0), (0x00_0001, 0x102), (0x47_0001, 0x102), (0x56_0001, 0x102)]
    {
        let mut machine = machine();
        machine.write(0x14, configuration);
        statuses(&mut machine, &[(5, 0, [0x1_0000, 0], [15 << 16 | 1, 3, 0, 0], status)]);
    }
}

#[test]
fn by_the_pin_there_is_one_vector() {
    let mut machine = Machine::fresh(AtOnce::new(Memory::default()), 4);
    machine.enable();
    statuses(
        &mut machine,
        &[
            (5, 0, [0x1_0000, 0], [15 << 16 | 1, 1 << 16 | 3, 0, 0], 0x108),
            (5, 0, [0x1_0000, 0], [15 << 16 | 1, 3, 0, 0], 0),
        ],
    );
}

#[test]
fn features() {
    let (set, get, all) = (9, 10, u32::MAX);
    let cases: [FeatureCase; 42] = [
        (get, 0, 1, 0, Ok(7)),
        (set, 0, 1, 0x0102_0302, Ok(0)),
        (get, 0, 1, 0, Ok(0x0102_0302)),
        (get, 0, 0x101, 0, Err(2)),
        (get, 0, 0x301, 0, Err(2)),
        (set, 0, 1 << 31 | 1, 0, Err(0x10d)),
        (set, 1, 1, 0, Err(0x10f)),
        (set, 2, 1, 0, Err(0x00b)),
        (set, all, 1, 7, Ok(0)),
        (set, 0, 2, 0, Ok(0)),
        (set, 0, 2, 1, Err(2)),
        (get, 0, 2, 0, Ok(0)),
        (get, 0, 4, 0, Ok(343)),
        (get, 0, 4, 1 << 20, Ok(0)),
        (set, 0, 4, 350, Ok(0)),
        (set, 0, 4, 1 << 20 | 200, Ok(0)),
        (get, 0, 4, 0, Ok(350)),
        (get, 0, 4, 1 << 20, Ok(200)),
        (set, 0, 4, 2 << 20, Err(2)),
        (set, 0, 4, 1 << 16, Err(2)),
        (get, 0, 4, 1 << 16, Err(2)),
        (set, 1, 5, 9, Ok(0)),
        (set, 0, 5, 9, Err(0x00b)),
        (set, all, 5, 1 << 16, Err(2)),
        (get, 1, 5, 0, Ok(9)),
        (get, 7, 5, 0, Err(0x00b)),
        (get, 0, 6, 0, Ok(1)),
        (set, 0, 6, 0, Ok(0)),
        (get, 0, 6, 0, Ok(0)),
        (set, 0, 7, 0x0000_ffff, Err(2)),
        (set, 0, 7, 0xffff_0000, Err(2)),
        (set, 0, 7, 0x0000_0000, Ok(0x0003_0003)),
        (set, 0, 7, 0xfffe_fffe, Ok(0x0003_0003)),
        (get, 0, 7, 0, Ok(0x0003_0003)),
        (set, 0, 8, 0x1_0305, Ok(0)),
        (get, 0, 8, 0, Ok(0x0305)),
        (set, 0, 9, 1 << 16 | 4, Ok(0)),
        (get, 0, 9, 4, Ok(1 << 16 | 4)),
        (get, 0, 9, 3, Ok(3)),
        (set, 0, 9, 5, Err(2)),
        (get, 0, 9, 5, Err(2)),
        (set, 0, 0x0a, 1, Ok(0)),
    ];
    let mut machine = machine();
    for (opcode, namespace, ten, eleven, expected) in cases {
        let sent = Sent { opcode, namespace, dwords: [ten, eleven, 0, 0, 0, 0], ..Sent::default() };
        let Received { result, status, .. } = machine.admin(sent);
        assert_eq!(if status == 0 { Ok(result) } else { Err(status) }, expected, "{sent:x?}");
    }
    for (opcode, ten, eleven, expected) in
        [(get, 0x0a, 0, Ok(1)), (set, 0x0b, 0x1ff, Ok(0)), (get, 0x0b, 0, Ok(0xff)), (get, 0, 0, Err(2))]
            .into_iter()
            .chain([(set, 0x0c, 0, Err(2)), (get, 0x0e, 0, Err(2)), (get, 0xff, 0, Err(2))])
    {
        let sent = Sent { opcode, dwords: [ten, eleven, 0, 0, 0, 0], ..Sent::default() };
        let Received { result, status, .. } = machine.admin(sent);
        assert_eq!(if status == 0 { Ok(result) } else { Err(status) }, expected, "{sent:x?}");
    }
}

#[test]
fn queues_come_after_their_number() {
    let mut machine = machine();
    machine.create_pair(16);
    statuses(&mut machine, &[(9, 0, [0; 2], [7, 0x3_0003, 0, 0], 0x00c), (10, 0, [0; 2], [7, 0, 0, 0], 0)]);
}

#[test]
fn a_reset_forgets_features() {
    let mut machine = machine();
    statuses(&mut machine, &[(9, 0, [0; 2], [6, 0, 0, 0], 0)]);
    machine.write(0x14, 0);
    machine.enable();
    let sent = Sent { opcode: 10, dwords: [6, 0, 0, 0, 0, 0], ..Sent::default() };
    assert_eq!(machine.admin(sent).result, 1);
}

#[test]
fn identify_gives_pages() {
    let mut machine = machine();
    let page = [DATA, 0];
    statuses(
        &mut machine,
        &[
            (6, 0, page, [1, 0, 0, 0], 0),
            (6, 1, page, [0, 0, 0, 0], 0),
            (6, 2, page, [0, 0, 0, 0], 0x00b),
            (6, 0, page, [9, 0, 0, 0], 0x002),
            (6, 0, [DATA + 2, 0], [1, 0, 0, 0], 0x013),
            (6, 0, [DATA + 4, DATA + 8], [1, 0, 0, 0], 0x013),
            (6, 0, [1 << 40, 0], [1, 0, 0, 0], 0x004),
            (6, 0, [DATA + 0x800, 1 << 40], [1, 0, 0, 0], 0x004),
            (6, 1, [DATA + 0x2800, DATA + 0x4000], [0, 0, 0, 0], 0),
        ],
    );
    assert_eq!(machine.ram.copy(DATA + 0x2800, 8), SECTORS.to_le_bytes());
    assert_eq!(machine.ram.copy(DATA + 0x4000, 0x800), [0; 0x800]);
    assert_eq!(machine.ram.copy(DATA + 0x4800, 4), [0xee; 4]);
}

#[test]
fn log_pages() {
    let mut machine = machine();
    let (all, page) = (u32::MAX, [DATA, 0]);
    let health = 127 << 16 | 2;
    statuses(
        &mut machine,
        &[
            (2, all, page, [health, 0, 0, 0], 0),
            (2, 0, page, [health, 0, 0, 0], 0),
            (2, 1, page, [health, 0, 0, 0], 0),
            (2, 2, page, [health, 0, 0, 0], 0x00b),
            (2, all, page, [15 << 16 | 1, 0, 0, 0], 0),
            (2, 1, page, [15 << 16 | 1, 0, 0, 0], 0x002),
            (2, all, page, [127 << 16 | 3, 0, 0, 0], 0),
            (2, all, page, [127 << 16, 0, 0, 0], 0x109),
            (2, all, page, [127 << 16 | 4, 0, 0, 0], 0x109),
            (2, all, page, [127 << 16 | 5, 0, 0, 0], 0x109),
            (2, all, page, [health, 0, 508, 0], 0),
            (2, all, page, [health, 0, 512, 0], 0),
            (2, all, page, [health, 0, 516, 0], 0x002),
            (2, all, page, [health, 0, 2, 0], 0x002),
            (2, all, page, [health, 0, 0, 1], 0x002),
            // More bytes than a transfer may have, and fewer than 64 KiB again.
            (2, all, page, [2, 1, 0, 0], 0x002),
            (2, all, page, [0xffff << 16 | 2, 0xffff, 0, 0], 0x002),
            (2, all, [1 << 40, 0], [health, 0, 0, 0], 0x004),
        ],
    );
    // Nothing is written behind what was asked for, nor behind the page's end.
    machine.ram.put(DATA, &[0x55; 1024]);
    statuses(
        &mut machine,
        &[(2, all, page, [health, 0, 500, 0], 0), (2, all, [DATA + 512, 0], [2, 0, 0, 0], 0)],
    );
    assert_eq!(machine.ram.copy(DATA, 16), [[0; 12].as_slice(), &[0x55; 4]].concat());
    // 300 kelvins, and all of the spare.
    assert_eq!(machine.ram.copy(DATA + 512, 8), [0, 0x2c, 1, 100, 0x55, 0x55, 0x55, 0x55]);
}

#[test]
fn the_error_log_has_the_last_one() {
    let mut machine = machine();
    let failed = machine.admin(Sent { opcode: 0x7f, ..Sent::default() });
    assert_eq!(failed.status, 1);
    statuses(&mut machine, &[(2, u32::MAX, [DATA, 0], [31 << 16 | 1, 0, 0, 0], 0)]);
    assert_eq!(machine.ram.copy(DATA + 64, 1), [0xee], "there is one entry");
    let id = failed.id.to_le_bytes();
    // Count; queue; command; status, with "do not retry"; no place in the command.
    let expected = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, id[0], id[1], 2, 0x80, 0xff, 0xff];
    assert_eq!(machine.ram.copy(DATA, 16), expected);
}

#[test]
fn what_is_no_command() {
    let mut machine = machine();
    for opcode in [0x03, 0x07, 0x0b, 0x0d, 0x10, 0x11, 0x14, 0x15, 0x18, 0x19, 0x7c, 0x7f, 0x80, 0x84, 0xff] {
        assert_eq!(machine.admin(Sent { opcode, ..Sent::default() }).status, 1, "{opcode:#x}");
    }
    // Fused, or with SGLs.
    for flags in [0x01, 0x02, 0x40, 0x80] {
        assert_eq!(machine.admin(Sent { opcode: 6, flags, ..Sent::default() }).status, 2, "{flags:#x}");
    }
}

#[test]
fn requests_for_events_are_kept() {
    let mut machine = machine();
    let request = Sent { opcode: 0x0c, ..Sent::default() };
    let ids: Vec<_> = (0..4).map(|_| machine.put(0, request)).collect();
    machine.ring(0);
    assert_eq!(machine.receive(0), None);
    assert_eq!(machine.admin(request).status, 0x105);
    // A value that is none, and a queue that is none.
    machine.write(0x1000, 16);
    let event = machine.receive(0).unwrap();
    assert_eq!((event.id, event.status, event.result), (ids[0], 0, 0x1_0100));
    machine.write(0x1008, 1);
    assert_eq!(machine.receive(0), None, "one at a time");
    let log = |retain: u32| {
        let dwords = [15 << 16 | retain << 15 | 1, 0, 0, 0, 0, 0];
        Sent { opcode: 2, namespace: u32::MAX, prps: [DATA, 0], dwords, ..Sent::default() }
    };
    assert_eq!(machine.admin(log(1)).status, 0);
    assert_eq!(machine.receive(0), None, "the event was retained");
    assert_eq!(machine.admin(log(0)).status, 0);
    let event = machine.receive(0).unwrap();
    assert_eq!((event.id, event.status, event.result), (ids[1], 0, 0x1_0000));
}

#[test]
fn a_request_for_an_event_can_be_aborted() {
    let mut machine = machine();
    let id = machine.put(0, Sent { opcode: 0x0c, ..Sent::default() });
    machine.ring(0);
    let abort = |queue: u32, id: u16| {
        let dwords = [u32::from(id) << 16 | queue, 0, 0, 0, 0, 0];
        Sent { opcode: 8, dwords, ..Sent::default() }
    };
    for (queue, id) in [(1, id), (0, id + 100), (0xffff, 0)] {
        let ended = machine.admin(abort(queue, id));
        assert_eq!((ended.status, ended.result), (0, 1), "not aborted");
    }
    let ended = machine.admin(abort(0, id));
    assert_eq!((ended.status, ended.result), (0, 0));
    let aborted = machine.receive(0).unwrap();
    assert_eq!((aborted.id, aborted.status), (id, 7));
    assert_eq!(machine.admin(abort(0, id)).result, 1);
}
