//! A vCPU that is ready, so that its next run is entered at once, and what ends that behind its thread's
//! back: another process's turn, a timer, an interrupt that waits for the guest to take it.
#![allow(unsafe_code, reason = "run pages and guest memory at addresses of our choice")]

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use runtime::abi::exit::reason;
use runtime::abi::operation::ProcessState;
use runtime::abi::registers::{EventInjection, Groups, Segment, event_kind};
use runtime::abi::run_page::window;
use runtime::abi::status::Status;
use runtime::{Start, call, process, syscall, thread};

use crate::child::{self, Child};
use crate::runs;
use crate::suite::Suite;
use crate::vm::Machine;

/// out 80h, al; and again. Behind it, a jump to itself.
const PORT_LOOP: &[u8] = &[0xe6, 0x80, 0xeb, 0xfc, 0xeb, 0xfe];
const SPIN: u64 = 4;
/// How often the other process has its turn.
const TURNS: u32 = 2000;

/// out 80h, al; sti; nop; out 81h, al; and that again
const TAKES_INTERRUPTS: &[u8] = &[0xe6, 0x80, 0xfb, 0x90, 0xe6, 0x81, 0xeb, 0xfc];
/// out 82h, al; iret
const HANDLER: &[u8] = &[0xe6, 0x82, 0xcf];
const HANDLER_AT: u64 = 0x20;
const VECTOR: u8 = 0x40;
/// The guest's page, where its code, its table of handlers and its stack are.
const PAGE: u64 = 0xd_0000;
const TABLE: u64 = 0x100;
const STACK: u64 = 0x800;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let code = named_by_a_stranger(suite);
    suite.check(code == Ok(0), format_args!("another process names the handle of what is ready: {code:?}"));
    if suite.cpus > 1 {
        let exit = deadline_after_a_timer(suite);
        suite.check(exit == Ok(reason::DEADLINE), format_args!("a deadline behind a timer: {exit:?}"));
    }
    for order in [Order::Together, Order::WindowFirst] {
        let exits = window_behind_an_interrupt(suite, order);
        let expected = Ok([Exit::Port(0x80), Exit::Port(0x82), Exit::Other(reason::INTERRUPT_WINDOW)]);
        suite.check(exits == expected, format_args!("an interrupt and a window, {order:?}: {exits:x?}"));
    }
}

/// The child: at each of its turns it names a handle that it does not have.
pub fn stranger(start: &Start) -> u32 {
    let handle = child::number(start, "handle");
    for _ in 0..TURNS {
        syscall::yield_now();
        // SAFETY: the kernel refuses it.
        let (status, _) = unsafe { syscall::raw_run(handle) };
        if Status::from_code(status as i32) != Some(Status::BadHandle) {
            return 1;
        }
    }
    0
}

/// Two processes by turns, one with a vCPU that is ready, the other without any.
fn named_by_a_stranger(suite: &Suite<'_>) -> Result<u32, Status> {
    let machine = Machine::new(suite.system, 0, PORT_LOOP)?;
    machine.run(u64::MAX)?;
    let child = Child::new(suite, "stranger")?.set("handle", machine.vcpu).start(0, 2)?;
    while call(child.handle, ProcessState::default())?.state != 2 {
        machine.step()?;
        syscall::yield_now();
    }
    let code = child.join(suite)?.code;
    process::close(machine.vcpu)?;
    process::close(machine.vm)?;
    Ok(code)
}

