//! Who has the FPU's registers of a processor: kept in its per-CPU area, changed by [`fpu`](super::fpu).

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::sync::SpinLock;

/// A processor's owner.
pub struct FpuOwner {
    /// Address of the owner's page; 0 for nobody.
    pub(super) area: AtomicU64,
    /// Held while the owner changes: the page of one that is gone must not be written any more.
    pub(super) changing: SpinLock<()>,
    /// CR0.TS is clear. Only the processor itself looks.
    pub(super) is_open: Cell<bool>,
}

impl FpuOwner {
    /// Nobody.
    pub const fn new() -> Self {
        Self { area: AtomicU64::new(0), changing: SpinLock::new(()), is_open: Cell::new(true) }
    }

    /// Address of the owner's page.
    pub(super) fn area(&self) -> u64 {
        self.area.load(Ordering::Relaxed)
    }
}
