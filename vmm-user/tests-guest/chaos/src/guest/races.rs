//! Races: processor 0 runs a few instructions again and again while processor 1 changes what they are, or
//! what they need.
//!
//! Whatever the order in which a processor sees the changes, user code must not reach the port next to the
//! one it was given, nor read or write the frame that is mapped for the supervisor only, nor write the page
//! that is mapped read-only.

use super::code::Code;
use super::cpu::Cpu;
use super::entry::{end_round, enter};
use super::layout as l;
use super::machine::{in8, invalidate, out8, read, write};
use super::random::Random;
use super::shared::{self, Flag};
use super::{report, watch};

/// The race that a processor is in, 0 for none.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Running {
    kind: u64,
    left: u64,
    began: u32,
    hpet: u32,
}

impl Running {
    pub fn is_on(&self) -> bool {
        self.kind != 0
    }
}

/// Code that is changed while user code executes it; the same with a port it may use; page tables; the I/O
/// permission map; a data segment's descriptor; code of the supervisor.
const CODE: u64 = 1;
const PORTS: u64 = 2;
const PAGES: u64 = 3;
const PERMISSIONS: u64 = 4;
const DESCRIPTOR: u64 = 5;
const PRIVILEGED: u64 = 6;
const KINDS: u64 = 6;

/// COM1's scratch register: whoever reaches it leaves a trace, and nothing else happens. The one below it is
/// read-only.
const SCRATCH_PORT: u16 = 0x3ff;
const ALLOWED_PORT: u16 = 0x3fe;
const CANARY: u8 = 0xa5;
/// What all of the secret frame holds.
const SECRET: u32 = 0x5ec4_e7a1;
/// What the page that is read-only holds.
const CONSTANT: u32 = 0x00c0_ffee;

/// Pages of the playground: code, the secret, data, what is read-only, and the one whose entry changes.
const CODE_PAGE: u64 = l::RACE_PAGE;
const SECRET_PAGE: u64 = l::RACE_PAGE + 1;
const DATA_PAGE: u64 = l::RACE_PAGE + 2;
const CONSTANT_PAGE: u64 = l::RACE_PAGE + 3;
const CHANGING_PAGE: u64 = l::RACE_PAGE + 4;
const ABSENT: u64 = 0xd000_0000;
/// Offset of the instruction that changes: eight bytes, written at once.
const SLOT: u64 = 16;
const TIMES: u64 = 60;
const RACE_TICKS: u32 = (watch::TICKS_PER_SECOND / 20) as u32;

