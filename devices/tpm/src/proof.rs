//! Tickets: what a hierarchy's proof value authenticates (part 1, 10.7; part 2, 10.7).

use alloc::vec::Vec;

use crate::constants::{handle, st};
use crate::crypto::Hash;
use crate::engine::Tpm;
use crate::rc::Result;
use crate::secret::same;
use crate::structures::ticket::Ticket;

/// The algorithm of tickets, contexts and what else never leaves for another TPM.
pub(crate) const HASH: Hash = Hash::Sha256;

impl Tpm {
    fn proof_digest(&self, tag: u16, hierarchy: u32, parts: &[&[u8]]) -> Result<Vec<u8>> {
        let tag = tag.to_be_bytes();
        let mut all: Vec<&[u8]> = alloc::vec![&tag];
        // Each part goes in with its size, or bytes could move from one part to the next and the ticket still
        // hold.
        let sizes: Vec<[u8; 4]> = parts.iter().map(|part| (part.len() as u32).to_be_bytes()).collect();
        for (size, part) in sizes.iter().zip(parts) {
            all.push(size);
            all.push(part);
        }
        Ok(self.crypto.hmac(HASH, self.proof(hierarchy)?, &all))
    }

    /// A ticket about some values.
    pub(crate) fn ticket(&self, tag: u16, hierarchy: u32, parts: &[&[u8]]) -> Result<Ticket> {
        let digest = self.proof_digest(tag, hierarchy, parts)?;
        Ok(Ticket { tag, hierarchy, digest })
    }

    /// A ticket, or a null ticket in the null hierarchy, where it would prove nothing for long.
    pub(crate) fn ticket_or_null(&self, tag: u16, hierarchy: u32, parts: &[&[u8]]) -> Result<Ticket> {
        if hierarchy == handle::NULL { Ok(Ticket::null(tag)) } else { self.ticket(tag, hierarchy, parts) }
    }

    /// Whether a ticket is this TPM's, about these values.
    pub(crate) fn is_ticket(&self, ticket: &Ticket, parts: &[&[u8]]) -> bool {
        // With the tag, so that a ticket of one kind is none of another.
        let good = self.proof_digest(ticket.tag, ticket.hierarchy, parts);
        good.is_ok_and(|good| same(&good, &ticket.digest)) && self.is_enabled(ticket.hierarchy)
    }

    /// The ticket of data that was hashed here and may be signed by a restricted key.
    pub(crate) fn hash_ticket(
        &self,
        hierarchy: u32,
        hash: Hash,
        digest: &[u8],
        is_foreign: bool,
    ) -> Result<Ticket> {
        // Such data could be a quote that no TPM made: without a ticket no restricted key signs them.
        if !is_foreign {
            return Ok(Ticket::null(st::HASHCHECK));
        }
        self.ticket_or_null(st::HASHCHECK, hierarchy, &[&hash.id().to_be_bytes(), digest])
    }
}
