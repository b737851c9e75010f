//! What a command that both TPMs have executed has changed.

use anyhow::Result;

use super::authorize::{Made, Use};
use super::crypto::crypt;
use super::parameters::Hints;
use super::table::Spec;
use super::templates::Role;
use super::world::{Blob, Entity, Needs, Object, Pair, Pool, World, same};
use crate::wire::{Reader, numbers, sized};

/// The parameters of a response, with the handle in front of them, if there is one.
struct Outputs {
    handles: Pair<u32>,
    parameters: Pair<Vec<u8>>,
}

impl World {
    /// Takes down what has changed.
    ///
    /// # Errors
    /// When a connection is lost.
    pub fn take_effects(
        &mut self,
        spec: &Spec,
        entities: &[Entity],
        made: &Made,
        hints: Hints,
        responses: &Pair<Vec<u8>>,
    ) -> Result<()> {
        let mut outputs = self.outputs(spec, made, responses);
        self.end_sessions(&made.uses, entities, spec);
        let subject = entities.first().copied();
        match spec.code {
            0x131 | 0x157 | 0x15b | 0x167 | 0x186 | 0x191 => self.add_object(spec, &outputs, entities, hints),
            0x153 => self.add_blob(&outputs, subject, hints),
            0x12a => {
                if let Some((index, attributes, size)) = hints.index {
                    self.indices.insert(index, (attributes, size));
                    self.auths.insert(index, hints.auth);
                }
            }
            0x129 | 0x13b => {
                if let Some(Entity::Fixed(handle)) = subject {
                    self.auths.insert(handle, hints.auth);
                }
            }
            0x120 => {
                let object = match entities.get(1) {
                    Some(Entity::Object(at)) => self.objects.get(*at).cloned(),
                    _ => None,
                };
                if let Some(object) = object.filter(|object| object.handles[0] >> 24 == 0x80) {
                    self.objects.push(Object { handles: [hints.persistent; 2], ..object });
                }
            }
            0x165 => self.forget(hints.subject),
            0x13e | 0x185 => self.forget(entities.get(usize::from(spec.code == 0x185)).copied()),
            0x162 => {
                self.keep(Pool::Context, std::mem::replace(&mut outputs.parameters, same(&[])));
                // Saved, a session is no longer loaded; an object stays.
                if let Some(Entity::Session(_)) = subject {
                    self.forget(subject);
                }
            }
            _ => self.keep_outputs(spec.code, &outputs.parameters),
        }
        let policy = entities.iter().rev().find_map(|entity| match entity {
            Entity::Session(at) => Some(*at),
            _ => None,
        });
        if let Some(session) = policy.and_then(|at| self.sessions.get_mut(at)) {
            match spec.code {
                0x16b => session.needs = Needs::Value,
                0x18c => session.needs = Needs::Password,
                0x180 => session.needs = Needs::Nothing,
                _ => {}
            }
        }
        if matches!(spec.code, 0x11f..=0x127 | 0x161) {
            self.look_again()?;
        }
        Ok(())
    }

    /// Takes a response apart, and takes new nonces down.
    fn outputs(&mut self, spec: &Spec, made: &Made, responses: &Pair<Vec<u8>>) -> Outputs {
        let (mut handles, mut parameters) = ([0; 2], same(&[]));
        for side in 0..2 {
            let mut reader = Reader(responses[side].get(10..).unwrap_or_default());
            if spec.returns_handle() {
                handles[side] = reader.u32();
            }
            if made.uses.is_empty() {
                parameters[side] = reader.0.to_vec();
                continue;
            }
            let size = reader.u32();
            parameters[side] = reader.take(size as usize).to_vec();
            for one in &made.uses {
                let nonce = reader.sized().to_vec();
                reader.take(1);
                reader.sized();
                if let Some(session) = one.session.and_then(|at| self.sessions.get_mut(at)) {
                    session.nonces[side] = nonce;
                }
            }
            self.decrypt(&made.uses, side, &mut parameters[side]);
        }
        Outputs { handles, parameters }
    }

    fn decrypt(&self, uses: &[Use], side: usize, parameters: &mut [u8]) {
        let Some(one) = uses.iter().find(|one| one.encrypts()) else { return };
        let Some(session) = one.session.and_then(|at| self.sessions.get(at)) else { return };
        let Some((cipher, key)) = self.parameter_key(one, side) else { return };
        let size = usize::from(Reader(parameters).u16());
        if let Some(data) = parameters.get_mut(2..2 + size) {
            crypt(cipher, session.hash, &key, [&session.nonces[side], &one.nonce], data, true);
        }
    }

    /// Removes the sessions that do not go on.
    fn end_sessions(&mut self, uses: &[Use], entities: &[Entity], spec: &Spec) {
        let mut ended: Vec<usize> = Vec::new();
        for one in uses {
            let Some(at) = one.session else { continue };
            if !one.continues() {
                ended.push(at);
            } else if let Some(session) = self.sessions.get_mut(at)
                && session.kind == 1
            {
                session.needs = Needs::Nothing;
            }
        }
        // From the highest place down, so that the others keep theirs.
        ended.sort_unstable();
        let _ = (entities, spec);
        for at in ended.into_iter().rev() {
            self.sessions.remove(at);
        }
    }

