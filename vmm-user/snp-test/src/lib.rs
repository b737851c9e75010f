//! What a process finds on Plinth's kernel for SEV-SNP. It says whether all was as it should be, and ends the
//! machine so.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod guest;

use alloc::vec;
use core::fmt;

use runtime::abi::operation::{Handle, LogRead, SystemCpuid, SystemEnd, end_reason};
use runtime::abi::status::Status;
use runtime::{Start, call, host_serial};

/// The leaf of memory encryption (APM volume 3, E.4.17), and in its EAX that SEV-SNP is there.
const ENCRYPTION_LEAF: u32 = 0x8000_001f;
const SEV_SNP: u32 = 1 << 4;
/// How much of the log is looked at.
const LOG_BYTES: usize = 8192;
/// What the kernel logs of its pages.
const PAGES: &[u8] = b"SEV-SNP at VMPL0";

/// What is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// A call.
    Call(&'static str, Status),
    /// CPUID is not what the kernel says of it, or says nothing of SEV-SNP.
    Cpuid(u32),
    /// Memory at another address, another VM's memory, and its vCPU: one of them is to be had.
    NotRefused([Result<(), Status>; 3]),
    /// What a guest did has another exit: its reason, where, and whether it was a write.
    Exit(&'static str, (u32, u64, bool)),
    /// The kernel's log says nothing of this.
    NotLogged(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(what, status) => write!(f, "{what}: {status}"),
            Self::Cpuid(eax) => write!(f, "CPUID of memory encryption is {eax:#x}"),
            Self::NotLogged(what) => write!(f, "the log says nothing of {what:?}"),
            Self::NotRefused(results) => write!(f, "memory and vCPUs that should be refused: {results:?}"),
            Self::Exit(what, exit) => write!(f, "{what} comes to {exit:x?}"),
        }
    }
}

/// The process.
pub fn program(start: &Start) -> u32 {
    let Some(system) = start.handle("system") else { return 1 };
    let memory = start.handle("guest-memory").ok_or(Failure::Call("guest-memory", Status::BadHandle));
    let result = check(system).and_then(|()| guest::check(system, memory?)).and_then(|()| show_log(start));
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
    Ok(())
}

/// Copies the line about the pages from the kernel's log to the serial port, which is the host's.
fn show_log(start: &Start) -> Result<(), Failure> {
    let handle = |name| start.handle(name).ok_or(Failure::Call(name, Status::BadHandle));
    let (log, ports) = (handle("log")?, handle("serial-ports")?);
    let mut text = vec![0; LOG_BYTES];
    let (address, bytes) = (text.as_mut_ptr() as u64, text.len() as u64);
    let read = call(log, LogRead { from: 0, address, bytes, lost: 0, end: 0 });
    let read = read.map_err(|status| Failure::Call("the log", status))?;
    let text = text.get(..read.bytes as usize).unwrap_or_default();
    let line = text.split(|byte| *byte == b'\n').find(|line| line.windows(PAGES.len()).any(|at| at == PAGES));
    let line = line.ok_or(Failure::NotLogged("pages"))?;
    for byte in line.iter().chain(b"\r\n") {
        let write = host_serial::write(ports, host_serial::register::DATA, (*byte).into());
        write.map_err(|status| Failure::Call("the serial port", status))?;
    }
    Ok(())
}
