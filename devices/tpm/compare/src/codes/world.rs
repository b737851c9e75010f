//! What a caller knows of the two TPMs: handles, names and values, one of each for either.

use std::collections::BTreeMap;

use anyhow::Result;
use tpm2_engine::crypto::Hash;

use super::crypto::{Cipher, digest};
use super::random::Random;
use super::templates::Role;
use crate::socket::Socket;
use crate::wire::{Reader, command, number};

/// Something of the first TPM, and of the second.
pub type Pair<T> = [T; 2];

/// A command that was to do the same on both did not.
#[derive(Clone, Copy, Debug)]
pub struct Mismatch {
    /// Its code.
    pub command: u32,
    /// The response codes.
    pub codes: Pair<u32>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "command {:x}: {:x?}", self.command, self.codes)
    }
}

impl std::error::Error for Mismatch {}

/// The TPM that is compared with has ended.
#[derive(Clone, Copy, Debug)]
pub struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the TPM that is compared with has ended")
    }
}

impl std::error::Error for Gone {}

/// The same for both.
pub fn same(bytes: &[u8]) -> Pair<Vec<u8>> {
    [bytes.to_vec(), bytes.to_vec()]
}

/// What a session's HMAC needs besides its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// The entity's value in the HMAC's key.
    Value,
    /// The entity's value in place of a HMAC.
    Password,
}

/// A loaded session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its handles.
    pub handles: Pair<u32>,
    /// nonceTPM.
    pub nonces: Pair<Vec<u8>>,
    /// Session keys.
    pub keys: Pair<Vec<u8>>,
    /// Its hash algorithm.
    pub hash: Hash,
    /// How it encrypts.
    pub cipher: Cipher,
    /// TPM_SE.
    pub kind: u8,
    /// The names and the value of what it was bound to.
    pub bound: Option<(Pair<Vec<u8>>, Vec<u8>)>,
    /// What its policy wants.
    pub needs: Needs,
}

/// A loaded object.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its handles.
    pub handles: Pair<u32>,
    /// TPMT_PUBLIC; empty for a sequence.
    pub publics: Pair<Vec<u8>>,
    /// Its authorization value.
    pub auth: Vec<u8>,
    /// What it is for.
    pub role: Role,
}

impl Object {
    /// Its names.
    pub fn names(&self) -> Pair<Vec<u8>> {
        [0, 1].map(|side| name_of(&self.publics[side]))
    }
}

/// The name of a public area.
pub fn name_of(public: &[u8]) -> Vec<u8> {
    let id = public.get(2..4).unwrap_or_default();
    match Hash::ALL.iter().find(|hash| hash.id().to_be_bytes() == id) {
        Some(hash) => [id, &digest(*hash, &[public])].concat(),
        None => Vec::new(),
    }
}

/// An object that was created, and is not loaded.
#[derive(Clone, Debug)]
pub struct Blob {
    /// TPM2B_PRIVATE.
    pub privates: Pair<Vec<u8>>,
    /// TPMT_PUBLIC.
    pub publics: Pair<Vec<u8>>,
    /// Its authorization value.
    pub auth: Vec<u8>,
    /// What it is for.
    pub role: Role,
    /// The names of its parent.
    pub parents: Pair<Vec<u8>>,
}

/// What a command's handle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entity {
    /// A handle that both TPMs know by the same number.
    Fixed(u32),
    /// An object, by its place in the list.
    Object(usize),
    /// A session, by its place in the list.
    Session(usize),
}

/// What outputs are kept to be inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pool {
    /// TPMT_SIGNATURE.
    Signature,
    /// TPMT_TK_*, with the tag in front.
    Ticket,
    /// TPMS_CONTEXT.
    Context,
    /// TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET.
    Credential,
    /// TPM2B_PRIVATE and TPM2B_ENCRYPTED_SECRET of a duplicate, with the name between.
    Duplicate,
    /// TPM2B_ECC_POINT.
    Point,
    /// TPM2B_TIMEOUT.
    Timeout,
}

/// A policy that can be fulfilled.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The commands, each with its parameters.
    pub commands: Vec<(u32, Vec<u8>)>,
    /// What it makes a session want.
    pub needs: Needs,
    /// Its digest by SHA-256.
    pub digest: Vec<u8>,
}

/// Both TPMs, and what is known of them.
#[derive(Debug)]
pub struct World {
    /// The TPMs.
    pub tpms: Pair<Socket>,
    /// Chance.
    pub random: Random,
    /// Loaded objects and sequences.
    pub objects: Vec<Object>,
    /// Created objects.
    pub blobs: Vec<Blob>,
    /// Loaded sessions.
    pub sessions: Vec<Session>,
    /// Values of hierarchies and indices.
    pub auths: BTreeMap<u32, Vec<u8>>,
    /// Defined indices, with their attributes and sizes.
    pub indices: BTreeMap<u32, (u32, u16)>,
    /// Outputs.
    pub pools: BTreeMap<Pool, Vec<Pair<Vec<u8>>>>,
    /// Policies.
    pub recipes: Vec<Recipe>,
    /// Commands that were sent to each.
    pub sent: u64,
}