/// A processor may fetch the first byte of one and the rest of another: `mov [rdi - 70h], ebp`, for example,
/// which writes below the page that changes.
const USER_CODE: &[&[u8]] = &[
    &[0x8b, 0x07],
    &[0x89, 0x07],
    &[0x89, 0x6f],
    &[0xa5],
    &[0xa4],
    &[0x6e],
    &[0x6f],
    &[0xf3, 0x6e],
    &[0x6c],
    &[0x6d],
    &[0xec],
    &[0xee],
    &[0xef],
    &[0xf0, 0x48, 0x0f, 0xc7, 0x0f],
    &[0xf0, 0x0f, 0xc7, 0x0f],
    &[0x0f, 0xa2],
    &[0xab],
    &[0xf3, 0xab],
    &[0x0f, 0x11, 0x07],
    &[0x86, 0x07],
    &[0xf0, 0x0f, 0xc1, 0x07],
    &[0x44, 0x0f, 0x22, 0xc0],
    &[0x0f, 0x32],
    &[0x0f, 0x30],
    &[0xf4],
    &[0x0f, 0x01, 0xd1],
    &[0xff, 0x07],
    &[0x0f, 0xb1, 0x0f],
    &[0x66, 0x6f],
    &[0x0f, 0x01, 0xf7],
    &[0x8e, 0x07],
    &[0xfa],
    &[0x0f, 0x09],
];
const PORT_CODE: &[&[u8]] = &[
    &[0xee],
    &[0xec],
    &[0x6e],
    &[0x6c],
    &[0x6f],
    &[0x6d],
    &[0x66, 0x6f],
    &[0x66, 0x6d],
    &[0xef],
    &[0xed],
    &[0x66, 0xef],
    &[0xf3, 0x6e],
    &[0xf3, 0x6f],
    &[0x67, 0x6f],
    &[0x48, 0x6f],
    &[0x8b, 0x07],
];
const MEMORY_CODE: &[&[u8]] = &[
    &[0x8b, 0x07],
    &[0x89, 0x07],
    &[0xa5],
    &[0xad],
    &[0xab],
    &[0xf3, 0xa5],
    &[0x87, 0x07],
    &[0xf0, 0x0f, 0xc1, 0x07],
    &[0x0f, 0x10, 0x07],
    &[0x0f, 0x11, 0x07],
    &[0x03, 0x07],
    &[0x01, 0x07],
    &[0xf0, 0x0f, 0xb1, 0x0f],
    &[0x6d],
    &[0x6f],
    &[0xa7],
];
const KERNEL_CODE: &[&[u8]] = &[
    &[0x0f, 0xa2],
    &[0x66, 0x0f, 0xa2],
    &[0x0f, 0x32],
    &[0x48, 0x0f, 0x32],
    &[0x44, 0x0f, 0x22, 0xc0],
    &[0x44, 0x0f, 0x20, 0xc0],
    &[0xec],
    &[0x6c],
    &[0xee],
    &[0x6e],
    &[0x8b, 0x07],
    &[0x89, 0x07],
    &[0x0f, 0x01, 0xd1],
    &[0x0f, 0x09],
    &[0xfb, 0xfa],
    &[0x0f, 0x06],
    &[0xf0, 0x48, 0x0f, 0xc7, 0x0f],
    &[0x0f, 0x00, 0xc0],
    &[0xd9, 0x07],
];

/// What is executed at one time: eight bytes.
fn slot(random: &mut Random, list: &[&[u8]]) -> u64 {
    let mut bytes = [0x90; 8];
    for (byte, instruction) in bytes.iter_mut().zip(random.pick(list)) {
        *byte = *instruction;
    }
    u64::from_le_bytes(bytes)
}

fn instructions(kind: u64) -> &'static [&'static [u8]] {
    match kind {
        CODE => USER_CODE,
        PORTS | PERMISSIONS => PORT_CODE,
        PRIVILEGED => KERNEL_CODE,
        _ => MEMORY_CODE,
    }
}

fn frame(page: u64) -> u64 {
    l::PLAYGROUND + page * 0x1000
}

/// Processor 0 asks for a race and waits for processor 1 to take part.
pub fn begin(cpu: &mut Cpu) -> ! {
    let kind = 1 + cpu.random.below(KINDS);
    shared::set(Flag::RaceSeed, cpu.random.next());
    shared::set(Flag::Race, kind);
    let began = watch::ticks();
    while shared::get(Flag::Racing) != kind {
        if watch::ticks().wrapping_sub(began) > RACE_TICKS {
            shared::set(Flag::Race, 0);
            end_round(cpu);
        }
    }
    prepare(cpu, kind);
    let hpet = if kind == PAGES { read(l::HPET) } else { SECRET };
    cpu.race = Running { kind, left: TIMES, began: watch::ticks(), hpet };
    cpu.counts.races += 1;
    again(cpu)
}

/// Makes memory and port as they have to stay. Processor 1 takes part already: before, its last snippet could
/// have changed them.
fn prepare(cpu: &mut Cpu, kind: u64) {
    for word in (0..0x1000).step_by(4) {
        write(frame(SECRET_PAGE) + word, SECRET);
        write(frame(CONSTANT_PAGE) + word, CONSTANT);
        write(frame(DATA_PAGE) + word, 0u32);
    }
    super::paging::restore(cpu.area());
    map(CHANGING_PAGE, ABSENT | 7);
    map(SECRET_PAGE, frame(SECRET_PAGE) | 3);
    map(CONSTANT_PAGE, frame(CONSTANT_PAGE) | 5);
    write::<u8>(cpu.area() + l::TSS + 0x68 + 0x3fe / 8, if kind == PORTS { 0xbf } else { 0xff });
    out8(SCRATCH_PORT - 4, 3); // the line control register: no divisor latch
    out8(SCRATCH_PORT, CANARY);
    write_code(cpu, kind);
}

