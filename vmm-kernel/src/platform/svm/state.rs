//! A vCPU's registers: between the VMCB and the run page, by group.

use vcpu_abi::exit::ExitFlags;
use vcpu_abi::registers::{EventInjection, Groups, Segment, SystemRegisters, event_kind};
use vcpu_abi::status::Status;

use super::vmcb::{Vmcb, intercept_cr, intercept_exceptions, intercept1, intercept2, vintr};
use super::{EFER_SVME, cr0_intercept, tlb, window};
use crate::cpu::{Cpuid, cpuid};
use crate::run_page::SharedRunPage;

const EVENT_VALID: u64 = 1 << 31;
const EVENT_HAS_ERROR: u64 = 1 << 11;

/// EFER.LMA.
const EFER_LMA: u64 = 1 << 10;

/// CS.D and CS.L, among a segment's attributes.
const CODE_IS_32: u16 = 1 << 10;
const L_AND_D: u16 = 1 << 9 | CODE_IS_32;

/// A descriptor table register: its limit and base are all there is of it.
fn table(segment: Segment) -> Segment {
    Segment { selector: 0, attributes: 0, ..segment }
}

/// Clears a VMCB and sets its control area: what exits, and what the guest runs on.
pub fn reset(vmcb: &Vmcb, maps: (u64, u64), nested_root: u64, asid: u32) {
    use intercept1 as one;
    use intercept2 as two;
    // The clean bits too, and they stay so: at each VMRUN the processor loads whatever was changed (APM
    // volume 2, 15.15).
    vmcb.clear();
    let control = &vmcb.control;
    // What a guest writes to CR0 and CR4 is the VMM's to check: the processor takes more than the guest's
    // CPUID offers, and an emulated one even what VMRUN then refuses. CR3 and CR0.TS, which change often, are
    // not among it; nor are DR6 and DR7, as QEMU's emulation arms breakpoints by MOV only.
    control.intercept_cr.set(intercept_cr::CR4_WRITE | cr0_intercept());
    control.intercept_exceptions.set(intercept_exceptions::ALWAYS);
    // INVD would throw away dirty cache lines of everybody, INVLPGA reaches the entries of any ASID, the
    // counters of RDPMC are the host's, and a shutdown would be the real processor's (APM volume 2, 15.14.3).
    control.intercept1.set(
        one::INTR
            | one::NMI
            | one::INIT
            | one::CR0_SELECTIVE
            | one::RDPMC
            | one::CPUID
            | one::INVD
            | one::HLT
            | one::INVLPGA
            | one::IOIO
            | one::MSR
            | one::SHUTDOWN,
    );
    // VMRUN itself refuses a guest that it may not leave at VMRUN (APM volume 2, 15.5.1). The other
    // instructions of SVM would work in the guest, as EFER.SVME has to be set while it runs.
    control.intercept2.set(
        two::VMRUN
            | two::VMMCALL
            | two::VMLOAD
            | two::VMSAVE
            | two::STGI
            | two::CLGI
            | two::SKINIT
            | two::WBINVD
            | two::MONITOR
            | two::MWAIT
            | two::XSETBV
            | two::RDPRU,
    );
    control.iopm_base.set(maps.0);
    control.msrpm_base.set(maps.1);
    control.asid_and_tlb_control.set(u64::from(asid));
    tlb::ask_flush(vmcb);
    let control = &vmcb.control;
    // Without it the guest's RFLAGS.IF and CR8 would decide about the host's interrupts (APM volume 2,
    // 15.21.1).
    control.vintr.set(vintr::MASKING);
    control.nested_control.set(1);
    control.nested_cr3.set(nested_root);
    // VMRUN refuses a guest without SVME (APM volume 2, 15.5.1).
    vmcb.save.efer.set(EFER_SVME);
    // What a processor has after a reset (APM volume 2, 14.1.3).
    vmcb.save.cr0.set(0x6000_0010);
    vmcb.save.pat.set(0x0007_0406_0007_0406);
    vmcb.save.rflags.set(2);
    vmcb.save.dr6.set(0xffff_0ff0);
    vmcb.save.dr7.set(0x400);
}

