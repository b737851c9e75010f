//! What the guest says, on COM1, and its end.
#![allow(unsafe_code, reason = "looks at the other processor's counts")]

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use super::cpu::{Counts, Cpu, Frame};
use super::layout::{CPU_AREA, CPU_AREA_BYTES};
use super::machine::{self, out8, out16};
use super::shared::{self, Flag};
use super::{apic, entry};

const COM1: u16 = 0x3f8;
/// PM1a control: S5, by SLP_TYP and SLP_EN.
const POWER_CONTROL: u16 = 0x604;
const POWER_OFF: u16 = 7 << 10 | 1 << 13;

struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| out8(COM1, byte));
        Ok(())
    }
}

/// One processor speaks at a time; one that was called away while it spoke is not waited for.
static SPEAKS: AtomicBool = AtomicBool::new(false);

fn say(text: fmt::Arguments<'_>) {
    for _ in 0..100_000 {
        if !SPEAKS.swap(true, Ordering::Acquire) {
            break;
        }
        machine::pause();
    }
    // Whatever was done to the UART: no interrupts, eight bits, no loop.
    out8(COM1 + 3, 3);
    out8(COM1 + 1, 0);
    out8(COM1 + 4, 3);
    let _ = writeln!(Serial, "chaos: {text}");
    SPEAKS.store(false, Ordering::Release);
}

pub fn begin(seed: u64) {
    say(format_args!("seed {seed} begins"));
}

pub fn second(seconds: u64) {
    say(format_args!("{seconds} s, rounds {} {}", shared::get(Flag::Rounds0), shared::get(Flag::Rounds1)));
}

/// Privileged code reaches the supervisor too: one that it has damaged is no judge any more, and ends.
pub fn trust(index: u64) {
    if index > 1 || entry::sum() != shared::get(Flag::Sum) {
        say(format_args!("the supervisor was damaged"));
        machine::triple_fault()
    }
}

/// Something that no processor does.
pub fn wrong(index: u64, what: &str, detail: u64) {
    trust(index);
    shared::set(Flag::Wrong, 1);
    say(format_args!("WRONG: processor {index}: {what}: {detail:#x}"));
}

/// What the local APIC says of a vector that did not come.
pub fn apic(vector: u64) {
    let word = |base: u64| apic::register(base + (vector >> 5) * 0x10);
    say(format_args!(
        "  spurious {:#x} priorities {:#x} {:#x}, of the vector's 32: in service {:#x}, requested {:#x}",
        apic::register(0xf0),
        apic::register(0x80),
        apic::register(0xa0),
        word(0x100),
        word(0x200)
    ));
}

/// An exception in the supervisor itself, which it never causes.
pub fn unexpected(cpu: &Cpu, frame: &Frame) -> ! {
    trust(cpu.index);
    say(format_args!(
        "WRONG: processor {}: vector {} error {:#x} at {:#x} (cs {:#x} rflags {:#x} rsp {:#x}) in the \
         supervisor",
        cpu.index, frame.vector, frame.error, frame.rip, frame.cs, frame.rflags, frame.rsp
    ));
    shared::set(Flag::Wrong, 1);
    done()
}

pub fn panicked() -> ! {
    trust(0);
    say(format_args!("WRONG: the guest itself panicked"));
    machine::triple_fault()
}

/// The last words.
pub fn done() -> ! {
    for index in 0..2 {
        // SAFETY: the area is there; counts that change meanwhile are only shown.
        let counts: Counts =
            machine::read(
                unsafe { &raw const (*((CPU_AREA + index * CPU_AREA_BYTES) as *const Cpu)).counts } as u64,
            );
        let Counts { exceptions, interrupts, nmis, restarts, watched, checks, races, vectors } = counts;
        say(format_args!(
            "processor {index}: exceptions {exceptions} (vectors {vectors:#x}) interrupts {interrupts} \
             nmis {nmis} restarts {restarts} watched {watched} checks {checks} races {races}"
        ));
    }
    let rounds = (shared::get(Flag::Rounds0), shared::get(Flag::Rounds1));
    let word = if shared::get(Flag::Wrong) == 0 { "done" } else { "ends, and something was WRONG" };
    say(format_args!("{word}, rounds {} {}, repairs {}", rounds.0, rounds.1, shared::get(Flag::Repairs)));
    for _ in 0..1000 {
        out16(POWER_CONTROL, POWER_OFF);
    }
    machine::triple_fault()
}
