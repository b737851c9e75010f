//! Objects: keys and sealed data, loaded or persistent (part 1, 27), and sequences.

pub(crate) mod check;
pub(crate) mod create;
pub(crate) mod keys;
pub(crate) mod protect;
pub(crate) mod save;
pub(crate) mod sequence;

use alloc::vec::Vec;

use crate::constants::{alg, handle, limit, object};
use crate::crypto::{Crypto, Hash};
use crate::engine::Tpm;
use crate::rc::{Rc, Result};
use crate::structures::public::Public;
use crate::structures::sensitive::Sensitive;
use sequence::Sequence;

/// An object with what the TPM knows about it.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) public: Public,
    /// None if only the public part was loaded.
    pub(crate) sensitive: Option<Sensitive>,
    pub(crate) name: Vec<u8>,
    pub(crate) qualified_name: Vec<u8>,
    pub(crate) hierarchy: u32,
    /// Loaded by TPM2_LoadExternal, or a child of such.
    pub(crate) is_external: bool,
    /// A primary object.
    pub(crate) is_primary: bool,
    /// With stClear, or a descendant of such: gone after TPM2_Startup(CLEAR).
    pub(crate) is_st_clear: bool,
}

/// What a transient handle stands for.
pub(crate) enum Slot {
    Object(Object),
    Sequence(Sequence),
}

impl Object {
    /// An object below a parent with this qualified name.
    pub(crate) fn new(
        crypto: &dyn Crypto,
        public: Public,
        sensitive: Option<Sensitive>,
        parent: &[u8],
        hierarchy: u32,
    ) -> Object {
        let name = public.name(crypto);
        let qualified_name = qualified(crypto, public.name_alg, parent, &name);
        // By its own attribute; the caller adds what its ancestors are.
        let is_st_clear = public.has(object::ST_CLEAR);
        Object {
            public,
            sensitive,
            name,
            qualified_name,
            hierarchy,
            is_external: false,
            is_primary: false,
            is_st_clear,
        }
    }

    /// The secret part, of which a key that was loaded without one has none.
    pub(crate) fn secret(&self) -> Result<&Sensitive> {
        self.sensitive.as_ref().ok_or(Rc::AUTH_UNAVAILABLE)
    }

    pub(crate) const fn has(&self, attribute: u32) -> bool {
        self.public.has(attribute)
    }

    /// The algorithm of its name, which everything but an external object has.
    pub(crate) fn hash(&self) -> Result<Hash> {
        self.public.name_alg.ok_or(Rc::TYPE)
    }

    /// Whether it can protect children here: a storage key with both parts.
    pub(crate) fn is_parent(&self) -> bool {
        // With a public part alone it can be duplicated to, but what it protects can't be opened here.
        self.public.is_parent() && self.sensitive.is_some() && self.public.name_alg.is_some()
    }

    /// The seed of the keys that protect its children.
    pub(crate) fn protection_seed(&self) -> Result<&[u8]> {
        Ok(&self.secret()?.seed)
    }
}

/// The qualified name of an object: a digest over all its ancestors' names (part 1, 16).
pub(crate) fn qualified(crypto: &dyn Crypto, hash: Option<Hash>, parent: &[u8], name: &[u8]) -> Vec<u8> {
    let Some(hash) = hash else { return Vec::new() };
    // Over the parent's qualified name, so that it stands for all ancestors.
    [&hash.id().to_be_bytes()[..], &crypto.digest(hash, &[parent, name])].concat()
}

impl Tpm {
    /// The object of a transient or persistent handle.
    pub(crate) fn object(&self, handle: u32) -> Result<&Object> {
        match self.slot(handle) {
            Some(Slot::Object(object)) => Ok(object),
            Some(Slot::Sequence(_)) => Err(Rc::MODE),
            None => self.permanent.persistent.get(&handle).ok_or(Rc::HANDLE),
        }
    }

    fn index(handle: u32) -> Option<usize> {
        let index = handle.checked_sub(handle::first(handle::TRANSIENT))?;
        usize::try_from(index).ok().filter(|index| *index < limit::TRANSIENT)
    }

    pub(crate) fn slot(&self, handle: u32) -> Option<&Slot> {
        self.volatile.objects.get(Self::index(handle)?)?.as_ref()
    }

    pub(crate) fn slot_mut(&mut self, handle: u32) -> Option<&mut Option<Slot>> {
        self.volatile.objects.get_mut(Self::index(handle)?)
    }

    /// Whether there is room for one more object.
    pub(crate) fn check_free_slot(&self) -> Result<()> {
        if self.volatile.objects.iter().any(Option::is_none) { Ok(()) } else { Err(Rc::OBJECT_MEMORY) }
    }

    /// Puts an object or sequence into a free slot and returns its handle.
    pub(crate) fn load(&mut self, slot: Slot) -> Result<u32> {
        let mut free = (0..).zip(&mut self.volatile.objects).filter(|(_, slot)| slot.is_none());
        let (index, place) = free.next().ok_or(Rc::OBJECT_MEMORY)?;
        *place = Some(slot);
        Ok(handle::first(handle::TRANSIENT) + index)
    }

    /// Removes what belongs to a hierarchy from the transient objects.
    pub(crate) fn flush_hierarchy(&mut self, hierarchy: u32) {
        for slot in &mut self.volatile.objects {
            // Sequences are no hierarchy's, and stay.
            if matches!(slot, Some(Slot::Object(object)) if object.hierarchy == hierarchy) {
                *slot = None;
            }
        }
    }
}

/// Whether a key's kind can sign.
pub(crate) const fn can_sign(kind: u16) -> bool {
    matches!(kind, alg::RSA | alg::ECC | alg::KEYEDHASH)
}
