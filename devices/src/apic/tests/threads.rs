//! Posting from several threads: nothing is lost, and no kick that is needed.

extern crate std;

use super::*;
use crate::apic::InterruptMessage;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

/// Wakes the one owner there is, as a kernel would: a kick before it sleeps keeps it from sleeping.
struct Wake<'a> {
    owner: &'a thread::Thread,
    kicked: &'a AtomicBool,
    kicks: &'a AtomicU32,
}

impl Kick for Wake<'_> {
    fn kick(&mut self, _: usize) {
        self.kicks.fetch_add(1, Ordering::Relaxed);
        self.kicked.store(true, Ordering::Release);
        self.owner.unpark();
    }
}

/// Each sender posts its vector again as soon as the owner has taken it. A lost post or a lost kick hangs the
/// test; the owner sleeps until kicked.
#[test]
fn posts_and_kicks_are_not_lost() {
    const ROUNDS: u32 = 20_000;
    const SENDERS: usize = 3;
    let mut machine = Machine::xapic(1);
    let (kicked, kicks) = (AtomicBool::new(false), AtomicU32::new(0));
    let taken: [AtomicU32; SENDERS] = Default::default();
    let owner = thread::current();
    let apics = machine.apics.clone();
    thread::scope(|scope| {
        for (sender, taken) in taken.iter().enumerate() {
            let (apics, mut wake) = (apics.clone(), Wake { owner: &owner, kicked: &kicked, kicks: &kicks });
            scope.spawn(move || {
                let message = InterruptMessage::from_msi(0xfee0_0000, 0x40 + sender as u32).unwrap();
                for round in 0..ROUNDS {
                    assert!(apics.deliver(&message, &mut wake));
                    while taken.load(Ordering::Acquire) == round {
                        thread::yield_now();
                    }
                }
            });
        }
        let mut total = 0;
        while total < ROUNDS * SENDERS as u32 {
            while let Some(vector) = machine.local[0].pending_interrupt() {
                machine.local[0].acknowledge(vector);
                machine.store(0, spec::EOI, 0);
                taken[usize::from(vector) - 0x40].fetch_add(1, Ordering::Release);
                total += 1;
            }
            while total < ROUNDS * SENDERS as u32 && !kicked.swap(false, Ordering::Acquire) {
                thread::park();
            }
        }
    });
    assert!(kicks.into_inner() <= ROUNDS * SENDERS as u32);
}
