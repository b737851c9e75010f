use super::*;

#[test]
fn guest_addresses_are_whole_pages_that_nested_tables_reach() {
    let bad = Err(Status::BadArgument);
    for (gpa, bytes, expected) in [
        (0, PAGE, Ok(0..PAGE)),
        (GPA_END - PAGE, PAGE, Ok(GPA_END - PAGE..GPA_END)),
        (0, 0, bad.clone()),
        (1, PAGE, bad.clone()),
        (0, PAGE + 1, bad.clone()),
        (GPA_END - PAGE, 2 * PAGE, bad.clone()),
        (GPA_END, PAGE, bad.clone()),
        (u64::MAX - PAGE + 1, PAGE, bad.clone()),
        (PAGE, u64::MAX - PAGE + 1, bad),
    ] {
        let range = GuestRange::try_new(gpa, bytes).map(GuestRange::addresses);
        assert_eq!(range, expected, "{gpa:#x}, {bytes:#x}");
    }
}

#[test]
fn a_vm_has_an_identifier_of_its_own_that_is_not_the_hosts() {
    let _memory = crate::host::PhysicalMemory::new(8);
    let account = Account::try_new(None).unwrap();
    let vms: Vec<_> = (0..VMS_MAX).map(|_| Vm::try_new(&account).unwrap()).collect();
    let asids: Vec<u32> = vms.iter().map(|vm| vm.address_space().asid()).collect();
    assert_eq!(asids, [1, 2, 3, 4]);
    assert_eq!(Vm::try_new(&account).err(), Some(Status::Exhausted));
}

/// A VM, with this as guest memory: 20 MiB from 2 MiB on.
fn vm_with_memory(test: impl FnOnce(&Vm)) {
    let _memory = crate::host::PhysicalMemory::new(64);
    let map: Vec<u8> = [0x200u64, 0x1400, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    guest_memory::start(crate::memory::host_map::parse(&map, 40).unwrap().usable);
    let account = Account::try_new(None).unwrap();
    let vm = Vm::try_new(&account).unwrap();
    test(&vm);
}

fn found(vm: &Vm, at: u64) -> Option<u64> {
    vm.state.lock().tables.lookup(at).map(|frame| frame.start_address().as_u64())
}

#[test]
fn the_same_memory_is_at_several_addresses() {
    const MEMORY: u64 = 0x20_3000;
    const C_BIT: u64 = 1 << 47;
    vm_with_memory(|vm| {
        let range = GuestRange::try_new(MEMORY, 2 * PAGE).unwrap();
        let all = Permissions::all();
        for at in [MEMORY, 0, C_BIT, GPA_END - 2 * PAGE] {
            assert_eq!(vm.grant_at(range, at, all, 0), Ok(2 * PAGE), "{at:#x}");
            assert_eq!([0, PAGE].map(|page| found(vm, at + page)), [Some(MEMORY), Some(MEMORY + PAGE)]);
        }
        assert_eq!(vm.grant_at(range, C_BIT + PAGE, all, 0), Err(Status::Overlap));
        let mut change = vm.revoke(GuestRange::try_new(C_BIT, PAGE).unwrap());
        while change.some().unwrap() {}
        drop(change);
        let mapped = [C_BIT, C_BIT + PAGE, MEMORY, 0].map(|at| found(vm, at).is_some());
        assert_eq!(mapped, [false, true, true, true]);
    });
}

#[test]
fn memory_goes_nowhere_but_where_a_guest_reaches_it() {
    vm_with_memory(|vm| {
        let (all, read) = (Permissions::all(), Permissions::READ);
        for (gpa, bytes, at, permissions, expected) in [
            (0x20_0000, PAGE, 0, read, Ok(PAGE)),
            (0x20_0000, PAGE, PAGE, Permissions::empty(), Err(Status::BadArgument)),
            (0x20_0000, PAGE, PAGE, Permissions::WRITE, Err(Status::BadArgument)),
            (0x20_0000, PAGE, 1, all, Err(Status::BadArgument)),
            (0x20_0000, PAGE, GPA_END, all, Err(Status::BadArgument)),
            (0x20_0000, PAGE, u64::MAX - PAGE + 1, all, Err(Status::BadArgument)),
            (0x1f_f000, PAGE, PAGE, all, Err(Status::NotFound)),
            (0x20_0000, 0x140_1000, LARGE, all, Err(Status::NotFound)),
            // So much takes large pages, and the addresses do not allow them.
            (0x20_0000, 0x100_1000, PAGE, all, Err(Status::BadArgument)),
            (0x20_0000, 0x100_0000, PAGE, all, Ok(64 * PAGE)),
            (0x20_0000, 0x100_0000, LARGE, all, Ok(0x100_0000)),
        ] {
            let range = GuestRange::try_new(gpa, bytes).unwrap();
            assert_eq!(vm.grant_at(range, at, permissions, 0), expected, "{gpa:#x}, {bytes:#x} at {at:#x}");
        }
    });
    const LARGE: u64 = 1 << 40;
}
