//! The project's tools: what `scripts/run`, `scripts/test` and the others do, and the parts they share.
//!
//! From the ground up: [`say`] speaks to the user, [`project`] knows where things are, [`command`] runs other
//! programs, [`build`] builds Plinth, [`assemble`] what is not Rust; [`debian`] and [`initramfs`] give the
//! guest, [`image`] packs an image, [`snp_sim`] one of the simulator, [`qemu`] runs it, [`log`] reads what a
//! debug image logs. [`symbol`] and [`frames`] read a program that was built. [`testing`] counts checks, and
//! boots machines for them; [`matrix`] is the boots that must hold, [`chaos`] runs random guests,
//! [`lying_host`] hosts that lie, [`entry_code`] walks through the kernel's, [`mutants`] shows that the tests
//! can fail. On these stand the subcommands ([`commands`]), some with a module for their work ([`bench`],
//! [`profile`], [`inspect`], [`fuzz`], [`tpm`], [`guest_bench`]), and the [`tests`], one of which asks
//! [`sev_snp_measure`]. `house` and `floors` are unit tests that read the whole source.

pub mod assemble;
pub mod bench;
pub mod build;
pub mod chaos;
pub mod command;
pub mod commands;
pub mod debian;
pub mod disk_key;
pub mod entry_code;
#[cfg(test)]
mod floors;
pub mod frames;
pub mod fuzz;
pub mod guest_bench;
#[cfg(test)]
mod house;
pub mod image;
pub mod initramfs;
pub mod inspect;
pub mod log;
pub mod lying_host;
pub mod matrix;
pub mod mutants;
pub mod profile;
pub mod project;
pub mod say;
pub mod sev_snp_measure;
pub mod snp_sim;
pub mod symbol;
pub mod testing;
pub mod tests;
pub mod tpm;

/// Everything about QEMU: see the crate's own documentation.
pub use plinth_qemu as qemu;
