//! The virtual machine monitor with devices and switches that only measurements and tests need, over the same library
//! as the VMM of an ordinary image. What it adds is asked for in `init.conf`:
//!
//! | line | what |
//! |---|---|
//! | `set bench-devices yes` | the exit benchmark's device ([`bench`]) |
//! | `set extra-devices N` | so many more devices, to compare |
//! | `set memory-device yes` | a device that behaves like memory ([`memory`]) |
//! | `set caches no` | what is remembered of the guest's code and pages is forgotten at each exit, to compare |
//! | `set batches no` | operations are not kept for the next run but executed at once, to compare |
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

mod bench;
mod memory;

use core::sync::atomic::{AtomicBool, Ordering};

use runtime::Start;
use vmm::{Builder, Extension, Vcpu};

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

fn add_devices(start: &Start, board: &mut Builder) {
    if start.setting("bench-devices") == Some("yes") {
        board.add(bench::BenchDevice);
    }
    if start.setting("memory-device") == Some("yes") {
        board.add(memory::MemoryDevice::new());
    }
    let extra = start.setting("extra-devices").and_then(|number| number.parse().ok()).unwrap_or(0);
    for number in 0..u16::min(extra, bench::EXTRA_MAX) {
        board.add(bench::ExtraDevice::new(number));
    }
}

/// The loop of an ordinary VMM, unless something is switched off.
fn run_vcpu(vcpu: &mut Vcpu) -> u32 {
    let (forgets, submits) = (FORGETS.load(Ordering::Relaxed), SUBMITS.load(Ordering::Relaxed));
    if !forgets && !submits {
        return vcpu.run(&bench::Halt);
    }
    loop {
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