/// Encodes an event for the VMCB; nothing when it is not one a processor can deliver (APM volume 2, 15.20).
fn encode(event: EventInjection) -> Result<u64, Status> {
    let kind = match event.kind {
        event_kind::NONE => return Ok(0),
        event_kind::NMI => 2,
        // VMRUN refuses a vector that is no exception's as an exception, 2 among them, which is the NMI's.
        event_kind::EXCEPTION if event.vector < 32 && event.vector != 2 => 3,
        event_kind::SOFTWARE => 4,
        _ => return Err(Status::BadArgument),
    };
    let error =
        if event.has_error_code != 0 { EVENT_HAS_ERROR | u64::from(event.error_code) << 32 } else { 0 };
    Ok(u64::from(event.vector) | kind << 8 | error | EVENT_VALID)
}

/// Has an event delivered at the next entry. An external interrupt goes as a virtual one (APM volume 2,
/// 15.21.4), not by EVENTINJ: QEMU's emulation delivers an injected interrupt a second time when its thread
/// is called away right after VMRUN.
#[inline(always)]
fn load_event(vmcb: &Vmcb, event: EventInjection) -> Result<(), Status> {
    if event.kind != event_kind::INTERRUPT {
        return load_other_event(vmcb, event);
    }
    request(vmcb, event.vector);
    Ok(())
}

#[inline(always)]
fn request(vmcb: &Vmcb, vector: u8) {
    // That the guest's task priority lets the interrupt through is the VMM's decision, made before: the
    // processor must not hold the two against each other once more.
    let request = vintr::IRQ | vintr::IGNORE_TPR | 0xf << vintr::PRIORITY_SHIFT;
    let request = request | u64::from(vector) << vintr::VECTOR_SHIFT;
    vmcb.control.vintr.update(|bits| bits & !vintr::REQUEST | request);
    // With the intercept of a window the request would exit where it is to be delivered.
    vmcb.control.intercept1.update(|bits| bits & !intercept1::VINTR);
    vmcb.control.intercept_cr.update(window::with_cr8_under_emulation);
}

/// An event that is no external interrupt, or none. It takes the place of an interrupt that was requested.
#[cold]
fn load_other_event(vmcb: &Vmcb, event: EventInjection) -> Result<(), Status> {
    vmcb.control.event_injection.set(encode(event)?);
    // Else the guest would get both: this event, and the interrupt in whose place the VMM has loaded it.
    if window::interrupt_requested(vmcb) {
        vmcb.control.vintr.update(|bits| bits & !vintr::REQUEST);
    }
    Ok(())
}

/// Injects an event that the processor itself reported as not yet delivered. An interrupt that waits besides
/// goes on waiting.
pub fn inject(vmcb: &Vmcb, event: EventInjection) {
    match encode(event) {
        _ if event.kind == event_kind::INTERRUPT => request(vmcb, event.vector),
        Ok(event) => vmcb.control.event_injection.set(event),
        Err(_) => log::error!("the processor reported an event that it cannot deliver: {event:?}"),
    }
}

/// Why a vCPU cannot be run with what the VMM wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// An argument is wrong.
    Refused(Status),
    /// The registers are not a state that the processor enters.
    NotEnterable,
}

/// Whether an event that was loaded has not been delivered: the run ended before the guest was entered.
pub fn pending_injection(vmcb: &Vmcb) -> ExitFlags {
    if vmcb.control.event_injection.get() & EVENT_VALID != 0 {
        ExitFlags::INJECTION_PENDING
    } else {
        ExitFlags::empty()
    }
}

/// Decodes EXITINTINFO.
pub fn decode_event(info: u64) -> Option<EventInjection> {
    if info & EVENT_VALID == 0 {
        return None;
    }
    let kind = match (info >> 8) & 7 {
        0 => event_kind::INTERRUPT,
        2 => event_kind::NMI,
        // QEMU says 3 of a virtual interrupt that it was delivering, too.
        3 if info as u8 >= 32 => event_kind::INTERRUPT,
        3 => event_kind::EXCEPTION,
        _ => event_kind::SOFTWARE,
    };
    Some(EventInjection {
        kind,
        vector: info as u8,
        has_error_code: u8::from(info & EVENT_HAS_ERROR != 0),
        reserved: 0,
        error_code: (info >> 32) as u32,
    })
}

