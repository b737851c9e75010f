//! What stands between a vCPU and the platform: backends, each in a folder of its own. The objects of
//! [`guest`](crate::guest) use the one that the kernel is built for: [`backend`]. On the host, where parts of
//! the kernel are tested, all are there, and that is SVM.

#[cfg(any(feature = "snp", not(target_os = "none")))]
pub mod snp;
#[cfg(not(all(feature = "snp", target_os = "none")))]
pub mod svm;

/// The backend that this kernel is built for. A backend gives what the rest of the kernel takes from here:
///
/// - `NEEDED`: what it needs of a processor; `start` and `init_cpu`: once at boot and once on each processor;
///   `Unsupported` says why not;
/// - `IMAGE`, `marks`: which images it takes, and how page-table entries tell private pages from shared ones;
///   `begin`: called when the image is known to be one, before anything is asked of the host;
///   `accept_memory`: called for each range of memory before it is used for the first time;
///   `trusted_tsc_hz`: a clock that is not the host's; `HAS_HOST_CLOCKS` and `CPUS_MAX`: what of the host's
///   the kernel uses;
/// - `host_call`: called for the exception by which a platform says that an instruction needs the host;
///   `end_machine`: called at the machine's end;
/// - `vcpu::BackendVcpu`: a vCPU's registers by group, events, windows, and the entry;
/// - `vcpu::AddressSpace`: which guest memory that vCPU runs in; `nested::flags`: how a page of it is mapped;
/// - `exit::Exit`: whose an exit is, and `state::LoadError`: why registers are refused;
/// - the entry code of `SYS_RUN`, `sys_run_entry` and `sys_run_entry_guarded`, which calls `sys_run` and
///   `sys_run_resume` of `abi::sys_run` for what it cannot do at once;
/// - on the host, `fuzz_target`: what a fuzzer does with its registers.
#[cfg(all(feature = "snp", target_os = "none"))]
pub use snp as backend;
#[cfg(not(all(feature = "snp", target_os = "none")))]
pub use svm as backend;
