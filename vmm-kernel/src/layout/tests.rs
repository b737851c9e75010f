use super::*;

/// What the kernel maps in its area, for every processor, thread and vCPU there can be.
fn mapped() -> Vec<(u64, u64)> {
    let mut ranges = vec![(LOCAL_APIC, PAGE), (IO_APIC, PAGE)];
    for area in (0..MAX_CPUS as u32).map(CpuArea::of) {
        ranges.push((area.temporary(), CpuArea::TEMPORARY_PAGES as u64 * PAGE));
        ranges.push((area.per_cpu(), 0x1_0000));
        ranges.push((area.idle_stack_top() - CpuArea::IDLE_STACK_BYTES, CpuArea::IDLE_STACK_BYTES));
        let stacks =
            (0..CpuArea::IST_STACKS).map(|index| area.ist_stack_top(index) - CpuArea::IST_STACK_BYTES);
        ranges.extend(stacks.map(|bottom| (bottom, CpuArea::IST_STACK_BYTES)));
    }
    ranges.extend((0..128).map(|slot| (thread_stack_top(slot) - THREAD_STACK_BYTES, THREAD_STACK_BYTES)));
    ranges.extend((0..128).map(|slot| (thread_stack_top(slot) - 0xc000, PAGE)));
    ranges.extend((0..VCPUS_MAX).map(|slot| (vcpu_area(slot), 6 * PAGE)));
    ranges.sort_unstable();
    ranges
}

#[test]
fn no_two_things_are_in_one_place() {
    for pair in mapped().windows(2) {
        assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:x?}");
    }
    assert!(mapped().last().is_some_and(|last| last.0 + last.1 <= FILES));
}

#[test]
fn below_each_stack_a_page_stays_unmapped() {
    let ranges = mapped();
    let covers = |at: u64| ranges.iter().any(|(start, bytes)| (*start..start + bytes).contains(&at));
    for number in 0..MAX_CPUS as u32 {
        let area = CpuArea::of(number);
        assert!(!covers(area.idle_stack_top() - CpuArea::IDLE_STACK_BYTES - 8));
        assert!(
            (0..CpuArea::IST_STACKS).all(|i| !covers(area.ist_stack_top(i) - CpuArea::IST_STACK_BYTES - 8))
        );
    }
    assert!((0..128).all(|slot| !covers(thread_stack_top(slot) - THREAD_STACK_BYTES - 8)));
}

#[test]
fn all_of_it_is_in_one_pml4_slot() {
    let slot = |address: u64| address >> 39 & 511;
    assert_eq!(slot(KERNEL_AREA), 508);
    assert!(mapped().iter().all(|(start, bytes)| slot(*start) == 508 && slot(start + bytes - 1) == 508));
}