fn map(page: u64, entry: u64) {
    write(l::USER_TABLE + page * 8, entry);
    invalidate(l::USER + page * 0x1000);
}

/// The loop: the instruction, a look at EAX, and the operands anew.
fn write_code(cpu: &mut Cpu, kind: u64) {
    let at = frame(CODE_PAGE);
    let mut code = Code::new(at, 256);
    code.bytes(&[0x45, 0x31, 0xf6, 0x41, 0xbf]); // xor r14d, r14d; mov r15d, ...
    code.u32(40);
    code.bytes(&[0x90; 7]);
    code.u64(slot(&mut cpu.random, instructions(kind)));
    code.byte(0x3d); // cmp eax, ...
    code.u32(SECRET);
    code.bytes(&[0x74, 0x32]); // je, to where it says so
    code.bytes(&[0x44, 0x39, 0xe8, 0x74, 0x2d]); // cmp eax, r13d; je
    code.bytes(&[0x4c, 0x89, 0xe7, 0x4c, 0x89, 0xde]); // mov rdi, r12; mov rsi, r11
    code.bytes(&[0x44, 0x89, 0xd2, 0x44, 0x89, 0xc9]); // mov edx, r10d; mov ecx, r9d
    code.bytes(&[0x31, 0xc0, 0xfc, 0x41, 0xff, 0xcf]); // xor eax, eax; cld; dec r15d
    let back = (at + SLOT).wrapping_sub(code.here() + 6) as u32;
    code.bytes(&[0x0f, 0x85]); // jnz
    code.u32(back);
    code.finish();
    while code.here() < at + SLOT + 8 + 5 + 2 + 0x32 {
        code.byte(0x90);
    }
    code.bytes(&[0x41, 0xbe]); // mov r14d, 1
    code.u32(1);
    code.finish();
}

/// Enters the loop once more.
fn again(cpu: &mut Cpu) -> ! {
    let kind = cpu.race.kind;
    let user = |page: u64| l::USER + page * 0x1000;
    let (port, count) = match kind {
        PORTS | PERMISSIONS => (u64::from(ALLOWED_PORT), 2),
        PRIVILEGED => (0x80, 0xc000_0102),
        PAGES => (0x80, 3),
        _ => (u64::from(SCRATCH_PORT), 3),
    };
    let (to, from) = match (kind, cpu.random.below(3)) {
        (CODE, _) => (CHANGING_PAGE, DATA_PAGE),
        (PORTS | PERMISSIONS, 0) => (SECRET_PAGE, DATA_PAGE),
        (PORTS | PERMISSIONS | PRIVILEGED, _) => (DATA_PAGE, DATA_PAGE),
        (_, 0) => (DATA_PAGE, CHANGING_PAGE),
        _ => (CHANGING_PAGE, DATA_PAGE),
    };
    cpu.registers = [0; 16];
    let registers = [(1, count), (2, port), (4, user(DATA_PAGE) + 0xf00), (6, user(from)), (7, user(to))];
    let kept = [(9, count), (10, port), (11, user(from)), (12, user(to)), (13, u64::from(cpu.race.hpet))];
    for (register, value) in registers.into_iter().chain(kept) {
        cpu.registers[register] = value;
    }
    let privileged = kind == PRIVILEGED;
    cpu.rip = if privileged { l::KERNEL } else { l::USER } + CODE_PAGE * 0x1000;
    (cpu.cs, cpu.ss) =
        if privileged { (l::KERNEL_CODE, l::KERNEL_DATA) } else { (l::USER_CODE, l::USER_DATA) };
    cpu.ds = if kind == DESCRIPTOR { l::RANDOM_DESCRIPTORS | 3 } else { l::USER_DATA };
    cpu.es = cpu.ds;
    if kind == DESCRIPTOR {
        // 32-bit code, in which the segment counts; its REX prefixes are DECs and INCs there, and the loop
        // runs once.
        cpu.cs = l::USER_CODE_32;
        cpu.rip += SLOT;
    }
    cpu.rflags = 0x202;
    cpu.began = watch::ticks();
    enter(cpu)
}