/// Loads what the VMM marked. Nothing here can hurt the kernel: the guest's state is the guest's.
pub fn load(vmcb: &Vmcb, page: SharedRunPage, dirty: Groups) -> Result<(), LoadError> {
    if dirty.contains(Groups::INJECTION) {
        // What was loaded before and not delivered is replaced, and what the last exit interrupted is the
        // VMM's affair now.
        vmcb.control.event_injection.set(0);
        vmcb.control.exit_int_info.set(0);
    }
    load_usual(vmcb, page, dirty)?;
    if dirty.intersects(Groups::SYSTEM | Groups::SEGMENTS | Groups::MSRS) {
        load_rare(vmcb, page, dirty)?;
    }
    Ok(())
}

/// The same for general registers, an event and the task priority alone.
#[inline(always)]
pub fn load_usual(vmcb: &Vmcb, page: SharedRunPage, dirty: Groups) -> Result<(), LoadError> {
    if dirty.contains(Groups::GENERAL) {
        vmcb.save.rax.set(page.gpr(0));
        vmcb.save.rsp.set(page.gpr(4));
        vmcb.save.rip.set(page.rip());
        vmcb.save.rflags.set(page.rflags());
        // A VMM that loads these has brought the guest past the instruction that STI or MOV SS protects.
        vmcb.control.interrupt_shadow.set(0);
    }
    if dirty.contains(Groups::INJECTION) {
        load_event(vmcb, page.injection()).map_err(LoadError::Refused)?;
    }
    if dirty.contains(Groups::TPR) {
        vmcb.control.vintr.update(|bits| bits & !vintr::TPR | u64::from(page.cr8() & 0xf));
    }
    Ok(())
}

/// Control register bits that this processor has, of those that CPUID decides about (APM volume 2, 3.1.3).
fn cr4_supported(basic: Cpuid, seven: Cpuid) -> u64 {
    // Up to OSXMMEXCPT: what every processor of 64 bits has.
    let always = 0x7ff;
    [
        (seven.ecx >> 2, 11),
        (seven.ecx >> 16, 12),
        (seven.ebx, 16),
        (basic.ecx >> 17, 17),
        (basic.ecx >> 26, 18),
        (seven.ebx >> 7, 20),
        (seven.ebx >> 20, 21),
        (seven.ecx >> 3, 22),
    ]
    .into_iter()
    .fold(always, |bits, (feature, bit)| bits | u64::from(feature & 1) << bit)
}

/// What of a guest's registers depends on the processor.
#[derive(Clone, Copy)]
struct Limits {
    /// Bits of CR4 that it has.
    cr4: u64,
    /// Bits of a physical address.
    physical_bits: u32,
}

impl Limits {
    fn of_processor() -> Self {
        // The host may say anything here, and 64 bits cannot be shifted by more than 63.
        let physical_bits = (cpuid(0x8000_0008, 0).eax & 0xff).min(63);
        Self { cr4: cr4_supported(cpuid(1, 0), cpuid(7, 0)), physical_bits }
    }
}

/// Whether VMRUN takes these registers (APM volume 2, 15.5.1, "Canonicalization and Consistency Checks"). It
/// is asked before, since not every emulated processor comes back whole from refusing them.
fn is_enterable(system: &SystemRegisters, limits: Limits) -> bool {
    const PE: u64 = 1;
    const NW_WITHOUT_CD: u64 = 1 << 29;
    const CD: u64 = 1 << 30;
    const PG: u64 = 1 << 31;
    const PAE: u64 = 1 << 5;
    const LME: u64 = 1 << 8;
    const EFER_KNOWN: u64 = 1 | LME | 1 << 10 | 1 << 11;
    let SystemRegisters { cr0, cr3, cr4, efer, .. } = *system;
    let long = efer & LME != 0 && cr0 & PG != 0;
    // NW without CD is no mode of the caches.
    let caching = cr0 & CD != 0 || cr0 & NW_WITHOUT_CD == 0;
    let paging = cr0 & PG == 0 || cr0 & PE != 0;
    let long_mode = !long || cr4 & PAE != 0 && system.cs.attributes & L_AND_D != L_AND_D;
    let upper_halves = (cr0 | system.dr6 | system.dr7) >> 32 == 0 && cr3 >> limits.physical_bits == 0;
    caching && paging && long_mode && upper_halves && cr4 & !limits.cr4 == 0 && efer & !EFER_KNOWN == 0
}

