//! A guest without an operating system, for Plinth's tests: two processors that do at random what a guest can
//! do.
//!
//! Each processor goes through rounds. A round writes a *snippet* of random code and enters it, with random
//! registers, in one of the processor's modes; an exception, an interrupt or the watch ends it, and the
//! processor is put in order for the next round. Everything random comes from the seed in the command line.
//! Some rounds are *checks*: an interrupt that has to come or must not, or a *race*, in which one processor
//! changes what the other, in user mode, is just using; then ports and memory that user code must not reach
//! are looked at.
//!
//! The command line is `SEED SECONDS`. The guest says what it did on COM1 (`chaos: ...`; `WRONG` where it saw
//! what no processor does) and switches the machine off. It may also end by a triple fault of its own, which
//! is legal but rare.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod guest;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("chaos-guest is for a bare machine: cargo build -p chaos-guest --target x86_64-unknown-none");
    std::process::exit(2);
}
