//! The subcommands, a module each: its options, and `run`.

pub mod run;
pub mod test;
