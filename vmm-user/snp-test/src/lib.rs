//! What a process finds on Plinth's kernel for SEV-SNP. It says whether all was as it should be, and ends the
//! machine so.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

use core::fmt;

use runtime::abi::operation::{Handle, SystemCpuid, SystemCreateVm, SystemEnd, VcpuCreate, end_reason};
use runtime::abi::run_page::PAGE_BYTES;
use runtime::abi::status::Status;
use runtime::{Start, call, heap};

/// The leaf of memory encryption (APM volume 3, E.4.17), and in its EAX that SEV-SNP is there.
const ENCRYPTION_LEAF: u32 = 0x8000_001f;
const SEV_SNP: u32 = 1 << 4;

/// What is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// A call.
    Call(&'static str, Status),
    /// CPUID is not what the kernel says of it, or says nothing of SEV-SNP.
    Cpuid(u32),
    /// There is a vCPU, which nothing runs.
    Vcpu(Result<(), Status>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(what, status) => write!(f, "{what}: {status}"),
            Self::Cpuid(eax) => write!(f, "CPUID of memory encryption is {eax:#x}"),
            Self::Vcpu(result) => write!(f, "a vCPU was not refused as it should be: {result:?}"),
        }
    }
}

/// The process.
pub fn program(start: &Start) -> u32 {
    let Some(system) = start.handle("system") else { return 1 };
    let result = check(system);
    match result {
        Ok(()) => log::info!("a process on SEV-SNP: all as it should be"),
        Err(failure) => log::error!("a process on SEV-SNP: {failure}"),
    }
    let reason = if result.is_ok() { end_reason::TESTS_PASSED } else { end_reason::TESTS_FAILED };
    let _ = call(system, SystemEnd { reason, reserved: 0 });
    1
}

fn check(system: Handle) -> Result<(), Failure> {
    // The instruction, which is an exception, against the kernel's word.
    let own = core::arch::x86_64::__cpuid(ENCRYPTION_LEAF);
    let asked = SystemCpuid { eax: ENCRYPTION_LEAF, ebx: 0, ecx: 0, edx: 0 };
    let said = call(system, asked).map_err(|status| Failure::Call("CPUID", status))?;
    if own.eax & SEV_SNP == 0 || [own.eax, own.ebx] != [said.eax, said.ebx] {
        return Err(Failure::Cpuid(own.eax));
    }
    let vm = call(system, SystemCreateVm::default()).map_err(|status| Failure::Call("a VM", status))?;
    let pages = 2 * PAGE_BYTES as u64;
    let address = heap::reserve(pages).ok_or(Failure::Call("addresses", Status::Exhausted))?;
    match call(vm.handle, VcpuCreate { address, cpu: 0, handle: 0 }).map(drop) {
        Err(Status::BadOperation) => Ok(()),
        other => Err(Failure::Vcpu(other)),
    }
}
