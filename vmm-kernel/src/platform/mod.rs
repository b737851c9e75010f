//! What stands between a vCPU and the platform: backends, each in a folder of its own. The objects of
//! [`guest`](crate::guest) use the one that the kernel is built for: [`backend`].

#[cfg(not(target_os = "none"))]
pub mod snp;
pub mod svm;

/// The backend that this kernel is built for. A backend gives what the rest of the kernel takes from here:
///
/// - `NEEDED`: what it needs of a processor; `start` and `init_cpu`: once at boot and once on each processor;
///   `Unsupported` says why not;
/// - `IMAGE`, `marks`: which images it takes, and how page-table entries tell private pages from shared ones;
///   `accept_memory`: called for each range of memory before it is used for the first time;
///   `trusted_tsc_hz`: a clock that is not the host's;
/// - `vcpu::BackendVcpu`: a vCPU's registers by group, events, windows, and the entry;
/// - `vcpu::AddressSpace`: which guest memory that vCPU runs in; `nested::flags`: how a page of it is mapped;
/// - `exit::Exit`: whose an exit is, and `state::LoadError`: why registers are refused;
/// - the entry code of `SYS_RUN`, `sys_run_entry` and `sys_run_entry_guarded`, which calls `sys_run` and
///   `sys_run_resume` of `abi::sys_run` for what it cannot do at once;
/// - on the host, `fuzz_target`: what a fuzzer does with its registers.
pub use svm as backend;
