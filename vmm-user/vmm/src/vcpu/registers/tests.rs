use super::fake::{FakeKernel, registers};
use super::*;
use alloc::vec::Vec;
use runtime::abi::operation::{BATCH_MAX, Call, VcpuKick};
use runtime::abi::registers::Segment;

fn kick(handle: u32) -> Operation {
    VcpuKick { work: 1, reserved: 0 }.on(handle)
}

fn fetched(registers: &Registers<FakeKernel>) -> Vec<Groups> {
    registers.kernel.0.borrow().fetched.clone()
}

fn dirty(registers: &Registers<FakeKernel>) -> Groups {
    Groups::from_bits_retain(registers.page.dirty())
}

#[test]
fn only_what_is_missing_is_asked_for_and_once() {
    let mut registers = registers();
    registers.page.set_exit_groups(Groups::GENERAL.bits());
    let groups = Groups::GENERAL | Groups::MSRS | Groups::SEGMENTS;
    assert_eq!(registers.fetch(groups), Ok(()));
    assert_eq!(registers.fetch(groups), Ok(()));
    assert_eq!(fetched(&registers), [Groups::MSRS | Groups::SEGMENTS]);
    assert_eq!(registers.page.valid(), groups);
}

/// What the page holds of groups that were refused is not taken for the guest's state.
#[test]
fn groups_that_are_refused_stay_unknown() {
    let mut registers = registers();
    registers.kernel.0.borrow_mut().refuses_groups = true;
    let missing = Missing { groups: Groups::MSRS, status: Status::WrongState };
    assert_eq!(registers.fetch(Groups::MSRS), Err(missing));
    assert_eq!(registers.page.valid(), Groups::empty());
    assert_eq!((registers.xmm(0), registers.set_xmm(0, 1)), (None, None));
    assert_eq!(registers.page.valid(), Groups::empty());
    assert_eq!(dirty(&registers), Groups::empty());
}

#[test]
#[should_panic(expected = "given up")]
fn there_is_no_change_to_what_cannot_be_had() {
    let mut registers = registers();
    registers.kernel.0.borrow_mut().refuses_groups = true;
    registers.change_msrs(|_| panic!("these are another time's values"));
}

/// Whatever is changed is the guest's before, and loaded behind.
#[test]
fn what_is_changed_is_asked_for_and_marked() {
    type Change = fn(&mut Registers<FakeKernel>);
    let changes: [(Groups, Change); 4] = [
        (Groups::MSRS, |registers| registers.change_msrs(|msrs| msrs.pat = 1)),
        (Groups::SEGMENTS, |registers| registers.change_segments(|segments| segments.fs.base = 1)),
        (Groups::SYSTEM, |registers| registers.change_system(|system| system.cr2 = 1)),
        (Groups::FPU, |registers| assert_eq!(registers.set_xmm(3, 1), Some(()))),
    ];
    for (groups, change) in changes {
        let mut registers = registers();
        change(&mut registers);
        assert_eq!((fetched(&registers), dirty(&registers)), ([groups].into(), groups));
    }
}

#[test]
fn an_xmm_register_is_asked_for_once() {
    let mut registers = registers();
    assert_eq!(registers.xmm(3), Some(0));
    assert_eq!(registers.set_xmm(3, 7), Some(()));
    assert_eq!(registers.xmm(3), Some(7));
    assert_eq!(fetched(&registers), [Groups::FPU]);
}

#[test]
fn a_batch_is_planned_once() {
    let mut registers = registers();
    registers.push(&kick(1));
    registers.plan_batch();
    assert_eq!(registers.page.batch_count(), 1);
    // As the kernel leaves it.
    registers.page.set_batch_count(0);
    registers.page.set_dirty(0);
    registers.plan_batch();
    assert_eq!((registers.page.batch_count(), dirty(&registers)), (0, Groups::empty()));
    registers.push(&kick(2));
    registers.plan_batch();
    assert_eq!(registers.page.batch_count(), 1);
    assert_eq!(registers.page.operations(1).first().map(|operation| operation.handle), Some(2));
}

