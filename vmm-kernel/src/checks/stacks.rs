//! How much of the kernel's stacks was never used: they are painted when they are mapped, and looked at in
//! the end.
#![allow(unsafe_code, reason = "looks at stacks as memory")]

use super::ON;
use crate::sync::SpinLock;

/// What no code leaves on a stack.
const PAINT: u64 = 0x57ac_cafe_57ac_cafe;
/// Threads' and processors'.
const STACKS_MAX: usize = 512;

/// Whose a stack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A thread's.
    Thread,
    /// A processor's while it has none to run.
    Idle,
    /// For NMI, machine check, double fault and debug exceptions.
    Interrupt,
}

#[derive(Clone, Copy)]
struct Stack {
    kind: Kind,
    bottom: u64,
    bytes: u64,
}

struct Stacks {
    known: [Option<Stack>; STACKS_MAX],
}

static STACKS: SpinLock<Stacks> = SpinLock::new(Stacks { known: [None; STACKS_MAX] });

/// Paints a new stack.
///
/// # Safety
/// It is mapped for ever, and nobody uses it yet.
pub unsafe fn paint(kind: Kind, bottom: u64, bytes: u64) {
    if !ON {
        return;
    }
    for at in (bottom..bottom + bytes).step_by(8) {
        // SAFETY: the caller's promise.
        unsafe { (at as *mut u64).write_volatile(PAINT) };
    }
    if let Some(place) = STACKS.lock().known.iter_mut().find(|place| place.is_none()) {
        *place = Some(Stack { kind, bottom, bytes });
    }
}

fn left(stack: &Stack) -> u64 {
    let words = stack.bytes / 8;
    // SAFETY: stacks stay mapped; volatile, as one of them is in use.
    let is_painted =
        |index: u64| unsafe { (stack.bottom as *const u64).add(index as usize).read_volatile() } == PAINT;
    (0..words).find(|index| !is_painted(*index)).unwrap_or(words) * 8
}

/// Logs how much of the deepest stack of each kind is left. Nothing while one is being painted: the machine
/// may end by a fault just then, on this processor.
pub fn report() {
    let Some(stacks) = STACKS.try_lock().filter(|_| ON) else { return };
    for kind in [Kind::Thread, Kind::Idle, Kind::Interrupt] {
        let stacks = stacks.known.iter().flatten().filter(|stack| stack.kind == kind);
        if let Some((least, bytes)) = stacks.map(|stack| (left(stack), stack.bytes)).min() {
            log::info!("stacks: {kind:?}: {least} of {bytes} bytes were never used");
        }
    }
}
