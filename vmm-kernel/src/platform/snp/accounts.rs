//! The accounts of all pages, on the processor: PVALIDATE, and the host's part of a page's state.
#![allow(unsafe_code, reason = "PVALIDATE")]

use core::arch::asm;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use plinth_snp_abi::ghcb::{PageOperation, PageStateEntry};
use plinth_snp_abi::rmp::{PageSize, RmpAttributes};
use vcpu_abi::boot::BOOT_PAGE_VIRTUAL;
use x86_64::PhysAddr;
use x86_64::structures::paging::PhysFrame;

use super::pages::{Pages, Platform, Validation, Violation};
use super::{ghcb, host, word};
use crate::layout::PAGE;
use crate::memory::self_map::{self, MapKind};
use crate::memory::temporary;
use crate::sync::SpinLock;

/// Words of the bitmap: for 8 GiB of memory.
const WORDS: usize = 32 * 1024;
/// How many pages from 0 on may be accepted.
pub const PAGES_MAX: u64 = WORDS as u64 * 64;
/// Where a page is mapped while it is validated: the last page but one of the boot page's page table, which
/// the image brings and uses the front of. The last one is `memory::probe`'s.
const PLACE: u64 = BOOT_PAGE_VIRTUAL + 510 * PAGE;

static PAGES: SpinLock<Pages<WORDS>> = SpinLock::new(Pages::new());
static LAUNCHED: AtomicU64 = AtomicU64::new(0);
static ACCEPTED: AtomicU64 = AtomicU64::new(0);
static SECRETS_VERSION: AtomicU32 = AtomicU32::new(0);

fn frame(gfn: u64) -> PhysFrame {
    PhysFrame::containing_address(PhysAddr::new_truncate(gfn * PAGE))
}

struct Processor;

impl Platform for Processor {
    fn change(&mut self, gfns: Range<u64>, operation: PageOperation) -> bool {
        if !host::has_page() {
            return gfns.into_iter().all(|gfn| word::change_page(&mut host::Msr, gfn, operation).is_ok());
        }
        let entry =
            |offset: usize| PageStateEntry::new(gfns.start + offset as u64, operation, PageSize::Small);
        let count = (gfns.end - gfns.start) as usize;
        host::with_page(|page| Ok(ghcb::change_pages(page, (0..count).map(entry)).is_ok()))
    }

    fn validate(&mut self, gfn: u64, is_valid: bool) -> Validation {
        Self::with_page(gfn, |address| pvalidate(address, is_valid))
    }

    fn clear(&mut self, gfn: u64) {
        temporary::with_frame(frame(gfn), |words| words.fill(0));
    }
}

impl Processor {
    /// Runs `f` with the address at which a page is mapped.
    fn with_page<T>(gfn: u64, f: impl FnOnce(u64) -> T) -> T {
        // SAFETY: the image's tables have the page table, and nothing else uses this page of it; the accounts
        // are locked, so one processor does this at a time.
        unsafe { self_map::repoint(PLACE, Some((frame(gfn), MapKind::Data))) };
        let result = f(PLACE);
        // SAFETY: as above.
        unsafe { self_map::repoint(PLACE, None) };
        result
    }
}

/// RMPADJUST of the small page that is mapped at an address (APM volume 3). Returns what it leaves in EAX.
fn rmpadjust(address: u64, attributes: RmpAttributes) -> u32 {
    let result: u64;
    // SAFETY: changes what a lower VMPL may do with a page that is no lower VMPL's to rely on. Its bytes, as
    // older assemblers do not know it.
    unsafe {
        asm!(
            ".byte 0xf3, 0x0f, 0x01, 0xfe",
            inout("rax") address => result,
            in("rcx") 0u64,
            in("rdx") attributes.encode(),
            options(nostack)
        );
    }
    result as u32
}

/// PVALIDATE of the small page that is mapped at an address (APM volume 3).
fn pvalidate(address: u64, is_valid: bool) -> Validation {
    let (result, carry): (u64, u8);
    // SAFETY: changes the page's entry in the reverse map, which the accounts say is to be changed; no memory
    // is accessed. Its bytes, as older assemblers do not know it.
    unsafe {
        asm!(
            ".byte 0xf2, 0x0f, 0x01, 0xff",
            "setc {carry}",
            carry = out(reg_byte) carry,
            inout("rax") address => result,
            in("rcx") 0u64,
            in("rdx") u64::from(is_valid),
            options(nostack)
        );
    }
    match (result as u32, carry) {
        (0, 0) => Validation::Changed,
        (0, _) => Validation::Unchanged,
        (code, _) => Validation::Failed(code),
    }
}

/// The launch has brought these pages.
///
/// # Errors
/// [`Violation`].
pub fn launched(gfns: Range<u64>) -> Result<(), Violation> {
    LAUNCHED.fetch_add(gfns.end.saturating_sub(gfns.start), Ordering::Relaxed);
    PAGES.lock().launched(gfns)
}

/// Makes pages private memory that may be used.
///
/// # Errors
/// [`Violation`].
pub fn accept(gfns: Range<u64>) -> Result<(), Violation> {
    let new = PAGES.lock().accept(gfns, &mut Processor)?;
    ACCEPTED.fetch_add(new, Ordering::Relaxed);
    Ok(())
}

/// Shares a page with the host.
///
/// # Errors
/// [`Violation`].
pub fn share(gfn: u64) -> Result<(), Violation> {
    PAGES.lock().share(gfn, &mut Processor)
}

/// Why RMPADJUST did not do what it was to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdjusted {
    /// The page is not one that has been accepted.
    NotAccepted,
    /// What it left in EAX.
    Code(u32),
}

/// Sets what a lower VMPL may do with a page, and whether it is a VMSA.
///
/// # Errors
/// [`NotAdjusted`].
pub fn adjust(gfn: u64, attributes: RmpAttributes) -> Result<(), NotAdjusted> {
    let pages = PAGES.lock();
    // Of any other the instruction would be #VC, and the end.
    if !pages.is_validated(gfn) {
        return Err(NotAdjusted::NotAccepted);
    }
    match Processor::with_page(gfn, |address| rmpadjust(address, attributes)) {
        0 => Ok(()),
        code => Err(NotAdjusted::Code(code)),
    }
}

/// Whether a page is private and has been accepted.
pub fn is_accepted(gfn: u64) -> bool {
    PAGES.lock().is_validated(gfn)
}

/// Accepts a page, which nobody uses, and clears it.
///
/// # Errors
/// [`Violation`].
pub fn accept_cleared(gfn: u64) -> Result<(), Violation> {
    accept(gfn..gfn + 1)?;
    Processor.clear(gfn);
    Ok(())
}

/// The processor found a page not validated: whose fault that is.
pub fn not_validated(gfn: u64) -> Violation {
    // A host may take a page away at any time, while the accounts are in use too.
    PAGES.try_lock().map_or(Violation::TakenAway(gfn), |mut pages| pages.not_validated(gfn))
}

/// The secrets page is of this version.
pub fn set_secrets_version(version: u32) {
    SECRETS_VERSION.store(version, Ordering::Relaxed);
}

/// Logs how many pages there are.
pub fn report() {
    let (launched, accepted) = (LAUNCHED.load(Ordering::Relaxed), ACCEPTED.load(Ordering::Relaxed));
    log::info!(
        "SEV-SNP at VMPL0: {accepted} pages accepted beside {launched} of the launch; secrets page {}",
        SECRETS_VERSION.load(Ordering::Relaxed)
    );
}
