//! Starting sessions, and policies that they can fulfil.

use anyhow::{Context, Result};
use tpm2_engine::crypto::{Hash, Point};

use super::crypto::{Cipher, kdfa, salt};
use super::templates::Role;
use super::world::{Entity, Needs, Pair, Recipe, Session, World, same};
use crate::wire::{Reader, sized};

/// What a session is to be.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// TPM_SE.
    pub kind: u8,
    /// Its hash algorithm.
    pub hash: Hash,
    /// How it encrypts.
    pub cipher: Cipher,
    /// The key that a salt is encrypted for.
    pub key: Option<usize>,
    /// What it is bound to.
    pub bound: Option<Entity>,
}

const NULL: [u8; 4] = [0x40, 0, 0, 7];

impl World {
    /// A session by chance.
    pub fn any_start(&mut self) -> Start {
        let keys = self.objects_for(|role| role == Role::Storage);
        let key =
            if !keys.is_empty() && self.random.once_in(2) { Some(self.random.pick(&keys)) } else { None };
        let bound = match self.random.below(6) {
            0 => Some(Entity::Fixed(self.random.pick(&[0x4000_0001, 0x4000_000b, 0x4000_000c, 0x4000_000a]))),
            1 if !self.objects.is_empty() => Some(Entity::Object(self.random.below(self.objects.len()))),
            _ => None,
        };
        Start {
            kind: self.random.pick(&[0, 0, 0, 1, 1, 3]),
            hash: self.random.pick(&[Hash::Sha256, Hash::Sha256, Hash::Sha1, Hash::Sha384]),
            cipher: self.random.pick(&[Cipher::None, Cipher::Aes128, Cipher::Aes128, Cipher::Xor]),
            key,
            bound,
        }
    }

    /// The bytes of TPM2_StartAuthSession, and the salts.
    fn start_bytes(&mut self, start: &Start, nonce: &[u8]) -> (Pair<Vec<u8>>, Pair<Vec<u8>>) {
        let handle = |entity: Option<Entity>, world: &World, side: usize| {
            entity.map_or(NULL, |entity| world.handles(entity)[side].to_be_bytes())
        };
        let private = self.random.bytes(32);
        let (mut salts, mut sent) = (same(&[]), same(&[]));
        if let Some(object) = start.key.and_then(|at| self.objects.get(at)) {
            for side in 0..2 {
                let point = point_of(&object.publics[side]);
                let made = point.and_then(|point| salt(&point, Hash::Sha256, &private));
                if let Some((bytes, secret)) = made {
                    (sent[side], salts[side]) = (bytes, secret);
                }
            }
        }
        let parameters = [0, 1].map(|side: usize| {
            [
                &handle(start.key.map(Entity::Object), self, side)[..],
                &handle(start.bound, self, side),
                &sized(nonce),
                &sized(&sent[side]),
                &[start.kind],
                start.cipher.definition(),
                &start.hash.id().to_be_bytes(),
            ]
            .concat()
        });
        (parameters, salts)
    }

    /// Starts a session on both. None if both refuse it.
    ///
    /// # Errors
    /// When a connection is lost, or the TPMs do not agree.
    pub fn start_session(&mut self, start: Start) -> Result<Option<usize>> {
        let size = self.random.pick(&[16, 16, 16, 20]);
        let nonce = self.random.bytes(size);
        let (parameters, salts) = self.start_bytes(&start, &nonce);
        let Some(responses) = self.both(0x176, &parameters)? else { return Ok(None) };
        let auth = start.bound.map(|entity| self.auth(entity)).unwrap_or_default();
        let (mut handles, mut nonces, mut keys) = ([0; 2], same(&[]), same(&[]));
        for side in 0..2 {
            let mut reader = Reader(&responses[side]);
            handles[side] = reader.u32();
            nonces[side] = reader.sized().to_vec();
            if start.key.is_some() || start.bound.is_some() {
                let secret = [&auth[..], &salts[side]].concat();
                keys[side] = kdfa(start.hash, &secret, "ATH", [&nonces[side], &nonce], start.hash.size());
            }
        }
        let bound = match start.bound {
            Some(entity) if start.kind == 0 => Some((self.names(entity)?, auth)),
            _ => None,
        };
        let Start { kind, hash, cipher, .. } = start;
        self.sessions.push(Session {
            handles,
            nonces,
            keys,
            hash,
            cipher,
            kind,
            bound,
            needs: Needs::Nothing,
        });
        Ok(Some(self.sessions.len() - 1))
    }

    /// Finds the digests of policies that can be fulfilled.
    ///
    /// # Errors
    /// When the TPMs do not agree about them.
    pub fn make_recipes(&mut self) -> Result<()> {
        let code = |code: u32| (0x16c, code.to_be_bytes().to_vec());
        let (value, password) = ((0x16b, Vec::new()), (0x18c, Vec::new()));
        let locality = (0x16f, vec![1]);
        let written = (0x18f, vec![1]);
        let pcrs = (0x17f, vec![0, 0, 0, 0, 0, 1, 0, 0x0b, 3, 0, 0, 1]);
        let recipes = [
            (vec![value.clone()], Needs::Value),
            (vec![password], Needs::Password),
            (vec![locality], Needs::Nothing),
            (vec![written], Needs::Nothing),
            (vec![pcrs], Needs::Nothing),
            (vec![code(0x14b)], Needs::Nothing),
            (vec![code(0x15d), value.clone()], Needs::Value),
            (vec![code(0x148)], Needs::Nothing),
            (vec![code(0x137)], Needs::Nothing),
            (vec![code(0x14e)], Needs::Nothing),
            (vec![code(0x11f)], Needs::Nothing),
            (vec![code(0x13b), value], Needs::Value),
            (vec![code(0x15e)], Needs::Nothing),
            (vec![code(0x150)], Needs::Nothing),
        ];
        for (commands, needs) in recipes {
            let trial = Start { kind: 3, hash: Hash::Sha256, cipher: Cipher::None, key: None, bound: None };
            let at = self.start_session(trial)?.context("no trial session")?;
            let handle = self.handles(Entity::Session(at));
            for (code, parameters) in &commands {
                self.both(*code, &handle.map(|handle| [&handle.to_be_bytes()[..], parameters].concat()))?;
            }
            let handle = handle.map(|handle| handle.to_be_bytes().to_vec());
            let digest = self.both(0x189, &handle)?.context("no policy digest")?;
            anyhow::ensure!(digest[0] == digest[1], "policies {digest:x?} of {commands:x?}");
            self.both(0x165, &handle)?;
            self.sessions.clear();
            self.recipes.push(Recipe { commands, needs, digest: Reader(&digest[0]).sized().to_vec() });
        }
        Ok(())
    }
}

/// The point of a storage key's public area.
fn point_of(public: &[u8]) -> Option<Point> {
    let mut reader = Reader(public);
    if reader.u16() != 0x23 {
        return None;
    }
    reader.take(6);
    reader.sized();
    // Symmetric algorithm, scheme, curve and derivation of a storage key.
    reader.take(6 + 2 + 2 + 2);
    Some(Point { x: reader.sized().to_vec(), y: reader.sized().to_vec() })
}
