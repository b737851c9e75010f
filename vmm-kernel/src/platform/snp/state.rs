//! A vCPU's registers: between its VMSA and the run page, by group.

use plinth_snp_abi::vmsa::{EFER_SVME, EventInfo, EventType, SevFeatures, VintrCtrl};
use vcpu_abi::registers::{
    EventInjection, Groups, MsrRegisters, Segment, SegmentRegisters, SystemRegisters, event_kind,
};
use vcpu_abi::run_page::window;
use vcpu_abi::status::Status;

use super::vmsa_page::VmsaPage;
use crate::run_page::SharedRunPage;

/// What an unenlightened guest's VMSA has: its private memory is that below vTOM, its exits that would be #VC
/// are Plinth's, and so are its interrupts.
pub const FEATURES: SevFeatures = SevFeatures::SNP_ACTIVE
    .union(SevFeatures::VTOM)
    .union(SevFeatures::REFLECT_VC)
    .union(SevFeatures::ALTERNATE_INJECTION);
/// The VMPL of guests.
pub const VMPL: u8 = 1;
/// What [`store_requested`] stores.
pub const REQUESTED: Groups = Groups::SYSTEM.union(Groups::SEGMENTS).union(Groups::MSRS);

/// What GUEST_EXITCODE holds while no exit is to be handled: a host that runs Plinth although the guest has
/// not run, or that runs it once more, finds nothing there to be handled again. No processor has this code.
pub const UNTOUCHED: u64 = 0xffff_0000;

/// RAX and RSP, among the general registers: loaded when the VMM has changed them.
const RAX: usize = 0;
const RSP: usize = 4;
/// DPL, among a segment's attributes.
const DPL: u16 = 3 << 5;
/// RFLAGS.IF.
const INTERRUPT_FLAG: u64 = 1 << 9;
/// The highest priority that a virtual interrupt can have.
const PRIORITY: u64 = 0xf << 16;

/// Why a vCPU cannot be run with what the VMM wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// An argument is wrong.
    Refused(Status),
    /// The registers are not a state that the processor enters.
    NotEnterable,
}

/// A vCPU after a reset (APM volume 2, 14.1.3). `top` is where shared memory would begin.
pub fn reset(vmsa: VmsaPage, top: u64) {
    vmsa.clear();
    vmsa.set_vmpl(VMPL);
    vmsa.set_sev_features(FEATURES.bits());
    vmsa.set_virtual_tom(top);
    // Without GIF no virtual interrupt is ever delivered.
    vmsa.set_vintr(VintrCtrl::GIF.bits());
    vmsa.set_exit_code(UNTOUCHED);
    vmsa.set_cr0(0x6000_0010);
    vmsa.set_pat(plinth_snp_abi::vmsa::PAT_RESET);
    vmsa.set_rflags(2);
    vmsa.set_dr6(0xffff_0ff0);
    vmsa.set_dr7(0x400);
    vmsa.set_xcr0(1);
    vmsa.set_mxcsr(0x1f80);
    vmsa.set_x87_tags(0x5555);
    vmsa.set_x87_control(0x40);
}

fn control(vmsa: VmsaPage) -> VintrCtrl {
    VintrCtrl::from_bits_retain(vmsa.vintr())
}

/// Encodes an event for EVENTINJ; nothing when it is not one a processor can deliver (APM volume 2, 15.20).
fn encode(event: EventInjection) -> Result<u64, Status> {
    let kind = match event.kind {
        event_kind::NONE => return Ok(0),
        event_kind::NMI => EventType::Nmi,
        // A vector that is no exception's is refused at the entry, 2 among them, which is the NMI's.
        event_kind::EXCEPTION if event.vector < 32 && event.vector != 2 => EventType::Exception,
        event_kind::SOFTWARE => EventType::Software,
        _ => return Err(Status::BadArgument),
    };
    let error_code = (event.has_error_code != 0).then_some(event.error_code);
    Ok(EventInfo::new(kind, event.vector, error_code).0)
}

/// Has an event delivered at the next entry: an interrupt as the virtual one, whatever the guest's task
/// priority, which is the VMM's to look at; any other by EVENTINJ, in its place.
fn load_event(vmsa: VmsaPage, event: EventInjection) -> Result<(), Status> {
    let control = control(vmsa);
    if event.kind != event_kind::INTERRUPT {
        vmsa.set_event(encode(event)?);
        vmsa.set_vintr(control.difference(VintrCtrl::IRQ).bits());
        return Ok(());
    }
    vmsa.set_event(0);
    let waiting = control.with_interrupt(event.vector).union(VintrCtrl::IGNORE_TPR);
    vmsa.set_vintr(waiting.bits() | PRIORITY);
    Ok(())
}

