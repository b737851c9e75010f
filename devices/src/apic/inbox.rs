//! What others sent to this local APIC: taken in by its owner, and handed on to the processor.

use super::local::{LocalApic, Lvt};
use super::shared::{ApicShared, MAX_NMIS, Posted, posted};
use super::spec;

/// What the processor itself, not its local APIC, has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Startup {
    /// INIT: all registers as after INIT. The bootstrap processor goes on at the reset vector, another one
    /// waits.
    Init,
    /// Start-up IPI after INIT: real mode at page `vector`, that is CS:IP = `vector` × 100h : 0.
    Sipi {
        /// The page number of the start address.
        vector: u8,
    },
}

impl LocalApic {
    /// Takes in what other threads posted. [`Self::pending_interrupt`] does so, too.
    #[inline]
    pub fn sync(&mut self) {
        if self.shared().is_some_and(ApicShared::has_posted) {
            self.take_posted();
        }
    }

    #[cold]
    fn take_posted(&mut self) {
        let Some(Posted { flags, vectors, level, sipi_vector, nmis }) =
            self.shared().map(ApicShared::take_posted)
        else {
            return;
        };
        // TMR is of the vector's last arrival: level or edge, whatever it was before.
        for (word, (vectors, level)) in vectors.into_iter().zip(level).enumerate() {
            self.irr.set_word(word, self.irr.word(word as u32) | vectors);
            self.tmr.set_word(word, self.tmr.word(word as u32) & !vectors | level & vectors);
        }
        // A processor latches one behind the one that it handles, and loses the rest.
        self.nmis = self.nmis.saturating_add(nmis).min(MAX_NMIS);
        self.extint |= flags & posted::EXTINT != 0;
        if flags & posted::LINT0 != 0 {
            self.raise_lvt(Lvt::Lint0);
        }
        if flags & posted::LINT1 != 0 {
            self.raise_lvt(Lvt::Lint1);
        }
        if flags & posted::ILLEGAL_VECTOR != 0 {
            self.error(spec::ESR_RECEIVE_ILLEGAL);
        }
        // Before the SIPI: who posted both sent them in this order, and INIT is what makes a SIPI count.
        if flags & posted::INIT != 0 {
            self.accept_init();
        }
        // A processor that runs ignores it: guests send two in a row, of which the second is then nobody's.
        if flags & posted::SIPI != 0 && self.waits_for_sipi {
            self.waits_for_sipi = false;
            self.sipi = Some(sipi_vector);
        }
    }

    pub(super) fn accept_init(&mut self) {
        self.reset_registers();
        self.nmis = 0;
        self.extint = false;
        self.sipi = None;
        // The registers of the processor itself are the vCPU's; it asks for this by `take_startup`.
        self.init = true;
        // The bootstrap processor starts at the reset vector instead (SDM 3, 9.4).
        self.waits_for_sipi = self.vcpu != 0;
    }

    /// Whether the processor is stopped until a start-up IPI.
    pub fn waits_for_sipi(&self) -> bool {
        self.waits_for_sipi
    }

    /// Takes INIT or a start-up IPI, oldest first, of those that [`Self::sync`] took in.
    #[inline]
    pub fn take_startup(&mut self) -> Option<Startup> {
        if core::mem::take(&mut self.init) {
            return Some(Startup::Init);
        }
        self.sipi.take().map(|vector| Startup::Sipi { vector })
    }

    /// Whether an NMI waits to be injected.
    #[inline]
    pub fn nmi_pending(&self) -> bool {
        self.nmis != 0
    }

    /// Takes the NMI that waits.
    #[inline]
    pub fn take_nmi(&mut self) -> bool {
        let is_pending = self.nmis != 0;
        self.nmis = self.nmis.saturating_sub(1);
        is_pending
    }

    /// The processor handles an NMI: of those that have come meanwhile it latches one, and loses the others.
    pub fn latch_one_nmi(&mut self) {
        // The others would be delivered one after the other, which no processor does.
        self.nmis = self.nmis.min(1);
    }

    /// Whether the PIC's interrupt gets through to this processor: then its vector is the PIC's to give, by
    /// its `acknowledge`, and [`Self::acknowledge_extint`] is called as well.
    #[inline]
    pub fn extint_pending(&self) -> bool {
        self.extint || (self.takes_lint0_extint() && self.shared().is_some_and(ApicShared::lint0))
    }

    /// The PIC's interrupt was taken.
    pub fn acknowledge_extint(&mut self) {
        self.extint = false;
    }

    fn takes_lint0_extint(&self) -> bool {
        const EXTINT: u32 = 7 << 8;
        if !self.is_globally_enabled() {
            // LINT0 is the processor's INTR pin then (SDM, "Local APIC Status and Location").
            return self.vcpu == 0;
        }
        self.vcpu == 0 && self.lvt[Lvt::Lint0 as usize] & (spec::LVT_MASKED | spec::LVT_MODE) == EXTINT
    }
}
