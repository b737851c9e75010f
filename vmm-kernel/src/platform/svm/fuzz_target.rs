//! A vCPU's registers, as a VMM writes them: what of them reaches the VMCB is what VMRUN takes, and of the
//! control area nothing changes but what is a VMM's to change.

use core::mem::offset_of;

use vcpu_abi::registers::{Groups, MsrRegisters, Segment, SegmentRegisters, SystemRegisters, event_kind};
use vcpu_abi::run_page::RunPage;

use super::host_pages::VcpuPages;
use super::vmcb::{Vmcb, intercept_cr, intercept1, tlb_control, vintr};
use super::{EFER_SVME, state, window};
use crate::cpu::cpuid;
use crate::run_page::SharedRunPage;

/// Where the permission maps and the nested tables are said to be.
const MAPS: (u64, u64) = (0x1000, 0x4000);
const NESTED_ROOT: u64 = 0x7000;
const ASID: u32 = 5;

/// The bytes of an input that are one step: eight that say what is loaded, and the run page's registers.
const STEP: usize = 8 + offset_of!(RunPage, reserved2) - offset_of!(RunPage, general);

/// Loads registers, again and again.
///
/// # Panics
/// If a property does not hold.
pub fn load_registers(input: &[u8]) {
    let pages = VcpuPages::new();
    let (vmcb, page) = pages.parts();
    state::reset(vmcb, MAPS, NESTED_ROOT, ASID);
    for step in input.chunks(STEP) {
        let Some((choice, registers)) = step.split_first_chunk::<8>() else { return };
        let [dirty_low, dirty_high, want, cr8, event, vector, error, shadow] = *choice;
        pages.write_run_page(offset_of!(RunPage, general), registers);
        pages.set_cr8(u32::from_le_bytes([cr8, want, event, error]));
        // What the last exit has left.
        vmcb.control.exit_int_info.set(u64::from_le_bytes([
            vector,
            event & 0xf,
            0,
            event & 0x80,
            error,
            0,
            0,
            0,
        ]));
        vmcb.control.interrupt_shadow.set(u64::from(shadow & 1));
        window::set(vmcb, want.into());
        let dirty = Groups::from_bits_retain(u16::from_le_bytes([dirty_low, dirty_high]).into());
        let before = constant(vmcb);
        let loaded = state::load(vmcb, page, dirty);
        assert_eq!(constant(vmcb), before, "not the VMM's to change");
        check_enterable(vmcb);
        check_event(vmcb);
        if loaded.is_ok() {
            check_stored(vmcb, page, dirty);
        }
    }
}

/// What no VMM may change of a control area.
fn constant(vmcb: &Vmcb) -> [u64; 14] {
    let control = &vmcb.control;
    [
        u64::from(control.intercept_cr.get() & !intercept_cr::CR8_WRITE),
        control.intercept_dr.get().into(),
        control.intercept_exceptions.get().into(),
        u64::from(control.intercept1.get() & !intercept1::VINTR),
        control.intercept2.get().into(),
        control.intercept3.get().into(),
        control.pause_filter.get().into(),
        control.iopm_base.get(),
        control.msrpm_base.get(),
        control.asid_and_tlb_control.get() & !tlb_control::ALL,
        control.vintr.get() & !(vintr::REQUEST | vintr::TPR),
        control.nested_control.get(),
        control.nested_cr3.get(),
        control.clean.get(),
    ]
}

