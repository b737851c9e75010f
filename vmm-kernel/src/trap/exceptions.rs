//! Processor exceptions: a fault of a process ends it; a fault of the kernel is a bug and ends the machine,
//! saying where.

use x86_64::registers::control::Cr2;

use crate::cpu::interrupts::Frame;
use crate::cpu::{exception_names, this_cpu_number};
use crate::life;
use crate::memory::user_copy;
use crate::platform::backend;
use crate::task::process::EndCause;
use crate::task::scheduler;
use crate::{console, machine};

const NMI: u64 = 2;
const DEVICE_NOT_AVAILABLE: u64 = 7;
const PAGE_FAULT: u64 = 14;
/// An instruction needs the host (#VC).
const HOST_CALL: u64 = 29;

/// The address of a page fault; nothing for other exceptions.
fn fault_address(frame: &Frame) -> u64 {
    if frame.vector == PAGE_FAULT { Cr2::read_raw() } else { 0 }
}

/// An exception other than those of [`handle_anywhere`].
pub fn handle(frame: &mut Frame) {
    if frame.is_user() {
        // It has asked for the FPU, and another's registers were in it meanwhile: the instruction is executed
        // once more.
        if frame.vector == DEVICE_NOT_AVAILABLE && scheduler::give_fpu_back() {
            return;
        }
        let address = fault_address(frame);
        life::end_current(EndCause::Fault {
            vector: frame.vector as u8,
            rip: frame.rip,
            address,
            error_code: frame.error_code,
        });
        return;
    }
    // Only page faults: the addresses were checked to be a user's, so nothing else can come of them.
    if frame.vector == PAGE_FAULT
        && let Some(fixup) = user_copy::fixup(frame.rip)
    {
        frame.rip = fixup;
        return;
    }
    die(frame);
}

/// NMI, debug exception, double fault, machine check, #HV, #VC: may have interrupted any instruction of the
/// kernel.
pub fn handle_anywhere(frame: &mut Frame) {
    match frame.vector {
        // Another processor ends the machine; else an NMI has no meaning for us: the host may send as many as
        // it likes.
        NMI => machine::stop_if_ended(),
        1 if frame.is_user() => {
            // A process may single-step itself into here; there is no debugger, so the flag is taken from it.
            frame.rflags &= !(1 << 8);
        }
        HOST_CALL => {
            if !backend::host_call(frame) {
                die(frame);
            }
        }
        _ => die(frame),
    }
}

/// Prints the registers and stops the machine.
fn die(frame: &Frame) -> ! {
    let [rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15] = frame.gpr;
    console::last_words(format_args!(
        "{} (vector {}) in the kernel on cpu{}, error code {:#x}, address {:#x}",
        exception_names::name(frame.vector),
        frame.vector,
        this_cpu_number(),
        frame.error_code,
        fault_address(frame)
    ));
    log::error!(
        "rip {:#018x} cs {:#x} rflags {:#x} rsp {:#018x} ss {:#x}",
        frame.rip,
        frame.cs,
        frame.rflags,
        frame.rsp,
        frame.ss
    );
    log::error!("rax {rax:#018x} rbx {rbx:#018x} rcx {rcx:#018x} rdx {rdx:#018x}");
    log::error!("rsi {rsi:#018x} rdi {rdi:#018x} rbp {rbp:#018x} r8  {r8:#018x}");
    log::error!("r9  {r9:#018x} r10 {r10:#018x} r11 {r11:#018x} r12 {r12:#018x}");
    log::error!("r13 {r13:#018x} r14 {r14:#018x} r15 {r15:#018x}");
    machine::end(machine::End::KernelPanic)
}