    fn add_object(&mut self, spec: &Spec, outputs: &Outputs, entities: &[Entity], hints: Hints) {
        let (mut publics, mut auth, mut role) = (same(&[]), hints.auth, hints.role);
        match spec.code {
            0x131 => publics = [0, 1].map(|side| Reader(&outputs.parameters[side]).sized().to_vec()),
            0x191 => {
                publics = [0, 1].map(|side| {
                    let mut reader = Reader(&outputs.parameters[side]);
                    reader.sized();
                    reader.sized().to_vec()
                });
            }
            0x167 => publics = hints.public.unwrap_or_else(|| same(&[])),
            0x157 => {
                if let Some(blob) = hints.blob.and_then(|at| self.blobs.get(at)) {
                    (publics, auth) = (blob.publics.clone(), blob.auth.clone());
                    role = Some(blob.role);
                }
            }
            _ => role = Some(Role::Sequence),
        }
        let _ = entities;
        let role = role.unwrap_or(Role::Sealed);
        self.objects.push(Object { handles: outputs.handles, publics, auth, role });
    }

    fn add_blob(&mut self, outputs: &Outputs, parent: Option<Entity>, hints: Hints) {
        let Some(Entity::Object(parent)) = parent else { return };
        let Some(parents) = self.objects.get(parent).map(Object::names) else { return };
        let mut privates = same(&[]);
        let publics = [0, 1].map(|side: usize| {
            let mut reader = Reader(&outputs.parameters[side]);
            privates[side] = reader.sized().to_vec();
            reader.sized().to_vec()
        });
        let role = hints.role.unwrap_or(Role::Sealed);
        if self.blobs.len() >= 12 {
            self.blobs.remove(0);
        }
        self.blobs.push(Blob { privates, publics, auth: hints.auth, role, parents });
        let tickets = [0, 1].map(|side: usize| {
            let mut reader = Reader(&outputs.parameters[side]);
            // Private and public part, creation data, their digest.
            (0..4).for_each(|_| _ = reader.sized());
            reader.0.to_vec()
        });
        self.keep(Pool::Ticket, tickets);
    }

    /// Keeps what can be an input.
    fn keep_outputs(&mut self, code: u32, parameters: &Pair<Vec<u8>>) {
        let behind = |count: usize| {
            [0, 1].map(|side: usize| {
                let mut reader = Reader(&parameters[side]);
                (0..count).for_each(|_| _ = reader.sized());
                reader.0.to_vec()
            })
        };
        match code {
            0x15d => self.keep(Pool::Signature, behind(0)),
            0x177 => self.keep(Pool::Ticket, behind(0)),
            0x17d => self.keep(Pool::Ticket, behind(1)),
            0x151 | 0x160 => {
                self.keep(Pool::Ticket, behind(1));
                let timeouts = parameters.clone().map(|bytes| sized(Reader(&bytes).sized()));
                self.keep(Pool::Timeout, timeouts);
            }
            0x163 => self.keep(Pool::Point, behind(1)),
            0x168 => self.keep(Pool::Credential, behind(0)),
            _ => {}
        }
    }

    /// Removes what is not loaded any more.
    pub fn forget(&mut self, entity: Option<Entity>) {
        match entity {
            Some(Entity::Object(at)) if at < self.objects.len() => drop(self.objects.remove(at)),
            Some(Entity::Session(at)) if at < self.sessions.len() => drop(self.sessions.remove(at)),
            _ => {}
        }
    }

    /// Asks both which objects and sessions are loaded. What is not there any more is forgotten, and what
    /// nobody knows is flushed.
    ///
    /// # Errors
    /// When a connection is lost, or one TPM refuses what the other one does.
    pub fn look_again(&mut self) -> Result<()> {
        for first in [0x8000_0000u32, 0x8100_0000, 0x0200_0000] {
            let Some(lists) = self.both(0x17a, &same(&numbers(&[1, first, 64])))? else { continue };
            let lists = lists.map(|list| {
                let mut reader = Reader(list.get(5..).unwrap_or_default());
                (0..reader.u32()).map(|_| reader.u32()).collect::<Vec<u32>>()
            });
            let is_there =
                |handles: &Pair<u32>| (0..2).all(|side: usize| lists[side].contains(&handles[side]));
            let kind = first >> 24;
            if kind == 2 {
                self.sessions.retain(|session| is_there(&session.handles));
            } else {
                self.objects.retain(|object| object.handles[0] >> 24 != kind || is_there(&object.handles));
            }
            if kind == 0x81 {
                continue;
            }
            let known: Vec<Pair<u32>> = self
                .objects
                .iter()
                .map(|object| object.handles)
                .chain(self.sessions.iter().map(|session| session.handles))
                .collect();
            for side in 0..2 {
                for handle in &lists[side] {
                    if !known.iter().any(|handles| handles[side] == *handle) {
                        self.tpms[side].execute(&crate::wire::command(0x165, &handle.to_be_bytes()))?;
                    }
                }
            }
        }
        Ok(())
    }
}
