//! A back end that takes its time: commands are done in any order, and a reset comes in between.

use devices::capability::Width;
use devices::pci::PciFunction;

use crate::spec::register;
use crate::testing::{DATA, Machine, Sent, Slow, SlowDisk};

const READ: Sent = Sent { opcode: 2, flags: 0, namespace: 1, prps: [DATA, 0], dwords: [0; 6] };

fn machine() -> (Machine<Slow>, SlowDisk) {
    let (backend, disk) = Slow::new();
    let mut machine = Machine::fresh(backend, 4);
    machine.enable();
    machine.create_pair(16);
    (machine, disk)
}

fn input(machine: &mut Machine<Slow>) {
    machine.function.input(&mut machine.bench);
}

#[test]
fn commands_end_in_any_order() {
    let (mut machine, disk) = machine();
    let ids: [u16; 5] = core::array::from_fn(|_| machine.put(1, READ));
    machine.ring(1);
    assert_eq!((disk.state().begun.len(), machine.receive(1)), (3, None), "as many as there is room for");
    for (is_last, id) in [(true, ids[2]), (false, ids[0]), (false, ids[1])] {
        disk.work(is_last);
        input(&mut machine);
        assert_eq!(machine.receive(1).map(|done| (done.id, done.status)), Some((id, 0)));
    }
    assert_eq!(disk.state().begun.len(), 2);
    disk.work(false);
    disk.work(false);
    input(&mut machine);
    assert!(machine.receive(1).is_some() && machine.receive(1).is_some());
    assert_eq!(machine.ram.copy(DATA, 512), disk.state().disk.bytes[..512]);
}

#[test]
fn data_to_write_are_copied_when_the_command_begins() {
    let (mut machine, disk) = machine();
    machine.ram.put(DATA, &[1; 512]);
    machine.put(1, Sent { opcode: 1, ..READ });
    machine.ring(1);
    machine.ram.put(DATA, &[2; 512]);
    disk.work(false);
    input(&mut machine);
    assert_eq!(machine.receive(1).unwrap().status, 0);
    assert_eq!(disk.state().disk.bytes[..512], [1; 512]);
}

#[test]
fn after_a_reset_nothing_reaches_memory() {
    let (mut machine, disk) = machine();
    // One is being done when the reset comes, the other has not begun.
    machine.put(1, READ);
    machine.put(1, READ);
    machine.ring(1);
    let all = |machine: &Machine<Slow>| machine.ram.copy(0, crate::testing::RAM_BYTES);
    let before = all(&machine);
    machine.write(register::CC, 0);
    assert_eq!((disk.state().cancelled, machine.read(register::CSTS)), (1, 0));
    input(&mut machine);
    assert!(all(&machine) == before);
    // Nor when the controller is enabled again, with queues at the same place.
    machine.enable();
    machine.create_pair(16);
    let before = all(&machine);
    disk.work(false);
    input(&mut machine);
    assert!(all(&machine) == before);
    // All buffers are back.
    for _ in 0..3 {
        machine.put(1, READ);
    }
    machine.ring(1);
    assert_eq!(disk.state().begun.len(), 3);
}

#[test]
fn without_bus_master_results_wait() {
    let (mut machine, disk) = machine();
    machine.put(1, READ);
    machine.ring(1);
    machine.function.config_write(4, Width::Word, 2, &mut machine.bench);
    disk.work(false);
    input(&mut machine);
    assert_eq!((machine.peek(1), machine.ram.copy(DATA, 4)), (None, [0xee; 4].into()));
    machine.function.config_write(4, Width::Word, 6, &mut machine.bench);
    assert!(machine.peek(1).is_some());
}

#[test]
fn after_a_fatal_error_results_are_dropped() {
    let (mut machine, disk) = machine();
    machine.put(1, READ);
    machine.ring(1);
    // A second completion queue that is not memory, and a command for it.
    for (opcode, base, eleven) in [(5, 1 << 40, 3), (1, 0x3_0000, 2 << 16 | 1)] {
        let dwords = [15 << 16 | 2, eleven, 0, 0, 0, 0];
        let made = machine.admin(Sent { opcode, prps: [base, 0], dwords, ..Sent::default() });
        assert_eq!(made.status, 0);
    }
    machine.ram.put(0x3_0000, &[0xff; 64]);
    machine.write(0x1010, 1);
    assert_eq!(machine.read(register::CSTS), 3);
    disk.work(false);
    input(&mut machine);
    assert_eq!((machine.peek(1), machine.ram.copy(DATA, 4)), (None, [0xee; 4].into()));
}

#[test]
fn a_queue_is_deleted_when_its_last_command_is_done() {
    let (mut machine, disk) = machine();
    let read = machine.put(1, READ);
    machine.ring(1);
    let delete = Sent { opcode: 0, dwords: [1, 0, 0, 0, 0, 0], ..Sent::default() };
    let id = machine.put(0, delete);
    machine.ring(0);
    assert_eq!(machine.receive(0), None);
    // It takes no more commands, can't be deleted twice, nor made again.
    machine.put(1, READ);
    machine.ring(1);
    assert_eq!(disk.state().begun.len(), 1);
    assert_eq!(machine.admin(delete).status, 0x101);
    let dwords = [15 << 16 | 1, 1 << 16 | 1, 0, 0, 0, 0];
    let again = Sent { opcode: 1, prps: [0x1_8000, 0], dwords, ..Sent::default() };
    assert_eq!(machine.admin(again).status, 0x101);
    disk.work(false);
    input(&mut machine);
    assert_eq!(machine.receive(1).map(|done| (done.id, done.status)), Some((read, 0)));
    assert_eq!(machine.receive(0).map(|done| (done.id, done.status)), Some((id, 0)));
    assert_eq!(machine.admin(again).status, 0);
}

#[test]
fn a_shutdown_is_complete_when_all_is_on_the_medium() {
    let (mut machine, disk) = machine();
    machine.write(register::CC, 0x46_4001);
    assert_eq!(machine.read(register::CSTS), 5);
    disk.work(false);
    assert_eq!(disk.state().disk.record, ["flush"]);
    input(&mut machine);
    assert_eq!(machine.read(register::CSTS), 9);
    machine.write(register::CC, 0);
    assert_eq!(machine.read(register::CSTS), 0);
}

#[test]
fn a_shutdown_waits_for_commands() {
    let (mut machine, disk) = machine();
    for _ in 0..4 {
        machine.put(1, READ);
    }
    machine.ring(1);
    machine.write(register::CC, 0x46_8001);
    for _ in 0..5 {
        assert_eq!(machine.read(register::CSTS), 5);
        disk.work(false);
        input(&mut machine);
    }
    assert_eq!(machine.read(register::CSTS), 9);
}

#[test]
fn queues_take_turns() {
    let (mut machine, disk) = machine();
    machine.create_pair(16);
    for _ in 0..8 {
        machine.put(1, READ);
        machine.put(2, READ);
    }
    machine.ring(1);
    machine.ring(2);
    // What comes next when there is room is the other queue's, and so on.
    let mut of_queue = [0; 3];
    for _ in 0..8 {
        disk.work(false);
        input(&mut machine);
        for queue in [1, 2] {
            of_queue[queue] += usize::from(machine.receive(queue).is_some());
        }
    }
    assert!(of_queue[2] >= 2 && of_queue[1] >= 5, "{of_queue:?}");
}
