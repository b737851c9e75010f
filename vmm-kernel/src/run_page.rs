//! The run page, as the kernel reads and writes it.
#![allow(unsafe_code, reason = "the run page is shared with the VMM, which may write it at any time")]

use core::sync::atomic::Ordering;

use vcpu_abi::exit::{ExitFlags, NOTABLE};
use vcpu_abi::registers::{EventInjection, MsrRegisters, SegmentRegisters, SystemRegisters};
use vcpu_abi::run_page::{RunPage, XSAVE_BYTES};

/// A run page, which the VMM may read and write at any time: each access is one volatile load or store.
#[derive(Clone, Copy)]
pub struct SharedRunPage(*mut RunPage);

macro_rules! load {
    ($page:expr, $($field:tt)+) => {
        // SAFETY: the page is mapped as long as its vCPU lives; volatile, as it is shared; every bit pattern
        // is a value.
        unsafe { (&raw const (*$page).$($field)+).read_volatile() }
    };
}

macro_rules! store {
    ($page:expr, $value:expr, $($field:tt)+) => {
        // SAFETY: as for loads.
        unsafe { (&raw mut (*$page).$($field)+).write_volatile($value) }
    };
}

macro_rules! getters {
    ($($name:ident: $type:ty = $($field:ident).+;)*) => {
        impl SharedRunPage {
            $(#[doc = concat!("Loads `", stringify!($($field).+), "`.")]
            #[inline]
            pub fn $name(self) -> $type { load!(self.0, $($field).+) })*
        }
    };
}

macro_rules! setters {
    ($($name:ident: $type:ty = $($field:ident).+;)*) => {
        impl SharedRunPage {
            $(#[doc = concat!("Stores `", stringify!($($field).+), "`.")]
            #[inline]
            pub fn $name(self, value: $type) { store!(self.0, value, $($field).+) })*
        }
    };
}

getters! {
    batch_count: u32 = batch_count;
    activity: u32 = activity;
    deadline_tsc: u64 = deadline_tsc;
    dirty: u32 = dirty;
    deliver: u32 = deliver;
    window: u32 = window;
    cr8: u32 = cr8;
    nmi_return: u32 = nmi_return;
    window_vector: u32 = window_vector;
    exit_reason: u32 = exit.reason;
    exit_flags: u32 = exit.flags;
    exit_cr8: u8 = exit.cr8;
    exit_groups: u32 = exit.groups;
    rip: u64 = general.rip;
    rflags: u64 = general.rflags;
    xcr0: u64 = xcr0;
    system: SystemRegisters = system;
    segments: SegmentRegisters = segments;
    msrs: MsrRegisters = msrs;
}

setters! {
    set_batch_count: u32 = batch_count;
    set_dirty: u32 = dirty;
    set_rip: u64 = general.rip;
    set_rflags: u64 = general.rflags;
    set_xcr0: u64 = xcr0;
    set_reason: u32 = exit.reason;
    set_raw_code: u64 = exit.raw_code;
    set_qualification: u64 = exit.qualification;
    set_next_rip: u64 = exit.next_rip;
    set_gva: u64 = exit.gva;
    set_cr8: u8 = exit.cr8;
    set_cpl: u8 = exit.cpl;
    set_cr3: u64 = system.cr3;
    set_exit_groups: u32 = exit.groups;
    set_interrupted_event: EventInjection = exit.interrupted_event;
    set_system: SystemRegisters = system;
    set_segments: SegmentRegisters = segments;
    set_msrs: MsrRegisters = msrs;
}

impl SharedRunPage {
    /// The run page of a vCPU.
    ///
    /// # Safety
    /// It is the second page of a vCPU's place, whose pages are mapped for ever.
    #[inline(always)]
    pub unsafe fn new(page: *mut RunPage) -> Self {
        Self(page)
    }

    /// Where the entry code finds it.
    pub fn address(self) -> *const RunPage {
        self.0
    }

    /// Loads a general register.
    #[inline]
    pub fn gpr(self, index: usize) -> u64 {
        load!(self.0, general.gpr[index & 15])
    }

    /// Stores a general register.
    #[inline]
    pub fn set_gpr(self, index: usize, value: u64) {
        store!(self.0, value, general.gpr[index & 15]);
    }

    /// Stores CS, as its two words.
    pub fn set_code(self, [low, high]: [u64; 2]) {
        // SAFETY: as for other fields; a segment is two words.
        unsafe {
            let segment = (&raw mut (*self.0).system.cs).cast::<u64>();
            segment.write_volatile(low);
            segment.add(1).write_volatile(high);
        }
    }

    /// What `SYS_RUN` returns beside Ok: why the run ended, and whether the flags say something of note.
    pub fn exit_summary(self) -> u32 {
        let is_notable = self.exit_flags() & ExitFlags::OF_NOTE.bits() != 0;
        self.exit_reason() | if is_notable { NOTABLE } else { 0 }
    }

    /// Stores a memory exit's address and access.
    #[inline]
    pub fn set_memory(self, gpa: u64, access: u32) {
        store!(self.0, gpa, exit.gpa);
        store!(self.0, access, exit.access);
    }

    /// Adds flags to those of the record, which the VMM may have changed meanwhile to its own harm.
    #[inline]
    pub fn add_flags(self, flags: u32) {
        store!(self.0, self.exit_flags() | flags, exit.flags);
    }

    /// Stores flags and valid groups.
    #[inline]
    pub fn set_flags(self, flags: u32, groups: u32) {
        store!(self.0, flags, exit.flags);
        store!(self.0, groups, exit.groups);
    }

    /// Loads `injection`, at once.
    #[inline(always)]
    pub fn injection(self) -> EventInjection {
        // SAFETY: as for other fields; an event is a word, and every word is one.
        zerocopy::transmute!(unsafe { (&raw const (*self.0).injection).cast::<u64>().read_volatile() })
    }

    /// Pending work.
    #[inline]
    pub fn pending_work(self) -> u32 {
        // SAFETY: an atomic in a page that is mapped as long as the vCPU lives.
        unsafe { (*self.0).pending_work.load(Ordering::SeqCst) }
    }

    /// Adds pending work.
    #[inline]
    pub fn add_work(self, work: u32) {
        // SAFETY: as above.
        unsafe { (*self.0).pending_work.fetch_or(work, Ordering::SeqCst) };
    }

    /// The words of the XSAVE area, each loaded once.
    pub fn xsave(self) -> impl Iterator<Item = u64> {
        let area = self.xsave_area();
        // SAFETY: within the area, in a page that is mapped as long as the vCPU lives; volatile, as it is
        // shared.
        (0..XSAVE_BYTES / 8).map(move |index| unsafe { area.add(index).read_volatile() })
    }

    /// Fills the XSAVE area with the first of these words.
    pub fn set_xsave(self, words: impl Iterator<Item = u64>) {
        let area = self.xsave_area();
        for (index, word) in words.take(XSAVE_BYTES / 8).enumerate() {
            // SAFETY: as in `xsave`.
            unsafe { area.add(index).write_volatile(word) };
        }
    }

    fn xsave_area(self) -> *mut u64 {
        // SAFETY: the page's own field.
        unsafe { (&raw mut (*self.0).xsave).cast() }
    }
}

#[cfg(test)]
pub mod tests;
