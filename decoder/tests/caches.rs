//! Caches give what would be found without them, whatever the guest does meanwhile.

use decoder::fetch::{self, Code, fetch, fetch_cached};
use decoder::walk::{self, Access, Kind, WalkError};
use decoder::{Machine, Mode, Operation};
use decoder_oracle::TestMachine;
use decoder_oracle::page_tables::{Builder, Style};

const LINEAR: u64 = 0x40_0123;
const READ: Access = Access::explicit(Kind::Read, 0, 0);
const WRITE: Access = Access::explicit(Kind::Write, 0, 0);

/// A cache that is asked about [`LINEAR`].
struct Translations {
    machine: TestMachine,
    cache: walk::Cache<4>,
}

impl Translations {
    fn new() -> (Translations, Builder, Vec<u64>) {
        let mut machine = TestMachine::new(Mode::Bits64);
        let mut tables = Builder::new(&mut machine, Style::Four, 0x10_0000);
        let path = tables.map(&mut machine, LINEAR, 0x5000, 7, 4);
        (Translations { machine, cache: walk::Cache::default() }, tables, path)
    }

    fn ask(&mut self, linear: u64, access: Access) -> Result<u64, WalkError> {
        let paging = self.machine.paging;
        let mut uncached = self.machine.clone();
        let expected = walk::translate(&mut uncached, &paging, linear, access).map(|found| found.gpa);
        let found = self.cache.translate(&mut self.machine, &paging, linear, access);
        assert_eq!(found, expected);
        assert_eq!(self.machine.ram, uncached.ram, "the same marks");
        found
    }
}

#[test]
fn page_tables_that_change_under_a_cached_translation() {
    let (mut cached, tables, path) = Translations::new();
    for _ in 0..2 {
        assert_eq!(cached.ask(LINEAR, READ), Ok(0x5123));
        assert_eq!(cached.ask(LINEAR + 8, READ), Ok(0x512b));
    }
    tables.set(&mut cached.machine, path[3], 0x6007);
    assert_eq!(cached.ask(LINEAR, READ), Ok(0x6123));
    tables.set(&mut cached.machine, path[1], 0);
    assert_eq!(cached.ask(LINEAR, READ), Err(WalkError::Fault { error_code: 0, address: LINEAR }));
}

#[test]
fn another_access_is_another_translation() {
    let (mut cached, tables, path) = Translations::new();
    assert_eq!(cached.ask(LINEAR, READ.probe()), Ok(0x5123));
    assert_eq!(tables.get(&cached.machine, path[3]) & 0x60, 0);
    assert_eq!(cached.ask(LINEAR, READ), Ok(0x5123));
    assert_eq!(tables.get(&cached.machine, path[3]) & 0x60, 0x20);
    assert_eq!(cached.ask(LINEAR, WRITE), Ok(0x5123));
    assert_eq!(tables.get(&cached.machine, path[3]) & 0x60, 0x60);
    tables.set(&mut cached.machine, path[3], 0x5065);
    assert!(cached.ask(LINEAR, WRITE).is_err());
    assert_eq!(cached.ask(LINEAR, READ), Ok(0x5123));
}

#[test]
fn registers_count() {
    let (mut cached, _, path) = Translations::new();
    assert_eq!(cached.ask(LINEAR, READ), Ok(0x5123));
    cached.machine.paging.cr4 |= 1 << 21;
    assert!(cached.ask(LINEAR, READ).is_err(), "SMAP");
    cached.machine.paging.cr4 &= !(1 << 21);
    cached.machine.paging.cr3 = path[1] & !0xfff;
    assert!(cached.ask(LINEAR, READ).is_err(), "other tables");
}

#[test]
fn code_that_changes_under_a_cached_instruction() {
    let mut machine = TestMachine::new(Mode::Bits64);
    let mut cache = fetch::Cache::<4>::default();
    let mut ask = |machine: &mut TestMachine| {
        let (mut code, mut cached_code) = (Code::EMPTY, Code::EMPTY);
        let expected = fetch(machine, &mut code);
        assert_eq!(fetch_cached(machine, &mut cached_code, &mut cache), expected);
        assert_eq!(code, cached_code);
        expected.map(|instruction| instruction.operation)
    };
    machine.put(0x1000, &[0x89, 0x03]);
    for _ in 0..2 {
        assert_eq!(ask(&mut machine), Ok(Operation::Mov));
    }
    machine.put(0x1000, &[0x01]);
    assert_eq!(ask(&mut machine), Ok(Operation::Add));
    // The same bytes in code of another size.
    machine.put(0x1000, &[0x48, 0x89, 0x03]);
    assert_eq!(ask(&mut machine), Ok(Operation::Mov));
    machine.segments[1].attributes = 0xc9b;
    assert_eq!(machine.mode(), Mode::Bits32);
    assert!(ask(&mut machine).is_err());
    // Another instruction in the same slot.
    machine.put(0x1004, &[0x8b, 0x03]);
    machine.rip = 0x1004;
    assert_eq!(ask(&mut machine), Ok(Operation::Mov));
}

#[test]
fn caches_of_nothing_work() {
    let (mut cached, ..) = Translations::new();
    let paging = cached.machine.paging;
    let mut empty = walk::Cache::<0>::default();
    assert_eq!(empty.translate(&mut cached.machine, &paging, LINEAR, READ), Ok(0x5123));
    let mut machine = TestMachine::new(Mode::Bits64);
    machine.put(0x1000, &[0x89, 0x03]);
    assert!(fetch_cached(&mut machine, &mut { Code::EMPTY }, &mut fetch::Cache::<0>::default()).is_ok());
}
