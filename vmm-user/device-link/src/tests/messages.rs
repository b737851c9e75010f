//! What is written is read; what nobody writes is refused.

use devices::acpi_entry::{Resource, TpmInterface};

use super::*;
use crate::answer::{Answer, LINES_MAX, LineChanges, NEVER, Reply, code as answers};
use crate::claim::{CLAIMS_MAX, Claim, Claims};
use crate::request::{Ask, Request, code};
use crate::serve::claims_of;
use crate::{WORDS, Words};

/// What is in words that nobody wrote.
const JUNK: Words = [0xdead_beef_dead_beef; WORDS];

#[test]
fn requests_come_back() {
    for ask in [
        Ask::Greet { version: 1 },
        Ask::Claim { index: u64::MAX },
        Ask::PortRead { port: 0xffff, width: Width::Byte },
        Ask::PortRead { port: 0, width: Width::Dword },
        Ask::PortWrite { port: 0x3f8, width: Width::Word, value: 0xffff },
        Ask::MmioRead { offset: u64::MAX, width: Width::Qword },
        Ask::MmioWrite { offset: 0, width: Width::Qword, value: u64::MAX },
        Ask::MmioWrite { offset: 8, width: Width::Byte, value: 0xff },
        Ask::Look,
    ] {
        let request = Request { ask, session: u32::MAX, now_ns: u64::MAX };
        assert_eq!(Request::read(&request.words()), Some(request));
    }
}

#[test]
fn requests_that_no_vmm_makes_are_refused() {
    // The width as a power of two.
    let head = |code: u8, width: u64| u64::from(code) | width << 8;
    for (head, place, value) in [
        (0, 0, 0),
        (head(code::LOOK + 1, 0), 0, 0),
        (head(code::LOOK, 4), 0, 0),
        (head(code::LOOK, 0) | 1 << 16, 0, 0),
        (head(code::LOOK, 0) | 1 << 31, 0, 0),
        (head(code::PORT_READ, 3), 0, 0),
        (head(code::PORT_READ, 4), 0, 0),
        (head(code::PORT_READ, 0), 0x1_0000, 0),
        (head(code::PORT_WRITE, 3), 0, 0),
        (head(code::PORT_WRITE, 0), 0, 0x100),
        (head(code::PORT_WRITE, 2), 0, 1 << 32),
        (head(code::PORT_WRITE, 2), u64::MAX, 0),
        (head(code::MMIO_READ, 4), 0, 0),
        (head(code::MMIO_READ, 8), 0, 0),
        (head(code::MMIO_WRITE, 1), 0, 0x1_0000),
        (head(code::MMIO_WRITE, 5), 0, 0),
    ] {
        let mut words = JUNK;
        words[..3].copy_from_slice(&[head, place, value]);
        assert_eq!(Request::read(&words), None, "{head:#x} {place:#x} {value:#x}");
    }
}

fn lines(all: &[(u8, bool)]) -> LineChanges {
    let mut changes = LineChanges::default();
    all.iter().for_each(|(line, level)| assert!(changes.push(*line, *level)));
    changes
}

#[test]
fn answers_come_back() {
    let many: Vec<(u8, bool)> = (0..LINES_MAX as u8).map(|line| (127 - line, line % 2 == 0)).collect();
    for lines in [lines(&[]), lines(&[(0, false)]), lines(&[(127, true), (127, false)]), lines(&many)] {
        for (value, mask, deadline_ns) in [(0, 0, NEVER), (0xff, 0xff, 0), (u64::MAX, u64::MAX, 1)] {
            let reply = Reply::Done(Answer { value, deadline_ns, lines });
            assert_eq!(Reply::read(&reply.words(), mask), Some(reply));
        }
    }
    assert_eq!(Reply::read(&Reply::Stranger.words(), 0), Some(Reply::Stranger));
}

