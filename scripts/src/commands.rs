//! The subcommands, a module each: its options, and `run`.

pub mod test;