/// After the loop: what was not to happen has not, and on.
pub fn continue_with(cpu: &mut Cpu) -> ! {
    check(cpu);
    cpu.race.left -= 1;
    if cpu.race.left > 0 && watch::ticks().wrapping_sub(cpu.race.began) < RACE_TICKS {
        again(cpu);
    }
    shared::set(Flag::Race, 0);
    cpu.race = Running::default();
    write::<u8>(cpu.area() + l::TSS + 0x68 + 0x3fe / 8, 0xff);
    end_round(cpu)
}

fn check(cpu: &Cpu) {
    let kind = cpu.race.kind;
    if kind == PRIVILEGED {
        return;
    }
    let seen = harm(cpu);
    // Once processor 1 does something else, its snippets may write what is looked at here; it says so before.
    if let (Some(harm), true) = (seen, shared::get(Flag::Race) == kind) {
        report::wrong(cpu.index, harm, kind << 32 | cpu.ended.rip & 0xfff);
    }
}

/// What user code has done that it must not do, if anything.
fn harm(cpu: &Cpu) -> Option<&'static str> {
    if in8(SCRATCH_PORT) != CANARY {
        out8(SCRATCH_PORT, CANARY);
        return Some("user code reached a port that it may not");
    }
    if cpu.ended.vector == l::END_VECTOR && cpu.ended.r14 == 1 {
        return Some("user code read what it may not");
    }
    for word in (0..0x1000).step_by(4) {
        if read::<u32>(frame(SECRET_PAGE) + word) != SECRET {
            return Some("user code wrote what it may not");
        }
        if read::<u32>(frame(CONSTANT_PAGE) + word) != CONSTANT {
            return Some("user code wrote a read-only page");
        }
        if read::<u32>(frame(DATA_PAGE) + word) == SECRET {
            return Some("user code moved what it may not read");
        }
    }
    None
}

/// Processor 1: changes things while a race is on.
pub fn take_part(cpu: &mut Cpu) {
    let kind = shared::get(Flag::Race);
    if kind == 0 {
        return;
    }
    let mut random = Random::new(shared::get(Flag::RaceSeed));
    let began = watch::ticks();
    shared::set(Flag::Racing, kind);
    let mut turns = 0u64;
    while shared::get(Flag::Race) == kind {
        change(kind, &mut random);
        for _ in 0..random.below(64) {
            super::machine::pause();
        }
        turns += 1;
        if turns.is_multiple_of(64) && watch::ticks().wrapping_sub(began) > 3 * RACE_TICKS {
            break;
        }
    }
    shared::set(Flag::Race, 0);
    shared::set(Flag::Racing, 0);
    cpu.counts.races += 1;
}

fn change(kind: u64, random: &mut Random) {
    match kind {
        PAGES => {
            let entry = random.pick(&[
                ABSENT | 7,
                ABSENT | 7,
                frame(SECRET_PAGE) | 3,
                frame(SECRET_PAGE) | 1,
                l::HPET | 1,
                0,
                frame(CONSTANT_PAGE) | 5,
                ABSENT | 7 | 1 << 51,
            ]);
            write(l::USER_TABLE + CHANGING_PAGE * 8, entry);
        }
        PERMISSIONS => {
            let map = l::CPU_AREA + l::TSS + 0x68 + 0x3fe / 8;
            write::<u8>(map, random.pick(&[0xff, 0xbf]));
        }
        DESCRIPTOR => {
            let descriptor = random.pick(&[
                0x00cf_f300_0000_ffffu64,
                0x0040_f300_0000_0000,
                0x00cf_7300_0000_ffff,
                0x00cf_9300_0000_ffff,
            ]);
            write(l::CPU_AREA + l::GDT + l::RANDOM_DESCRIPTORS, descriptor);
        }
        _ => write(frame(CODE_PAGE) + SLOT, slot(random, instructions(kind))),
    }
}
