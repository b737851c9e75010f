//! #VC: an instruction that the host would have to do something for, or a page that is not validated.
//!
//! The kernel asks the host by calls, so none of its own instructions comes here. A host may inject the
//! exception at any time, with any error code: in the kernel it is the end in every case, and what a process
//! is given depends on its instruction, never on the error code.

use plinth_snp_abi::exit;
use x86_64::registers::control::Cr2;

use super::accounts::NotAdjusted;
use super::{accounts, host};
use crate::console;
use crate::cpu::cpuid;
use crate::cpu::interrupts::Frame;
use crate::layout::PAGE;
use crate::memory::self_map;
use crate::memory::user_copy::AllegedRange;

/// Reasons in the request to be ended.
const NOT_VALIDATED: u8 = 3;
const NOT_ADJUSTED: u8 = 4;
/// CPUID.
const CPUID: [u8; 2] = [0x0f, 0xa2];
/// An address at which no process has anything: who goes on there has a page fault.
const NOWHERE: u64 = 0;

/// Handles the exception. Returns whether what was interrupted can go on.
pub fn host_call(frame: &mut Frame) -> bool {
    if frame.error_code == exit::PAGE_NOT_VALIDATED {
        page_not_validated(frame);
    }
    if !frame.is_user() {
        return false;
    }
    if !is_cpuid(frame.rip) {
        log::warn!("a process has #VC {:#x} at {:#x}, and ends", frame.error_code, frame.rip);
        frame.rip = NOWHERE;
        return true;
    }
    let [rax, rcx, rdx, rbx, ..] = &mut frame.gpr;
    let found = cpuid(*rax as u32, *rcx as u32);
    (*rax, *rbx, *rcx, *rdx) = (found.eax.into(), found.ebx.into(), found.ecx.into(), found.edx.into());
    frame.rip = frame.rip.wrapping_add(CPUID.len() as u64);
    true
}

fn is_cpuid(rip: u64) -> bool {
    let mut bytes = [0; CPUID.len()];
    let read = AllegedRange::new(rip, CPUID.len() as u64).and_then(|range| range.read(&mut bytes));
    read.is_ok() && bytes == CPUID
}

/// A guest has met one of its pages that the host has taken away: the machine ends.
pub fn end_by_lost_page(gpa: u64) -> ! {
    let violation = accounts::not_validated(gpa / PAGE);
    console::last_words(format_args!("a guest's access at {gpa:#x}: {violation}"));
    host::end(NOT_VALIDATED)
}

/// A VMSA that nothing of the kernel's runs can't be taken out of use: the machine ends.
pub fn end_by_busy_vmsa(gpa: u64, error: NotAdjusted) -> ! {
    console::last_words(format_args!("the host keeps the VMSA {gpa:#x}: {error:?}"));
    host::end(NOT_ADJUSTED)
}

/// A page can't be taken from a guest: the machine ends.
pub fn end_by_kept_page(gfn: u64, code: u32) -> ! {
    console::last_words(format_args!("the page {gfn:#x} can't be taken from a guest: {code}"));
    host::end(NOT_ADJUSTED)
}

/// The page may be another one than the kernel had there: the machine ends.
fn page_not_validated(frame: &Frame) -> ! {
    let address = Cr2::read_raw();
    match self_map::lookup(address) {
        Some(page) => {
            let violation = accounts::not_validated(page.start_address().as_u64() / PAGE);
            console::last_words(format_args!("an access at {address:#x} by {:#x}: {violation}", frame.rip));
        }
        None => {
            console::last_words(format_args!("the host has taken a page away that {:#x} uses", frame.rip))
        }
    }
    host::end(NOT_VALIDATED)
}
