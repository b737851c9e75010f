//! VMSAs of vCPUs that have not run yet.

use super::{EFER_SVME, Segment, SevFeatures, Vmsa};

/// The PAT after RESET (APM 2, 7.8.1).
pub const PAT_RESET: u64 = 0x0007_0406_0007_0406;

/// CR0 after RESET: CD, NW and ET.
const CR0_RESET: u64 = 0x6000_0010;
const CODE: u16 = 0x9b;
const DATA: u16 = 0x93;
const LDT: u16 = 0x82;
const BUSY_TSS: u16 = 0x8b;

impl Vmsa {
    /// A vCPU in real mode at CS base + `ip`, with the other registers as after RESET (APM 2, 14.1.3), and
    /// EFER.SVME set, which a VMSA needs. VMPL and SEV_FEATURES are zero.
    #[must_use]
    pub fn real_mode(cs: Segment, ip: u16) -> Self {
        let data = Segment::real_mode(0, DATA);
        let mut vmsa = Self::zeroed();
        (vmsa.es, vmsa.ss, vmsa.ds, vmsa.fs, vmsa.gs) = (data, data, data, data, data);
        vmsa.cs = cs;
        vmsa.gdtr = Segment::real_mode(0, 0);
        vmsa.idtr = Segment::real_mode(0, 0);
        vmsa.ldtr = Segment::real_mode(0, LDT);
        vmsa.tr = Segment::real_mode(0, BUSY_TSS);
        vmsa.efer = EFER_SVME;
        vmsa.cr0 = CR0_RESET;
        vmsa.dr6 = 0xffff_0ff0;
        vmsa.dr7 = 0x400;
        vmsa.rflags = 2;
        vmsa.rip = u64::from(ip);
        vmsa.g_pat = PAT_RESET;
        vmsa.xcr0 = 1;
        vmsa.mxcsr = 0x1f80;
        vmsa.x87_ftw = 0x5555;
        vmsa.x87_fcw = 0x40;
        vmsa
    }

    /// A vCPU that starts at an address of the last 64 KiB below 4 GiB or elsewhere: CS has selector F000h,
    /// and the address' upper half as its base. FFFF_FFF0h is the reset vector.
    #[must_use]
    pub fn reset(entry: u32) -> Self {
        let base = u64::from(entry & 0xffff_0000);
        Self::real_mode(Segment { base, ..Segment::real_mode(0xf000, CODE) }, (entry & 0xffff) as u16)
    }

    /// A vCPU as SIPI starts it: at offset 0 of the page with the vector's number (APM 2, 16.5).
    #[must_use]
    pub fn sipi(vector: u8) -> Self {
        Self::real_mode(Segment::real_mode(u16::from(vector) << 8, CODE), 0)
    }

    /// Sets what a vCPU needs beyond the registers: its VMPL and SEV_FEATURES.
    #[must_use]
    pub const fn for_vmpl(mut self, vmpl: u8, features: SevFeatures) -> Self {
        self.vmpl = vmpl;
        self.sev_features = features.bits();
        self
    }
}