#[test]
fn answers_that_no_device_gives_are_nonsense() {
    let done = u64::from(answers::DONE);
    for (name, words) in [
        ("no code", [0, 0, NEVER, 0]),
        ("no claim", [u64::from(answers::NO_CLAIM), 0, NEVER, 0]),
        ("refused", [u64::from(answers::REFUSED), 0, NEVER, 0]),
        ("another code", [5, 0, NEVER, 0]),
        ("a stranger with more to say", [u64::from(answers::STRANGER) | 1 << 8, 0, NEVER, 0]),
        ("a high bit", [done | 1 << 63, 0, NEVER, 0]),
        ("a reserved bit", [done | 1 << 16, 0, NEVER, 0]),
        ("too wide a value", [done, 0x100, NEVER, 0]),
        ("too wide a value, and a line", [done | 1 << 8, 0x100, NEVER, 4]),
        ("a line that is not counted", [done, 0, NEVER, 4]),
        ("one far away", [done, 0, NEVER, 1 << 63]),
        ("one line too many", [done | 1 << 8, 0, NEVER, 0x0404]),
        ("9 lines", [done | 9 << 8, 0, NEVER, 0]),
        ("255 lines", [done | 255 << 8, 0, NEVER, 0]),
    ] {
        assert_eq!(Reply::read(&words, 0xff), None, "{name}");
    }
}

/// The end of what a line does is never lost.
#[test]
fn what_has_no_room_goes_in_the_place_of_the_lines_first() {
    let mut changes = lines(&[(5, true)]);
    (0..40).for_each(|index| assert!(changes.push(4, index % 2 == 0)));
    let said: Vec<(u8, bool)> = changes.iter().collect();
    assert_eq!((said.len(), said[0], said[7]), (LINES_MAX, (5, true), (4, false)));
    assert!(!changes.push(6, true) && !changes.push(128, true));
    assert_eq!(changes.iter().collect::<Vec<_>>(), said);
}

#[test]
fn claims_come_back() {
    let claims = claims_of(&Probe::default());
    let list = claims.to_list().unwrap();
    let read: Vec<Claim> = list.iter().map(|claim| Claim::read(&claim.words()).unwrap()).collect();
    assert_eq!(read, list);
    assert_eq!(Claims::from_list(&read).unwrap(), claims);
    assert_eq!((claims.is_timed, claims.acpi.len()), (true, 1));
    for interface in [TpmInterface::Crb, TpmInterface::Fifo] {
        let claims = Claims { acpi: [AcpiEntry::Tpm(interface)].into(), ..Claims::default() };
        let read: Vec<Claim> =
            claims.to_list().unwrap().iter().map(|claim| Claim::read(&claim.words()).unwrap()).collect();
        assert_eq!(Claims::from_list(&read).unwrap(), claims);
    }
    let mut words = Claim::Tpm(TpmInterface::Fifo).words();
    words[1] = 2;
    assert_eq!(Claim::read(&words), None, "there are two interfaces");
}

/// AML is for devices of the VMM's own: the guest's kernel interprets it.
#[test]
fn what_only_a_device_in_the_vmm_may_say_is_not_said() {
    for acpi in [AcpiEntry::KeyboardController, AcpiEntry::System([].into()), AcpiEntry::Table([].into())] {
        assert_eq!(Claims { acpi: [acpi].into(), ..Claims::default() }.to_list(), None);
    }
    let ports = |count| Claims { ports: [PORTS].repeat(count), ..Claims::default() };
    assert!(ports(CLAIMS_MAX).to_list().is_some() && ports(CLAIMS_MAX + 1).to_list().is_none());
}

#[test]
fn claims_that_make_no_sense_are_nonsense() {
    let good = Claim::Isa { name: *b"COM1", id: *b"PNP0501", number: Some(1) }.words();
    for (word, value) in [
        (0, 0),
        (0, u64::from(answers::NO_CLAIM)),
        (0, u64::from(answers::DONE) | 9 << 8),
        (0, u64::from(answers::DONE)),
        (0, good[0] | 1 << 16),
        (1, good[1] | 1 << 32),
        (2, good[2] | 1 << 56),
        (3, 256),
    ] {
        let mut words = good;
        words[word] = value;
        assert_eq!(Claim::read(&words), None, "word {word} {value:#x}");
    }
    let words = Claim::Ports(PORTS).words();
    for word in [1, 2] {
        let mut words = words;
        words[word] = 0x1_0000;
        assert_eq!(Claim::read(&words), None);
    }
    let mut words = Claim::Line(1).words();
    words[1] = 256;
    assert_eq!(Claim::read(&words), None);
    let isa = |name: &[u8; 4]| Claim::Isa { name: *name, id: *b"PNP0C02", number: None };
    let resource = Claim::IsaResource(Resource::Line(1));
    for (list, is_good) in [
        (&[isa(b"COM1"), resource, resource][..], true),
        (&[isa(b"com1")], false),
        (&[resource], false),
        (&[isa(b"COM1"), Claim::Timer, resource], false),
    ] {
        assert_eq!(Claims::from_list(list).is_some(), is_good, "{list:?}");
    }
}
