//! Parameters by chance: mostly such as make sense, as what is senseless is refused early.

use super::table::Parameter;
use super::templates::{self, Role};
use super::world::{Entity, Pair, Pool, World, same};
use crate::wire::sized;

/// What a command that is being made will have made, if it succeeds.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// The value that it sets.
    pub auth: Vec<u8>,
    /// What an object that it makes is for.
    pub role: Option<Role>,
    /// The object that it loads.
    pub blob: Option<usize>,
    /// The public area of what it loads from elsewhere.
    pub public: Option<Pair<Vec<u8>>>,
    /// The index that it defines.
    pub index: Option<(u32, u32, u16)>,
    /// The handle that it makes persistent.
    pub persistent: u32,
    /// The handle that it is about, where that is a parameter.
    pub subject: Option<Entity>,
}

/// Command codes that lists and policies have.
const CODES: [u32; 12] =
    [0x15d, 0x137, 0x14e, 0x148, 0x15e, 0x150, 0x14b, 0x147, 0x11f, 0x13b, 0x182, 0x7fff_ffff];
const PCR_SELECTIONS: [&[u8]; 6] = [
    &[0, 0, 0, 0],
    &[0, 0, 0, 1, 0, 0x0b, 3, 1, 0, 1],
    &[0, 0, 0, 1, 0, 4, 3, 0xff, 0, 0],
    &[0, 0, 0, 2, 0, 0x0b, 3, 0, 0, 1, 0, 0x0c, 3, 0, 0, 0x80],
    &[0, 0, 0, 1, 0, 0x0b, 2, 1, 0],
    &[0, 0, 0, 1, 0, 0x12, 3, 1, 0, 0],
];
const SIGN_SCHEMES: [&[u8]; 12] = [
    &[0, 0x10],
    &[0, 0x10],
    &[0, 0x18, 0, 0x0b],
    &[0, 0x18, 0, 0x0b],
    &[0, 0x18, 0, 0x0c],
    &[0, 0x14, 0, 0x0b],
    &[0, 0x16, 0, 0x0b],
    &[0, 5, 0, 0x0b],
    &[0, 0x1c, 0, 0x0b],
    &[0, 0x1a, 0, 0x0b, 0, 1],
    &[0, 0x18, 0, 0x10],
    &[0, 0x17],
];
const RSA_SCHEMES: [&[u8]; 4] = [&[0, 0x10], &[0, 0x15], &[0, 0x17, 0, 0x0b], &[0, 0x14, 0, 0x0b]];
const SYMMETRIC: [&[u8]; 5] =
    [&[0, 0x10], &[0, 0x10], &[0, 6, 0, 0x80, 0, 0x43], &[0, 6, 1, 0, 0, 0x43], &[0, 6, 0, 0x80, 0, 0x44]];
const HASHES: [u16; 8] = [4, 0x0b, 0x0b, 0x0c, 0x0d, 0x10, 0x10, 0x12];
const HIERARCHIES: [u32; 6] = [0x4000_0001, 0x4000_0001, 0x4000_000b, 0x4000_000c, 0x4000_0007, 0x4000_000d];
const CAPABILITIES: [[u32; 3]; 8] = [
    [1, 0x8000_0000, 10],
    [1, 0x0100_0000, 10],
    [1, 0x0200_0000, 10],
    [1, 0x0300_0000, 10],
    [1, 0x0500_0000, 1],
    [5, 0, 1],
    [6, 0x100, 1],
    [9, 0, 1],
];
const PUBLIC_PARAMETERS: [&[u8]; 6] = [
    &[0, 1, 0, 0x10, 0, 0x10, 8, 0, 0, 0, 0, 0],
    &[0, 0x23, 0, 0x10, 0, 0x10, 0, 3, 0, 0x10],
    &[0, 0x25, 0, 6, 0, 0x80, 0, 0x43],
    &[0, 8, 0, 5, 0, 0x0b],
    &[0, 0x23, 0, 6, 0, 0x80, 0, 0x43, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10],
    &[0, 8, 0, 0x0a, 0, 0x0b, 0, 0x22],
];

