//! Virtual machines and processors, as the ABI knows them. What depends on the platform is its backend's.

pub mod run_cache;
pub mod vcpu;
pub mod vm;
