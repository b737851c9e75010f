//! Platform configuration registers (part 1, 17; attributes from the PC Client Platform TPM Profile, 4.6).

use alloc::vec;
use alloc::vec::Vec;

use crate::crypto::{Crypto, Hash};
use crate::structures::pcr_selection::Selection;

/// PCRs of each bank.
pub(crate) const COUNT: usize = 24;

/// The PCR that measures a dynamic launch.
pub(crate) const DRTM: usize = 17;

/// What holds for one PCR in every bank: whether TPM2_Shutdown(STATE) keeps it, and, a bit a locality, from
/// where it can be reset and extended.
pub(crate) struct Attributes {
    pub(crate) is_saved: bool,
    pub(crate) reset: u8,
    pub(crate) extend: u8,
    /// Whether a dynamic launch resets it.
    pub(crate) is_drtm: bool,
    /// Whether a change does not count in the update counter.
    pub(crate) is_uncounted: bool,
}

const fn attributes(is_saved: bool, reset: u8, extend: u8, is_drtm: bool, is_uncounted: bool) -> Attributes {
    Attributes { is_saved, reset, extend, is_drtm, is_uncounted }
}

const STATIC: Attributes = attributes(true, 0, 0x1f, false, false);
const DEBUG: Attributes = attributes(false, 0x0f, 0x1f, false, true);
const DYNAMIC: [Attributes; 6] = [
    attributes(false, 0x10, 0x1c, true, false),
    attributes(false, 0x10, 0x1c, true, false),
    attributes(false, 0x10, 0x0c, true, false),
    attributes(false, 0x14, 0x0e, true, false),
    attributes(false, 0x14, 0x04, true, true),
    attributes(false, 0x14, 0x04, true, true),
];

/// The attributes of a PCR.
pub(crate) fn attributes_of(index: usize) -> &'static Attributes {
    match index {
        0..=15 => &STATIC,
        DRTM.. => DYNAMIC.get(index - DRTM).unwrap_or(&DEBUG),
        _ => &DEBUG,
    }
}

/// The PCRs of one hash algorithm.
#[derive(Clone)]
pub(crate) struct Bank {
    pub(crate) hash: Hash,
    pub(crate) values: Vec<Vec<u8>>,
}

/// All PCRs.
#[derive(Clone)]
pub(crate) struct Pcrs {
    pub(crate) banks: Vec<Bank>,
    /// Counts changes, for policies.
    pub(crate) counter: u32,
}

impl Pcrs {
    /// PCRs after a reset, with the locality that TPM2_Startup came from.
    pub(crate) fn new(allocation: &[Selection], locality: u8) -> Pcrs {
        let bank = |selection: &Selection| {
            let mut values = vec![selection.hash.zero(); COUNT];
            // PCR 0 begins as the locality of the start-up, so that a value that was measured from locality 4
            // can't be had from locality 0 (part 3, 9.3).
            if let Some(last) = values.first_mut().and_then(|value| value.last_mut()) {
                *last = locality;
            }
            let dynamic = (0..).zip(&mut values).filter(|(index, _)| attributes_of(*index).is_drtm);
            // All ones until a dynamic launch sets them to zeros: nobody who only extends gets to a launch's
            // values.
            dynamic.for_each(|(_, value)| value.fill(0xff));
            Bank { hash: selection.hash, values }
        };
        // TPM2_PCR_Allocate turns a bank off by a selection without any PCR (part 3, 22.5).
        let has_any = |selection: &&Selection| selection.bits.iter().any(|byte| *byte != 0);
        Pcrs { banks: allocation.iter().filter(has_any).map(bank).collect(), counter: 0 }
    }

    pub(crate) fn value(&self, hash: Hash, index: usize) -> Option<&[u8]> {
        let bank = self.banks.iter().find(|bank| bank.hash == hash)?;
        bank.values.get(index).map(Vec::as_slice)
    }

    pub(crate) fn has_bank(&self, hash: Hash) -> bool {
        self.banks.iter().any(|bank| bank.hash == hash)
    }

    fn count(&mut self, index: usize) {
        // Programs change the debug PCR at will: if that counted, it would break every policy session that
        // has looked at PCRs (TPM_PT_PCR_NO_INCREMENT).
        if !attributes_of(index).is_uncounted {
            self.counter = self.counter.wrapping_add(1);
        }
    }

    /// Extends a PCR of one bank; nothing where there is no such bank.
    pub(crate) fn extend(&mut self, crypto: &dyn Crypto, hash: Hash, index: usize, digest: &[u8]) {
        let bank = self.banks.iter_mut().find(|bank| bank.hash == hash);
        if let Some(value) = bank.and_then(|bank| bank.values.get_mut(index)) {
            *value = crypto.digest(hash, &[value, digest]);
            self.count(index);
        }
    }

    /// Sets a PCR of all banks to zeros.
    pub(crate) fn reset(&mut self, index: usize) {
        for bank in &mut self.banks {
            if let Some(value) = bank.values.get_mut(index) {
                value.fill(0);
            }
        }
        self.count(index);
    }

    /// Cuts from a selection what is not there.
    pub(crate) fn filter(&self, selections: &mut [Selection]) {
        for selection in selections {
            if !self.has_bank(selection.hash) {
                // The selection stays in the list, which is a part of what policies and quotes are made of.
                selection.bits.fill(0);
            }
        }
    }

    /// The digest of all selected PCRs, one after the other.
    pub(crate) fn digest(&self, crypto: &dyn Crypto, hash: Hash, selections: &[Selection]) -> Vec<u8> {
        let mut hasher = crypto.hash(hash);
        for selection in selections {
            for index in selection.indices() {
                hasher.update(self.value(selection.hash, index).unwrap_or_default());
            }
        }
        hasher.finish()
    }
}

/// All PCRs of the banks of a new TPM.
pub(crate) fn all_banks() -> Vec<Selection> {
    Hash::ALL.into_iter().map(|hash| Selection::of(hash, |_| true)).collect()
}