/// Outputs of a kind that are kept.
const KEPT: usize = 8;

impl World {
    /// Executes a command on both and returns the responses.
    ///
    /// # Errors
    /// When a connection is lost.
    pub fn execute(&mut self, commands: &Pair<Vec<u8>>) -> Result<Pair<Vec<u8>>> {
        self.sent += 1;
        // Both at the same time.
        for (tpm, command) in self.tpms.iter_mut().zip(commands) {
            tpm.send(command)?;
        }
        let [ours, theirs] = &mut self.tpms;
        Ok([ours.receive(&commands[0])?, theirs.receive(&commands[1]).map_err(|_| Gone)?])
    }

    /// Executes a command without sessions that does the same on both, and returns what follows the
    /// responses' headers; none if both refuse it.
    ///
    /// # Errors
    /// When a connection is lost, or one TPM refuses it.
    pub fn both(&mut self, code: u32, parameters: &Pair<Vec<u8>>) -> Result<Option<Pair<Vec<u8>>>> {
        let commands = [0, 1].map(|side: usize| command(code, &parameters[side]));
        let responses = self.execute(&commands)?;
        let codes = [0, 1].map(|side: usize| number(&responses[side], 6));
        if codes[0] != codes[1] {
            return Err(Mismatch { command: code, codes }.into());
        }
        let rest = responses.map(|mut response| response.split_off(10));
        Ok((codes[0] == 0).then_some(rest))
    }

    /// The handle of an entity.
    pub fn handles(&self, entity: Entity) -> Pair<u32> {
        match entity {
            Entity::Fixed(handle) => [handle; 2],
            Entity::Object(at) => self.objects.get(at).map_or([0x8000_0002; 2], |object| object.handles),
            Entity::Session(at) => self.sessions.get(at).map_or([0x0300_0009; 2], |found| found.handles),
        }
    }

    /// The names of an entity. Those of an index are asked for, as they change with what is written.
    ///
    /// # Errors
    /// When a connection is lost, or one TPM has no such index.
    pub fn names(&mut self, entity: Entity) -> Result<Pair<Vec<u8>>> {
        let handles = self.handles(entity);
        match entity {
            Entity::Object(at) => Ok(self.objects.get(at).map_or_else(|| same(&[]), Object::names)),
            Entity::Fixed(handle) if handle >> 24 == 1 => {
                let public = self.both(0x169, &same(&handle.to_be_bytes()))?;
                Ok(public.map_or_else(
                    || same(&[]),
                    |public| {
                        public.map(|response| {
                            let mut reader = Reader(&response);
                            reader.sized();
                            reader.sized().to_vec()
                        })
                    },
                ))
            }
            _ => Ok(handles.map(|handle| handle.to_be_bytes().to_vec())),
        }
    }

    /// The value of an entity.
    pub fn auth(&self, entity: Entity) -> Vec<u8> {
        match entity {
            Entity::Fixed(handle) => self.auths.get(&handle).cloned().unwrap_or_default(),
            Entity::Object(at) => self.objects.get(at).map(|object| object.auth.clone()).unwrap_or_default(),
            Entity::Session(_) => Vec::new(),
        }
    }

    /// What the handles of a command stand for, and which sessions there are, to be read by people.
    pub fn about(&self, entities: &[Entity]) -> String {
        let mut text = String::new();
        for entity in entities {
            text += &match entity {
                Entity::Object(at) => self.objects.get(*at).map_or_else(String::new, |object| {
                    let front = object.publics[0].get(..10).unwrap_or_default();
                    format!("{:?} {:x?} {front:02x?}; ", object.role, object.handles)
                }),
                other => format!("{other:x?}; "),
            };
        }
        for session in &self.sessions {
            text +=
                &format!("session {:x?} of kind {}, {:?}; ", session.handles, session.kind, session.needs);
        }
        text
    }

    /// Keeps an output.
    pub fn keep(&mut self, pool: Pool, value: Pair<Vec<u8>>) {
        let kept = self.pools.entry(pool).or_default();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(value);
    }

    /// An output that was kept.
    pub fn kept(&mut self, pool: Pool) -> Option<Pair<Vec<u8>>> {
        let kept = self.pools.get(&pool).filter(|kept| !kept.is_empty())?;
        let at = self.random.below(kept.len());
        kept.get(at).cloned()
    }

    /// The places of objects that are for something.
    pub fn objects_for(&self, is_wanted: impl Fn(Role) -> bool) -> Vec<usize> {
        let all = self.objects.iter().enumerate();
        all.filter(|(_, object)| is_wanted(object.role)).map(|(at, _)| at).collect()
    }

    /// The places of sessions of a kind.
    pub fn sessions_for(&self, is_wanted: impl Fn(u8) -> bool) -> Vec<usize> {
        let all = self.sessions.iter().enumerate();
        all.filter(|(_, session)| is_wanted(session.kind)).map(|(at, _)| at).collect()
    }
}