/// An event that the processor was delivering when it exited; none if there was none.
pub fn interrupted(vmsa: VmsaPage) -> Option<EventInjection> {
    let info = EventInfo(vmsa.exit_int_info());
    if !info.is_valid() {
        return None;
    }
    let kind = match info.kind() {
        Some(EventType::Interrupt) => event_kind::INTERRUPT,
        Some(EventType::Nmi) => event_kind::NMI,
        Some(EventType::Exception) => event_kind::EXCEPTION,
        Some(EventType::Software) | None => event_kind::SOFTWARE,
    };
    let code = info.error_code();
    let (has_error_code, error_code) = (u8::from(code.is_some()), code.unwrap_or(0));
    Some(EventInjection { kind, vector: info.vector(), has_error_code, reserved: 0, error_code })
}

/// The interrupted event is somebody's now, and the processor may enter the VMSA again (APM volume 2,
/// 15.36.16).
pub fn take_interrupted(vmsa: VmsaPage) {
    vmsa.set_exit_int_info(0);
    vmsa.set_vintr(control(vmsa).difference(VintrCtrl::BUSY).bits());
}

/// The interrupted event is delivered at the next entry.
pub fn redeliver(vmsa: VmsaPage) {
    let info = vmsa.exit_int_info();
    if EventInfo(info).is_valid() {
        vmsa.set_event(info);
    }
    take_interrupted(vmsa);
}

/// Whether an event that was loaded has not been delivered.
pub fn has_event(vmsa: VmsaPage) -> bool {
    control(vmsa).contains(VintrCtrl::IRQ) || EventInfo(vmsa.event()).is_valid()
}

/// Whether the guest is behind STI or MOV SS.
pub fn in_shadow(vmsa: VmsaPage) -> bool {
    control(vmsa).contains(VintrCtrl::INTERRUPT_SHADOW)
}

/// The task priority, CR8.
pub fn task_priority(vmsa: VmsaPage) -> u8 {
    control(vmsa).tpr() & 0xf
}

/// Whether the guest takes an interrupt as it is now.
pub fn is_interruptible(vmsa: VmsaPage) -> bool {
    vmsa.rflags() & INTERRUPT_FLAG != 0 && !in_shadow(vmsa) && !has_event(vmsa)
}

/// Whether a window that the VMM has asked for is open. The guest's own changes of RFLAGS.IF and CR8 do not
/// exit, so it is looked for them at each entry, behind whatever exit.
pub fn is_window_open(vmsa: VmsaPage, page: SharedRunPage) -> bool {
    let want = page.window();
    let is_open = want & window::OPEN != 0 && is_interruptible(vmsa);
    // One that has been told of is not told of again, or the guest would never run.
    let has_changed = task_priority(vmsa) != page.exit_cr8();
    is_open || want & window::PRIORITY != 0 && has_changed
}

/// Loads what the VMM marked. Nothing here can hurt the kernel: the guest's state is the guest's.
///
/// # Errors
/// When it is refused; some groups may have been loaded.
pub fn load(vmsa: VmsaPage, page: SharedRunPage, dirty: Groups) -> Result<(), LoadError> {
    if dirty.contains(Groups::GENERAL) {
        vmsa.set_gpr(RAX, page.gpr(RAX));
        vmsa.set_gpr(RSP, page.gpr(RSP));
        vmsa.set_rip(page.rip());
        vmsa.set_rflags(page.rflags());
        // A VMM that loads these has brought the guest past the instruction that STI or MOV SS protects.
        vmsa.set_vintr(control(vmsa).difference(VintrCtrl::INTERRUPT_SHADOW).bits());
    }
    if dirty.contains(Groups::INJECTION) {
        load_event(vmsa, page.injection()).map_err(LoadError::Refused)?;
    }
    if dirty.contains(Groups::TPR) {
        vmsa.set_vintr(control(vmsa).with_tpr(page.cr8() as u8 & 0xf).bits());
    }
    if dirty.contains(Groups::SYSTEM) {
        load_system(vmsa, &page.system())?;
    }
    if dirty.contains(Groups::SEGMENTS) {
        load_segments(vmsa, &page.segments());
    }
    if dirty.contains(Groups::MSRS) {
        load_msrs(vmsa, &page.msrs());
    }
    Ok(())
}

/// The general registers that every run loads.
pub fn load_others(vmsa: VmsaPage, page: SharedRunPage) {
    for index in (0..16).filter(|index| !matches!(*index, RAX | RSP)) {
        vmsa.set_gpr(index, page.gpr(index));
    }
}

/// Whether the processor takes these (APM volume 2, 15.5.1): one that does not never runs the guest, and
/// nobody says so.
fn is_enterable(system: &SystemRegisters) -> bool {
    const PE: u64 = 1;
    const NW_WITHOUT_CD: u64 = 1 << 29;
    const CD: u64 = 1 << 30;
    const PG: u64 = 1 << 31;
    const PAE: u64 = 1 << 5;
    const LME: u64 = 1 << 8;
    const L_AND_D: u16 = 0b11 << 9;
    let SystemRegisters { cr0, cr4, efer, cs, .. } = *system;
    let long = efer & LME != 0 && cr0 & PG != 0;
    let caching = cr0 & CD != 0 || cr0 & NW_WITHOUT_CD == 0;
    let paging = cr0 & PG == 0 || cr0 & PE != 0;
    let long_mode = !long || cr4 & PAE != 0 && cs.attributes & L_AND_D != L_AND_D;
    let upper_halves = (cr0 | system.dr6 | system.dr7) >> 32 == 0;
    caching && paging && long_mode && upper_halves
}

