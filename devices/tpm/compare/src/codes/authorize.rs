//! The authorization area of a command: passwords, HMAC and policy sessions, right ones mostly.

use anyhow::Result;

use super::crypto::{Cipher, crypt, digest, hmac};
use super::table::Spec;
use super::world::{Entity, Needs, Pair, World, same};
use crate::wire::{PASSWORD, framed, session_use};

const CONTINUE: u8 = 1;
const DECRYPT: u8 = 1 << 5;
const ENCRYPT: u8 = 1 << 6;
const AUDIT: u8 = 1 << 7;

/// A use of a session, or of a password.
#[derive(Clone, Debug)]
pub struct Use {
    /// The session's place in the list; none for a password.
    pub session: Option<usize>,
    /// What it authorizes.
    pub entity: Option<Entity>,
    /// TPMA_SESSION.
    pub attributes: u8,
    /// nonceCaller.
    pub nonce: Vec<u8>,
    /// Whether what shows the knowledge of the value is spoilt.
    pub is_wrong: bool,
}

impl Use {
    /// Whether the session goes on after the command.
    pub const fn continues(&self) -> bool {
        self.attributes & CONTINUE != 0
    }

    /// Whether it decrypts the command's first parameter.
    pub const fn decrypts(&self) -> bool {
        self.attributes & DECRYPT != 0
    }

    /// Whether it encrypts the response's first parameter.
    pub const fn encrypts(&self) -> bool {
        self.attributes & ENCRYPT != 0
    }
}

/// A command that was made, with the sessions that it uses.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its bytes.
    pub commands: Pair<Vec<u8>>,
    /// The sessions.
    pub uses: Vec<Use>,
}

impl World {
    /// Makes a command of handles and parameters, with what authorizes it.
    ///
    /// # Errors
    /// When a connection is lost.
    pub fn authorized(
        &mut self,
        spec: &Spec,
        handles: &[Entity],
        mut parameters: Pair<Vec<u8>>,
    ) -> Result<Made> {
        let needing: Vec<Entity> = handles
            .iter()
            .zip(spec.handles)
            .filter(|(_, (_, auth))| *auth)
            .map(|(entity, _)| *entity)
            .collect();
        let values = handles.iter().map(|entity| self.handles(*entity)).collect::<Vec<_>>();
        let front =
            |side: usize| values.iter().flat_map(|pair| pair[side].to_be_bytes()).collect::<Vec<u8>>();
        let is_bare = self.random.once_in(40) || matches!(spec.code, 0x161 | 0x162 | 0x165);
        let mut uses = Vec::new();
        for entity in needing {
            let one = self.use_for(spec, entity, &uses)?;
            uses.push(one);
        }
        self.add_extra(spec, &mut uses);
        if is_bare || uses.is_empty() {
            let commands = [0, 1].map(|side: usize| {
                framed(false, spec.code, &[front(side), parameters[side].clone()].concat())
            });
            return Ok(Made { commands, uses: Vec::new() });
        }
        let mut names = same(&[]);
        for entity in handles {
            let more = self.names(*entity)?;
            names.iter_mut().zip(more).for_each(|(names, more)| names.extend(more));
        }
        self.encrypt(&uses, &mut parameters);
        let commands = [0, 1].map(|side: usize| {
            let parts: [&[u8]; 3] = [&spec.code.to_be_bytes(), &names[side], &parameters[side]];
            let area: Vec<u8> = (0..uses.len()).flat_map(|at| self.area(&uses, at, side, &parts)).collect();
            let size = (area.len() as u32).to_be_bytes();
            framed(true, spec.code, &[&front(side), &size[..], &area, &parameters[side]].concat())
        });
        Ok(Made { commands, uses })
    }

