//! The kernel's image: the library, whose `start` has the entry that `kernel.ld` names.
#![cfg_attr(target_os = "none", no_std, no_main)]

use vmm_kernel as _;

/// On the host there is nothing to run: the library is tested there.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("vmm-kernel runs in an image: build it with --target x86_64-unknown-none");
}
