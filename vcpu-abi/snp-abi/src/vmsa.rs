//! The save area of a vCPU (VMSA), which is a page of guest memory (APM 2, appendix B, table B-4; as Linux'
//! `struct sev_es_save_area` has it).

mod controls;
mod features;
mod reset;
mod segment;

pub use controls::{EventInfo, EventType, VintrCtrl};
pub use features::SevFeatures;
pub use reset::PAT_RESET;
pub use segment::{Segment, pack_attributes, unpack_attributes};

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::PAGE_BYTES;

/// EFER.SVME, without which the processor does not enter a VMSA (APM 2, 15.5.1).
pub const EFER_SVME: u64 = 1 << 12;

/// Where KVM has the VMSAs of an image, and where QEMU's IGVM loader wants it said.
pub const KVM_VMSA_GPA: u64 = 0xffff_ffff_f000;

/// The VMSA. What follows in the page is reserved.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Vmsa {
    /// ES.
    pub es: Segment,
    /// CS.
    pub cs: Segment,
    /// SS.
    pub ss: Segment,
    /// DS.
    pub ds: Segment,
    /// FS.
    pub fs: Segment,
    /// GS.
    pub gs: Segment,
    /// GDTR: base and limit.
    pub gdtr: Segment,
    /// LDTR.
    pub ldtr: Segment,
    /// IDTR: base and limit.
    pub idtr: Segment,
    /// TR.
    pub tr: Segment,
    /// PL0_SSP to PL3_SSP.
    pub pl_ssp: [u64; 4],
    /// U_CET.
    pub u_cet: u64,
    /// Reserved.
    pub reserved_0c8: [u8; 2],
    /// The VMPL that the vCPU runs at.
    pub vmpl: u8,
    /// The CPL.
    pub cpl: u8,
    /// Reserved.
    pub reserved_0cc: [u8; 4],
    /// EFER.
    pub efer: u64,
    /// Reserved.
    pub reserved_0d8: [u8; 0x68],
    /// XSS.
    pub xss: u64,
    /// CR4.
    pub cr4: u64,
    /// CR3.
    pub cr3: u64,
    /// CR0.
    pub cr0: u64,
    /// DR7.
    pub dr7: u64,
    /// DR6.
    pub dr6: u64,
    /// RFLAGS.
    pub rflags: u64,
    /// RIP.
    pub rip: u64,
    /// DR0 to DR3.
    pub dr: [u64; 4],
    /// The address masks of DR0 to DR3.
    pub dr_mask: [u64; 4],
    /// Reserved.
    pub reserved_1c0: [u8; 0x18],
    /// RSP.
    pub rsp: u64,
    /// S_CET.
    pub s_cet: u64,
    /// SSP.
    pub ssp: u64,
    /// INTERRUPT_SSP_TABLE_ADDR.
    pub interrupt_ssp_table: u64,
    /// RAX.
    pub rax: u64,
    /// STAR.
    pub star: u64,
    /// LSTAR.
    pub lstar: u64,
    /// CSTAR.
    pub cstar: u64,
    /// SFMASK.
    pub sfmask: u64,
    /// KernelGSBase.
    pub kernel_gs_base: u64,
    /// SYSENTER_CS.
    pub sysenter_cs: u64,
    /// SYSENTER_ESP.
    pub sysenter_esp: u64,
    /// SYSENTER_EIP.
    pub sysenter_eip: u64,
    /// CR2.
    pub cr2: u64,
    /// Reserved.
    pub reserved_248: [u8; 0x20],
    /// The guest's PAT.
    pub g_pat: u64,
    /// DebugCtl.
    pub dbgctl: u64,
    /// LastBranchFromIP.
    pub br_from: u64,
    /// LastBranchToIP.
    pub br_to: u64,
    /// LastIntFromIP.
    pub last_excp_from: u64,
    /// LastIntToIP.
    pub last_excp_to: u64,
    /// Reserved.
    pub reserved_298: [u8; 0x48],
    /// SPEC_CTRL.
    pub spec_ctrl: u64,
    /// PKRU.
    pub pkru: u32,
    /// TSC_AUX.
    pub tsc_aux: u32,
    /// The guest's TSC scale, with Secure TSC.
    pub tsc_scale: u64,
    /// The guest's TSC offset, with Secure TSC.
    pub tsc_offset: u64,
    /// REG_PROT_NONCE: what protected words are XORed with, with VMSA register protection.
    pub register_protection_nonce: u64,
    /// RCX.
    pub rcx: u64,
    /// RDX.
    pub rdx: u64,
    /// RBX.
    pub rbx: u64,
    /// Secure AVIC's control; else reserved, as RSP has its place above.
    pub secure_avic_control: u64,
    /// RBP.
    pub rbp: u64,
    /// RSI.
    pub rsi: u64,
    /// RDI.
    pub rdi: u64,
    /// R8 to R15.
    pub r8_to_r15: [u64; 8],
    /// Reserved.
    pub reserved_380: [u8; 0x10],
    /// GUEST_EXITINFO1.
    pub exit_info_1: u64,
    /// GUEST_EXITINFO2.
    pub exit_info_2: u64,
    /// GUEST_EXITINTINFO: an [`EventInfo`] whose delivery the exit interrupted.
    pub exit_int_info: u64,
    /// GUEST_NRIP: RIP behind the instruction that exited.
    pub nrip: u64,
    /// SEV_FEATURES: [`SevFeatures`].
    pub sev_features: u64,
    /// VINTR_CTRL: [`VintrCtrl`].
    pub vintr_ctrl: u64,
    /// GUEST_EXITCODE: one of [`exit`](crate::exit).
    pub exit_code: u64,
    /// VIRTUAL_TOM: where shared memory begins, with [`SevFeatures::VTOM`].
    pub virtual_tom: u64,
    /// TLB_ID.
    pub tlb_id: u64,
    /// PCPU_ID: 0 makes the processor forget the guest's translations at the next entry.
    pub pcpu_id: u64,
    /// EVENTINJ: an [`EventInfo`].
    pub event_inj: u64,
    /// XCR0.
    pub xcr0: u64,
    /// Which parts of the XSAVE state are valid.
    pub xsave_valid: [u8; 16],
    /// The x87 data pointer.
    pub x87_dp: u64,
    /// MXCSR.
    pub mxcsr: u32,
    /// The x87 tag word.
    pub x87_ftw: u16,
    /// The x87 status word.
    pub x87_fsw: u16,
    /// The x87 control word.
    pub x87_fcw: u16,
    /// The x87 opcode.
    pub x87_fop: u16,
    /// The x87 data segment.
    pub x87_ds: u16,
    /// The x87 code segment.
    pub x87_cs: u16,
    /// The x87 instruction pointer.
    pub x87_rip: u64,
    /// ST0 to ST7, 10 bytes each.
    pub fpreg_x87: [u8; 0x50],
    /// XMM0 to XMM15.
    pub fpreg_xmm: [u8; 0x100],
    /// The upper halves of YMM0 to YMM15.
    pub fpreg_ymm: [u8; 0x100],
}