    /// How an entity is authorized.
    fn use_for(&mut self, spec: &Spec, entity: Entity, uses: &[Use]) -> Result<Use> {
        let password = |is_wrong| Use {
            session: None,
            entity: Some(entity),
            attributes: CONTINUE,
            nonce: Vec::new(),
            is_wrong,
        };
        let is_free = |at: &usize| !uses.iter().any(|one| one.session == Some(*at));
        let way = self.random.below(20);
        let is_wrong = self.random.once_in(30);
        let kind = match way {
            0..10 => return Ok(password(is_wrong)),
            10..16 => 0,
            _ => 1,
        };
        let found: Vec<usize> =
            self.sessions_for(|other| other == kind).into_iter().filter(is_free).collect();
        if found.is_empty() {
            return Ok(password(is_wrong));
        }
        let session = self.random.pick(&found);
        if kind == 1 {
            self.fulfil(spec, session)?;
        }
        let size = self.random.pick(&[16, 16, 20, 32, 0]);
        let attributes = if self.random.once_in(5) { 0 } else { CONTINUE };
        let nonce = self.random.bytes(size);
        Ok(Use { session: Some(session), entity: Some(entity), attributes, nonce, is_wrong })
    }

    /// Has a policy session fulfil one of the policies, one for this command if it can be.
    fn fulfil(&mut self, spec: &Spec, session: usize) -> Result<()> {
        let code = spec.code.to_be_bytes();
        let fits: Vec<usize> = self
            .recipes
            .iter()
            .enumerate()
            .filter(|(_, recipe)| recipe.commands.iter().all(|(name, rest)| *name != 0x16c || *rest == code))
            .map(|(at, _)| at)
            .collect();
        // None of them: the session stays as the commands before have left it.
        if fits.is_empty() || self.random.once_in(4) {
            return Ok(());
        }
        let at = self.random.pick(&fits);
        let handles = self.handles(Entity::Session(session));
        let Some(recipe) = self.recipes.get(at).cloned() else { return Ok(()) };
        self.both(0x180, &handles.map(|handle| handle.to_be_bytes().to_vec()))?;
        for (code, parameters) in &recipe.commands {
            let both = handles.map(|handle| [&handle.to_be_bytes()[..], parameters].concat());
            self.both(*code, &both)?;
        }
        if let Some(session) = self.sessions.get_mut(session) {
            session.needs = recipe.needs;
        }
        Ok(())
    }

    /// Adds sessions for parameters and for audit, and these purposes to those that authorize.
    fn add_extra(&mut self, spec: &Spec, uses: &mut Vec<Use>) {
        let (mut decrypts, mut encrypts) =
            (spec.decrypts() && self.random.once_in(6), self.random.once_in(8));
        let mut audits = self.random.once_in(14);
        // Now and then where it is not allowed.
        decrypts |= self.random.once_in(100);
        if (decrypts || encrypts || audits) && uses.len() < 3 && self.random.once_in(2) {
            let free: Vec<usize> = (0..self.sessions.len())
                .filter(|at| self.random.once_in(40) || !uses.iter().any(|one| one.session == Some(*at)))
                .collect();
            if !free.is_empty() {
                let session = Some(self.random.pick(&free));
                let attributes = if self.random.once_in(6) { 0 } else { CONTINUE };
                let nonce = self.random.bytes(16);
                let is_wrong = self.random.once_in(30);
                uses.push(Use { session, entity: None, attributes, nonce, is_wrong });
            }
        }
        for one in uses.iter_mut().rev().filter(|one| one.session.is_some()) {
            let purposes = [(&mut decrypts, DECRYPT), (&mut encrypts, ENCRYPT), (&mut audits, AUDIT)];
            for (wanted, attribute) in purposes {
                if *wanted {
                    one.attributes |= attribute;
                    *wanted = false;
                }
            }
        }
    }

    /// The key for a parameter of a use of a session.
    pub fn parameter_key(&self, one: &Use, side: usize) -> Option<(Cipher, Vec<u8>)> {
        let session = self.sessions.get(one.session?)?;
        let auth = one.entity.map(|entity| self.auth(entity)).unwrap_or_default();
        Some((session.cipher, [&session.keys[side][..], &auth].concat()))
    }

