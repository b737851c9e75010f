//! The PVH loader: lets any QEMU run an IGVM file, by `-kernel pvh-loader -initrd FILE.igvm`.
//!
//! It is entered in 32-bit protected mode, gives itself long mode with the first 4 GiB mapped by identity,
//! checks the file against the machine, loads it, and starts it in the context the file asks for. If anything
//! is wrong it says so on COM1, ends QEMU through an `isa-debug-exit` device if there is one, and halts.
//!
//! All decisions are in the library; `bare` holds what touches the machine. On a host there is nothing for it
//! to do.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod bare;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("pvh-loader is for a bare machine: cargo build -p pvh-loader --target x86_64-unknown-none");
    std::process::exit(2);
}