#[test]
fn a_full_batch_is_submitted_at_once() {
    let mut registers = registers();
    let count = BATCH_MAX as u32 + 2;
    (0..count).for_each(|handle| registers.push(&kick(handle)));
    assert_eq!(registers.kernel.0.borrow().executed, Vec::from_iter(0..BATCH_MAX as u32));
    registers.plan_batch();
    assert_eq!(registers.page.batch_count(), 2);
    let left: Vec<u32> = registers.page.operations(2).iter().map(|operation| operation.handle).collect();
    assert_eq!(left, [count - 2, count - 1]);
    assert_eq!(dirty(&registers), Groups::CONTROLS);
}

/// Kicks behind an operation that the kernel refuses are executed, and nothing is executed twice.
#[test]
fn submitting_executes_all_that_is_not_refused() {
    let mut registers = registers();
    registers.kernel.0.borrow_mut().refused = [1, 3].into();
    (0..5).for_each(|handle| registers.push(&kick(handle)));
    registers.submit();
    registers.submit();
    registers.plan_batch();
    let asked = registers.kernel.0.borrow();
    assert_eq!((&asked.executed[..], &asked.failed[..]), (&[0, 2, 4][..], &[1, 3][..]));
    assert_eq!(registers.page.batch_count(), 0);
}

#[test]
fn a_deadline_is_written_when_it_changes() {
    let mut registers = registers();
    registers.plan_deadline(7, |ns| ns * 3);
    assert_eq!((registers.page.deadline_tsc(), dirty(&registers)), (21, Groups::CONTROLS));
    registers.page.set_dirty(0);
    registers.plan_deadline(7, |_| panic!("it is the same"));
    assert_eq!(dirty(&registers), Groups::empty());
    registers.forget_deadline();
    registers.plan_deadline(7, |ns| ns);
    assert_eq!((registers.page.deadline_tsc(), dirty(&registers)), (7, Groups::CONTROLS));
    registers.plan_deadline(u64::MAX, |_| panic!("there is no such time"));
    assert_eq!(registers.page.deadline_tsc(), u64::MAX);
}

#[test]
fn activity_and_window_are_marked_when_they_change() {
    let mut registers = registers();
    registers.plan_activity(false);
    registers.plan_window(0);
    assert_eq!(dirty(&registers), Groups::empty());
    registers.plan_activity(true);
    assert_eq!((registers.page.activity(), dirty(&registers)), (activity::HALTED, Groups::CONTROLS));
    registers.page.set_dirty(0);
    registers.plan_window(1);
    assert_eq!((registers.page.window(), dirty(&registers)), (1, Groups::CONTROLS));
}

#[test]
fn completing_clears_rf_and_tells_of_single_steps() {
    for (flags, left, is_single_step) in
        [(2, 2, false), (0x102, 0x102, true), (0x1_0002, 2, false), (0x1_0102, 0x102, true)]
    {
        let mut registers = registers();
        registers.page.set_rflags(flags);
        assert_eq!(registers.complete_at(0x1234), is_single_step);
        assert_eq!((registers.page.rip(), registers.page.rflags()), (0x1234, left));
        assert_eq!(dirty(&registers), Groups::GENERAL);
    }
}

/// Most exits store what decoding takes of the system group: the rest is asked for before it is loaded.
#[test]
fn the_system_group_is_loaded_whole() {
    let mut registers = registers();
    registers.page.set_exit_groups((Groups::GENERAL | Groups::DECODING).bits());
    registers.change_system(|system| system.cr2 = 5);
    assert_eq!(fetched(&registers), [Groups::SYSTEM]);
    registers.change_system(|system| system.dr6 = 6);
    assert_eq!(fetched(&registers).len(), 1, "what was changed is not overwritten");
    assert_eq!((registers.page.system().cr2, registers.page.system().dr6), (5, 6));
    assert_eq!(dirty(&registers), Groups::SYSTEM);
}

#[test]
fn a_whole_system_group_is_not_asked_for_again() {
    let mut registers = registers();
    registers.page.set_exit_groups((Groups::DECODING | Groups::SYSTEM).bits());
    registers.change_system(|_| {});
    assert_eq!(fetched(&registers), []);
}

