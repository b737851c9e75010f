//! The SEV-SNP backend: Plinth at VMPL0 of a confidential virtual machine. docs/snp.md says what of it there
//! is.
//!
//! Each of these is without a machine, and tested on the host:
//!
//! - [`word`]: the MSR protocol of the GHCB, for what comes before there is a page for calls;
//! - [`ghcb`]: calls by that page;
//! - [`cpuid_table`]: what CPUID returns, from the launch's page;
//! - [`secrets`]: the launch's secrets;
//! - [`status`]: what SEV_STATUS may show;
//! - [`vmsa_page`], [`state`], [`exit`]: a vCPU's registers, and why it stopped;
//! - [`offer`]: interrupts that wait for the guest;
//! - [`rights`]: what a guest may do with a page;
//! - [`pages`]: which pages are validated, and which are shared.

#[cfg(target_os = "none")]
mod accounts;
#[cfg(target_os = "none")]
mod backend;
#[cfg(target_os = "none")]
mod begin;
#[cfg(target_os = "none")]
mod calls;
pub mod cpuid_table;
#[cfg(target_os = "none")]
mod enter;
#[cfg(target_os = "none")]
mod exception;
pub mod exit;
#[cfg(not(target_os = "none"))]
pub mod fuzz_target;
pub mod ghcb;
#[cfg(target_os = "none")]
mod host;
#[cfg(target_os = "none")]
pub mod nested;
pub mod offer;
pub mod pages;
pub mod rights;
pub mod secrets;
pub mod state;
pub mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod testing_vcpu;
#[cfg(target_os = "none")]
pub mod vcpu;
pub mod vmsa_page;
pub mod word;

#[cfg(target_os = "none")]
pub use self::{
    backend::{
        CPUS_MAX, HAS_HOST_CLOCKS, IMAGE, NEEDED, Unsupported, accept_memory, init_cpu, marks, start,
        trusted_tsc_hz,
    },
    begin::begin,
    exception::host_call,
    host::end_machine,
};
