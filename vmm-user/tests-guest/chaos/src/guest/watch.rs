//! Time, and what becomes of a processor that no longer goes on: the PIT sends both an NMI, by the I/O APIC,
//! twenty times a second; and each looks at the other's rounds.
//!
//! A snippet reaches all that this depends on: the PIT by its ports, I/O APIC and HPET by their pages. So
//! both processors look in every round whether it still is as it has to be, and repair what is not.

use core::sync::atomic::{AtomicU32, Ordering};

use super::cpu::Cpu;
use super::layout::HPET;
use super::machine::{in8, in32, out8, pause, read, write};
use super::shared::{self, Flag};
use super::{apic, entry, report, tables};

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
    restart_pit();
    restore();
}

/// When a processor began to put things in order, with the lowest bit set; 0 while none does. I/O APIC and
/// PIT take several accesses for one thing, so only one processor does it at a time.
static TURN: AtomicU32 = AtomicU32::new(0);
/// A processor that was called away during its turn is not waited for.
const TURN_TICKS: u32 = (TICKS_PER_SECOND / 10) as u32;

/// Does something for which a processor has to be alone, unless the other one is doing such a thing.
///
/// Afterwards the I/O APIC's window shows its version, which cannot be written: a snippet that writes there
/// without selecting a register does no harm.
fn alone(body: impl FnOnce()) {
    let now = ticks() | 1;
    let held = TURN.load(Ordering::Acquire);
    let is_free = held == 0 || now.wrapping_sub(held) > TURN_TICKS;
    if is_free && TURN.compare_exchange(held, now, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
        body();
        apic::select_io_version();
        TURN.store(0, Ordering::Release);
    }
}

/// Puts in order what snippets may have changed of the watch and of the way back from real mode.
pub fn restore() {
    alone(|| {
        let repairs = restore_pit() + restore_io_apic() + restore_hpet();
        let repairs = repairs + entry::place_low_code() + tables::describe_real_mode();
        if repairs != 0 {
            shared::set(Flag::Repairs, shared::get(Flag::Repairs) + repairs);
        }
    });
}

/// Masks the inputs of the I/O APIC that are not the watch's.
pub fn mask_lines() {
    const MASKED: u32 = 1 << 16;
    alone(|| {
        for low in (0..24).filter(|pin| *pin != PIT_PIN).map(|pin| 0x10 + 2 * pin) {
            if apic::io_register(low) & MASKED == 0 {
                apic::set_io_register(low, MASKED);
            }
        }
    });
}

/// Counter 0's mode, as the PIT's read-back command tells it: both bytes, mode 2 (8254, "Read-Back Command").
fn restore_pit() -> u64 {
    const STATUS_OF_0: u8 = 0xe2;
    const IS_NULL_OR_OUT: u8 = 0xc0;
    out8(0x43, STATUS_OF_0);
    if in8(0x40) & !IS_NULL_OR_OUT == PIT_MODE {
        return 0;
    }
    restart_pit();
    1
}

const PIT_MODE: u8 = 0x34;

fn restart_pit() {
    out8(0x43, PIT_MODE);
    let count = 1_193_182 / 20;
    out8(0x40, (count & 0xff) as u8);
    out8(0x40, (count >> 8) as u8);
}

fn restore_io_apic() -> u64 {
    let low = 0x10 + 2 * PIT_PIN;
    // Bit 12 says that it is being sent just now.
    if apic::io_register(low) & !(1 << 12) == NMI_TO_ALL && apic::io_register(low + 1) >> 24 == 0xff {
        return 0;
    }
    apic::set_io_register(low + 1, 0xff << 24);
    apic::set_io_register(low, NMI_TO_ALL);
    1
}

/// With the HPET's legacy routes, the PIT interrupts nobody.
fn restore_hpet() -> u64 {
    const CONFIGURATION: u64 = HPET + 0x10;
    let configuration: u32 = read(CONFIGURATION);
    if configuration & 2 == 0 {
        return 0;
    }
    write(CONFIGURATION, configuration & !2);
    1
}

/// Whether this processor's snippet has had its time.
pub fn is_overdue(cpu: &Cpu) -> bool {
    ticks().wrapping_sub(cpu.began) > SNIPPET_TICKS
}

/// Whether the supervisor has been at the same round for longer than any round takes.
pub fn is_stuck(cpu: &Cpu) -> bool {
    ticks().wrapping_sub(cpu.began) > 10 * TICKS_PER_SECOND as u32
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
    restore();
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
        apic::start(1 - cpu.index);
    }
}
