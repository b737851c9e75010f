//! TSC_AUX is each guest's own, on one processor that runs several.
#![allow(unsafe_code, reason = "a run page at an address of our choice")]

use runtime::abi::exit::reason;
use runtime::abi::operation::SystemCpuid;
use runtime::abi::registers::{Groups, gpr};
use runtime::abi::status::Status;
use runtime::{call, process};

use crate::suite::Suite;
use crate::vm::Machine;

/// rdtscp; cpuid; and again.
const READ_LOOP: &[u8] = &[0x0f, 0x01, 0xf9, 0x0f, 0xa2, 0xeb, 0xf9];

/// Has the next run load a value.
fn set(machine: &Machine, value: u32) {
    // SAFETY: the run page is ours while the vCPU does not run.
    unsafe {
        (*machine.page).msrs.pat = 0x0007_0406_0007_0406;
        (*machine.page).msrs.tsc_aux = value;
        (*machine.page).dirty |= Groups::MSRS.bits();
    }
}

/// What the guest's RDTSCP returns.
fn read(machine: &Machine, first: bool) -> Result<u64, Status> {
    let exit = if first { machine.again() } else { machine.step() }?;
    // SAFETY: as in `set`.
    let value = unsafe { (*machine.page).general.gpr[gpr::RCX] };
    if exit == reason::CPUID { Ok(value) } else { Err(Status::WrongState) }
}

fn check(suite: &mut Suite<'_>, read: Result<u64, Status>, expected: u64, what: &str) {
    suite.check(read == Ok(expected), format_args!("{what}: {read:x?}, not {expected:x}"));
}

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    const RDTSCP: u32 = 1 << 27;
    let leaf = call(suite.system, SystemCpuid { eax: 0x8000_0001, ..SystemCpuid::default() });
    if leaf.is_ok_and(|leaf| leaf.edx & RDTSCP == 0) {
        return log::info!("abi-test: no TSC_AUX here, as the processor has no RDTSCP");
    }
    let made = [(); 2].map(|()| Machine::new(suite.system, 0, READ_LOOP));
    let [Ok(one), Ok(other)] = made else {
        return suite.check(false, format_args!("two VMs with a vCPU each"));
    };
    check(suite, read(&one, true), 0, "before anybody has set it");
    set(&one, 0xffff_fff7);
    check(suite, read(&one, false), 0xffff_fff7, "set");
    check(suite, read(&one, false), 0xffff_fff7, "entered once more");
    check(suite, read(&other, true), 0, "another guest that has set nothing");
    set(&other, 9);
    check(suite, read(&other, false), 9, "another guest's");
    check(suite, read(&one, false), 0xffff_fff7, "the first guest's again");
    set(&one, 3);
    check(suite, read(&one, false), 3, "changed");
    // SAFETY: the run page is ours while the vCPU does not run.
    unsafe { (*other.page).deliver = Groups::MSRS.bits() };
    check(suite, read(&other, false), 9, "the other guest's again");
    // SAFETY: as above.
    let stored = unsafe { ((*other.page).msrs.tsc_aux, (*other.page).msrs.reserved) };
    suite.check(stored == (9, 0), format_args!("stored: {stored:?}"));
    for handle in [one.vcpu, one.vm, other.vcpu, other.vm] {
        suite.expect(process::close(handle), Status::Ok, format_args!("closing vCPU and VM"));
    }
}
