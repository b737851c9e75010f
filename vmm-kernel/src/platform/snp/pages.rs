//! Which pages are private and validated, and which are shared with the host.
//!
//! The firmware has validated what it launched, and the kernel validates the rest, each page once: a second
//! validation of a page that was not given up in between would let the host exchange what is in it (APM
//! volume 2, 15.36.6). So a bitmap has what has been validated, and decides; the processor is not asked. A
//! page is shared only out of a small pool, and what becomes private again is cleared. Whatever does not go
//! as it must is a [`Violation`]: of the host, or a bug. After one nothing more is done, and the machine
//! ends.

use core::fmt;
use core::ops::Range;

use plinth_snp_abi::ghcb::PageOperation;

/// The most pages that are shared at a time.
pub const SHARED_MAX: usize = 16;
/// The most pages that the host is asked for in one go: what the page for calls has room for.
pub const AT_ONCE: u64 = plinth_snp_abi::ghcb::MAX_ENTRIES as u64;

/// What PVALIDATE of a small page leaves (APM volume 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// The page is now as it was asked for.
    Changed,
    /// It was so before: the carry flag is set.
    Unchanged,
    /// A result that is not success.
    Failed(u32),
}

/// What is done to pages, by number of their frame.
pub trait Platform {
    /// Has the host make pages private, or shared. `false` if it says that it did not.
    fn change(&mut self, gfns: Range<u64>, operation: PageOperation) -> bool;
    /// PVALIDATE.
    fn validate(&mut self, gfn: u64, is_valid: bool) -> Validation;
    /// Clears a page that is private and validated.
    fn clear(&mut self, gfn: u64);
}

/// Why the machine can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A page lies beyond what is accounted for.
    OutOfRange(u64),
    /// The launch is said to have brought a page twice, or one that has been accepted.
    LaunchedTwice(u64),
    /// A page that is to be accepted, or is shared once more, is shared.
    IsShared(u64),
    /// A page that is to be private again is not shared.
    NotShared(u64),
    /// More pages are to be shared than the pool has.
    PoolEmpty,
    /// The host does not change the state of this page, or of some behind it.
    Refused(u64),
    /// A page was valid before it was validated: the host, or a bug, has another one there.
    WasValid(u64),
    /// A page that was validated is not valid any more: the host took it away, and perhaps put another there.
    TakenAway(u64),
    /// A page was accessed that was never accepted.
    NeverAccepted(u64),
    /// PVALIDATE failed.
    Validate {
        /// The page.
        gfn: u64,
        /// What it left in EAX.
        code: u32,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange(gfn) => write!(f, "the page {gfn:#x} is beyond what is accounted for"),
            Self::LaunchedTwice(gfn) => write!(f, "the page {gfn:#x} was launched twice"),
            Self::IsShared(gfn) => write!(f, "the page {gfn:#x} is shared with the host"),
            Self::NotShared(gfn) => write!(f, "the page {gfn:#x} is not shared with the host"),
            Self::PoolEmpty => write!(f, "more than {SHARED_MAX} pages would be shared with the host"),
            Self::Refused(gfn) => write!(f, "the host does not change the state of the page {gfn:#x}"),
            Self::WasValid(gfn) => write!(f, "the page {gfn:#x} was valid before it was accepted"),
            Self::TakenAway(gfn) => write!(f, "the host has taken the page {gfn:#x} away"),
            Self::NeverAccepted(gfn) => write!(f, "the page {gfn:#x} was used and never accepted"),
            Self::Validate { gfn, code } => {
                write!(f, "the page {gfn:#x} can't be validated: PVALIDATE returns {code}")
            }
        }
    }
}

/// The accounts of all pages from frame 0 on.
pub struct Pages<const WORDS: usize> {
    /// Bit set: private, and validated by the launch or by us.
    validated: [u64; WORDS],
    /// The pages that are shared.
    shared: [Option<u64>; SHARED_MAX],
    /// Why nothing more is done.
    ended: Option<Violation>,
}

impl<const WORDS: usize> Pages<WORDS> {
    /// How many pages are accounted for.
    pub const COUNT: u64 = WORDS as u64 * 64;

    /// None is private, and none shared.
    pub const fn new() -> Self {
        Self { validated: [0; WORDS], shared: [None; SHARED_MAX], ended: None }
    }

    /// Whether a page is private and has been validated, as far as the kernel knows.
    pub fn is_validated(&self, gfn: u64) -> bool {
        let word = usize::try_from(gfn / 64).ok().and_then(|index| self.validated.get(index));
        word.is_some_and(|word| word & 1 << (gfn % 64) != 0)
    }

    /// Whether a page is shared.
    pub fn is_shared(&self, gfn: u64) -> bool {
        self.shared.contains(&Some(gfn))
    }

    fn set(&mut self, gfn: u64, is_validated: bool) {
        let word = usize::try_from(gfn / 64).ok().and_then(|index| self.validated.get_mut(index));
        if let Some(word) = word {
            let bit = 1 << (gfn % 64);
            if is_validated { *word |= bit } else { *word &= !bit }
        }
    }

