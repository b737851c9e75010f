//! The VMSA of a vCPU: a page that the processor loads a lower VMPL's registers from and stores them to
//! (APM volume 2, 15.36.12).
//!
//! A host may have any processor enter it at any time, as long as EFER.SVME is set there. So it is set for
//! the time of an entry alone, and what is stored otherwise is the kernel's to read and write.
#![allow(unsafe_code, reason = "a page that the processor writes")]

use core::sync::atomic::{AtomicU64, Ordering};

use plinth_snp_abi::vmsa::{EFER_SVME, Segment as VmsaSegment, Vmsa};
use vcpu_abi::registers::Segment;

/// The page. Each access is one volatile load or store.
#[derive(Clone, Copy)]
pub struct VmsaPage(*mut Vmsa);

macro_rules! fields {
    ($($get:ident $set:ident: $type:ty = $field:ident;)*) => {
        impl VmsaPage {
            $(#[doc = concat!("Loads `", stringify!($field), "`.")]
            pub fn $get(self) -> $type {
                // SAFETY: the promise of who made this; every bit pattern is a value.
                unsafe { (&raw const (*self.0).$field).read_volatile() }
            }
            #[doc = concat!("Stores `", stringify!($field), "`.")]
            pub fn $set(self, value: $type) {
                // SAFETY: as above.
                unsafe { (&raw mut (*self.0).$field).write_volatile(value) }
            })*
        }
    };
}

macro_rules! segments {
    ($($get:ident $set:ident = $field:ident;)*) => {
        impl VmsaPage {
            $(#[doc = concat!("Loads `", stringify!($field), "`.")]
            pub fn $get(self) -> Segment {
                // SAFETY: as for other fields.
                let of = unsafe { (&raw const (*self.0).$field).read_volatile() };
                Segment { selector: of.selector, attributes: of.attributes, limit: of.limit, base: of.base }
            }
            #[doc = concat!("Stores `", stringify!($field), "`.")]
            pub fn $set(self, of: Segment) {
                let Segment { selector, attributes, limit, base } = of;
                let segment = VmsaSegment { selector, attributes, limit, base };
                // SAFETY: as above.
                unsafe { (&raw mut (*self.0).$field).write_volatile(segment) }
            })*
        }
    };
}

fields! {
    vmpl set_vmpl: u8 = vmpl;
    cpl set_cpl: u8 = cpl;
    efer set_efer: u64 = efer;
    cr0 set_cr0: u64 = cr0;
    cr2 set_cr2: u64 = cr2;
    cr3 set_cr3: u64 = cr3;
    cr4 set_cr4: u64 = cr4;
    dr6 set_dr6: u64 = dr6;
    dr7 set_dr7: u64 = dr7;
    rflags set_rflags: u64 = rflags;
    rip set_rip: u64 = rip;
    star set_star: u64 = star;
    lstar set_lstar: u64 = lstar;
    cstar set_cstar: u64 = cstar;
    sfmask set_sfmask: u64 = sfmask;
    kernel_gs_base set_kernel_gs_base: u64 = kernel_gs_base;
    sysenter_cs set_sysenter_cs: u64 = sysenter_cs;
    sysenter_esp set_sysenter_esp: u64 = sysenter_esp;
    sysenter_eip set_sysenter_eip: u64 = sysenter_eip;
    pat set_pat: u64 = g_pat;
    tsc_aux set_tsc_aux: u32 = tsc_aux;
    exit_info_1 set_exit_info_1: u64 = exit_info_1;
    exit_info_2 set_exit_info_2: u64 = exit_info_2;
    exit_int_info set_exit_int_info: u64 = exit_int_info;
    nrip set_nrip: u64 = nrip;
    sev_features set_sev_features: u64 = sev_features;
    vintr set_vintr: u64 = vintr_ctrl;
    exit_code set_exit_code: u64 = exit_code;
    virtual_tom set_virtual_tom: u64 = virtual_tom;
    pcpu_id set_pcpu_id: u64 = pcpu_id;
    event set_event: u64 = event_inj;
    xcr0 set_xcr0: u64 = xcr0;
    mxcsr set_mxcsr: u32 = mxcsr;
    x87_tags set_x87_tags: u16 = x87_ftw;
    x87_control set_x87_control: u16 = x87_fcw;
}

segments! {
    es set_es = es;
    cs set_cs = cs;
    ss set_ss = ss;
    ds set_ds = ds;
    fs set_fs = fs;
    gs set_gs = gs;
    gdtr set_gdtr = gdtr;
    ldtr set_ldtr = ldtr;
    idtr set_idtr = idtr;
    tr set_tr = tr;
}

impl VmsaPage {
    /// A page at an address.
    ///
    /// # Safety
    /// A page is mapped there as long as this is used, and used by nothing else but the processor.
    pub unsafe fn new(address: u64) -> Self {
        Self(address as *mut Vmsa)
    }

    /// All zero, which is not runnable.
    pub fn clear(self) {
        let words = self.0.cast::<u64>();
        for index in 0..size_of::<Vmsa>() / 8 {
            // SAFETY: within the page.
            unsafe { words.add(index).write_volatile(0) };
        }
    }

    fn gpr_place(self, index: usize) -> *mut u64 {
        // SAFETY: places of the page's own fields.
        unsafe {
            match index & 15 {
                0 => &raw mut (*self.0).rax,
                1 => &raw mut (*self.0).rcx,
                2 => &raw mut (*self.0).rdx,
                3 => &raw mut (*self.0).rbx,
                4 => &raw mut (*self.0).rsp,
                5 => &raw mut (*self.0).rbp,
                6 => &raw mut (*self.0).rsi,
                7 => &raw mut (*self.0).rdi,
                other => (&raw mut (*self.0).r8_to_r15).cast::<u64>().add(other - 8),
            }
        }
    }

    /// Loads a general register, by the architecture's number.
    pub fn gpr(self, index: usize) -> u64 {
        // SAFETY: as for other fields.
        unsafe { self.gpr_place(index).read_volatile() }
    }

    /// Stores a general register.
    pub fn set_gpr(self, index: usize, value: u64) {
        // SAFETY: as for other fields.
        unsafe { self.gpr_place(index).write_volatile(value) }
    }

    /// The processor may enter it from here on: all else has been stored before.
    pub fn make_runnable(self) {
        self.efer_cell().fetch_or(EFER_SVME, Ordering::SeqCst);
    }

    /// No processor enters it from here on: what is loaded now is what the last exit has stored.
    pub fn make_unrunnable(self) {
        self.efer_cell().fetch_and(!EFER_SVME, Ordering::SeqCst);
    }

    fn efer_cell(&self) -> &AtomicU64 {
        // SAFETY: a field of the page, aligned; whoever else accesses it does so by single loads and stores.
        unsafe { AtomicU64::from_ptr(&raw mut (*self.0).efer) }
    }
}
