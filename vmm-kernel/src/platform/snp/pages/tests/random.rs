//! Random sequences of what the kernel asks for and of what a hostile host does meanwhile, beside a model
//! that was written a second time.

use super::*;

/// Sequences, and steps of each.
const SEQUENCES: u64 = 1_000_000;
const STEPS: u32 = 10;
/// Pages that the sequences are about: few, so that they meet.
const FEW: u64 = 6;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % below
    }
}

/// What a page is in the reverse map, and what of it the kernel has done.
#[derive(Clone, Copy, Debug, Default)]
struct Truth {
    is_private: bool,
    is_valid: bool,
    /// The kernel has validated it, or the launch, and it was not given up since.
    is_claimed: bool,
    /// The host may have written what is in it.
    is_dirty: bool,
}

/// The processor and its host.
#[derive(Default)]
struct World {
    pages: [Truth; FEW as usize],
    refuses: bool,
    /// The host says that it has changed pages, and has not.
    lies: bool,
    /// How often something was done.
    calls: u64,
}

impl World {
    fn page(&mut self, gfn: u64) -> &mut Truth {
        &mut self.pages[gfn as usize]
    }

    /// The host takes a page away, or puts another one there.
    fn attack(&mut self, gfn: u64, is_private: bool) {
        let page = self.page(gfn);
        (page.is_private, page.is_valid, page.is_dirty) = (is_private, false, true);
    }
}

impl Platform for World {
    fn change(&mut self, gfns: Range<u64>, operation: PageOperation) -> bool {
        self.calls += 1;
        if self.refuses {
            return false;
        }
        for gfn in gfns {
            let lies = self.lies;
            let page = self.page(gfn);
            assert!(!page.is_claimed, "the host is given a page that is in use: {gfn}");
            if !lies {
                let is_private = operation == PageOperation::Private;
                (page.is_private, page.is_valid, page.is_dirty) = (is_private, false, true);
            }
        }
        true
    }

    fn validate(&mut self, gfn: u64, is_valid: bool) -> Validation {
        self.calls += 1;
        let page = self.page(gfn);
        if is_valid {
            assert!(!page.is_claimed, "a second validation of {gfn}");
        }
        // An access that the host does not resolve, which then never ends: here it fails.
        if !page.is_private {
            return Validation::Failed(1);
        }
        let changes = page.is_valid != is_valid;
        (page.is_valid, page.is_claimed) = (is_valid, is_valid);
        if changes { Validation::Changed } else { Validation::Unchanged }
    }

    fn clear(&mut self, gfn: u64) {
        self.calls += 1;
        let page = self.page(gfn);
        assert!(page.is_valid, "{gfn} is cleared and is not validated");
        page.is_dirty = false;
    }
}

/// What the kernel believes of a page, written a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Belief {
    Untouched,
    Private,
    Shared,
}

struct Run {
    pages: Small,
    world: World,
    beliefs: [Belief; FEW as usize],
    ended: Option<Violation>,
}

impl Run {
    fn new() -> Self {
        let beliefs = [Belief::Untouched; FEW as usize];
        Self { pages: Small::new(), world: World::default(), beliefs, ended: None }
    }

    fn believe(&mut self, gfn: u64, belief: Belief) -> Belief {
        core::mem::replace(&mut self.beliefs[gfn as usize], belief)
    }

    fn belief(&self, gfn: u64) -> Belief {
        self.beliefs[gfn as usize]
    }

    /// The outcome of an operation: the first failure ends all, and after it nothing is done.
    fn outcome<T>(&mut self, calls: u64, result: Result<T, Violation>) -> Option<T> {
        if let Some(ended) = self.ended {
            assert_eq!((result.err(), self.world.calls), (Some(ended), calls));
            return None;
        }
        self.ended = result.as_ref().err().copied();
        result.ok()
    }

    fn step(&mut self, random: &mut Random) {
        let (gfn, calls) = (random.next(FEW), self.world.calls);
        let what = random.next(8);
        let fits = match what {
            0 => self.belief(gfn) == Belief::Untouched,
            3 => self.belief(gfn) != Belief::Shared,
            4 => self.belief(gfn) == Belief::Shared,
            _ => true,
        };
        // What can only fail is tried as well, but seldom, or few sequences would come far.
        if !fits && random.next(16) != 0 {
            return;
        }
        match what {
            0 => {
                let result = self.pages.launched(gfn..gfn + 1);
                if self.outcome(calls, result).is_some() {
                    assert_eq!(self.believe(gfn, Belief::Private), Belief::Untouched);
                    // Before the first instruction, with pages that only the firmware has seen.
                    *self.world.page(gfn) =
                        Truth { is_private: true, is_valid: true, is_claimed: true, is_dirty: false };
                }
            }
            1 | 2 => {
                let gfns = gfn..gfn + random.next((FEW - gfn).min(2)) + 1;
                let result = self.pages.accept(gfns.clone(), &mut self.world);
                if let Some(new) = self.outcome(calls, result) {
                    let untouched = gfns.clone().filter(|gfn| self.belief(*gfn) == Belief::Untouched);
                    assert_eq!(new, untouched.count() as u64);
                    for gfn in gfns {
                        assert_ne!(self.believe(gfn, Belief::Private), Belief::Shared);
                    }
                }
            }
            3 => {
                let result = self.pages.share(gfn, &mut self.world);
                if self.outcome(calls, result).is_some() {
                    assert_ne!(self.believe(gfn, Belief::Shared), Belief::Shared);
                    assert!(!self.world.page(gfn).is_valid);
                }
            }
            4 => {
                let result = self.pages.unshare(gfn, &mut self.world);
                if self.outcome(calls, result).is_some() {
                    assert_eq!(self.believe(gfn, Belief::Private), Belief::Shared);
                    let page = *self.world.page(gfn);
                    assert!(page.is_valid && !page.is_dirty, "{gfn}: {page:?}");
                }
            }
            5 if random.next(6) == 0 => self.world.attack(gfn, random.next(2) == 0),
            6 => (self.world.refuses, self.world.lies) = (random.next(16) == 0, random.next(16) == 0),
            _ => self.touch(gfn),
        }
        self.check();
    }

    /// The kernel accesses a page that it believes to be private.
    fn touch(&mut self, gfn: u64) {
        if self.belief(gfn) == Belief::Private && !self.world.page(gfn).is_valid {
            let expected = *self.ended.get_or_insert(Violation::TakenAway(gfn));
            assert_eq!(self.pages.not_validated(gfn), expected);
        }
    }

    fn check(&mut self) {
        if self.ended.is_some() {
            return;
        }
        for (gfn, belief) in (0..).zip(self.beliefs) {
            assert_eq!(self.pages.is_validated(gfn), belief == Belief::Private, "{gfn}");
            assert_eq!(self.pages.is_shared(gfn), belief == Belief::Shared, "{gfn}");
        }
    }
}

/// As many as issue 13 asks for; the interpreter gets fewer.
#[test]
fn a_million_sequences_hold_no_second_validation() {
    let sequences = if cfg!(miri) { 50 } else { SEQUENCES };
    let mut ends = 0;
    for seed in 0..sequences {
        let (mut run, mut random) = (Run::new(), Random(seed));
        for _ in 0..STEPS {
            run.step(&mut random);
        }
        ends += u64::from(run.ended.is_some());
    }
    // Neither do all of them end early, nor do all go well: both ways are tried.
    assert!((sequences / 10..sequences * 9 / 10).contains(&ends), "{ends}");
}
