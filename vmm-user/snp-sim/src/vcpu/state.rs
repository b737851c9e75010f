//! Registers between a VMSA and the groups of a run page.

use plinth_snp_abi::vmsa::{EFER_SVME, Segment as VmsaSegment, VintrCtrl, Vmsa};
use runtime::abi::exit::ExitFlags;
use runtime::abi::registers::{MsrRegisters, Segment, SegmentRegisters, SystemRegisters};
use vmm::vcpu::VcpuPages;

/// DPL, among a segment's attributes.
const DPL: u16 = 3 << 5;
/// CS.L and CS.D.
const CODE_IS_LONG: u16 = 1 << 9;
const CODE_IS_32: u16 = 1 << 10;

pub(crate) fn from_vmsa(of: VmsaSegment) -> Segment {
    Segment { selector: of.selector, attributes: of.attributes, limit: of.limit, base: of.base }
}

pub(crate) fn to_vmsa(of: Segment) -> VmsaSegment {
    VmsaSegment { selector: of.selector, attributes: of.attributes, limit: of.limit, base: of.base }
}

/// A table's register, which has a base and a limit.
fn table(of: VmsaSegment) -> Segment {
    Segment { selector: 0, attributes: 0, ..from_vmsa(of) }
}

/// The task priority, CR8.
pub fn task_priority(vmsa: &Vmsa) -> u8 {
    VintrCtrl::from_bits_retain(vmsa.vintr_ctrl).tpr() & 0xf
}

/// The group SYSTEM of a VMSA.
pub fn system(vmsa: &Vmsa) -> SystemRegisters {
    let (mut cs, mut ss) = (from_vmsa(vmsa.cs), from_vmsa(vmsa.ss));
    // The run page has the CPL as DPL of SS.
    ss.attributes = ss.attributes & !DPL | u16::from(vmsa.cpl & 3) << 5;
    // VMRUN takes no code of 64 and of 32 bits.
    if cs.attributes & CODE_IS_LONG != 0 {
        cs.attributes &= !CODE_IS_32;
    }
    SystemRegisters {
        cr0: vmsa.cr0,
        cr3: vmsa.cr3,
        cr4: vmsa.cr4,
        efer: vmsa.efer & !EFER_SVME,
        cs,
        ss,
        cr2: vmsa.cr2,
        cr8: task_priority(vmsa).into(),
        dr6: vmsa.dr6,
        dr7: vmsa.dr7,
    }
}

/// The group SEGMENTS.
pub fn segments(vmsa: &Vmsa) -> SegmentRegisters {
    SegmentRegisters {
        es: from_vmsa(vmsa.es),
        ds: from_vmsa(vmsa.ds),
        fs: from_vmsa(vmsa.fs),
        gs: from_vmsa(vmsa.gs),
        ldtr: from_vmsa(vmsa.ldtr),
        tr: from_vmsa(vmsa.tr),
        gdtr: table(vmsa.gdtr),
        idtr: table(vmsa.idtr),
    }
}

/// The group MSRS. The TSC is the host's.
pub fn msrs(vmsa: &Vmsa) -> MsrRegisters {
    MsrRegisters {
        star: vmsa.star,
        lstar: vmsa.lstar,
        cstar: vmsa.cstar,
        sfmask: vmsa.sfmask,
        kernel_gs_base: vmsa.kernel_gs_base,
        sysenter_cs: vmsa.sysenter_cs,
        sysenter_esp: vmsa.sysenter_esp,
        sysenter_eip: vmsa.sysenter_eip,
        pat: vmsa.g_pat,
        tsc_offset: 0,
        tsc_aux: vmsa.tsc_aux,
        reserved: 0,
    }
}

/// Puts what a run page holds, of which all groups are there, into a VMSA.
pub fn store(page: &VcpuPages, vmsa: &mut Vmsa) {
    for number in 0..16 {
        if let Some(place) = vmsa.gpr_mut(number) {
            *place = page.gpr(usize::from(number));
        }
    }
    (vmsa.rip, vmsa.rflags, vmsa.xcr0) = (page.rip(), page.rflags(), page.xcr0());
    let system = page.system();
    vmsa.cpl = (system.ss.attributes >> 5 & 3) as u8;
    (vmsa.cr0, vmsa.cr2, vmsa.cr3, vmsa.cr4) = (system.cr0, system.cr2, system.cr3, system.cr4);
    (vmsa.efer, vmsa.dr6, vmsa.dr7) = (system.efer | EFER_SVME, system.dr6, system.dr7);
    (vmsa.cs, vmsa.ss) = (to_vmsa(system.cs), to_vmsa(system.ss));
    let segments = page.segments();
    (vmsa.es, vmsa.ds) = (to_vmsa(segments.es), to_vmsa(segments.ds));
    (vmsa.fs, vmsa.gs) = (to_vmsa(segments.fs), to_vmsa(segments.gs));
    (vmsa.ldtr, vmsa.tr) = (to_vmsa(segments.ldtr), to_vmsa(segments.tr));
    (vmsa.gdtr, vmsa.idtr) = (to_vmsa(segments.gdtr), to_vmsa(segments.idtr));
    let msrs = page.msrs();
    (vmsa.star, vmsa.lstar, vmsa.cstar, vmsa.sfmask) = (msrs.star, msrs.lstar, msrs.cstar, msrs.sfmask);
    (vmsa.kernel_gs_base, vmsa.g_pat, vmsa.tsc_aux) = (msrs.kernel_gs_base, msrs.pat, msrs.tsc_aux);
    (vmsa.sysenter_cs, vmsa.sysenter_esp) = (msrs.sysenter_cs, msrs.sysenter_esp);
    vmsa.sysenter_eip = msrs.sysenter_eip;
    let mut control = VintrCtrl::from_bits_retain(vmsa.vintr_ctrl).with_tpr(page.exit_cr8());
    let in_shadow = page.flags() & ExitFlags::INTERRUPT_SHADOW.bits() != 0;
    control.set(VintrCtrl::INTERRUPT_SHADOW, in_shadow);
    vmsa.vintr_ctrl = control.bits();
}