/// Takes back what an emulated processor let the guest do and VMRUN refuses: the upper halves of DR6 and DR7,
/// and a code segment that is both of 64 and of 32 bits. `false`: there is nothing of that.
///
/// Such a refusal spoils RIP, RFLAGS and the event to deliver: the run page has what was loaded, and
/// EXITINTINFO the event.
#[cold]
pub fn repair(vmcb: &Vmcb, page: SharedRunPage) -> bool {
    let save = &vmcb.save;
    let (dr6, dr7, cs) = (save.dr6.get(), save.dr7.get(), save.cs.get());
    let is_both = save.efer.get() & EFER_LMA != 0 && cs.attributes & L_AND_D == L_AND_D;
    let attributes = if is_both { cs.attributes & !CODE_IS_32 } else { cs.attributes };
    if (dr6 | dr7) >> 32 == 0 && attributes == cs.attributes {
        return false;
    }
    save.dr6.set(dr6 & 0xffff_ffff);
    save.dr7.set(dr7 & 0xffff_ffff);
    save.cs.set(Segment { attributes, ..cs });
    save.rip.set(page.rip());
    save.rflags.set(page.rflags());
    if let Some(event) = decode_event(vmcb.control.exit_int_info.get()) {
        inject(vmcb, event);
    }
    true
}

/// Whether each of the eight memory types of a PAT is one (APM volume 2, 7.8.1). VMRUN under nested paging
/// refuses others.
fn is_pat(value: u64) -> bool {
    value.to_le_bytes().into_iter().all(|kind| matches!(kind, 0 | 1 | 4..=7))
}

#[cold]
fn load_rare(vmcb: &Vmcb, page: SharedRunPage, dirty: Groups) -> Result<(), LoadError> {
    let save = &vmcb.save;
    if dirty.contains(Groups::SYSTEM) {
        let system = page.system();
        if !is_enterable(&system, Limits::of_processor()) {
            return Err(LoadError::NotEnterable);
        }
        let paging = || (save.cr0.get(), save.cr3.get(), save.cr4.get(), save.efer.get());
        let before = paging();
        save.cr0.set(system.cr0);
        save.cr2.set(system.cr2);
        save.cr3.set(system.cr3);
        save.cr4.set(system.cr4);
        save.dr6.set(system.dr6);
        save.dr7.set(system.dr7);
        // The VMM neither sees this bit nor decides about it: VMRUN wants it, and the guest is offered no
        // SVM.
        save.efer.set(system.efer | EFER_SVME);
        if paging() != before {
            // What the guest's own write to these registers would have done (APM volume 2, 5.5.2 and 15.16).
            tlb::ask_flush(vmcb);
        }
        save.cs.set(system.cs);
        save.ss.set(system.ss);
        // VMRUN takes the CPL from a field of its own; the VMM has it in SS alone.
        save.cpl.set((system.ss.attributes >> 5 & 3) as u8);
    }
    if dirty.contains(Groups::SEGMENTS) {
        let s = page.segments();
        save.es.set(s.es);
        save.ds.set(s.ds);
        save.fs.set(s.fs);
        save.gs.set(s.gs);
        save.ldtr.set(s.ldtr);
        save.tr.set(s.tr);
        save.gdtr.set(table(s.gdtr));
        save.idtr.set(table(s.idtr));
    }
    if dirty.contains(Groups::MSRS) {
        let m = page.msrs();
        if !is_pat(m.pat) {
            return Err(LoadError::NotEnterable);
        }
        save.star.set(m.star);
        save.lstar.set(m.lstar);
        save.cstar.set(m.cstar);
        save.sfmask.set(m.sfmask);
        save.kernel_gs_base.set(m.kernel_gs_base);
        save.sysenter_cs.set(m.sysenter_cs);
        save.sysenter_esp.set(m.sysenter_esp);
        save.sysenter_eip.set(m.sysenter_eip);
        save.pat.set(m.pat);
        vmcb.control.tsc_offset.set(m.tsc_offset);
        vmcb.control.tsc_aux.set(m.tsc_aux);
    }
    Ok(())
}