impl World {
    /// A parameter of a command whose handles are known.
    pub fn parameter(
        &mut self,
        parameter: Parameter,
        handles: &[Entity],
        hints: &mut Hints,
    ) -> Pair<Vec<u8>> {
        match parameter {
            Parameter::Raw(bytes) => same(bytes),
            Parameter::Sensitive => same(&self.sensitive(hints)),
            Parameter::Template => {
                let role = hints.role.unwrap_or(Role::Storage);
                let policy = self.policy_digest(2);
                let has_data = matches!(role, Role::Sealed) ^ self.random.once_in(12);
                same(&sized(&templates::template(&mut self.random, role, has_data, &policy)))
            }
            Parameter::Auth => {
                hints.auth = self.new_auth();
                same(&sized(&hints.auth))
            }
            Parameter::Blob => self.blob(handles, hints),
            Parameter::External => self.external(hints),
            Parameter::Import => self.import(),
            Parameter::NvPublic => same(&sized(&self.nv_public(hints))),
            Parameter::Name => self.name(),
            Parameter::Ticket(tag) => self.ticket(tag),
            Parameter::Persistent => {
                let base = self.random.pick(&[0x8100_0000u32, 0x8100_0000, 0x8180_0000, 0x8000_0000]);
                hints.persistent = base + self.random.below(3) as u32;
                same(&hints.persistent.to_be_bytes())
            }
            Parameter::Loaded => self.loaded(hints),
            Parameter::SessionNonce => self.session_nonce(handles),
            Parameter::Signature
            | Parameter::Context
            | Parameter::Credential
            | Parameter::Duplicate
            | Parameter::Point
            | Parameter::Timeout => self.pooled(parameter),
            _ => same(&self.simple(parameter)),
        }
    }

    /// A parameter that is the same for both and about nothing in particular.
    fn simple(&mut self, parameter: Parameter) -> Vec<u8> {
        let random = &mut self.random;
        match parameter {
            Parameter::YesNo => vec![if random.once_in(20) { 2 } else { random.below(2) as u8 }],
            Parameter::Byte => vec![random.pick(&[0, 1, 1, 2, 3, 0x1f, 0x20, 0xff])],
            Parameter::Short => random.pick(&[0u16, 0, 0, 1, 4, 8, 32, 2000]).to_be_bytes().to_vec(),
            Parameter::Number => {
                random.pick(&[0u32, 0, 2000, 100_000, 0xffff_ff00, 0x7fff_ffff]).to_be_bytes().to_vec()
            }
            Parameter::Tries => random.pick(&[1u32, 3, 10, 32]).to_be_bytes().to_vec(),
            Parameter::Long => random.pick(&[0u64, 1 << 40, 1 << 41]).to_be_bytes().to_vec(),
            Parameter::Data => {
                let size = random.pick(&[0, 1, 4, 8, 8, 16, 20, 32, 64, 65]);
                sized(&random.bytes(size))
            }
            Parameter::Buffer => {
                let size = random.pick(&[0, 1, 15, 16, 32, 64, 200, 1024, 1025]);
                sized(&random.bytes(size))
            }
            Parameter::Iv => {
                let size = random.pick(&[0, 16, 16, 16, 15, 17]);
                sized(&random.bytes(size))
            }
            Parameter::Digest => {
                let size = random.pick(&[0, 32, 32, 32, 20, 48, 64, 65]);
                sized(&random.bytes(size))
            }
            Parameter::Policy => {
                let digest = self.policy_digest(1);
                let hash = if digest.is_empty() { 0x10u16 } else { 0x0b };
                [sized(&digest), hash.to_be_bytes().to_vec()].concat()
            }
            Parameter::Digests => {
                let count = random.pick(&[0, 1, 2, 2, 3, 8, 9]);
                let list: Vec<u8> = (0..count).flat_map(|_| sized(&self.policy_digest(0))).collect();
                [&(count as u32).to_be_bytes()[..], &list].concat()
            }
            Parameter::Hash => random.pick(&HASHES).to_be_bytes().to_vec(),
            Parameter::SignScheme => random.pick(&SIGN_SCHEMES).to_vec(),
            Parameter::RsaScheme => random.pick(&RSA_SCHEMES).to_vec(),
            Parameter::Pcrs => random.pick(&PCR_SELECTIONS).to_vec(),
            Parameter::DigestValues => {
                let (hash, size) = random.pick(&[(4u16, 20), (0x0b, 32), (0x0c, 48), (0x0d, 64), (0x12, 32)]);
                [&[0, 0, 0, 1][..], &hash.to_be_bytes(), &random.bytes(size)].concat()
            }
            Parameter::Commands => {
                let count = random.below(3);
                let codes: Vec<u8> = (0..count).flat_map(|_| random.pick(&CODES).to_be_bytes()).collect();
                [&(count as u32).to_be_bytes()[..], &codes].concat()
            }
            Parameter::Command => random.pick(&CODES).to_be_bytes().to_vec(),
            Parameter::Algorithms => vec![0, 0, 0, 1, 0, random.pick(&[1, 4, 6, 0x0b, 0x23, 0x7f])],
            Parameter::Hierarchy => random.pick(&HIERARCHIES).to_be_bytes().to_vec(),
            Parameter::Order => vec![0, random.below(10) as u8],
            Parameter::Operation => vec![0, random.below(13) as u8],
            Parameter::Symmetric => random.pick(&SYMMETRIC).to_vec(),
            Parameter::Mode => {
                random.pick(&[0x10u16, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45]).to_be_bytes().to_vec()
            }
            Parameter::Curve => random.pick(&[3u16, 3, 4, 0x10, 0x77]).to_be_bytes().to_vec(),
            Parameter::Capability => {
                random.pick(&CAPABILITIES).iter().flat_map(|number| number.to_be_bytes()).collect()
            }
            Parameter::PublicParameters => random.pick(&PUBLIC_PARAMETERS).to_vec(),
            _ => Vec::new(),
        }
    }

