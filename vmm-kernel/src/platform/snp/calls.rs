//! The kernel's own accesses of the host's ports and MSRs, and of CPUID, as calls.
#![allow(unsafe_code, reason = "MSRs that are the processor's own")]

use core::cell::UnsafeCell;

use plinth_snp_abi::cpuid_page::CpuidPage;
use x86_64::registers::control::{Cr4, Cr4Flags};
use x86_64::registers::model_specific::Msr;
use x86_64::registers::xcontrol::XCr0;

use super::cpuid_table::{Table, TableError};
use super::ghcb::{self, Width};
use super::host;
use crate::cpu::Cpuid;
use crate::cpu::host_call::calls::{self, Calls};
use crate::cpu::msr;

struct Place(UnsafeCell<Table>);
// SAFETY: written once at boot, before there is a second processor; only read afterwards.
unsafe impl Sync for Place {}
static TABLE: Place = Place(UnsafeCell::new(Table::new()));

static CALLS: Calls = Calls { cpuid, read_msr, write_msr, read_port, write_port };

/// From here on nothing is asked by an instruction.
pub fn start() {
    calls::start(&CALLS);
}

/// Takes over what CPUID returns; once, at boot.
///
/// # Errors
/// [`TableError`].
pub fn load_cpuid(page: &CpuidPage) -> Result<(), TableError> {
    // SAFETY: boot, one processor; nobody has a reference to the table.
    unsafe { (*TABLE.0.get()).load(page) }
}

fn cpuid(leaf: u32, subleaf: u32) -> Cpuid {
    let has_states = Cr4::read().contains(Cr4Flags::OSXSAVE);
    let xcr0 = if has_states { XCr0::read_raw() } else { 1 };
    // SAFETY: it is not written any more.
    unsafe { &*TABLE.0.get() }.find(leaf, subleaf, xcr0, 0)
}

/// MSRs that are part of the encrypted state, which the processor exchanges with the VMSA: no host sees their
/// accesses (APM volume 2, 15.35.4; KVM's `sev_es_init_vmcb`).
const fn is_own(number: u32) -> bool {
    const STAR_TO_SFMASK: core::ops::RangeInclusive<u32> = msr::STAR..=msr::SFMASK;
    matches!(number, msr::EFER | msr::GS_BASE | msr::KERNEL_GS_BASE | msr::PRED_CMD)
        || *STAR_TO_SFMASK.start() <= number && number <= *STAR_TO_SFMASK.end()
}

fn read_msr(number: u32) -> u64 {
    if is_own(number) {
        // SAFETY: reading has no effect; the processor has these.
        return unsafe { Msr::new(number).read() };
    }
    host::with_page(|page| ghcb::read_msr(page, number))
}

fn write_msr(number: u32, value: u64) {
    if is_own(number) {
        // SAFETY: the promise of `cpu::msr::write`'s caller, who alone comes here.
        return unsafe { Msr::new(number).write(value) };
    }
    host::with_page(|page| ghcb::write_msr(page, number, value));
}

const fn width(bytes: u8) -> Width {
    match bytes {
        1 => Width::Byte,
        2 => Width::Word,
        _ => Width::Double,
    }
}

fn read_port(port: u16, bytes: u8) -> u32 {
    host::with_page(|page| ghcb::read_port(page, port, width(bytes)))
}

fn write_port(port: u16, bytes: u8, value: u32) {
    host::with_page(|page| ghcb::write_port(page, port, width(bytes), value));
}
