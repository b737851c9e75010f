//! The virtual machine monitor that can do without caches and batches: see the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicBool, Ordering};

use runtime::Start;
use test_vmm::{add_devices, bench};
use vmm::{Extension, Vcpu};

runtime::main!(program);

/// What is remembered of the guest's code and pages is forgotten at each exit.
static FORGETS: AtomicBool = AtomicBool::new(false);
/// Operations are executed at once.
static SUBMITS: AtomicBool = AtomicBool::new(false);

fn program(start: &Start) -> u32 {
    let off = |name| start.setting(name) == Some("no");
    FORGETS.store(off("caches"), Ordering::Relaxed);
    SUBMITS.store(off("batches"), Ordering::Relaxed);
    vmm::program_with(start, Extension { add_devices, run_vcpu })
}

fn run_vcpu(vcpu: &mut Vcpu) -> u32 {
    let (forgets, submits) = (FORGETS.load(Ordering::Relaxed), SUBMITS.load(Ordering::Relaxed));
    loop {
        // A loop of its own, and not a switch in the measured program's: with two copies of the loop in there
        // the compiler inlines other functions.
        if let Some(reason) = vcpu.step(&bench::Halt) {
            return reason;
        }
        if forgets {
            vcpu.forget_code();
        }
        if submits {
            vcpu.submit();
        }
    }
}
