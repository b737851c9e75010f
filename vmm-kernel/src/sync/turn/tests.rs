use std::sync::atomic::{AtomicU64, Ordering};

use super::{Taken, Turn};

const FOR_EVER: fn(u64) -> bool = |_| true;

#[test]
fn one_at_a_time() {
    static TURN: Turn = Turn::new();
    static INSIDE: AtomicU64 = AtomicU64::new(0);
    let rounds = if cfg!(miri) { 50 } else { 20_000 };
    std::thread::scope(|scope| {
        for processor in 0..3 {
            scope.spawn(move || {
                for _ in 0..rounds {
                    TURN.with(processor, FOR_EVER, |taken| {
                        assert_eq!(taken, Taken::Free);
                        assert_eq!(INSIDE.fetch_add(1, Ordering::Relaxed), 0, "another is there");
                        INSIDE.fetch_sub(1, Ordering::Relaxed);
                    });
                }
            });
        }
    });
}

#[test]
fn the_holder_does_not_wait_for_itself() {
    let turn = Turn::new();
    let inner = turn.with(7, FOR_EVER, |_| {
        let inner = turn.with(7, FOR_EVER, |taken| taken);
        // What was nested has not given away the turn of what it came into.
        assert_eq!(turn.with(8, |_| false, |taken| taken), Taken::Impatient);
        inner
    });
    assert_eq!(inner, Taken::Nested);
    assert_eq!(turn.with(8, |_| false, |taken| taken), Taken::Free);
}

#[test]
fn patience_ends() {
    let turn = Turn::new();
    turn.with(0, FOR_EVER, |_| {
        let asked = AtomicU64::new(0);
        let taken = turn.with(
            1,
            |looks| {
                asked.store(looks, Ordering::Relaxed);
                looks < 100
            },
            |taken| taken,
        );
        assert_eq!((taken, asked.into_inner()), (Taken::Impatient, 100));
    });
}
