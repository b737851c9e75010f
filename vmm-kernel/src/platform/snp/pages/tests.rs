mod random;

use super::*;

/// Pages that the tests have.
const COUNT: u64 = 128;
type Small = Pages<{ COUNT as usize / 64 }>;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Did {
    Change(Range<u64>, PageOperation),
    Validate(u64, bool),
    Clear(u64),
}

/// A platform on which all goes well until something does not.
struct Recorder {
    did: Vec<Did>,
    refuses: bool,
    validation: Validation,
}

impl Recorder {
    const fn new() -> Self {
        Self { did: Vec::new(), refuses: false, validation: Validation::Changed }
    }
}

impl Platform for Recorder {
    fn change(&mut self, gfns: Range<u64>, operation: PageOperation) -> bool {
        self.did.push(Did::Change(gfns, operation));
        !self.refuses
    }

    fn validate(&mut self, gfn: u64, is_valid: bool) -> Validation {
        self.did.push(Did::Validate(gfn, is_valid));
        self.validation
    }

    fn clear(&mut self, gfn: u64) {
        self.did.push(Did::Clear(gfn));
    }
}

#[test]
fn what_the_launch_brought_is_not_validated_again() {
    let (mut pages, mut platform) = (Small::new(), Recorder::new());
    assert_eq!(pages.launched(2..4), Ok(()));
    assert_eq!(pages.accept(0..6, &mut platform), Ok(4));
    let private = PageOperation::Private;
    assert_eq!(
        platform.did,
        [
            Did::Change(0..2, private),
            Did::Validate(0, true),
            Did::Validate(1, true),
            Did::Change(4..6, private),
            Did::Validate(4, true),
            Did::Validate(5, true),
        ]
    );
    platform.did.clear();
    assert_eq!(pages.accept(0..6, &mut platform), Ok(0));
    assert_eq!(pages.accept(5..5, &mut platform), Ok(0));
    assert_eq!(platform.did, []);
    assert!((0..6).all(|gfn| pages.is_validated(gfn)) && !pages.is_validated(6));
}

#[test]
fn many_pages_are_asked_for_in_pieces() {
    let (mut pages, mut platform) = (Pages::<16>::new(), Recorder::new());
    assert_eq!(pages.accept(0..2 * AT_ONCE + 1, &mut platform), Ok(2 * AT_ONCE + 1));
    let changes: Vec<_> = platform.did.iter().filter(|did| matches!(did, Did::Change(..))).cloned().collect();
    let private = PageOperation::Private;
    assert_eq!(
        changes,
        [
            Did::Change(0..AT_ONCE, private),
            Did::Change(AT_ONCE..2 * AT_ONCE, private),
            Did::Change(2 * AT_ONCE..2 * AT_ONCE + 1, private)
        ]
    );
}

#[test]
fn sharing_and_back() {
    let (mut pages, mut platform) = (Small::new(), Recorder::new());
    pages.launched(7..8).unwrap();
    // One that was private, and one that nobody has accepted.
    assert_eq!((pages.share(7, &mut platform), pages.share(9, &mut platform)), (Ok(()), Ok(())));
    assert!([7, 9].into_iter().all(|gfn| pages.is_shared(gfn) && !pages.is_validated(gfn)));
    assert_eq!(pages.unshare(7, &mut platform), Ok(()));
    assert!(pages.is_validated(7) && !pages.is_shared(7));
    assert_eq!(
        platform.did,
        [
            Did::Validate(7, false),
            Did::Change(7..8, PageOperation::Shared),
            Did::Change(9..10, PageOperation::Shared),
            Did::Change(7..8, PageOperation::Private),
            Did::Validate(7, true),
            Did::Clear(7),
        ]
    );
}

#[test]
fn the_pool_has_an_end() {
    let (mut pages, mut platform) = (Small::new(), Recorder::new());
    for gfn in 0..SHARED_MAX as u64 {
        assert_eq!(pages.share(gfn, &mut platform), Ok(()));
    }
    platform.did.clear();
    assert_eq!(pages.share(100, &mut platform), Err(Violation::PoolEmpty));
    assert_eq!(platform.did, []);
}

/// One with pages 0 to 3 private and 8 shared.
fn used() -> Small {
    let mut pages = Small::new();
    pages.launched(0..4).unwrap();
    pages.share(8, &mut Recorder::new()).unwrap();
    pages
}

