//! Objects as they are kept: in the state, and in saved contexts.

use super::Object;
use crate::crypto::Crypto;
use crate::rc::Result;
use crate::structures::public::Public;
use crate::structures::sensitive::Sensitive;
use crate::wire::{Reader, Writer};

impl Object {
    pub(crate) fn save(&self, w: &mut Writer) {
        self.public.write(w);
        w.yes_no(self.sensitive.is_some());
        if let Some(sensitive) = &self.sensitive {
            sensitive.write(w);
        }
        w.sized(&self.qualified_name).u32(self.hierarchy);
        w.yes_no(self.is_external).yes_no(self.is_primary).yes_no(self.is_st_clear);
    }

    pub(crate) fn read(crypto: &dyn Crypto, r: &mut Reader) -> Result<Object> {
        let public = Public::read(r, true)?;
        let sensitive = if r.yes_no()? { Some(Sensitive::read(r)?) } else { None };
        Ok(Object {
            // Computed, not saved, so that it can never differ from the public area.
            name: public.name(crypto),
            public,
            sensitive,
            qualified_name: r.bytes(usize::from(u16::MAX))?,
            hierarchy: r.u32()?,
            is_external: r.yes_no()?,
            is_primary: r.yes_no()?,
            is_st_clear: r.yes_no()?,
        })
    }
}
