//! The subcommands, a module each: its options, and `run`.

pub mod abi;
pub mod bench;
pub mod chaos;
pub mod decoder_cost;
pub mod fuzz;
pub mod inspect;
pub mod lying_hosts;
pub mod mutants;
pub mod profile;
pub mod run;
pub mod soak;
pub mod test;
pub mod tpm;