assert_layout!(
    Vmsa, 0x670, 0x000: es, 0x010: cs, 0x020: ss, 0x030: ds, 0x040: fs, 0x050: gs, 0x060: gdtr, 0x070: ldtr,
    0x080: idtr, 0x090: tr, 0x0a0: pl_ssp, 0x0c0: u_cet, 0x0ca: vmpl, 0x0cb: cpl, 0x0d0: efer, 0x140: xss,
    0x148: cr4, 0x150: cr3, 0x158: cr0, 0x160: dr7, 0x168: dr6, 0x170: rflags, 0x178: rip, 0x180: dr,
    0x1a0: dr_mask, 0x1d8: rsp, 0x1e0: s_cet, 0x1e8: ssp, 0x1f0: interrupt_ssp_table, 0x1f8: rax, 0x200: star,
    0x208: lstar, 0x210: cstar, 0x218: sfmask, 0x220: kernel_gs_base, 0x228: sysenter_cs,
    0x230: sysenter_esp, 0x238: sysenter_eip, 0x240: cr2, 0x268: g_pat, 0x270: dbgctl, 0x278: br_from,
    0x280: br_to, 0x288: last_excp_from, 0x290: last_excp_to, 0x2e0: spec_ctrl, 0x2e8: pkru, 0x2ec: tsc_aux,
    0x2f0: tsc_scale, 0x2f8: tsc_offset, 0x300: register_protection_nonce, 0x308: rcx, 0x310: rdx,
    0x318: rbx, 0x320: secure_avic_control, 0x328: rbp, 0x330: rsi, 0x338: rdi, 0x340: r8_to_r15,
    0x390: exit_info_1, 0x398: exit_info_2, 0x3a0: exit_int_info, 0x3a8: nrip, 0x3b0: sev_features,
    0x3b8: vintr_ctrl, 0x3c0: exit_code, 0x3c8: virtual_tom, 0x3d0: tlb_id, 0x3d8: pcpu_id, 0x3e0: event_inj,
    0x3e8: xcr0, 0x3f0: xsave_valid, 0x400: x87_dp, 0x408: mxcsr, 0x40c: x87_ftw, 0x40e: x87_fsw,
    0x410: x87_fcw, 0x412: x87_fop, 0x414: x87_ds, 0x416: x87_cs, 0x418: x87_rip, 0x420: fpreg_x87,
    0x470: fpreg_xmm, 0x570: fpreg_ymm,
);

impl Vmsa {
    /// All zero, which is not runnable.
    #[must_use]
    pub fn zeroed() -> Self {
        Self::new_zeroed()
    }

    /// The page that it is at the start of, as it is measured: the rest is zero.
    #[must_use]
    pub fn to_page(&self) -> [u8; PAGE_BYTES] {
        let mut page = [0; PAGE_BYTES];
        page[..size_of::<Self>()].copy_from_slice(self.as_bytes());
        page
    }

    /// The VMSA at the start of a page.
    #[must_use]
    pub fn from_page(page: &[u8; PAGE_BYTES]) -> Self {
        Self::read_from_prefix(page).map_or_else(|_| Self::zeroed(), |(vmsa, _)| vmsa)
    }

    /// SEV_FEATURES; bits without a name are kept.
    #[must_use]
    pub const fn features(&self) -> SevFeatures {
        SevFeatures::from_bits_retain(self.sev_features)
    }

    /// A general register by the architecture's number (RAX 0, RCX 1, ..., R15 15); None beyond.
    #[must_use]
    pub fn gpr(&self, number: u8) -> Option<u64> {
        let mut copy = *self;
        copy.gpr_mut(number).copied()
    }

    /// The place of a general register by the architecture's number; None beyond R15.
    pub fn gpr_mut(&mut self, number: u8) -> Option<&mut u64> {
        Some(match number {
            0 => &mut self.rax,
            1 => &mut self.rcx,
            2 => &mut self.rdx,
            3 => &mut self.rbx,
            4 => &mut self.rsp,
            5 => &mut self.rbp,
            6 => &mut self.rsi,
            7 => &mut self.rdi,
            _ => return self.r8_to_r15.get_mut(usize::from(number) - 8),
        })
    }
}
