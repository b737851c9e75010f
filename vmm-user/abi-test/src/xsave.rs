//! A guest's FPU registers through the run page: what is loaded is what the guest has, and what XRSTOR would
//! refuse is refused.
#![allow(unsafe_code, reason = "writes the run page, which the kernel shares with us")]

use runtime::abi::exit::reason;
use runtime::abi::operation::VcpuFetch;
use runtime::abi::registers::Groups;
use runtime::abi::run_page::xsave::{AVX, HEADER_END, MXCSR, SSE, X87, XMM, XSTATE_BV};
use runtime::abi::status::Status;
use runtime::{call, process};

use crate::fpu;
use crate::suite::Suite;
use crate::vm::Machine;

/// movd eax, xmm0; hlt
const CODE: [u8; 5] = [0x66, 0x0f, 0x7e, 0xc0, 0xf4];
const CR4_OSFXSR: u64 = 1 << 9;
const RESET_MXCSR: u64 = 0x1f80;
/// What XMM0 holds before each row.
const BEFORE: u64 = 0x1234_5678;
const BAD: Result<u64, Status> = Err(Status::BadArgument);

/// What is wrong or special, where something is written, and what XMM0 then begins with.
const ROWS: &[(&str, usize, u64, Result<u64, Status>)] = &[
    ("another register", XMM, 0x1111_2222, Ok(0x1111_2222)),
    ("SSE in its initial state", XSTATE_BV, X87, Ok(0)),
    ("everything in its initial state", XSTATE_BV, 0, Ok(0)),
    ("a state that does not exist", XSTATE_BV, SSE | 1 << 61, BAD),
    ("bit 63 of XSTATE_BV", XSTATE_BV, SSE | 1 << 63, BAD),
    ("the compact form", XSTATE_BV + 8, 1 << 63, BAD),
    ("the compact form, with a state", XSTATE_BV + 8, 1 << 63 | SSE, BAD),
    ("a reserved byte of the header", XSTATE_BV + 16, 1, BAD),
    ("the header's last byte", HEADER_END - 8, 1 << 56, BAD),
    ("a reserved bit of MXCSR", MXCSR, RESET_MXCSR | 1 << 16, BAD),
    ("the highest bit of MXCSR", MXCSR, RESET_MXCSR | 1 << 31, BAD),
    ("a mask that allows all of MXCSR", MXCSR, u64::MAX, BAD),
    ("the same mask, and nothing reserved", MXCSR, 0xffff_ffff_0000_0000 | RESET_MXCSR, Ok(BEFORE)),
    ("reserved bits of MXCSR after it", MXCSR, 0xffff_ffff, BAD),
    ("bytes that nobody reads", XMM + 0x108, u64::MAX, Ok(BEFORE)),
];

fn write(machine: &Machine, at: usize, value: u64) {
    // SAFETY: `at` is within the area, which is ours while the vCPU does not run.
    unsafe { (&raw mut (*machine.page).xsave).byte_add(at).cast::<u64>().write_volatile(value) };
}

fn read(machine: &Machine, at: usize) -> u64 {
    // SAFETY: as in `write`.
    unsafe { (&raw const (*machine.page).xsave).byte_add(at).cast::<u64>().read_volatile() }
}

/// Runs the guest's code once more; returns what it found in XMM0.
fn run(suite: &Suite<'_>, machine: &Machine, dirty: Groups) -> Result<u64, Status> {
    // SAFETY: the run page is ours while the vCPU does not run.
    unsafe {
        (*machine.page).general.rip = 0;
        (*machine.page).dirty |= (Groups::GENERAL | dirty).bits();
    }
    match machine.run(suite.in_us(5_000_000))? {
        // SAFETY: as above.
        reason::HALT => Ok(unsafe { (*machine.page).general.gpr[0] }),
        _ => Err(Status::WrongState),
    }
}

fn fetch(machine: &Machine) -> Result<(), Status> {
    call(machine.vcpu, VcpuFetch { groups: Groups::FPU.bits(), reserved: 0 }).map(|_| ())
}

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let machine = match Machine::new(suite.system, 0, &CODE) {
        Ok(machine) => machine,
        Err(status) => return suite.check(false, format_args!("a VM with a vCPU: {status:?}")),
    };
    // SAFETY: the vCPU does not run yet.
    unsafe { (*machine.page).system.cr4 = CR4_OSFXSR };
    let asked = fpu::ask();
    suite.expect(asked, Status::Ok, format_args!("asking for the FPU"));
    fpu::set(0x7777_7777);
    let fresh = fetch(&machine).map(|()| read(&machine, MXCSR) & 0xffff_ffff);
    suite.check(fresh == Ok(RESET_MXCSR), format_args!("a new guest's MXCSR: {fresh:x?}"));
    let first = run(suite, &machine, Groups::empty());
    suite.check(first == Ok(0), format_args!("a new guest's XMM0: {first:x?}"));
    for row in ROWS {
        one(suite, &machine, row);
    }
    wide(suite, &machine);
    states(suite, &machine);
    let kept = kept(suite);
    suite.check(kept == Ok([3, 3]), format_args!("XCR0 behind another guest's run: {kept:x?}"));
    let seen = back_in_place(suite);
    suite.check(seen == Ok([BEFORE; 4]), format_args!("a guest's XMM0 behind this process's: {seen:x?}"));
    suite.check(fpu::get() == [0x7777_7777; 2], format_args!("our FPU after a guest's was loaded"));
    for handle in [machine.vcpu, machine.vm] {
        suite.expect(process::close(handle), Status::Ok, format_args!("closing vCPU and VM"));
    }
}