/// What an emulated processor lets a guest load and VMRUN refuses.
#[test]
fn what_is_loaded_can_be_entered() {
    const CODE: u16 = 0x29b;
    const CODE_32: u16 = 1 << 10;
    for (efer, attributes) in [(0x500, CODE), (0x100, CODE | CODE_32)] {
        let mut registers = registers();
        registers.page.set_exit_groups(Groups::SYSTEM.bits());
        let cs = Segment { attributes: CODE | CODE_32, ..Segment::default() };
        let (dr6, dr7) = (1 << 40 | 1, 1 << 50 | 2);
        registers.page.set_system(SystemRegisters { efer, cs, dr6, dr7, ..SystemRegisters::default() });
        registers.change_system(|_| {});
        let system = registers.page.system();
        assert_eq!((system.cs.attributes, system.dr6, system.dr7), (attributes, 1, 2));
    }
}

/// Nothing is asked of the kernel after a reset: all groups are the VMM's.
#[test]
fn a_reset_knows_and_loads_everything() {
    let mut registers = registers();
    registers.page.set_gpr(3, 9);
    registers.reset_to_page(0x9a);
    let system = registers.page.system();
    assert_eq!((system.cs.selector, system.cs.base, registers.page.rip()), (0x9a00, 0x9a000, 0));
    assert_eq!((registers.page.gpr(3), registers.page.rflags(), registers.page.xcr0()), (0, 2, 1));
    registers.change_system(|_| {});
    registers.change_msrs(|_| {});
    registers.change_segments(|_| {});
    assert_eq!(fetched(&registers), []);
    let all = Groups::GENERAL | Groups::SYSTEM | Groups::SEGMENTS | Groups::MSRS | Groups::XCR0 | Groups::TPR;
    assert_eq!(dirty(&registers), all);
}

/// Nothing of what the guest had is left behind a reset.
#[test]
fn a_reset_leaves_nothing() {
    let odd = Segment { selector: 1, attributes: 2, limit: 3, base: 4 };
    let data = Segment { attributes: 0x93, limit: 0xffff, ..Segment::default() };
    let table = Segment { limit: 0xffff, ..Segment::default() };
    let mut registers = registers();
    let page = &mut registers.page;
    page.set_gprs([7; 16]);
    page.set_rflags(u64::MAX);
    page.set_xcr0(7);
    page.set_cr8(7);
    page.set_rip(7);
    let (cr0, cr2, cr3, cr4, efer, dr6, dr7) = (1, 2, 3, 4, 5, 6, 7);
    page.set_system(SystemRegisters {
        cr0,
        cr2,
        cr3,
        cr4,
        efer,
        dr6,
        dr7,
        cs: odd,
        ss: odd,
        ..page.system()
    });
    let (es, ds, fs, gs, ldtr, tr, gdtr, idtr) = (odd, odd, odd, odd, odd, odd, odd, odd);
    page.set_segments(SegmentRegisters { es, ds, fs, gs, ldtr, tr, gdtr, idtr });
    page.set_msrs(MsrRegisters { star: 1, lstar: 2, tsc_offset: 3, tsc_aux: 4, ..MsrRegisters::default() });
    registers.reset();
    let page = &registers.page;
    let general = ((0..16).map(|index| page.gpr(index)).sum::<u64>(), page.rflags(), page.rip());
    assert_eq!((general, page.xcr0(), page.cr8()), ((0, 2, 0xfff0), 1, 0));
    let cs = Segment { selector: 0xf000, attributes: 0x9b, limit: 0xffff, base: 0xffff_0000 };
    let (cr0, dr6, dr7) = (0x6000_0010, 0xffff_0ff0, 0x400);
    let system = SystemRegisters { cr0, dr6, dr7, cs, ss: data, ..SystemRegisters::default() };
    assert_eq!(page.system(), system);
    let [ldtr, tr] = [0x82, 0x8b].map(|attributes| Segment { attributes, ..data });
    let (es, ds, fs, gs, gdtr, idtr) = (data, data, data, data, table, table);
    assert_eq!(page.segments(), SegmentRegisters { es, ds, fs, gs, ldtr, tr, gdtr, idtr });
    // But the time goes on, and the processor keeps its number.
    let (tsc_offset, tsc_aux) = (3, 4);
    let msrs = MsrRegisters { pat: 0x0007_0406_0007_0406, tsc_offset, tsc_aux, ..MsrRegisters::default() };
    assert_eq!(page.msrs(), msrs);
}
