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