/// What VMRUN refuses (APM volume 2, 15.5.1), by the VMCB alone. Once more, and otherwise than the kernel
/// decides it: what it looks at is what the processor would be given.
fn check_enterable(vmcb: &Vmcb) {
    let (save, control) = (&vmcb.save, &vmcb.control);
    let (cr0, cr3, cr4, efer) = (save.cr0.get(), save.cr3.get(), save.cr4.get(), save.efer.get());
    let bit = |value: u64, bit: u32| value >> bit & 1 == 1;
    let (pe, nw, cd, pg) = (bit(cr0, 0), bit(cr0, 29), bit(cr0, 30), bit(cr0, 31));
    let (pae, lme) = (bit(cr4, 5), bit(efer, 8));
    let (long_code, code_32) =
        (bit(save.cs.get().attributes.into(), 9), bit(save.cs.get().attributes.into(), 10));
    // The processor's own, as VMRUN would hold CR3 against them.
    let physical_bits = cpuid(0x8000_0008, 0).eax & 0xff;
    let cr4_known =
        [0..11, 11..13, 16..19, 20..23].into_iter().flatten().fold(0, |bits, bit| bits | 1 << bit);
    for (refused, why) in [
        (!bit(efer, 12), "EFER.SVME is clear"),
        (efer & !0x1d01 != 0, "a reserved bit of EFER"),
        (!cd && nw, "CR0.NW without CD"),
        (cr0 >> 32 != 0, "the upper half of CR0"),
        (cr3.checked_shr(physical_bits).unwrap_or(0) != 0, "CR3 beyond the physical addresses"),
        (cr4 & !cr4_known != 0, "a reserved bit of CR4"),
        (save.dr6.get() >> 32 != 0, "the upper half of DR6"),
        (save.dr7.get() >> 32 != 0, "the upper half of DR7"),
        (pg && !pe, "paging without protected mode"),
        (lme && pg && !pae, "long mode without PAE"),
        (lme && pg && long_code && code_32, "code of both 64 and 32 bits"),
        (!bit(control.intercept2.get().into(), 0), "VMRUN is not intercepted"),
        (control.asid_and_tlb_control.get() as u32 == 0, "the host's ASID"),
        (save.pat.get().to_le_bytes().iter().any(|kind| [2, 3].contains(kind) || *kind > 7), "the PAT"),
    ] {
        assert!(!refused, "VMRUN would refuse: {why}");
    }
}

/// The event to inject is one that a processor delivers (APM volume 2, 15.20), and comes back as itself when
/// its delivery is interrupted.
fn check_event(vmcb: &Vmcb) {
    let event = vmcb.control.event_injection.get();
    if event >> 31 & 1 == 0 {
        return;
    }
    let (kind, vector) = (event >> 8 & 7, event as u8);
    let is_deliverable = match kind {
        0 | 2 | 4 => true,
        3 => vector < 32 && vector != 2,
        _ => false,
    };
    assert!(is_deliverable && event & 0x7fff_f000 == 0, "VMRUN would refuse the event {event:#x}");
    let Some(decoded) = state::decode_event(event) else { panic!("{event:#x} is no event") };
    assert_ne!(decoded.kind, event_kind::NONE);
    state::inject(vmcb, decoded);
    let again = vmcb.control.event_injection.get();
    // An error code that is not pushed means nothing.
    let meaning = if event >> 11 & 1 == 1 { u64::MAX } else { 0xffff_ffff };
    assert_eq!(again & meaning, event & meaning, "an interrupted event is another");
}

/// The registers of the groups that were loaded.
fn registers(
    page: SharedRunPage,
    dirty: Groups,
) -> ([u64; 4], SystemRegisters, SegmentRegisters, MsrRegisters) {
    let general = [page.gpr(0), page.gpr(4), page.rip(), page.rflags()];
    let (mut system, mut segments) = (page.system(), page.segments());
    // CR8 has a group of its own; a descriptor table is its base and limit.
    system.cr8 = 0;
    for table in [&mut segments.gdtr, &mut segments.idtr] {
        *table = Segment { selector: 0, attributes: 0, ..*table };
    }
    // What is reserved is stored as zero, whatever was there.
    let msrs = MsrRegisters { reserved: 0, ..page.msrs() };
    let has = |group| dirty.contains(group);
    (
        if has(Groups::GENERAL) { general } else { [0; 4] },
        if has(Groups::SYSTEM) { system } else { SystemRegisters::default() },
        if has(Groups::SEGMENTS) { segments } else { SegmentRegisters::default() },
        if has(Groups::MSRS) { msrs } else { MsrRegisters::default() },
    )
}

/// What was loaded is what the VMM is told, but for SVME, and can be loaded once more.
fn check_stored(vmcb: &Vmcb, page: SharedRunPage, dirty: Groups) {
    let loaded = registers(page, dirty);
    state::store_general(vmcb, page);
    state::store_requested(vmcb, page, state::REQUESTED);
    assert_eq!(registers(page, dirty), loaded, "what is stored is not what was loaded");
    assert_eq!(page.system().efer & EFER_SVME, 0, "the guest's EFER shows SVME");
    assert_eq!(state::load(vmcb, page, Groups::GENERAL | state::REQUESTED), Ok(()), "refused its own state");
}