type Work = fn(&mut Small, &mut Recorder) -> Result<(), Violation>;

#[test]
fn what_does_not_go_as_it_must_is_the_end() {
    let failed = |gfn| Violation::Validate { gfn, code: 6 };
    let works: [(Work, bool, Validation, Violation); 15] = [
        (|p, _| p.launched(2..3), false, Validation::Changed, Violation::LaunchedTwice(2)),
        (|p, _| p.launched(8..9), false, Validation::Changed, Violation::LaunchedTwice(8)),
        (|p, _| p.launched(127..129), false, Validation::Changed, Violation::OutOfRange(129)),
        (|p, r| p.accept(0..129, r).map(drop), false, Validation::Changed, Violation::OutOfRange(129)),
        (|p, r| p.accept(5..10, r).map(drop), false, Validation::Changed, Violation::IsShared(8)),
        (|p, r| p.accept(3..6, r).map(drop), true, Validation::Changed, Violation::Refused(4)),
        (|p, r| p.accept(3..6, r).map(drop), false, Validation::Unchanged, Violation::WasValid(4)),
        (|p, r| p.accept(3..6, r).map(drop), false, Validation::Failed(6), failed(4)),
        (|p, r| p.share(u64::MAX, r), false, Validation::Changed, Violation::OutOfRange(u64::MAX)),
        (|p, r| p.share(8, r), false, Validation::Changed, Violation::IsShared(8)),
        (|p, r| p.share(1, r), true, Validation::Changed, Violation::Refused(1)),
        (|p, r| p.share(1, r), false, Validation::Unchanged, Violation::TakenAway(1)),
        (|p, r| p.unshare(1, r), false, Validation::Changed, Violation::NotShared(1)),
        (|p, r| p.unshare(8, r), true, Validation::Changed, Violation::Refused(8)),
        (|p, r| p.unshare(8, r), false, Validation::Unchanged, Violation::WasValid(8)),
    ];
    for (index, (work, refuses, validation, violation)) in works.into_iter().enumerate() {
        let (mut pages, mut platform) = (used(), Recorder { refuses, validation, ..Recorder::new() });
        assert_eq!(work(&mut pages, &mut platform), Err(violation), "{index}");
        // Nothing is cleared that may be another's, and nothing is done any more.
        assert!(!platform.did.iter().any(|did| matches!(did, Did::Clear(_))), "{index}");
        let mut after = Recorder::new();
        assert_eq!(pages.accept(20..21, &mut after), Err(violation), "{index}");
        assert_eq!(pages.share(1, &mut after), Err(violation), "{index}");
        assert_eq!(pages.unshare(8, &mut after), Err(violation), "{index}");
        assert_eq!(pages.launched(30..31), Err(violation), "{index}");
        assert_eq!(after.did, [], "{index}");
    }
}

#[test]
fn a_page_that_is_not_validated_is_the_end() {
    for (gfn, violation) in [
        (1, Violation::TakenAway(1)),
        (8, Violation::NeverAccepted(8)),
        (50, Violation::NeverAccepted(50)),
        (1 << 50, Violation::NeverAccepted(1 << 50)),
    ] {
        let mut pages = used();
        assert_eq!(pages.not_validated(gfn), violation);
        assert_eq!(pages.accept(20..21, &mut Recorder::new()), Err(violation));
        // The first one is what is said.
        assert_eq!(pages.not_validated(60), violation);
    }
}

#[test]
fn what_is_said_of_a_violation_names_the_page() {
    for (violation, words) in [
        (Violation::OutOfRange(0x11), "0x11 is beyond"),
        (Violation::LaunchedTwice(0x11), "0x11 was launched twice"),
        (Violation::IsShared(0x11), "0x11 is shared"),
        (Violation::NotShared(0x11), "0x11 is not shared"),
        (Violation::PoolEmpty, "more than 16"),
        (Violation::Refused(0x11), "state of the page 0x11"),
        (Violation::WasValid(0x11), "0x11 was valid before"),
        (Violation::TakenAway(0x11), "taken the page 0x11 away"),
        (Violation::NeverAccepted(0x11), "0x11 was used and never accepted"),
        (Violation::Validate { gfn: 0x11, code: 6 }, "0x11 can't be validated: PVALIDATE returns 6"),
    ] {
        assert!(violation.to_string().contains(words), "{violation}");
    }
}