/// On the second processor, where nobody sleeps: the timer, armed for the end of a thread's turn, comes while
/// that thread computes. The deadline of its next run, which nobody has changed, still ends that.
fn deadline_after_a_timer(suite: &Suite<'_>) -> Result<u32, Status> {
    let cpu = suite.cpus - 1;
    let machine = Machine::new(suite.system, cpu, PORT_LOOP)?;
    let (exit, says) = (Arc::new(AtomicU32::new(reason::NONE)), Arc::new(AtomicU32::new(0)));
    let (vm, vcpu, page, text) = (machine.vm, machine.vcpu, machine.page as u64, machine.text);
    let (tells, until, turn) = (exit.clone(), suite.in_us(400_000), suite.ticks_us * 30_000);
    thread::spawn(cpu, 1, move || {
        let machine = Machine { vm, vcpu, page: page as *mut _, text };
        let first = machine.run(until);
        // An equal thread: with two of them there are turns, which the timer ends.
        let _ = thread::spawn(cpu, 1, move || says.store(1, Ordering::SeqCst));
        let steps = [(); 3].map(|()| machine.step());
        let computed = syscall::tsc() + turn;
        while syscall::tsc() < computed {
            core::hint::spin_loop();
        }
        // SAFETY: the run page is this thread's while the vCPU does not run.
        unsafe { (*machine.page).exit.next_rip = SPIN };
        let last = machine.step();
        let holds = first == Ok(reason::PORT) && steps == [Ok(reason::PORT); 3];
        tells.store(last.ok().filter(|_| holds).unwrap_or(reason::END), Ordering::SeqCst);
    })?;
    runs::until(suite, || exit.load(Ordering::SeqCst) != reason::NONE)?;
    process::close(vcpu)?;
    process::close(vm)?;
    Ok(exit.load(Ordering::SeqCst))
}

/// What the VMM marks: both at once, or the interrupt when the window is known already.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Together,
    WindowFirst,
}

/// An exit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Exit {
    /// OUT to this port.
    Port(u64),
    /// For this reason.
    Other(u32),
}

fn exit(machine: &Machine, reason: Result<u32, Status>) -> Result<Exit, Status> {
    // SAFETY: the run page is ours while the vCPU does not run.
    let qualification = unsafe { (*machine.page).exit.qualification };
    Ok(match reason? {
        reason::PORT => Exit::Port(qualification >> 16),
        other => Exit::Other(other),
    })
}

/// A guest with interrupts off gets an interrupt, and an exit is asked for when it can take the next: that
/// is when the handler of the first one is done, and not before.
fn window_behind_an_interrupt(suite: &Suite<'_>, order: Order) -> Result<[Exit; 3], Status> {
    let machine = Machine::new(suite.system, 0, TAKES_INTERRUPTS)?;
    HANDLER.iter().zip(HANDLER_AT..).for_each(|(byte, at)| machine.put(at, *byte));
    let handler = (PAGE << 12 | HANDLER_AT) as u32;
    let entry = TABLE + u64::from(VECTOR) * 4;
    handler.to_le_bytes().iter().zip(entry..).for_each(|(byte, at)| machine.put(at, *byte));
    let event = EventInjection { kind: event_kind::INTERRUPT, vector: VECTOR, ..EventInjection::default() };
    // SAFETY: the run page is ours while the vCPU does not run.
    unsafe {
        let page = machine.page;
        (*page).system.ss =
            Segment { selector: (PAGE >> 4) as u16, attributes: 0x93, limit: 0xffff, base: PAGE };
        (*page).general.gpr[4] = STACK;
        (*page).segments.idtr = Segment { limit: 0x3ff, base: PAGE + TABLE, ..Segment::default() };
        (*page).window = window::OPEN;
        (*page).injection = event;
        (*page).dirty |= Groups::SEGMENTS.bits();
        if order == Order::Together {
            (*page).dirty |= Groups::INJECTION.bits();
        }
    }
    let mut first = exit(&machine, machine.run(u64::MAX))?;
    if order == Order::WindowFirst {
        // Nothing waits yet. The OUT is executed once more, with the interrupt loaded.
        // SAFETY: as above.
        unsafe { (*machine.page).dirty |= Groups::INJECTION.bits() };
        first = exit(&machine, machine.again())?;
    }
    let exits = [first, exit(&machine, machine.step())?, exit(&machine, machine.step())?];
    process::close(machine.vcpu)?;
    process::close(machine.vm)?;
    Ok(exits)
}