/// Stores the general registers that the VMCB holds; the others are in the run page already.
#[inline(always)]
pub fn store_general(vmcb: &Vmcb, page: SharedRunPage) {
    page.set_gpr(0, vmcb.save.rax.get());
    page.set_gpr(4, vmcb.save.rsp.get());
    page.set_rip(vmcb.save.rip.get());
    page.set_rflags(vmcb.save.rflags.get());
}

/// Stores what decoding an instruction takes ([`Groups::DECODING`]). What the VMM knows itself is not stored:
/// CR4 and EFER, and CR0 but for TS and MP, change by an exit alone.
pub fn store_decoding(vmcb: &Vmcb, page: SharedRunPage) {
    page.set_cr3(vmcb.save.cr3.get());
    page.set_code(vmcb.save.cs.words());
    page.set_cpl(vmcb.save.cpl.get());
}

/// SS, whose DPL is made to say the CPL (APM volume 2, 15.5.1: they are the same on every exit, but for real
/// mode).
fn stack(vmcb: &Vmcb) -> Segment {
    const DPL: u16 = 3 << 5;
    let ss = vmcb.save.ss.get();
    Segment { attributes: ss.attributes & !DPL | u16::from(vmcb.save.cpl.get() & 3) << 5, ..ss }
}

/// What [`store_requested`] stores.
pub const REQUESTED: Groups = Groups::SYSTEM.union(Groups::SEGMENTS).union(Groups::MSRS);

/// Stores groups that were asked for.
#[cold]
pub fn store_requested(vmcb: &Vmcb, page: SharedRunPage, groups: Groups) {
    let save = &vmcb.save;
    if groups.contains(Groups::SYSTEM) {
        page.set_system(SystemRegisters {
            cr0: save.cr0.get(),
            cr3: save.cr3.get(),
            cr4: save.cr4.get(),
            efer: save.efer.get() & !EFER_SVME,
            cs: save.cs.get(),
            ss: stack(vmcb),
            cr2: save.cr2.get(),
            // MOV CR8 of the guest goes to V_TPR, as interrupts are masked virtually (APM volume 2, 15.21.2).
            cr8: vmcb.control.vintr.get() & 0xf,
            dr6: save.dr6.get(),
            dr7: save.dr7.get(),
        });
    }
    if groups.contains(Groups::SEGMENTS) {
        page.set_segments(vcpu_abi::registers::SegmentRegisters {
            es: save.es.get(),
            ds: save.ds.get(),
            fs: save.fs.get(),
            gs: save.gs.get(),
            ldtr: save.ldtr.get(),
            tr: save.tr.get(),
            gdtr: table(save.gdtr.get()),
            idtr: table(save.idtr.get()),
        });
    }
    if groups.contains(Groups::MSRS) {
        page.set_msrs(vcpu_abi::registers::MsrRegisters {
            star: save.star.get(),
            lstar: save.lstar.get(),
            cstar: save.cstar.get(),
            sfmask: save.sfmask.get(),
            kernel_gs_base: save.kernel_gs_base.get(),
            sysenter_cs: save.sysenter_cs.get(),
            sysenter_esp: save.sysenter_esp.get(),
            sysenter_eip: save.sysenter_eip.get(),
            pat: save.pat.get(),
            tsc_offset: vmcb.control.tsc_offset.get(),
            tsc_aux: vmcb.control.tsc_aux.get(),
            reserved: 0,
        });
    }
}

#[cfg(test)]
mod tests;
