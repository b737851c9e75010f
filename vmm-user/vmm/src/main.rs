//! The virtual machine monitor process.
#![cfg_attr(target_os = "none", no_std, no_main)]

use runtime::Start;

runtime::main!(main);

fn main(start: &Start) -> u32 {
    log::info!("hello from the vmm: {start:?}");
    0
}
