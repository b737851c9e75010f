//! What other threads may see and change of a local APIC: atomics only.

use super::routing::Routing;
use super::vectors::Vectors;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use crossbeam_utils::CachePadded;

/// How many vCPUs a VM can have: the APIC IDs an 8-bit destination can name.
pub const MAX_VCPUS: usize = 255;

/// How many NMIs can wait for a processor that handles none: the first is delivered, and one is latched
/// behind it.
pub(super) const MAX_NMIS: u8 = 2;

/// Flags of what was posted and not yet seen by the owner. The low byte has a bit for each word of the shared
/// IRR.
pub(super) mod posted {
    pub const NMI: u32 = 1 << 8;
    pub const INIT: u32 = 1 << 9;
    pub const SIPI: u32 = 1 << 10;
    pub const EXTINT: u32 = 1 << 11;
    pub const LINT0: u32 = 1 << 12;
    pub const LINT1: u32 = 1 << 13;
    pub const ILLEGAL_VECTOR: u32 = 1 << 14;
}

/// What was posted, as taken by the owner.
#[derive(Debug, Default)]
pub(super) struct Posted {
    pub flags: u32,
    pub vectors: [u32; 8],
    /// The trigger modes of `vectors`; other bits mean nothing.
    pub level: [u32; 8],
    pub sipi_vector: u8,
    pub nmis: u8,
}

/// The part of one vCPU's local APIC that all threads share.
#[derive(Debug)]
pub struct ApicShared {
    id: u32,
    posted: AtomicU32,
    irr: [AtomicU32; 8],
    level: [AtomicU32; 8],
    sipi_vector: AtomicU8,
    lint0: AtomicBool,
    /// NMIs that were posted, [`MAX_NMIS`] at most.
    nmis: AtomicU8,
    /// Task priority, for lowest-priority arbitration.
    pub(super) priority: AtomicU8,
    /// [`Routing`], as bits.
    pub(super) routing: AtomicU64,
}

impl ApicShared {
    fn new(id: u32) -> Self {
        Self {
            id,
            posted: AtomicU32::new(0),
            irr: Default::default(),
            level: Default::default(),
            sipi_vector: AtomicU8::new(0),
            lint0: AtomicBool::new(false),
            nmis: AtomicU8::new(0),
            priority: AtomicU8::new(0),
            routing: AtomicU64::new(Routing::default().to_bits()),
        }
    }

    /// The physical APIC ID.
    pub fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn routing(&self) -> Routing {
        Routing::from_bits(self.routing.load(Ordering::Acquire))
    }

    /// Whether something was posted that the owner has not seen: the owner must not sleep.
    #[inline]
    pub fn has_posted(&self) -> bool {
        self.posted.load(Ordering::Acquire) != 0
    }

    /// Takes all that was posted.
    pub(super) fn take_posted(&self) -> Posted {
        // First: what is posted from here on sets its flag again. At worst a word is looked at once too
        // often.
        let flags = self.posted.swap(0, Ordering::AcqRel);
        let mut taken =
            Posted { flags, sipi_vector: self.sipi_vector.load(Ordering::Relaxed), ..Posted::default() };
        if flags & posted::NMI != 0 {
            // After the flag was taken: an NMI that comes between is counted here, and its flag finds none
            // left.
            taken.nmis = self.nmis.swap(0, Ordering::AcqRel);
        }
        for word in (0..8).filter(|word| flags >> word & 1 != 0) {
            taken.vectors[word] = self.irr[word].swap(0, Ordering::AcqRel);
            taken.level[word] = self.level[word].load(Ordering::Relaxed);
        }
        taken
    }

    /// The PIC's output, as wired to LINT0.
    pub fn lint0(&self) -> bool {
        self.lint0.load(Ordering::Acquire)
    }

    /// Whether the owner must be kicked for `flags`: not if it has yet to look at what was posted before.
    fn post(&self, flags: u32) -> bool {
        // Whoever finds zero is the first since the owner looked, and only that one kicks.
        self.posted.fetch_or(flags, Ordering::AcqRel) == 0
    }

    /// Posts a vector. Returns whether the owner must be kicked.
    #[must_use]
    pub(super) fn post_vector(&self, vector: u8, level: bool) -> bool {
        if vector < super::spec::FIRST_VECTOR {
            return self.post(posted::ILLEGAL_VECTOR);
        }
        let (word, bit) = Vectors::place(vector);
        // The trigger mode is there before the vector can be seen. The two kinds of one vector do not race in
        // a sane guest; in another, the later one wins.
        if level {
            self.level[word].fetch_or(bit, Ordering::Relaxed);
        } else if self.level[word].load(Ordering::Relaxed) & bit != 0 {
            self.level[word].fetch_and(!bit, Ordering::Relaxed);
        }
        self.irr[word].fetch_or(bit, Ordering::Release);
        self.post(1 << word)
    }

    /// Posts an NMI. Returns whether the owner must be kicked.
    #[must_use]
    pub fn post_nmi(&self) -> bool {
        // The number is there before the flag can be seen.
        let one_more = |nmis: u8| Some(nmis.saturating_add(1).min(MAX_NMIS));
        let _ = self.nmis.fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more);
        self.post(posted::NMI)
    }

    /// Posts INIT. Returns whether the owner must be kicked.
    #[must_use]
    pub(super) fn post_init(&self) -> bool {
        // An earlier SIPI, not yet seen, would have started the processor that this INIT now stops.
        self.posted.fetch_and(!posted::SIPI, Ordering::AcqRel);
        self.post(posted::INIT)
    }

    #[must_use]
    pub(super) fn post_sipi(&self, vector: u8) -> bool {
        // Before the flag, whose release lets it be seen.
        self.sipi_vector.store(vector, Ordering::Relaxed);
        self.post(posted::SIPI)
    }

    #[must_use]
    pub(super) fn post_extint(&self) -> bool {
        self.post(posted::EXTINT)
    }

    /// Drives LINT0, where the PIC's output is wired to. Returns whether the owner must be kicked.
    #[must_use]
    pub fn set_lint0(&self, level: bool) -> bool {
        let before = self.lint0.swap(level, Ordering::AcqRel);
        // Only a rise is news: the level itself is read where it counts.
        level && !before && self.post(posted::LINT0)
    }

    /// Pulses LINT1, where a PC has its NMI sources. Returns whether the owner must be kicked.
    #[must_use]
    pub fn pulse_lint1(&self) -> bool {
        self.post(posted::LINT1)
    }
}

/// More than [`MAX_VCPUS`] vCPUs were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyVcpus;

/// The shared parts of all local APICs of a VM, in vCPU order.
#[derive(Debug)]
pub struct Apics {
    shared: Box<[CachePadded<ApicShared>]>,
}

impl Apics {
    /// One for each APIC ID given. vCPU 0 is the one whose LINT0 the PIC is wired to.
    pub fn new(ids: &[u32]) -> Result<Self, TooManyVcpus> {
        // Number 255 could not be named by an 8-bit destination, where it is the broadcast.
        if ids.len() > MAX_VCPUS {
            return Err(TooManyVcpus);
        }
        Ok(Self { shared: ids.iter().map(|&id| CachePadded::new(ApicShared::new(id))).collect() })
    }

    /// vCPU number `vcpu`'s.
    #[inline]
    pub fn get(&self, vcpu: usize) -> Option<&ApicShared> {
        self.shared.get(vcpu).map(|apic| &**apic)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shared.is_empty()
    }

    /// All of them with their vCPU numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &ApicShared)> {
        self.shared.iter().map(|apic| &**apic).enumerate()
    }
}
