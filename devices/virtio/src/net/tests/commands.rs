//! Commands: which frames are received, the address, pairs of queues.

use super::*;
use spec::command;

const OTHER: [u8; 6] = [2, 1, 2, 3, 4, 6];
const GROUP: [u8; 6] = [1, 0, 0x5e, 0, 0, 1];
const ALL: [u8; 6] = [0xff; 6];

fn all(pairs: u16) -> u64 {
    Net::new(Cable::default(), ADDRESS, pairs).features()
}

fn ready(pairs: u16, accepted: u64) -> Machine<Net<Cable>> {
    machine(Cable::default(), Format::default(), pairs, accepted)
}

/// Whether a command is done.
fn is_done(machine: &mut Machine<Net<Cable>>, class: u8, what: u8, data: &[u8]) -> bool {
    let queue = machine.queues.len() - 1;
    let (written, ack) = machine.request(queue, &[&[class, what], data], &[1]).unwrap();
    assert_eq!(written, 1);
    ack[0] == command::DONE
}

/// Whether the guest receives a frame to this address.
fn receives(machine: &mut Machine<Net<Cable>>, address: [u8; 6], tag: &[u8]) -> bool {
    let frame = [&address[..], &[9; 6], tag, &[8, 0, 1, 2]].concat();
    machine.function.device_mut().link.frames.push(frame);
    machine.function.input(&mut machine.bench);
    if !machine.function.device().link().frames.is_empty() || machine.function.device().incoming.is_there() {
        // For want of a buffer.
        return machine.request(0, &[], &[100]).is_some();
    }
    false
}

#[test]
fn modes_say_which_frames_are_received() {
    let mut machine = ready(1, all(1));
    let addresses = [ADDRESS, OTHER, GROUP, ALL];
    let received = |machine: &mut _| addresses.map(|address| receives(machine, address, &[]));
    assert_eq!(received(&mut machine), [true; 4], "all, until the driver says more");
    for (mode, is_on, expected) in [
        (0, 0, [true, false, false, true]),
        (1, 1, [true, false, true, true]),
        (2, 1, [true, true, true, true]),
        (3, 1, [true, true, false, true]),
        (5, 1, [true, true, false, false]),
        (4, 1, [false, false, false, false]),
        (4, 0, [true, true, false, false]),
        (0, 1, [true; 4]),
    ] {
        assert!(is_done(&mut machine, command::RECEIVE, mode, &[is_on]));
        assert_eq!(received(&mut machine), expected, "{mode} {is_on}");
    }
    machine.start(256);
    assert_eq!(received(&mut machine), [true; 4], "a reset");
}

#[test]
fn tables_of_addresses() {
    let mut machine = ready(1, all(1));
    assert!(is_done(&mut machine, command::RECEIVE, 0, &[0]));
    let tables = |unicast: &[[u8; 6]], multicast: &[[u8; 6]]| {
        let table =
            |table: &[[u8; 6]]| [&(table.len() as u32).to_le_bytes()[..], table.as_flattened()].concat();
        [table(unicast), table(multicast)].concat()
    };
    let received = |machine: &mut _| [OTHER, GROUP].map(|address| receives(machine, address, &[]));
    for (unicast, multicast) in [(false, false), (true, false), (false, true), (true, true), (false, false)] {
        let one = |is_in: bool, address| if is_in { vec![[2; 6], address] } else { vec![[3; 6]] };
        let data = tables(&one(unicast, OTHER), &one(multicast, GROUP));
        assert!(is_done(&mut machine, command::ADDRESS, command::TABLES, &data));
        assert_eq!(received(&mut machine), [unicast, multicast]);
    }
    // More than are kept: all of the kind.
    assert!(is_done(&mut machine, command::ADDRESS, command::TABLES, &tables(&[[2; 6]; 65], &[])));
    assert_eq!(received(&mut machine), [true, false]);
    assert!(is_done(&mut machine, command::ADDRESS, command::TABLES, &tables(&[[2; 6]; 64], &[[3; 6]; 99])));
    assert_eq!(received(&mut machine), [false, true]);
    // Such as are not there change nothing.
    let right = tables(&[OTHER], &[]);
    let mut long = right.clone();
    long[0] = 2;
    for data in [&right[..13], &long, &[right.clone(), vec![0]].concat(), &[0xff; 8], &[], &[0; 4]] {
        assert!(!is_done(&mut machine, command::ADDRESS, command::TABLES, data), "{data:x?}");
        assert_eq!(received(&mut machine), [false, true]);
    }
}

#[test]
fn the_address_can_be_another() {
    let mut machine = ready(1, all(1));
    assert!(is_done(&mut machine, command::RECEIVE, 0, &[0]));
    assert!(!is_done(&mut machine, command::ADDRESS, command::OWN, &OTHER[..5]));
    assert!(is_done(&mut machine, command::ADDRESS, command::OWN, &OTHER));
    assert!(receives(&mut machine, OTHER, &[]) && !receives(&mut machine, ADDRESS, &[]));
    assert_eq!(machine.function.device().config(5), OTHER[5]);
    machine.start(256);
    assert_eq!(machine.function.device().config(5), ADDRESS[5], "a reset");
}

