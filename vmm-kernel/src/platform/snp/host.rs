//! The way to the host: VMGEXIT, with a word in the MSR or with the page for calls.
#![allow(unsafe_code, reason = "VMGEXIT, its MSR, and the page that the host may write")]

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use plinth_snp_abi::ghcb::{HvFeatures, Request};
use plinth_snp_abi::msr;
use x86_64::registers::model_specific::Msr as Register;

use super::ghcb::{CallError, CallPage};
use super::word::{self, Exchange};
use crate::console;
use crate::memory::words::Words;

/// Reasons in the request to be ended, beside those of the machine's ends, which begin at 10h.
mod reason {
    /// A call within a call, or before there is a page for calls.
    pub const NO_PAGE: u8 = 1;
    /// The host did not do as it was asked.
    pub const REFUSED: u8 = 2;
}

/// Where the page for calls is mapped; 0 before it is shared.
static PAGE: AtomicU64 = AtomicU64::new(0);
/// Its guest physical address.
static GPA: AtomicU64 = AtomicU64::new(0);
/// Somebody uses it.
static IN_USE: AtomicBool = AtomicBool::new(false);
/// A call was refused: what is said of it makes calls as well.
static HAS_FAILED: AtomicBool = AtomicBool::new(false);

/// What the host says that it can do, in the bits of [`HvFeatures`].
static FEATURES: AtomicU64 = AtomicU64::new(0);

/// Remembers what the host says that it can do.
pub fn set_features(features: HvFeatures) {
    FEATURES.store(features.bits(), Ordering::Relaxed);
}

/// Whether the host says that it can run guests at other VMPLs. One that lies does not run them.
pub fn has_vmpls() -> bool {
    let needed = HvFeatures::AP_CREATION.union(HvFeatures::MULTI_VMPL);
    HvFeatures::from_bits_retain(FEATURES.load(Ordering::Relaxed)).contains(needed)
}

fn set_word(word: u64) {
    // SAFETY: the MSR holds a word for the host, which looks at it when VMGEXIT is executed.
    unsafe { Register::new(msr::GHCB).write(word) };
}

fn vmgexit() {
    // SAFETY: the host may change the MSR and shared memory, and no register. REP VMMCALL, which assemblers
    // do not know as VMGEXIT.
    unsafe { asm!(".byte 0xf3, 0x0f, 0x01, 0xd9", options(nostack)) };
}

/// SEV_STATUS, which no host can change.
pub fn sev_status() -> u64 {
    // SAFETY: the processors that this kernel is for have the register.
    unsafe { Register::new(msr::SEV_STATUS).read() }
}

/// The MSR protocol.
pub struct Msr;

impl Exchange for Msr {
    fn exchange(&mut self, word: u64) -> u64 {
        set_word(word);
        vmgexit();
        // SAFETY: reading has no effect.
        unsafe { Register::new(msr::GHCB).read() }
    }
}

/// The page for calls.
pub struct Page {
    words: &'static Words,
    gpa: u64,
}

impl CallPage for Page {
    fn write(&mut self, offset: usize, value: u64) {
        self.words.at(offset / 8).set(value);
    }

    fn read(&mut self, offset: usize) -> u64 {
        self.words.at(offset / 8).get()
    }

    fn call(&mut self) {
        set_word(Request::Ghcb { gpa: self.gpa }.encode());
        vmgexit();
    }

    fn gpa(&self) -> u64 {
        self.gpa
    }
}

/// The page is shared and registered.
pub fn start_page(address: u64, gpa: u64) {
    GPA.store(gpa, Ordering::Relaxed);
    PAGE.store(address, Ordering::Release);
}

/// Whether there is a page for calls.
pub fn has_page() -> bool {
    PAGE.load(Ordering::Acquire) != 0
}

/// Makes a call. A host that does not do it ends the machine: the kernel asks for nothing that it could do
/// without.
pub fn with_page<T>(work: impl FnOnce(&mut Page) -> Result<T, CallError>) -> T {
    let address = PAGE.load(Ordering::Acquire);
    if address == 0 || IN_USE.swap(true, Ordering::Acquire) {
        end(reason::NO_PAGE);
    }
    // SAFETY: mapped by the image's tables, for ever; all of the page's words are volatile places, as the
    // host may write them.
    let words = unsafe { &*(address as *const Words) };
    let result = work(&mut Page { words, gpa: GPA.load(Ordering::Relaxed) });
    IN_USE.store(false, Ordering::Release);
    result.unwrap_or_else(|error| refused(error))
}

fn refused(error: CallError) -> ! {
    if !HAS_FAILED.swap(true, Ordering::Relaxed) {
        console::last_words(format_args!("a call to the host fails: {error}"));
    }
    end(reason::REFUSED)
}

/// Asks the host to end the machine, for as long as it takes.
pub fn end(reason: u8) -> ! {
    loop {
        word::terminate(&mut Msr, reason);
    }
}

/// The same for the end of a machine that the kernel or a process wants.
pub fn end_machine(reason: u8) {
    end(reason)
}