fn load_system(vmsa: VmsaPage, system: &SystemRegisters) -> Result<(), LoadError> {
    if !is_enterable(system) {
        return Err(LoadError::NotEnterable);
    }
    vmsa.set_cr0(system.cr0);
    vmsa.set_cr2(system.cr2);
    vmsa.set_cr3(system.cr3);
    vmsa.set_cr4(system.cr4);
    vmsa.set_dr6(system.dr6);
    vmsa.set_dr7(system.dr7);
    // Who may enter it is not the VMM's to say.
    vmsa.set_efer(system.efer & !EFER_SVME);
    vmsa.set_cs(system.cs);
    vmsa.set_ss(system.ss);
    vmsa.set_cpl((system.ss.attributes >> 5 & 3) as u8);
    // What the guest's own write to these registers would have had the processor forget.
    vmsa.set_pcpu_id(0);
    Ok(())
}

/// A descriptor table register: its limit and base are all there is of it.
fn table(segment: Segment) -> Segment {
    Segment { selector: 0, attributes: 0, ..segment }
}

fn load_segments(vmsa: VmsaPage, segments: &SegmentRegisters) {
    vmsa.set_es(segments.es);
    vmsa.set_ds(segments.ds);
    vmsa.set_fs(segments.fs);
    vmsa.set_gs(segments.gs);
    vmsa.set_ldtr(segments.ldtr);
    vmsa.set_tr(segments.tr);
    vmsa.set_gdtr(table(segments.gdtr));
    vmsa.set_idtr(table(segments.idtr));
}

/// The TSC's offset is the host's, without Secure TSC.
fn load_msrs(vmsa: VmsaPage, msrs: &MsrRegisters) {
    vmsa.set_star(msrs.star);
    vmsa.set_lstar(msrs.lstar);
    vmsa.set_cstar(msrs.cstar);
    vmsa.set_sfmask(msrs.sfmask);
    vmsa.set_kernel_gs_base(msrs.kernel_gs_base);
    vmsa.set_sysenter_cs(msrs.sysenter_cs);
    vmsa.set_sysenter_esp(msrs.sysenter_esp);
    vmsa.set_sysenter_eip(msrs.sysenter_eip);
    vmsa.set_pat(msrs.pat);
    vmsa.set_tsc_aux(msrs.tsc_aux);
}

/// Stores all general registers.
pub fn store_general(vmsa: VmsaPage, page: SharedRunPage) {
    for index in 0..16 {
        page.set_gpr(index, vmsa.gpr(index));
    }
    page.set_rip(vmsa.rip());
    page.set_rflags(vmsa.rflags());
}

/// Stores groups that were asked for.
pub fn store_requested(vmsa: VmsaPage, page: SharedRunPage, groups: Groups) {
    if groups.contains(Groups::SYSTEM) {
        let ss = vmsa.ss();
        page.set_system(SystemRegisters {
            cr0: vmsa.cr0(),
            cr3: vmsa.cr3(),
            cr4: vmsa.cr4(),
            efer: vmsa.efer() & !EFER_SVME,
            cs: vmsa.cs(),
            ss: Segment { attributes: ss.attributes & !DPL | u16::from(vmsa.cpl() & 3) << 5, ..ss },
            cr2: vmsa.cr2(),
            cr8: task_priority(vmsa).into(),
            dr6: vmsa.dr6(),
            dr7: vmsa.dr7(),
        });
    }
    if groups.contains(Groups::SEGMENTS) {
        page.set_segments(SegmentRegisters {
            es: vmsa.es(),
            ds: vmsa.ds(),
            fs: vmsa.fs(),
            gs: vmsa.gs(),
            ldtr: vmsa.ldtr(),
            tr: vmsa.tr(),
            gdtr: table(vmsa.gdtr()),
            idtr: table(vmsa.idtr()),
        });
    }
    if groups.contains(Groups::MSRS) {
        page.set_msrs(MsrRegisters {
            star: vmsa.star(),
            lstar: vmsa.lstar(),
            cstar: vmsa.cstar(),
            sfmask: vmsa.sfmask(),
            kernel_gs_base: vmsa.kernel_gs_base(),
            sysenter_cs: vmsa.sysenter_cs(),
            sysenter_esp: vmsa.sysenter_esp(),
            sysenter_eip: vmsa.sysenter_eip(),
            pat: vmsa.pat(),
            tsc_offset: 0,
            tsc_aux: vmsa.tsc_aux(),
            reserved: 0,
        });
    }
}

#[cfg(test)]
mod tests;
