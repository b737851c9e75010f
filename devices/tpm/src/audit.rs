//! Audit of commands (part 1, 31.5): a digest over the audited commands and their responses.

use crate::crypto::Hash;
use crate::engine::Tpm;

/// What is audited in a new TPM, and can't be taken out: a change of what is audited.
pub(crate) const ALWAYS: [u32; 1] = [0x140];

impl Tpm {
    /// Adds a command and its response to the digest.
    pub(crate) fn audit_command(&mut self, command: &[u8], response: &[u8]) {
        let hash: Hash = self.permanent.audit_hash;
        // Each digest that begins has a number of its own: a verifier sees it if one was thrown away.
        if self.volatile.audit_digest.is_empty() {
            self.permanent.audit_counter = self.permanent.audit_counter.wrapping_add(1);
            self.volatile.audit_digest = hash.zero();
            self.touch();
        }
        let digest = self.digest(hash, &[&self.volatile.audit_digest, command, response]);
        self.volatile.audit_digest = digest;
    }
}