/// One row: loaded over what was there, or refused with that kept.
fn one(suite: &mut Suite<'_>, machine: &Machine, row: &(&str, usize, u64, Result<u64, Status>)) {
    let &(what, at, value, expected) = row;
    let begin = [(MXCSR, RESET_MXCSR), (XMM, BEFORE), (XSTATE_BV, X87 | SSE)];
    (XSTATE_BV + 8..HEADER_END).step_by(8).for_each(|at| write(machine, at, 0));
    begin.into_iter().for_each(|(at, value)| write(machine, at, value));
    let before = run(suite, machine, Groups::FPU);
    suite.check(before == Ok(BEFORE), format_args!("before {what}: {before:x?}"));
    write(machine, at, value);
    let answer = run(suite, machine, Groups::FPU);
    suite.check(answer == expected, format_args!("{what}: {answer:x?}, not {expected:x?}"));
    let after = run(suite, machine, Groups::empty());
    let kept = expected.unwrap_or(BEFORE);
    suite.check(after == Ok(kept), format_args!("after {what}: {after:x?}, not {kept:x?}"));
}

/// All of XMM and the upper halves of YMM, there and back.
fn wide(suite: &mut Suite<'_>, machine: &Machine) {
    let places = || (XMM..XMM + 256).chain(HEADER_END..HEADER_END + 256).step_by(8);
    let value = |at: usize| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    places().for_each(|at| write(machine, at, value(at)));
    write(machine, MXCSR, RESET_MXCSR);
    write(machine, XSTATE_BV, SSE | AVX);
    let answer = run(suite, machine, Groups::FPU);
    places().for_each(|at| write(machine, at, 0));
    let fetched = fetch(machine);
    let differs = places().find(|at| read(machine, *at) != value(*at));
    let ends = (answer, fetched, differs);
    suite.check(ends == (Ok(value(XMM) & 0xffff_ffff), Ok(()), None), format_args!("YMM: {ends:x?}"));
}

/// XCR0 that no processor takes, or not this one, is refused.
fn states(suite: &mut Suite<'_>, machine: &Machine) {
    for value in [0, SSE, X87 | AVX, 1 << 62 | X87, 1 << 63 | X87, X87 | 1 << 3, u64::MAX] {
        // SAFETY: the run page is ours while the vCPU does not run.
        unsafe { (*machine.page).xcr0 = value };
        let answer = run(suite, machine, Groups::XCR0);
        suite.check(answer == BAD, format_args!("XCR0 {value:#x}: {answer:x?}"));
    }
}

/// XCR0 as the kernel has it.
fn xcr0_of(machine: &Machine) -> Result<u64, Status> {
    // SAFETY: the run page is ours while the vCPU does not run.
    unsafe { (*machine.page).xcr0 = 0 };
    call(machine.vcpu, VcpuFetch { groups: Groups::XCR0.bits(), reserved: 0 })?;
    // SAFETY: as above.
    Ok(unsafe { (&raw const (*machine.page).xcr0).read_volatile() })
}

/// A guest's XCR0 is the same when another one has run: as it is kept meanwhile, and when it runs again.
fn kept(suite: &Suite<'_>) -> Result<[u64; 2], Status> {
    let [first, second] = [0, 1].map(|_| Machine::new(suite.system, 0, &[0xf4]));
    let (first, second) = (first?, second?);
    // SAFETY: the run page is ours while the vCPU does not run.
    unsafe { (*first.page).xcr0 = X87 | SSE };
    run(suite, &first, Groups::XCR0)?;
    run(suite, &second, Groups::empty())?;
    let kept = xcr0_of(&first)?;
    run(suite, &first, Groups::empty())?;
    let again = xcr0_of(&first)?;
    for machine in [first, second] {
        process::close(machine.vcpu)?;
        process::close(machine.vm)?;
    }
    Ok([kept, again])
}

/// A vCPU that is ready, and this process's own registers in between: the guest finds its own, each time.
fn back_in_place(suite: &Suite<'_>) -> Result<[u64; 4], Status> {
    // movd eax, xmm0; out 80h, al; and again
    let machine = Machine::new(suite.system, 0, &[0x66, 0x0f, 0x7e, 0xc0, 0xe6, 0x80, 0xeb, 0xf8])?;
    [(MXCSR, RESET_MXCSR), (XMM, BEFORE), (XSTATE_BV, X87 | SSE)]
        .into_iter()
        .for_each(|(at, value)| write(&machine, at, value));
    // SAFETY: the run page is ours while the vCPU does not run.
    unsafe {
        (*machine.page).system.cr4 = CR4_OSFXSR;
        (*machine.page).dirty |= Groups::FPU.bits();
    }
    machine.run(u64::MAX)?;
    let mut seen = [0; 4];
    for seen in &mut seen {
        (0..3).try_for_each(|_| machine.step().map(|_| ()))?;
        fpu::set(0x7777_7777);
        machine.step()?;
        // SAFETY: as above.
        *seen = unsafe { (*machine.page).general.gpr[0] };
    }
    process::close(machine.vcpu)?;
    process::close(machine.vm)?;
    Ok(seen)
}
