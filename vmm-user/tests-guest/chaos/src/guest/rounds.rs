//! What a round does: a snippet, a check, or a race.

use super::cpu::Cpu;
use super::entry::end_round;
use super::layout as l;
use super::machine::{halt_until_interrupt, open_window, read, set_priority, write};
use super::{apic, instructions, legacy, paging, races, report, snippet, watch};

/// Vectors that only checks use: no snippet asks for one whose low digit is 7 (but by chance).
const CHECKED: [u64; 7] = [0x37, 0x47, 0x57, 0x87, 0xa7, 0xc7, 0xe7];

pub fn round(cpu: &mut Cpu) -> ! {
    if cpu.race.is_on() {
        races::continue_with(cpu);
    }
    watch::look(cpu);
    if cpu.index == 1 {
        races::take_part(cpu);
    }
    disturb(cpu);
    match cpu.random.below(64) {
        0..=1 if cpu.index == 0 => races::begin(cpu),
        2..=3 => check_interrupts(cpu),
        4..=5 => legacy::protected(cpu),
        // Real mode reaches all of the lowest megabyte, so one processor stays out of it, and puts that in
        // order again.
        6 if cpu.index == 1 && cpu.random.once_in(4) => legacy::real_mode(cpu),
        _ => snippet::run(cpu),
    }
}

/// Changes what both processors are using: page tables, and the code of the other.
fn disturb(cpu: &mut Cpu) {
    let area = cpu.area();
    for _ in 0..cpu.random.below(3) {
        paging::change(area, &mut cpu.random);
    }
    if cpu.random.once_in(2) {
        // Not that of privileged code: an LGDT or a MOV CR3 with another operand would end the machine.
        let page = (1 - cpu.index) * l::CODE_PAGES + l::USER_CODE_PAGE + cpu.random.below(l::USER_CODE_PAGES);
        let at = l::PLAYGROUND + page * 0x1000 + cpu.random.below(64);
        instructions::change(at, &mut cpu.random);
    }
}

/// An interrupt that came while the supervisor had its window open.
pub fn record_interrupt(cpu: &mut Cpu, vector: u64) {
    write(&raw const cpu.received as u64 + vector, 1u8);
}

/// An interrupt to itself comes when CR8 and RFLAGS.IF let it, and not before.
fn check_interrupts(cpu: &mut Cpu) -> ! {
    cpu.counts.checks += 1;
    apic::end_all_interrupts();
    apic::restore(cpu.index);
    watch::mask_lines();
    let vector = cpu.random.pick(&CHECKED);
    let class = vector >> 4;
    let priority = cpu.random.below(16);
    let halts = cpu.random.once_in(3);
    // A snippet may by chance have asked for the same vector, so once is not enough to call it wrong.
    let comes_early = (0..3).all(|_| sends(cpu, vector, priority, false).0);
    if class <= priority && comes_early {
        report::wrong(cpu.index, "an interrupt that its priority holds back came", vector << 8 | priority);
    }
    let (early, late) = sends(cpu, vector, priority, halts);
    if !early && !late && !cpu.is_flooded() {
        report::wrong(cpu.index, "an interrupt did not come", vector << 8 | priority);
        report::apic(vector);
    }
    end_round(cpu)
}

/// Sends a vector to itself with CR8 raised, and then lowers it: whether it came before, and whether behind
/// that.
fn sends(cpu: &mut Cpu, vector: u64, priority: u64, halts: bool) -> (bool, bool) {
    let received = &raw const cpu.received as u64 + vector;
    let came = || {
        let came = read::<u8>(received) != 0;
        write(received, 0u8);
        came
    };
    cpu.set_window(true);
    for _ in 0..16 {
        open_window();
    }
    came();
    set_priority(priority);
    apic::send_to_self(vector);
    for _ in 0..4 {
        open_window();
    }
    let early = came();
    if halts && !early {
        set_priority(0);
        halt_until_interrupt();
    }
    set_priority(0);
    let began = watch::ticks();
    let mut late = came();
    while !early
        && !late
        && !cpu.is_flooded()
        && watch::ticks().wrapping_sub(began) < 5 * watch::TICKS_PER_SECOND as u32
    {
        open_window();
        late = came();
    }
    cpu.set_window(false);
    (early, late)
}
