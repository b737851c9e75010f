//! A vCPU's registers and events, from the run page to the VMCB.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vmm_kernel::host::targets::load_registers(input));
