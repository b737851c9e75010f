use core::mem::offset_of;

use vcpu_abi::run_page::{RunPage, window as asked};

use super::*;
use crate::platform::svm::host_pages::VcpuPages;

fn vcpu(pages: &VcpuPages) -> BackendVcpu {
    BackendVcpu {
        page: pages.parts().1,
        physical: 0,
        space: AddressSpace { root: 0x7000, number: 4 },
        maps: (0x1000, 0x4000),
        window: Cell::new(asked::NONE),
        exceptions: Cell::new(0),
    }
}

fn ask(pages: &VcpuPages, window: u32) {
    pages.write_run_page(offset_of!(RunPage, window), &window.to_le_bytes());
}

#[test]
fn a_window_is_set_again_after_a_reset() {
    let pages = VcpuPages::new();
    let vcpu = vcpu(&pages);
    let is_set = || window::is_requested(vcpu.vmcb());
    ask(&pages, asked::OPEN);
    assert!(!vcpu.has_windows() && !is_set());
    vcpu.set_windows();
    assert!(vcpu.has_windows() && is_set());
    vcpu.reset();
    assert!(!vcpu.has_windows() && !is_set(), "a reset takes it away");
    vcpu.set_windows();
    assert!(vcpu.has_windows() && is_set());
    ask(&pages, asked::NONE);
    assert!(!vcpu.has_windows());
    vcpu.set_windows();
    assert!(vcpu.has_windows() && !is_set());
}

#[test]
fn exceptions_that_a_vmm_asks_for_exit_besides_the_kernels() {
    const UD: u32 = 1 << 6;
    let pages = VcpuPages::new();
    let vcpu = vcpu(&pages);
    let intercepted = || vcpu.vmcb().control.intercept_exceptions.get();
    vcpu.reset();
    assert_eq!(intercepted(), 1 << 1 | 1 << 17 | 1 << 18);
    vcpu.set_exceptions(UD);
    assert_eq!(intercepted(), 1 << 1 | 1 << 17 | 1 << 18 | UD);
    vcpu.reset();
    assert_eq!(intercepted(), 1 << 1 | 1 << 17 | 1 << 18 | UD, "registers are reset, and not that");
    vcpu.set_exceptions(0);
    assert_eq!(intercepted(), 1 << 1 | 1 << 17 | 1 << 18);
}

#[test]
fn an_event_that_the_host_interrupted_is_delivered_at_the_next_entry() {
    const INTERRUPTED: u64 = 0x8000_0000 | 3 << 8 | 6;
    let pages = VcpuPages::new();
    let (vmcb, page) = pages.parts();
    let vcpu = vcpu(&pages);
    vmcb.save.rip.set(0x1234);
    vcpu.redeliver();
    assert_eq!(vmcb.control.event_injection.get(), 0, "nothing was interrupted");
    vmcb.control.exit_int_info.set(INTERRUPTED);
    vcpu.redeliver();
    assert_eq!(vmcb.control.event_injection.get(), INTERRUPTED);
    assert_eq!(page.rip(), 0x1234);
}