#[test]
fn vlans_are_received_that_were_added() {
    let tag = |vlan: u16| [&[0x81, 0][..], &(0xe000 | vlan).to_be_bytes()].concat();
    let mut machine = ready(1, all(1));
    for (what, vlan, expected) in [
        (command::ADD, 4095, [false, true]),
        (command::ADD, 64, [true, true]),
        (command::REMOVE, 64, [false, true]),
    ] {
        assert!(is_done(&mut machine, command::VLAN, what, &u16::to_le_bytes(vlan)));
        assert_eq!([64, 4095].map(|vlan| receives(&mut machine, ADDRESS, &tag(vlan))), expected);
    }
    assert!(receives(&mut machine, ADDRESS, &[]), "without a tag");
    assert!(!is_done(&mut machine, command::VLAN, command::ADD, &4096u16.to_le_bytes()));
    // A driver that knows of none filters for itself.
    let mut machine = ready(1, all(1) & !feature::COMMANDS_VLAN);
    assert!(receives(&mut machine, ADDRESS, &tag(7)));
    assert!(!is_done(&mut machine, command::VLAN, command::ADD, &[7, 0]));
}

#[test]
fn what_is_no_command_is_refused() {
    let mut machine = ready(2, all(2));
    for (class, what, data) in [
        (command::RECEIVE, 6, &[1][..]),
        (command::RECEIVE, 0, &[2]),
        (command::RECEIVE, 0, &[]),
        (command::RECEIVE, 0, &[1, 1]),
        (command::ADDRESS, 2, &OTHER),
        (command::VLAN, 2, &[1, 0]),
        (command::VLAN, 0, &[1]),
        (3, 0, &[]),
        (command::PAIRS, 1, &[1, 0]),
        (command::PAIRS, 0, &[0, 0]),
        (command::PAIRS, 0, &[3, 0]),
        (command::PAIRS, 0, &[1]),
        (5, 0, &[0; 8]),
        (command::ADDRESS, command::TABLES, &[0; 3000]),
    ] {
        assert!(!is_done(&mut machine, class, what, data), "{class} {what} {data:?}");
    }
    // Nor is what the driver has not agreed on.
    for (lacking, class, what, data) in [
        (feature::COMMANDS_RECEIVE, command::RECEIVE, 0, &[1][..]),
        (feature::COMMANDS_RECEIVE, command::ADDRESS, command::TABLES, &[0; 8]),
        (feature::COMMANDS_RECEIVE_MORE, command::RECEIVE, 2, &[1]),
        (feature::COMMANDS_ADDRESS, command::ADDRESS, command::OWN, &OTHER),
    ] {
        assert!(is_done(&mut ready(1, all(1)), class, what, data), "{class} {what}");
        assert!(!is_done(&mut ready(1, all(1) & !lacking), class, what, data), "{class} {what}");
    }
    // A command without a place for the reply, and one of nothing.
    let mut machine = ready(1, all(1));
    assert_eq!(machine.request(2, &[], &[1]), Some((1, vec![command::REFUSED])));
    assert_eq!(machine.request(2, &[&[0, 0, 1]], &[]), None);
    assert_eq!(machine.status() & 0x40, 0x40, "it needs a reset");
}

/// A frame of TCP between two ports.
fn flow(ports: [u8; 4]) -> Vec<u8> {
    let ip = [0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2];
    [&ADDRESS[..], &[9; 6], &[8, 0], &ip, &ports, &[0; 16]].concat()
}

#[test]
fn a_flow_stays_with_its_pair() {
    let mut machine = ready(2, all(2));
    assert_eq!((machine.queues.len(), machine.function.device().config(8)), (5, 2));
    let frame = flow([0, 9, 0, 80]);
    let send = |machine: &mut Machine<Net<Cable>>, queue| {
        machine.request(queue, &[&[0; 12], &frame], &[]).map(|_| ())
    };
    let receive = |machine: &mut Machine<Net<Cable>>, queue| machine.request(queue, &[], &[200]).map(|_| ());
    // One pair is used, until the driver says more.
    assert_eq!(send(&mut machine, 3), None);
    machine.start(8);
    assert!(is_done(&mut machine, command::PAIRS, command::SET, &[2, 0]));
    // The cable sends back what is sent.
    assert_eq!(send(&mut machine, 3), Some(()));
    assert_eq!((receive(&mut machine, 0), machine.used(2, 1)), (None, None));
    assert_eq!(receive(&mut machine, 2), Some(()), "by the pair that has sent it");
    assert_eq!(send(&mut machine, 1), Some(()));
    assert!(machine.used(0, 1).is_some(), "by the other one, whose buffer has waited");
    // With one pair again, all is its.
    assert_eq!(send(&mut machine, 3), Some(()));
    machine.function.device_mut().incoming.reset();
    assert!(is_done(&mut machine, command::PAIRS, command::SET, &[1, 0]));
    machine.function.device_mut().link.frames.push(frame.clone());
    assert_eq!(receive(&mut machine, 0), Some(()));
}

#[test]
fn without_pairs_the_third_queue_is_for_commands() {
    let mut machine = ready(2, all(2) & !feature::PAIRS);
    assert_eq!(machine.request(2, &[&[command::RECEIVE, 0, 1]], &[1]), Some((1, vec![command::DONE])));
    assert_eq!(machine.request(4, &[&[command::RECEIVE, 0, 1]], &[1]), None);
    assert_eq!(machine.request(2, &[&[command::PAIRS, 0, 1, 0]], &[1]), Some((1, vec![command::REFUSED])));
}