    /// Encrypts the first parameter where a session is for that.
    fn encrypt(&self, uses: &[Use], parameters: &mut Pair<Vec<u8>>) {
        let Some(one) = uses.iter().find(|one| one.attributes & DECRYPT != 0) else { return };
        let Some(session) = one.session.and_then(|at| self.sessions.get(at)) else { return };
        for (side, parameters) in parameters.iter_mut().enumerate() {
            let Some((cipher, key)) = self.parameter_key(one, side) else { return };
            let size = usize::from(crate::wire::Reader(parameters).u16());
            if let Some(data) = parameters.get_mut(2..2 + size) {
                crypt(cipher, session.hash, &key, [&one.nonce, &session.nonces[side]], data, false);
            }
        }
    }

    /// One use as it stands in the area.
    fn area(&self, uses: &[Use], at: usize, side: usize, parts: &[&[u8]]) -> Vec<u8> {
        let one = &uses[at];
        let auth = one.entity.map(|entity| self.auth(entity)).unwrap_or_default();
        let Some(session) = one.session.and_then(|place| self.sessions.get(place)) else {
            let auth = if one.is_wrong { [&auth[..], b"x"].concat() } else { auth };
            return session_use(PASSWORD, &[], one.attributes, &auth);
        };
        let handle = session.handles[side];
        if session.kind != 0 && session.needs == Needs::Password && one.entity.is_some() {
            let auth = if one.is_wrong { [&auth[..], b"x"].concat() } else { auth };
            return session_use(handle, &one.nonce, one.attributes, &auth);
        }
        let is_bound = || {
            let names = one.entity.map(|entity| self.known_names(entity));
            session
                .bound
                .as_ref()
                .is_some_and(|(bound, value)| names.as_ref() == Some(bound) && *value == auth)
        };
        let includes = match session.kind {
            0 => one.entity.is_some() && !is_bound(),
            _ => one.entity.is_some() && session.needs == Needs::Value,
        };
        let auth = if includes { auth } else { Vec::new() };
        let key = [&session.keys[side][..], &auth].concat();
        let mut mac = Vec::new();
        if !key.is_empty() || one.is_wrong {
            let digest = digest(session.hash, parts);
            let extra = self.extra_nonces(uses, at, side);
            let parts: [&[u8]; 6] =
                [&digest, &one.nonce, &session.nonces[side], &extra[0], &extra[1], &[one.attributes]];
            mac = hmac(session.hash, &key, &parts);
            if one.is_wrong {
                mac.iter_mut().take(1).for_each(|byte| *byte ^= 1);
            }
        }
        session_use(handle, &one.nonce, one.attributes, &mac)
    }

    /// The names without asking anybody: none is bound to an index.
    fn known_names(&self, entity: Entity) -> Pair<Vec<u8>> {
        match entity {
            Entity::Object(at) => self.objects.get(at).map_or_else(|| same(&[]), super::world::Object::names),
            _ => self.handles(entity).map(|handle| handle.to_be_bytes().to_vec()),
        }
    }

    /// The nonces of the sessions that en- and decrypt, which the first HMAC covers.
    fn extra_nonces(&self, uses: &[Use], at: usize, side: usize) -> [Vec<u8>; 2] {
        if at != 0 {
            return [Vec::new(), Vec::new()];
        }
        let with = |attribute: u8| uses.iter().position(|one| one.attributes & attribute != 0);
        let (decrypt, encrypt) = (with(DECRYPT), with(ENCRYPT));
        let nonce = |found: Option<usize>| {
            let place = found.filter(|found| *found != 0).and_then(|found| uses[found].session);
            place
                .and_then(|place| self.sessions.get(place))
                .map_or(Vec::new(), |one| one.nonces[side].clone())
        };
        [nonce(decrypt), nonce(encrypt.filter(|_| encrypt != decrypt))]
    }
}
