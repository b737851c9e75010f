//! From the bytes of a command to those of its response (part 3, 5).

use alloc::vec::Vec;

use zeroize::Zeroizing;

use crate::constants::{limit, session, st};
use crate::engine::Tpm;
use crate::rc::{Rc, Result};
use crate::session::authorize::{self, Use};
use crate::session::has;
use crate::table::{self, Command};
use crate::wire::{Reader, Writer};

/// Bytes of the header of a command and of a response.
const HEADER: usize = 10;

/// A command that is being executed.
pub(crate) struct Call<'a> {
    pub(crate) code: u32,
    pub(crate) locality: u8,
    pub(crate) handles: Vec<u32>,
    /// The names of the entities that the handles stand for, if there is a digest to be made with them.
    pub(crate) names: Vec<Vec<u8>>,
    pub(crate) uses: Vec<Use>,
    /// The parameters as they came, which is what digests are made of.
    pub(crate) parameters: Vec<u8>,
    pub(crate) r: Reader<'a>,
    number: usize,
    pub(crate) out_handle: Option<u32>,
    pub(crate) out: Writer,
}

impl<'a> Call<'a> {
    /// Reads the next parameter; an error is about that one.
    pub(crate) fn read<T>(&mut self, read: impl FnOnce(&mut Reader<'a>) -> Result<T>) -> Result<T> {
        self.number += 1;
        read(&mut self.r).map_err(|rc| rc.parameter(self.number))
    }

    /// Nothing must follow the last parameter.
    pub(crate) const fn end(&self) -> Result<()> {
        if self.r.is_empty() { Ok(()) } else { Err(Rc::SIZE) }
    }

    /// The handle at a place; the table says that it is there.
    pub(crate) fn handle(&self, at: usize) -> u32 {
        self.handles.get(at).copied().unwrap_or(crate::constants::handle::NULL)
    }

    /// Whether an index that authorizes this command is to be written by it.
    pub(crate) const fn writes_nv(&self) -> bool {
        // NV_GlobalWriteLock; NV_Increment, SetBits, Extend, Write and WriteLock. All others want the
        // attributes for reading, NV_ReadLock too.
        matches!(self.code, 0x132 | 0x134..=0x138)
    }
}

/// Executes a command.
pub(crate) fn execute(tpm: &mut Tpm, locality: u8, command: &[u8], response: &mut Vec<u8>) {
    response.clear();
    let had_failed = tpm.volatile.failure.is_some();
    let result = run(tpm, locality, command, response);
    // What fails inside a command can't always return an error there, and nothing of it gets saved below.
    // Those that report a failure from before succeed.
    let works = if tpm.volatile.failure.is_some() && !had_failed { Err(Rc::FAILURE) } else { Ok(()) };
    // Even a command that fails may have changed something: a count of failed tries.
    let committed = tpm.commit();
    if let Err(rc) = works.and(result).and(committed) {
        // What `finish` had written already would report a success that the storage does not have.
        response.clear();
        // TPM_ST_RSP_COMMAND, the tag of TPM 1.2: software for that version then knows what it talks to (part
        // 3, 5.2).
        let is_old = rc == Rc::BAD_TAG;
        let tag: u16 = if is_old { 0x00c4 } else { st::NO_SESSIONS };
        response.extend_from_slice(&tag.to_be_bytes());
        response.extend_from_slice(&(HEADER as u32).to_be_bytes());
        response.extend_from_slice(&rc.code().to_be_bytes());
    }
}

/// What of a command's header has been checked.
struct Header<'a> {
    has_sessions: bool,
    command: &'static Command,
    body: Reader<'a>,
}

fn header<'a>(tpm: &Tpm, bytes: &'a [u8]) -> Result<Header<'a>> {
    let mut body = Reader::new(bytes);
    let short = |_| Rc::COMMAND_SIZE;
    // The tag before the size: software for TPM 1.2 sends another tag, and must be told of that first.
    let tag = body.u16().map_err(short)?;
    if tag != st::SESSIONS && tag != st::NO_SESSIONS {
        return Err(Rc::BAD_TAG);
    }
    let size = body.u32().map_err(short)?;
    // If they differ, caller and transport do not agree where the command ends.
    if size as usize != bytes.len() || bytes.len() > limit::COMMAND {
        return Err(Rc::COMMAND_SIZE);
    }
    let code = body.u32().map_err(short)?;
    // Before anything of the command is looked at: in failure mode keys and state can't be trusted (part 3,
    // 5.3).
    if tpm.volatile.failure.is_some() && !table::WORKS_AFTER_FAILURE.contains(&code) {
        return Err(Rc::FAILURE);
    }
    let command = table::find(code).ok_or(Rc::COMMAND_CODE)?;
    // In failure mode TPM2_GetTestResult tells the reason, also if the start-up itself has failed.
    if !tpm.volatile.is_started && code != table::STARTUP && tpm.volatile.failure.is_none() {
        return Err(Rc::INITIALIZE);
    }
    Ok(Header { has_sessions: tag == st::SESSIONS, command, body })
}

