//! A kernel for testing loaders: it prints what it finds at entry on COM1, checks it against the boot
//! contract (`vcpu_abi::boot`), and ends QEMU with status 33 if all is well, 35 if not.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod bare;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("test-kernel is for a bare machine: cargo build -p test-kernel --target x86_64-unknown-none");
    std::process::exit(2);
}
