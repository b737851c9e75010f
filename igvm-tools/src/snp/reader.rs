//! What an IGVM file has for SEV-SNP: the crate `plinth-snp-file`, which the simulator uses as well, with
//! tests that take a builder of files.

pub use plinth_snp_file::*;

#[cfg(test)]
pub(crate) mod tests;
