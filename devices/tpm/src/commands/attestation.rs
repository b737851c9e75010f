//! Attestation (part 3, chapter 18): structures of the TPM's own, signed.

use alloc::vec::Vec;

use super::asymmetric::signing_scheme;
use crate::constants::{GENERATED, handle, limit, object, st};
use crate::crypto::Hash;
use crate::crypto::kdf::kdfa;
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::object::{Object, can_sign};
use crate::proof::HASH;
use crate::rc::{Rc, Result};
use crate::structures::pcr_selection;
use crate::structures::scheme::Scheme;
use crate::structures::signature::Signature;
use crate::structures::ticket::Ticket;
use crate::wire::Writer;

/// The version of the firmware, as the properties have it.
const FIRMWARE: u64 = 0x0000_0001_0000_0000;

/// Who signs, how, and what the caller adds.
struct Signer {
    key: Option<Object>,
    scheme: Scheme,
    qualifying: Vec<u8>,
}

/// Reads qualifyingData, which is the first parameter everywhere.
fn read_qualifying(call: &mut Call) -> Result<Vec<u8>> {
    call.read(|r| r.bytes(limit::DIGEST + 2))
}

impl Signer {
    /// The signer whose handle is at a place. `number` is the scheme's among the parameters.
    fn new(
        tpm: &Tpm,
        call: &Call,
        place: usize,
        qualifying: Vec<u8>,
        given: Scheme,
        number: usize,
    ) -> Result<Self> {
        // Nobody signs: the caller wants only what is in the structure.
        if call.handle(place) == handle::NULL {
            return Ok(Signer { key: None, scheme: given, qualifying });
        }
        let wrong = Rc::KEY.handle(place + 1);
        let key = tpm.object(call.handle(place)).map_err(|_| wrong)?.clone();
        // A symmetric cipher has the same bit, where it means encryption.
        if !key.has(object::SIGN) || !can_sign(key.public.kind()) {
            return Err(wrong);
        }
        let scheme = signing_scheme(&key, given).map_err(|rc| rc.parameter(number))?;
        Ok(Signer { key: Some(key), scheme, qualifying })
    }

    fn hash(&self) -> Hash {
        // Where nobody signs, a quote has a digest all the same.
        self.scheme.hash.unwrap_or(HASH)
    }
}

/// What is added to counts and version when somebody else than the privacy administrator's key signs, so that
/// attestations by different keys can't be told to be one TPM's (part 1, 36.7).
fn obfuscation(tpm: &Tpm, key: &Object) -> (u64, u32, u32) {
    // These hierarchies' keys name the TPM anyway; by the counts of others, two keys could be told to be of
    // one TPM.
    if matches!(key.hierarchy, handle::ENDORSEMENT | handle::PLATFORM) {
        return (0, 0, 0);
    }
    // Secret, and the same until TPM2_Clear: by one key the masked counts still go up.
    let proof = &tpm.permanent.owner.proof;
    let mask = kdfa(&*tpm.crypto, HASH, proof, "OBFUSCATE", [&key.qualified_name, &[]], 128);
    let mut r = crate::wire::Reader::new(&mask);
    (r.u64().unwrap_or(0), r.u32().unwrap_or(0), r.u32().unwrap_or(0))
}

/// Makes TPMS_ATTEST around what `write` appends, and signs it. Both are the response.
fn attest(
    tpm: &mut Tpm,
    call: &mut Call,
    tag: u16,
    signer: &Signer,
    write: impl FnOnce(&Tpm, &mut Writer),
) -> Result<()> {
    let mut w = Writer::new();
    // TPM2_Hash gives no ticket for data that begin so, and a restricted key then does not sign them: only
    // the TPM makes these.
    w.u32(GENERATED).u16(tag);
    let (version, resets, restarts) = match &signer.key {
        Some(key) => {
            w.sized(&key.qualified_name);
            obfuscation(tpm, key)
        }
        None => {
            w.sized(&handle::NULL.to_be_bytes());
            (0, 0, 0)
        }
    };
    w.sized(&signer.qualifying);
    w.u64(tpm.permanent.clock);
    w.u32(tpm.permanent.reset_count.wrapping_add(resets));
    w.u32(tpm.permanent.restart_count.wrapping_add(restarts));
    w.yes_no(tpm.volatile.is_clock_safe).u64(FIRMWARE.wrapping_add(version));
    write(tpm, &mut w);
    let signature = match &signer.key {
        Some(key) => {
            let digest = tpm.digest(signer.hash(), &[w.as_slice()]);
            tpm.sign(key, signer.scheme, &digest)?
        }
        None => Signature::Null,
    };
    call.out.sized(w.as_slice());
    signature.write(&mut call.out);
    Ok(())
}

/// TPM2_Quote.
pub(crate) fn quote(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let qualifying = read_qualifying(call)?;
    let scheme = call.read(Scheme::read_signing)?;
    let mut selections = call.read(pcr_selection::read)?;
    call.end()?;
    let signer = Signer::new(tpm, call, 0, qualifying, scheme, 2)?;
    // The digest of the PCRs is by the scheme's algorithm, and where nobody signs there is no scheme.
    if signer.key.is_none() {
        return Err(Rc::SCHEME.parameter(2));
    }
    // The structure has to say what the digest is over: what is not there is not selected.
    tpm.volatile.pcrs.filter(&mut selections);
    let digest = tpm.volatile.pcrs.digest(&*tpm.crypto, signer.hash(), &selections);
    attest(tpm, call, st::ATTEST_QUOTE, &signer, |_, w| {
        pcr_selection::write(w, &selections);
        w.sized(&digest);
    })
}