fn run(tpm: &mut Tpm, locality: u8, bytes: &[u8], response: &mut Vec<u8>) -> Result<()> {
    let Header { has_sessions, command, mut body } = header(tpm, bytes)?;
    let mut handles = Vec::new();
    // Each is of a kind that its place allows before the first is searched for (part 3, 5.4).
    for (number, spec) in (1..).zip(command.handles) {
        let allowed = |value: &u32| spec.kind.allows(*value);
        let value = body.u32().and_then(|value| Some(value).filter(allowed).ok_or(Rc::VALUE));
        handles.push(value.map_err(|rc| rc.handle(number))?);
    }
    for (number, value) in (1..).zip(&handles) {
        tpm.check_handle(*value, number).map_err(|rc| rc.handle(number))?;
    }
    let mut call = Call {
        code: command.code,
        locality,
        names: Vec::new(),
        handles,
        uses: Vec::new(),
        parameters: Vec::new(),
        r: Reader::new(&[]),
        number: 0,
        out_handle: None,
        out: Writer::new(),
    };
    if has_sessions {
        call.uses = sessions(command, &mut body)?;
    }
    if call.uses.iter().any(|one| !one.is_password()) || tpm.permanent.audited.contains(&command.code) {
        // As they are before the command: it may remove an index, and audit digests are made after it. For
        // digests alone, as an index has a digest for a name.
        call.names = call.handles.iter().map(|handle| tpm.entity_name(*handle)).collect();
    }
    call.parameters = body.rest().to_vec();
    // A second copy: digests are over the parameters as they came, and what gets decrypted is wiped at the
    // end.
    let mut plain = Zeroizing::new(body.rest().to_vec());
    // Out of the call meanwhile, which `authorize` changes while it reads them.
    let parameters = core::mem::take(&mut call.parameters);
    // HMACs are over the parameters as they came, still encrypted; and nothing is decrypted for a caller
    // whose HMAC is wrong (part 3, 5.6 and 5.7).
    tpm.authorize(command, &mut call, &parameters)?;
    call.parameters = parameters;
    decrypt(tpm, &call, &mut plain)?;
    call.r = Reader::new(&plain);
    // Before the command: one that fails half-way must not leave a shutdown's state that is no longer true.
    tpm.leave_orderly(command.code);
    (command.run)(tpm, &mut call)?;
    finish(tpm, command, &mut call, has_sessions, response)
}

fn sessions(command: &Command, body: &mut Reader) -> Result<Vec<Use>> {
    if !command.allows_sessions() {
        return Err(Rc::AUTH_CONTEXT);
    }
    let size = body.u32().map_err(|_| Rc::AUTHSIZE)? as usize;
    authorize::read(body.take(size).map_err(|_| Rc::AUTHSIZE)?)
}

/// Decrypts the first parameter where a session is for that.
fn decrypt(tpm: &Tpm, call: &Call, plain: &mut [u8]) -> Result<()> {
    let uses = &mut call.uses.iter().enumerate();
    // At most one: `check_use` has refused a second session for the same purpose.
    let Some((at, one)) = uses.find(|(_, one)| has(one.attributes, session::DECRYPT)) else {
        return Ok(());
    };
    let session = tpm.session(one.handle)?;
    let size = plain.first_chunk().map(|size| usize::from(u16::from_be_bytes(*size)));
    let size = size.ok_or(Rc::INSUFFICIENT.session(at + 1))?;
    // The size before the data is never encrypted, so that a command can be taken apart without a key (part
    // 1, 21).
    let data = plain.get_mut(2..2 + size).ok_or(Rc::SIZE.session(at + 1))?;
    // In a command the caller's nonce is the newer one; in the response it is the older one.
    tpm.crypt_parameter(session, &one.auth, [&one.nonce, &session.nonce], data, true)
}

fn finish(
    tpm: &mut Tpm,
    command: &Command,
    call: &mut Call,
    has_sessions: bool,
    response: &mut Vec<u8>,
) -> Result<()> {
    let mut parameters = Zeroizing::new(core::mem::take(&mut call.out).into_vec());
    let mut w = Writer::new();
    if let Some(handle) = call.out_handle {
        w.u32(handle);
    }
    if has_sessions {
        tpm.respond(call, &mut parameters, &mut w)?;
    } else {
        // An audit session is exclusive only as long as no command runs outside it (part 1, 20).
        tpm.volatile.exclusive_audit = None;
        w.raw(&parameters);
    }
    // A command that failed does not come here: the digest is about what the TPM has done. Like that of
    // a session it is over the parameters as they are on the wire, so after they were encrypted (part 1, 21).
    // The command that starts the digest anew is not the first in it.
    if tpm.permanent.audited.contains(&command.code) && command.code != table::GET_COMMAND_AUDIT_DIGEST {
        let code = command.code.to_be_bytes();
        let rp = tpm.digest(tpm.permanent.audit_hash, &[&[0; 4], &code, &parameters]);
        let cp = tpm.cp_hash(tpm.permanent.audit_hash, call, &call.parameters);
        tpm.audit_command(&cp, &rp);
    }
    let tag = if has_sessions { st::SESSIONS } else { st::NO_SESSIONS };
    let size = u32::try_from(HEADER + w.len()).map_err(|_| Rc::SIZE)?;
    response.extend_from_slice(&tag.to_be_bytes());
    response.extend_from_slice(&size.to_be_bytes());
    response.extend_from_slice(&[0; 4]);
    response.extend_from_slice(w.as_slice());
    Ok(())
}
