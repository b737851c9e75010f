//! The TPM's process, which ends when the guest stirs its random numbers (TPM2_StirRandom).
#![cfg_attr(target_os = "none", no_std, no_main)]

use runtime::Start;

runtime::main!(program);

/// TPM2_StirRandom.
const END_AT: u32 = 0x146;

fn program(start: &Start) -> u32 {
    vtpm::run(start, Some(END_AT))
}