/// TPM2_Certify.
pub(crate) fn certify(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let qualifying = read_qualifying(call)?;
    let scheme = call.read(Scheme::read_signing)?;
    call.end()?;
    let signer = Signer::new(tpm, call, 1, qualifying, scheme, 2)?;
    let object = tpm.object(call.handle(0)).map_err(|_| Rc::HANDLE.handle(1))?;
    let (name, qualified) = (object.name.clone(), object.qualified_name.clone());
    attest(tpm, call, st::ATTEST_CERTIFY, &signer, |_, w| {
        w.sized(&name).sized(&qualified);
    })
}

/// TPM2_CertifyCreation.
pub(crate) fn certify_creation(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let qualifying = read_qualifying(call)?;
    let creation = call.read(|r| r.bytes(limit::DIGEST))?;
    let scheme = call.read(Scheme::read_signing)?;
    let ticket = call.read(|r| Ticket::read(r, &[st::CREATION]))?;
    call.end()?;
    let signer = Signer::new(tpm, call, 0, qualifying, scheme, 3)?;
    // A sequence has none, and so no ticket.
    let name = tpm.entity_name(call.handle(1));
    // A loaded object does not say where it was created; only the ticket does.
    if !tpm.is_ticket(&ticket, &[&name, &creation]) {
        return Err(Rc::TICKET.parameter(4));
    }
    attest(tpm, call, st::ATTEST_CREATION, &signer, |_, w| {
        w.sized(&name).sized(&creation);
    })
}

/// TPM2_GetTime.
pub(crate) fn get_time(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let qualifying = read_qualifying(call)?;
    let scheme = call.read(Scheme::read_signing)?;
    call.end()?;
    let signer = Signer::new(tpm, call, 1, qualifying, scheme, 2)?;
    // Here too, or these would take the mask off the same counts in the structure's head.
    let (version, resets, restarts) = signer.key.as_ref().map_or((0, 0, 0), |key| obfuscation(tpm, key));
    attest(tpm, call, st::ATTEST_TIME, &signer, |tpm, w| {
        w.u64(tpm.time()).u64(tpm.permanent.clock);
        w.u32(tpm.permanent.reset_count.wrapping_add(resets));
        w.u32(tpm.permanent.restart_count.wrapping_add(restarts));
        w.yes_no(tpm.volatile.is_clock_safe).u64(FIRMWARE.wrapping_add(version));
    })
}

/// TPM2_GetSessionAuditDigest.
pub(crate) fn get_session_audit_digest(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let qualifying = read_qualifying(call)?;
    let scheme = call.read(Scheme::read_signing)?;
    call.end()?;
    let signer = Signer::new(tpm, call, 1, qualifying, scheme, 2)?;
    let audited = call.handle(2);
    let digest = tpm.session(audited).map_err(|_| Rc::reference_handle(3))?.audit.clone();
    if digest.is_empty() {
        return Err(Rc::TYPE.handle(3));
    }
    // Without it, commands that the session did not audit may have come in between.
    let is_exclusive = tpm.volatile.exclusive_audit == Some(crate::session::index(audited));
    attest(tpm, call, st::ATTEST_SESSION_AUDIT, &signer, |_, w| {
        w.yes_no(is_exclusive).sized(&digest);
    })
}

/// TPM2_GetCommandAuditDigest: the digest starts anew once it is signed.
pub(crate) fn get_command_audit_digest(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let qualifying = read_qualifying(call)?;
    let scheme = call.read(Scheme::read_signing)?;
    call.end()?;
    let signer = Signer::new(tpm, call, 1, qualifying, scheme, 2)?;
    let hash = tpm.permanent.audit_hash;
    let codes: Vec<u8> = tpm.permanent.audited.iter().flat_map(|code| code.to_be_bytes()).collect();
    let commands = tpm.digest(hash, &[&codes]);
    attest(tpm, call, st::ATTEST_COMMAND_AUDIT, &signer, |tpm, w| {
        w.u64(tpm.permanent.audit_counter).u16(hash.id());
        w.sized(&tpm.volatile.audit_digest).sized(&commands);
    })?;
    // Unsigned, it has proved nothing to anybody, and goes on.
    if signer.key.is_some() {
        tpm.volatile.audit_digest.clear();
    }
    Ok(())
}

/// TPM2_NV_Certify: the content, or, of neither size nor offset, its digest.
pub(crate) fn nv_certify(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let qualifying = read_qualifying(call)?;
    let scheme = call.read(Scheme::read_signing)?;
    let size = usize::from(call.read(|r| r.u16())?);
    let offset = usize::from(call.read(|r| r.u16())?);
    call.end()?;
    let signer = Signer::new(tpm, call, 0, qualifying, scheme, 2)?;
    let index = tpm.check_nv_read(call.handle(1), call.handle(2))?;
    if size > limit::NV_BUFFER {
        return Err(Rc::VALUE.parameter(3));
    }
    // The name, since a handle may be defined again as something else.
    let name = index.public.name(&*tpm.crypto);
    if size == 0 && offset == 0 {
        let digest = tpm.digest(signer.hash(), &[&index.data]);
        return attest(tpm, call, st::ATTEST_NV_DIGEST, &signer, |_, w| {
            w.sized(&name).sized(&digest);
        });
    }
    // Only what is attested: offset and size are in the structure, too.
    let content = index.data.get(offset..offset + size).ok_or(Rc::NV_RANGE)?.to_vec();
    attest(tpm, call, st::ATTEST_NV, &signer, |_, w| {
        w.sized(&name).u16(offset as u16).sized(&content);
    })
}
