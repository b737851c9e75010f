//! What handles of commands stand for, by chance.

use std::collections::BTreeMap;

use super::random::Random;
use super::table::{Spec, Wanted};
use super::templates::Role;
use super::world::{Entity, Pair, World};
use crate::socket::Socket;

const OWNER: u32 = 0x4000_0001;
const NULL: u32 = 0x4000_0007;
const LOCKOUT: u32 = 0x4000_000a;
const ENDORSEMENT: u32 = 0x4000_000b;
const PLATFORM: u32 = 0x4000_000c;

/// Handles of all kinds, also such as stand for nothing.
const ANY: [u32; 16] = [
    0,
    16,
    23,
    24,
    0x0150_0000,
    0x0150_0001,
    0x0150_00ff,
    0x0200_0000,
    0x0300_0001,
    OWNER,
    NULL,
    LOCKOUT,
    PLATFORM,
    0x4000_0010,
    0x8000_0000,
    0x8100_0000,
];

impl World {
    /// A world in which nothing was made yet.
    pub fn new(tpms: Pair<Socket>, random: Random) -> World {
        World {
            tpms,
            random,
            objects: Vec::new(),
            blobs: Vec::new(),
            sessions: Vec::new(),
            auths: BTreeMap::new(),
            indices: BTreeMap::new(),
            pools: BTreeMap::new(),
            recipes: Vec::new(),
            sent: 0,
        }
    }

    /// What a handle stands for; `first`: what the command's first one does.
    pub fn entity(&mut self, wanted: Wanted, spec: &Spec, at: usize, first: Option<Entity>) -> Entity {
        if self.random.once_in(40) {
            return Entity::Fixed(self.random.pick(&ANY));
        }
        match wanted {
            Wanted::Provision => self.one_of(&[OWNER, OWNER, OWNER, PLATFORM]),
            Wanted::Hierarchy => self.one_of(&[OWNER, OWNER, ENDORSEMENT, PLATFORM, NULL, NULL]),
            Wanted::HierarchyAuth => self.one_of(&[OWNER, ENDORSEMENT, LOCKOUT, PLATFORM]),
            Wanted::Clear => self.one_of(&[LOCKOUT, PLATFORM]),
            Wanted::Platform => Entity::Fixed(PLATFORM),
            Wanted::Endorsement => Entity::Fixed(ENDORSEMENT),
            Wanted::Lockout => Entity::Fixed(LOCKOUT),
            Wanted::Pcr => self.one_of(&[0, 10, 16, 16, 17, 23, NULL]),
            Wanted::Object => self.object(|_| true),
            Wanted::Storage => self.object(Role::is_parent),
            Wanted::StorageOrNull if self.random.once_in(2) => Entity::Fixed(NULL),
            Wanted::StorageOrNull => self.object(Role::is_parent),
            Wanted::Parent if self.random.once_in(2) => self.one_of(&[OWNER, ENDORSEMENT, NULL, PLATFORM]),
            Wanted::Parent => self.object(|role| role.is_parent() || role == Role::Keyed),
            Wanted::SignerOrNull if self.random.once_in(4) => Entity::Fixed(NULL),
            Wanted::Signer | Wanted::SignerOrNull => self.object(Role::signs),
            Wanted::Decrypter => self.object(Role::decrypts),
            Wanted::Keyed => self.object(|role| role == Role::Keyed),
            Wanted::Cipher => self.object(|role| role == Role::Cipher),
            Wanted::Sealed => self.object(|role| role == Role::Sealed),
            Wanted::Sequence => self.object(|role| role == Role::Sequence),
            Wanted::NvAuth => {
                let index = self.index();
                let owner = self.random.pick(&[OWNER, OWNER, PLATFORM]);
                if self.random.once_in(2) { Entity::Fixed(owner) } else { index }
            }
            Wanted::Nv => match first {
                // An index mostly authorizes for itself.
                Some(Entity::Fixed(handle)) if handle >> 24 == 1 && at > 0 && spec.code != 0x184 => {
                    Entity::Fixed(handle)
                }
                _ => self.index(),
            },
            Wanted::Policy => self.session(|kind| kind != 0),
            Wanted::Session => self.session(|_| true),
            Wanted::Context if self.random.once_in(2) => self.session(|_| true),
            Wanted::Context => self.object(|_| true),
            Wanted::Entity => match self.random.below(3) {
                0 => self.object(|_| true),
                1 => self.index(),
                _ => self.one_of(&[OWNER, ENDORSEMENT, LOCKOUT, PLATFORM, 16]),
            },
        }
    }

    fn one_of(&mut self, handles: &[u32]) -> Entity {
        Entity::Fixed(self.random.pick(handles))
    }

    fn object(&mut self, is_wanted: impl Fn(Role) -> bool) -> Entity {
        let found = self.objects_for(is_wanted);
        if found.is_empty() || self.random.once_in(20) {
            // Whatever there is.
            return Entity::Object(self.random.below(self.objects.len() + 1));
        }
        Entity::Object(self.random.pick(&found))
    }

    fn session(&mut self, is_wanted: impl Fn(u8) -> bool) -> Entity {
        let found = self.sessions_for(is_wanted);
        if found.is_empty() {
            return Entity::Session(self.random.below(self.sessions.len() + 1));
        }
        Entity::Session(self.random.pick(&found))
    }

    fn index(&mut self) -> Entity {
        let defined: Vec<u32> = self.indices.keys().copied().collect();
        if defined.is_empty() || self.random.once_in(12) {
            return Entity::Fixed(0x0150_0000 + self.random.below(5) as u32);
        }
        Entity::Fixed(self.random.pick(&defined))
    }
}