    /// Does something unless the machine has ended, and ends it if that fails.
    fn unless_ended<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Violation>,
    ) -> Result<T, Violation> {
        if let Some(violation) = self.ended {
            return Err(violation);
        }
        work(self).inspect_err(|violation| self.ended = Some(*violation))
    }

    fn check(gfns: &Range<u64>) -> Result<(), Violation> {
        if gfns.end <= Self::COUNT { Ok(()) } else { Err(Violation::OutOfRange(gfns.end)) }
    }

    /// The launch has brought these pages, and the firmware has validated them.
    ///
    /// # Errors
    /// [`Violation::LaunchedTwice`], [`Violation::OutOfRange`].
    pub fn launched(&mut self, gfns: Range<u64>) -> Result<(), Violation> {
        self.unless_ended(|pages| {
            Self::check(&gfns)?;
            for gfn in gfns {
                if pages.is_validated(gfn) || pages.is_shared(gfn) {
                    return Err(Violation::LaunchedTwice(gfn));
                }
                pages.set(gfn, true);
            }
            Ok(())
        })
    }

    /// Makes all of these pages private memory that may be used. Those that the launch has brought, or that
    /// were accepted before, are so already and left alone. Returns how many are new.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn accept(&mut self, gfns: Range<u64>, platform: &mut impl Platform) -> Result<u64, Violation> {
        self.unless_ended(|pages| {
            Self::check(&gfns)?;
            let (mut at, mut new) = (gfns.start, 0);
            while at < gfns.end {
                if pages.is_validated(at) {
                    at += 1;
                    continue;
                }
                let limit = gfns.end.min(at + AT_ONCE);
                let end = (at..limit).find(|gfn| pages.is_validated(*gfn)).unwrap_or(limit);
                pages.accept_run(at..end, platform)?;
                new += end - at;
                at = end;
            }
            Ok(new)
        })
    }

    /// Pages of which none is private.
    fn accept_run(&mut self, gfns: Range<u64>, platform: &mut impl Platform) -> Result<(), Violation> {
        if let Some(gfn) = gfns.clone().find(|gfn| self.is_shared(*gfn)) {
            return Err(Violation::IsShared(gfn));
        }
        if !platform.change(gfns.clone(), PageOperation::Private) {
            return Err(Violation::Refused(gfns.start));
        }
        gfns.into_iter().try_for_each(|gfn| self.validate(gfn, platform))
    }

    fn validate(&mut self, gfn: u64, platform: &mut impl Platform) -> Result<(), Violation> {
        match platform.validate(gfn, true) {
            Validation::Changed => {
                self.set(gfn, true);
                Ok(())
            }
            Validation::Unchanged => Err(Violation::WasValid(gfn)),
            Validation::Failed(code) => Err(Violation::Validate { gfn, code }),
        }
    }

    /// Shares a page with the host: one that is private, or one that nobody has accepted. Nothing of what was
    /// in it is to be found there afterwards.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn share(&mut self, gfn: u64, platform: &mut impl Platform) -> Result<(), Violation> {
        self.unless_ended(|pages| {
            Self::check(&(gfn..gfn.saturating_add(1)))?;
            if pages.is_shared(gfn) {
                return Err(Violation::IsShared(gfn));
            }
            let place = pages.shared.iter().position(Option::is_none).ok_or(Violation::PoolEmpty)?;
            if pages.is_validated(gfn) {
                // The page's key is gone with this, so the host finds none of its contents either.
                match platform.validate(gfn, false) {
                    Validation::Changed => pages.set(gfn, false),
                    Validation::Unchanged => return Err(Violation::TakenAway(gfn)),
                    Validation::Failed(code) => return Err(Violation::Validate { gfn, code }),
                }
            }
            if !platform.change(gfn..gfn + 1, PageOperation::Shared) {
                return Err(Violation::Refused(gfn));
            }
            if let Some(place) = pages.shared.get_mut(place) {
                *place = Some(gfn);
            }
            Ok(())
        })
    }

    /// Makes a shared page private again, cleared.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn unshare(&mut self, gfn: u64, platform: &mut impl Platform) -> Result<(), Violation> {
        self.unless_ended(|pages| {
            let place = pages.shared.iter().position(|shared| *shared == Some(gfn));
            let place = place.ok_or(Violation::NotShared(gfn))?;
            if !platform.change(gfn..gfn + 1, PageOperation::Private) {
                return Err(Violation::Refused(gfn));
            }
            pages.validate(gfn, platform)?;
            platform.clear(gfn);
            if let Some(place) = pages.shared.get_mut(place) {
                *place = None;
            }
            Ok(())
        })
    }

    /// The processor found this page not validated (#VC 404h): whose fault that is. The machine ends.
    pub fn not_validated(&mut self, gfn: u64) -> Violation {
        let taken = self.is_validated(gfn);
        let violation = if taken { Violation::TakenAway(gfn) } else { Violation::NeverAccepted(gfn) };
        *self.ended.get_or_insert(violation)
    }
}

#[cfg(test)]
mod tests;
