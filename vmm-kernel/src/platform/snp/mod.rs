//! The SEV-SNP backend: Plinth at VMPL0 of a confidential virtual machine. What there is of it needs no
//! machine
//! (docs/snp.md), and is in no kernel yet.
//!
//! - [`word`]: the MSR protocol of the GHCB, for what comes before there is a page for calls;
//! - [`ghcb`]: calls by that page;
//! - [`cpuid_table`]: what CPUID returns, from the launch's page;
//! - [`secrets`]: the launch's secrets;
//! - [`pages`]: which pages are validated, and which are shared.

pub mod cpuid_table;
pub mod ghcb;
pub mod pages;
pub mod secrets;
#[cfg(test)]
mod testing;
pub mod word;