    /// The digest of a policy; none once in `nothing` + 1 times less one.
    fn policy_digest(&mut self, nothing: usize) -> Vec<u8> {
        let at = self.random.below(self.recipes.len() * (nothing + 1) + 1);
        self.recipes.get(at).map(|recipe| recipe.digest.clone()).unwrap_or_default()
    }

    fn new_auth(&mut self) -> Vec<u8> {
        let size = self.random.pick(&[0, 0, 0, 4, 8, 32, 33]);
        let mut auth = self.random.bytes(size);
        // Zeros at the end are cut off by the TPM.
        while auth.last() == Some(&0) {
            auth.pop();
        }
        auth
    }

    fn sensitive(&mut self, hints: &mut Hints) -> Vec<u8> {
        let mut role = templates::role(&mut self.random);
        // Most of the others need a parent.
        if self.objects_for(Role::is_parent).is_empty() && !self.random.once_in(4) {
            role = Role::Storage;
        }
        hints.role = Some(role);
        hints.auth = self.new_auth();
        let size = match role {
            Role::Sealed => self.random.pick(&[1, 16, 128, 129]),
            Role::Cipher if self.random.once_in(4) => 16,
            _ if self.random.once_in(30) => 16,
            _ => 0,
        };
        let data = self.random.bytes(size);
        sized(&[sized(&hints.auth), sized(&data)].concat())
    }

    fn blob(&mut self, handles: &[Entity], hints: &mut Hints) -> Pair<Vec<u8>> {
        let parent = match handles.first() {
            Some(Entity::Object(at)) => self.objects.get(*at).map(super::world::Object::names),
            _ => None,
        };
        let fits: Vec<usize> = self
            .blobs
            .iter()
            .enumerate()
            .filter(|(_, blob)| Some(&blob.parents) == parent.as_ref())
            .map(|(at, _)| at)
            .collect();
        let at = if fits.is_empty() || self.random.once_in(20) {
            self.random.below(self.blobs.len().max(1))
        } else {
            self.random.pick(&fits)
        };
        let Some(blob) = self.blobs.get(at) else { return same(&[0, 0, 0, 0]) };
        hints.blob = Some(at);
        [0, 1].map(|side| [sized(&blob.privates[side]), sized(&blob.publics[side])].concat())
    }

    /// The public part of a loaded key, or a secret of the caller's own.
    fn external(&mut self, hints: &mut Hints) -> Pair<Vec<u8>> {
        let hierarchy = self.random.pick(&[0x4000_0007u32, 0x4000_0007, 0x4000_0001, 0x4000_000c]);
        if self.random.once_in(2) && !self.objects.is_empty() {
            let at = self.random.below(self.objects.len());
            if let Some(object) = self.objects.get(at).filter(|object| !object.publics[0].is_empty()) {
                (hints.role, hints.public) = (Some(object.role), Some(object.publics.clone()));
                return [0, 1].map(|side| {
                    [&[0, 0][..], &sized(&object.publics[side]), &hierarchy.to_be_bytes()].concat()
                });
            }
        }
        let (public, sensitive) = self.own_secret(hints);
        same(&[&sized(&sensitive)[..], &sized(&public), &hierarchy.to_be_bytes()].concat())
    }

    /// A public area and a sensitive area that fits, of a HMAC key or of sealed data.
    fn own_secret(&mut self, hints: &mut Hints) -> (Vec<u8>, Vec<u8>) {
        let role = self.random.pick(&[Role::Keyed, Role::Sealed]);
        let (seed, data) = (self.random.bytes(32), self.random.bytes(24));
        let auth = self.new_auth();
        let unique = super::crypto::digest(tpm2_engine::crypto::Hash::Sha256, &[&seed, &data]);
        let attributes = if role == Role::Keyed { 0x0004_0440u32 } else { 0x0000_0440 };
        let scheme: &[u8] = if role == Role::Keyed { &[0, 5, 0, 0x0b] } else { &[0, 0x10] };
        let attributes = attributes ^ if self.random.once_in(8) { 2 } else { 0 };
        let public =
            [&[0, 8, 0, 0x0b][..], &attributes.to_be_bytes(), &[0, 0], scheme, &sized(&unique)].concat();
        let sensitive = [&[0, 8][..], &sized(&auth), &sized(&seed), &sized(&data)].concat();
        (hints.role, hints.auth, hints.public) = (Some(role), auth, Some(same(&public)));
        (public, sensitive)
    }

