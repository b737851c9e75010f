//! What an SEV-SNP processor, the AMD secure processor and a host do, as a library for a simulator: nothing
//! here knows how memory and vCPUs are reached.
//!
//! | module | models |
//! |---|---|
//! | [`rmp`] | the reverse map table, and the instructions that change it |
//! | [`access`] | the checks of each access of memory |
//! | [`vc`] | which exits are automatic, which are #VC, which are reflected |
//! | [`deliver`] | an exception's way through the guest's IDT |
//! | [`ghcb`] | the host's side of VMGEXIT |
//! | [`vmsa`] | a vCPU's save area: entered, left, busy |
//! | [`sp`] | the AMD secure processor: launch, guest messages, attestation |
//!
//! Rules have their source beside them, as in `plinth-snp-abi`; where public sources leave one open, the
//! comment says so, and `docs/snp-sim.md` lists it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod access;
pub mod deliver;
pub mod ghcb;
pub mod rmp;
pub mod sp;
pub mod vc;
pub mod vmsa;

#[cfg(test)]
mod tests;
