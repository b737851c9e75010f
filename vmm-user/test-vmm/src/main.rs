//! The virtual machine monitor with devices for measurements and tests: see the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

use runtime::Start;
use test_vmm::{add_devices, bench};
use vmm::{Extension, Vcpu};

runtime::main!(program);

fn program(start: &Start) -> u32 {
    vmm::program_with(start, Extension { add_devices, run_vcpu })
}

fn run_vcpu(vcpu: &mut Vcpu) -> u32 {
    vcpu.run(&bench::Halt)
}