    /// A secret in the clear, to be imported without a seed.
    fn import(&mut self) -> Pair<Vec<u8>> {
        let mut hints = Hints::default();
        let (public, sensitive) = self.own_secret(&mut hints);
        let symmetric = self.random.pick(&SYMMETRIC);
        let key: &[u8] = if self.random.once_in(8) { &[0, 1, 7] } else { &[0, 0] };
        same(&[key, &sized(&public), &sized(&sized(&sensitive)), &[0, 0], symmetric].concat())
    }

    fn nv_public(&mut self, hints: &mut Hints) -> Vec<u8> {
        let index = 0x0150_0000 + self.random.below(5) as u32;
        let kind = self.random.pick(&[0u32, 0, 0, 1, 2, 4, 8, 9, 3]);
        // AUTHREAD, OWNERREAD, PPREAD, AUTHWRITE, OWNERWRITE, NO_DA.
        let mut attributes = 0x0207_0006 | kind << 4;
        for bit in [0u32, 3, 10, 12, 13, 14, 15, 19, 25, 26, 27, 30, 31, 18, 2, 8, 29] {
            if self.random.once_in(10) {
                attributes ^= 1 << bit;
            }
        }
        let size = match kind {
            0 => self.random.pick(&[0u16, 8, 32, 32, 512]),
            4 => 32,
            _ => 8,
        };
        let size = if self.random.once_in(20) { 9 } else { size };
        let policy = self.policy_digest(2);
        hints.index = Some((index, attributes, size));
        [
            &index.to_be_bytes()[..],
            &[0, 0x0b],
            &attributes.to_be_bytes(),
            &sized(&policy),
            &size.to_be_bytes(),
        ]
        .concat()
    }

    /// The name of an object, or of nothing.
    fn name(&mut self) -> Pair<Vec<u8>> {
        let at = self.random.below(self.objects.len() + 1);
        let names = self.objects.get(at).map_or_else(|| same(&[]), super::world::Object::names);
        names.map(|name| sized(&name))
    }

    fn ticket(&mut self, tag: u16) -> Pair<Vec<u8>> {
        let wanted = tag.to_be_bytes();
        let kept = self.kept(Pool::Ticket).filter(|kept| kept[0].starts_with(&wanted));
        let null = [&wanted[..], &[0x40, 0, 0, 7, 0, 0]].concat();
        kept.unwrap_or_else(|| same(&null))
    }

    fn loaded(&mut self, hints: &mut Hints) -> Pair<Vec<u8>> {
        let at = self.random.below(self.objects.len() + self.sessions.len() + 1);
        let entity = if at < self.objects.len() {
            Entity::Object(at)
        } else {
            Entity::Session(at - self.objects.len())
        };
        hints.subject = Some(entity);
        self.handles(entity).map(|handle| handle.to_be_bytes().to_vec())
    }

    fn session_nonce(&mut self, handles: &[Entity]) -> Pair<Vec<u8>> {
        match handles.last() {
            Some(Entity::Session(at)) if self.random.once_in(2) => {
                let nonces = self.sessions.get(*at).map(|session| session.nonces.clone());
                nonces.map_or_else(|| same(&[0, 0]), |nonces| nonces.map(|nonce| sized(&nonce)))
            }
            _ => same(&[0, 0]),
        }
    }

    fn pooled(&mut self, parameter: Parameter) -> Pair<Vec<u8>> {
        let (pool, otherwise): (Pool, Vec<u8>) = match parameter {
            Parameter::Signature => {
                (Pool::Signature, [&[0, 0x18, 0, 0x0b][..], &sized(&[3; 32]), &sized(&[5; 32])].concat())
            }
            Parameter::Context => (Pool::Context, vec![0; 18]),
            Parameter::Credential => (Pool::Credential, vec![0, 0, 0, 0]),
            Parameter::Duplicate => (Pool::Duplicate, vec![0, 0, 0, 0, 0, 0]),
            Parameter::Timeout => (Pool::Timeout, vec![0, 0]),
            // The generator of P-256 would be as good; a point that is none is refused.
            _ => (Pool::Point, sized(&[sized(&[1; 32]), sized(&[2; 32])].concat())),
        };
        self.kept(pool).unwrap_or_else(|| same(&otherwise))
    }
}
