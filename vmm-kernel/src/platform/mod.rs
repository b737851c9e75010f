//! What stands between a vCPU and the platform. `vm` and `vcpu` are the objects that the ABI knows; `svm` is the backend they use.
//!
//! A backend gives: `init_cpu`, nested tables, state by register group, `enter`, and exits as neutral records.

pub mod svm;
pub mod vcpu;
pub mod vm;
