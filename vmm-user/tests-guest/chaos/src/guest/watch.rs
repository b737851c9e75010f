//! Time, and what becomes of a processor that no longer goes on: the PIT sends both an NMI, by the I/O APIC,
//! twenty times a second; and each looks at the other's rounds.

use super::cpu::Cpu;
use super::machine::{in32, out8, pause};
use super::shared::{self, Flag};
use super::{apic, report};

/// The PM timer.
const TIMER_PORT: u16 = 0x608;
pub const TICKS_PER_SECOND: u64 = 3_579_545;
/// A snippet may run so long: the next NMI ends it.
const SNIPPET_TICKS: u32 = (TICKS_PER_SECOND / 40) as u32;
/// Without a round for so long, the other processor is started again.
const RESTART_TICKS: u32 = (TICKS_PER_SECOND / 3) as u32;
/// Without a round for so long in spite of all, something is wrong: the machine is slow, but not so slow.
const DEAD_TICKS: u32 = (TICKS_PER_SECOND * 60) as u32;
/// The I/O APIC's input of the PIT.
const PIT_PIN: u32 = 2;
const NMI_TO_ALL: u32 = 0x400;

pub fn ticks() -> u32 {
    in32(TIMER_PORT)
}

pub fn wait_us(us: u64) {
    let (began, ticks_wanted) = (ticks(), (us * TICKS_PER_SECOND / 1_000_000) as u32);
    while ticks().wrapping_sub(began) < ticks_wanted {
        pause();
    }
}

/// PIT channel 0 at 20 Hz, as an NMI to all.
pub fn start() {
    out8(0x21, 0xff);
    out8(0xa1, 0xff);
    restore();
}

/// Sets up what snippets may have changed of it.
pub fn restore() {
    out8(0x43, 0x34);
    let count = 1_193_182 / 20;
    out8(0x40, (count & 0xff) as u8);
    out8(0x40, (count >> 8) as u8);
    apic::set_io_register(0x10 + 2 * PIT_PIN + 1, 0xff << 24);
    apic::set_io_register(0x10 + 2 * PIT_PIN, NMI_TO_ALL);
}

/// Whether this processor's snippet has had its time.
pub fn is_overdue(cpu: &Cpu) -> bool {
    ticks().wrapping_sub(cpu.began) > SNIPPET_TICKS
}

/// What a processor remembers of the other.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Other {
    rounds: u64,
    since: u32,
    restarted: u32,
}

/// Looks at the other processor and at the time; ends the machine when that has come.
pub fn look(cpu: &mut Cpu) {
    let now = ticks();
    let (mine, others) =
        if cpu.index == 0 { (Flag::Rounds0, Flag::Rounds1) } else { (Flag::Rounds1, Flag::Rounds0) };
    shared::set(mine, cpu.rounds);
    look_at_other(cpu, now, shared::get(others));
    if cpu.index == 0 {
        let before = shared::get(Flag::Ticks);
        let passed = before + u64::from(now.wrapping_sub(cpu.looked));
        cpu.looked = now;
        shared::set(Flag::Ticks, passed);
        if passed / TICKS_PER_SECOND != before / TICKS_PER_SECOND {
            report::second(passed / TICKS_PER_SECOND);
        }
        if passed / TICKS_PER_SECOND >= shared::get(Flag::Seconds) {
            report::done();
        }
    }
}

fn look_at_other(cpu: &mut Cpu, now: u32, rounds: u64) {
    if rounds != cpu.other.rounds {
        cpu.other = Other { rounds, since: now, restarted: now };
        return;
    }
    let idle = now.wrapping_sub(cpu.other.since);
    if idle > DEAD_TICKS {
        report::wrong(cpu.index, "the other processor does not go on", rounds);
    }
    if now.wrapping_sub(cpu.other.restarted) > RESTART_TICKS {
        cpu.other.restarted = now;
        restore();
        apic::start(1 - cpu.index);
    }
}
