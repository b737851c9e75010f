//! A processor: its area, what becomes of an interrupt, and its return to order.
#![allow(unsafe_code, reason = "the entry code hands over the processor's area by address")]

use super::entry::end_round;
use super::machine::{self, Order, read, write};
use super::random::Random;
use super::{apic, layout as l, paging, report, rounds, tables, watch};

/// A processor's area begins with this. The assembly knows the first fields.
#[repr(C)]
pub struct Cpu {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15 of the next snippet.
    pub registers: [u64; 16],
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub ss: u64,
    pub ds: u64,
    pub es: u64,
    /// 0 in the supervisor, 1 in a snippet, 2 in one that is not in long mode.
    pub in_snippet: u64,
    /// Of snippets that are not in long mode.
    pub cr0: u64,
    pub cr3: u64,
    pub cr4: u64,
    /// IDTR's limit is in the last two bytes of the first word.
    pub idt_operand: [u64; 2],
    pub index: u64,
    pub random: Random,
    pub rounds: u64,
    /// PM timer at the snippet's beginning.
    pub began: u32,
    /// Interrupts and single steps that this snippet has had.
    pub events: u64,
    /// What the present race still has to do; see `races`.
    pub race: super::races::Running,
    /// Registers at the end of the last snippet.
    pub ended: Frame,
    pub counts: Counts,
    /// What is known of the other processor, and when the time was looked at last.
    pub other: watch::Other,
    pub looked: u32,
    /// The supervisor lets interrupts come just now, and how many have come of each vector.
    pub window: u64,
    pub received: [u8; 256],
}

/// What happened, for the report.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Counts {
    pub exceptions: u64,
    pub interrupts: u64,
    pub nmis: u64,
    pub restarts: u64,
    pub watched: u64,
    pub checks: u64,
    pub races: u64,
    pub vectors: u32,
}

/// The registers that the stubs push.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Frame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// More of them in one snippet end it.
const MOST_EVENTS: u64 = 100;
const RESUME: u64 = 1 << 16;
const INTERRUPTS: u64 = 1 << 9;

impl Cpu {
    pub fn area(&self) -> u64 {
        l::CPU_AREA + self.index * l::CPU_AREA_BYTES
    }

    /// Whether what happens has a snippet to blame.
    fn is_in_snippet(&self) -> bool {
        read::<u64>((&raw const self.in_snippet) as u64) != 0
    }

    /// Sets whether interrupts may come in the supervisor. Handlers look at it behind the compiler's back.
    pub fn set_window(&mut self, open: bool) {
        write((&raw const self.window) as u64, u64::from(open));
    }

    /// Whether so many interrupts came in this round that one which did not come may still be behind them.
    pub fn is_flooded(&self) -> bool {
        read::<u64>((&raw const self.events) as u64) > MOST_EVENTS
    }

    fn has_window(&self) -> bool {
        read::<u64>((&raw const self.window) as u64) != 0
    }
}

/// Prepares a processor's area.
pub fn prepare(index: u64, seed: u64) {
    let area = l::CPU_AREA + index * l::CPU_AREA_BYTES;
    for stack in 0..6 {
        write(area + l::INTERRUPT_STACKS + stack * l::INTERRUPT_STACK_BYTES, area);
    }
    // SAFETY: the area is this processor's, which does not run yet, and zeros make a Cpu.
    let cpu = unsafe { &mut *(area as *mut Cpu) };
    cpu.index = index;
    cpu.random = Random::new(seed ^ index << 56);
    tables::describe(area);
    paging::map(area);
}

/// Control registers and tables as the supervisor needs them.
pub fn put_in_order(area: u64) {
    let root = area + l::ROOT;
    Order { root, gdt: area + l::GDT, idt: l::IDT, task: l::TASK as u16 }.restore();
}

/// The first processor's first round.
pub fn first_round(index: u64) -> ! {
    // SAFETY: the area is this processor's, and was prepared.
    recover(unsafe { &mut *((l::CPU_AREA + index * l::CPU_AREA_BYTES) as *mut Cpu) })
}

/// The stubs' interrupt. Returns to go on where it came.
pub extern "C" fn handle(frame: &mut Frame, cpu: &mut Cpu) {
    let vector = frame.vector & 0xff;
    cpu.counts.vectors |= 1 << vector.min(31);
    match vector {
        2 => {
            cpu.counts.nmis += 1;
            if !cpu.is_in_snippet() {
                if watch::is_stuck(cpu) {
                    report::trust(cpu.index);
                }
                return;
            }
            if !watch::is_overdue(cpu) {
                return;
            }
            cpu.counts.watched += 1;
        }
        l::END_VECTOR => (),
        32.. => {
            cpu.counts.interrupts += 1;
            apic::end_interrupt();
            cpu.events += 1;
            if !cpu.is_in_snippet() {
                if cpu.events > MOST_EVENTS {
                    // A line that a snippet has left active comes again as soon as it is over.
                    frame.rflags &= !INTERRUPTS;
                }
                return rounds::record_interrupt(cpu, vector);
            }
            if cpu.events < MOST_EVENTS && !watch::is_overdue(cpu) {
                return;
            }
        }
        // Single steps and breakpoints.
        1 | 3 => {
            cpu.events += 1;
            frame.rflags |= RESUME;
            if cpu.events < MOST_EVENTS || !cpu.is_in_snippet() {
                return;
            }
        }
        _ => {
            cpu.counts.exceptions += 1;
            // A snippet may have asked for an interrupt with an exception's vector, which comes only now.
            if !cpu.is_in_snippet() && !cpu.has_window() {
                report::unexpected(cpu, frame);
            }
        }
    }
    cpu.ended = *frame;
    recover(cpu)
}

/// After a snippet that left long mode, and at a processor's start.
pub extern "C" fn come_back(cpu: &mut Cpu) -> ! {
    cpu.counts.restarts += u64::from(cpu.in_snippet != 2);
    cpu.ended = Frame::default();
    apic::end_all_interrupts();
    recover(cpu)
}

/// Puts everything in order that the snippet may have changed, and begins the next round.
fn recover(cpu: &mut Cpu) -> ! {
    let area = cpu.area();
    write((&raw const cpu.in_snippet) as u64, 0u64);
    cpu.set_window(false);
    // An LTR wants a task that is not busy; what is in the tables may have been changed by the other
    // processor.
    tables::restore(area);
    put_in_order(area);
    if cpu.random.once_in(4) {
        paging::restore(area);
    }
    if cpu.random.once_in(8) {
        apic::restore(cpu.index);
        machine::write_msr(0xc000_0080, 0xd00);
    }
    end_round(cpu)
}

/// The next round.
pub extern "C" fn begin_round(cpu: &mut Cpu) -> ! {
    cpu.rounds += 1;
    cpu.events = 0;
    rounds::round(cpu)
}
