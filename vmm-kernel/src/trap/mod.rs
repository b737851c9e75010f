//! What an exception or interrupt means: the entry code of `cpu::interrupts` says only that it came.
#![allow(unsafe_code, reason = "two functions are called by name from the entry code")]

mod exceptions;

use crate::cpu::interrupts::Frame;
use crate::cpu::{io_apic, local_apic, masked_time, masking};
use crate::event::{host_lines, messages};
use crate::life;
use crate::memory::shootdown;
use crate::task::scheduler;

/// What the entry code calls for every vector but the paranoid ones. Interrupts are off.
#[unsafe(no_mangle)]
extern "C" fn handle_trap(frame: &mut Frame) {
    let vector = frame.vector as u8;
    let begins = masking::allowed_in(frame);
    if begins {
        masked_time::begin_as(masked_time::TRAP | u32::from(vector));
    }
    if vector < 32 {
        exceptions::handle(frame);
    } else {
        handle_interrupt(vector);
    }
    // An interrupt of the kernel's goes back to where it came from: the kernel is not preempted.
    if frame.is_user() {
        life::before_user();
    }
    if begins {
        masked_time::end();
    }
}

/// What the entry code calls for the vectors that may come at any instruction.
#[unsafe(no_mangle)]
extern "C" fn handle_paranoid_trap(frame: &mut Frame) {
    exceptions::handle_anywhere(frame);
}

fn handle_interrupt(vector: u8) {
    match vector {
        local_apic::TIMER_VECTOR => {
            // Before it is handled, here and below: on the way back to user mode another thread may get the
            // processor, and until the end of this interrupt none of its class or a lower one would come.
            local_apic::end_of_interrupt();
            scheduler::timer_fired();
        }
        local_apic::KICK_VECTOR => {
            local_apic::end_of_interrupt();
            scheduler::kicked();
        }
        // It is not in service: an EOI would end another interrupt (Intel SDM volume 3, 12.9).
        local_apic::SPURIOUS_VECTOR => {}
        _ => {
            local_apic::end_of_interrupt();
            handle_rare_interrupt(vector);
        }
    }
}

#[cold]
fn handle_rare_interrupt(vector: u8) {
    let line = vector.wrapping_sub(io_apic::FIRST_VECTOR);
    if vector == local_apic::FORGET_VECTOR {
        shootdown::asked();
    } else if line < io_apic::LINES {
        host_lines::interrupt(line);
    } else if messages::is_one(vector) {
        messages::interrupt(vector);
    } else {
        log::warn!("the host sent an interrupt on vector {vector:#x}, which nothing asked for");
    }
}
