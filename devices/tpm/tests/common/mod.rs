//! A TPM in memory, and commands made by hand.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tpm2_engine::{OpenError, Platform, PlatformError, RustCrypto, Storage, Tpm};

pub const OWNER: u32 = 0x4000_0001;
pub const NULL: u32 = 0x4000_0007;
pub const LOCKOUT: u32 = 0x4000_000a;
pub const ENDORSEMENT: u32 = 0x4000_000b;
pub const PLATFORM: u32 = 0x4000_000c;

/// Entropy that is the same each time, and a clock that the test sets.
#[derive(Clone, Default)]
pub struct World {
    entropy: Rc<Cell<u8>>,
    /// The source of entropy has failed.
    pub is_drained: Rc<Cell<bool>>,
    pub time: Rc<Cell<u64>>,
    pub slots: Rc<RefCell<[Vec<u8>; 2]>>,
    /// Bytes that still get into the storage before the power goes.
    pub budget: Rc<Cell<usize>>,
    pub writes: Rc<Cell<usize>>,
}

impl World {
    pub fn new() -> World {
        let world = World::default();
        world.budget.set(usize::MAX);
        world
    }
}

impl Platform for World {
    fn entropy(&mut self, out: &mut [u8]) -> Result<(), PlatformError> {
        if self.is_drained.get() {
            return Err(PlatformError);
        }
        for byte in out {
            self.entropy.set(self.entropy.get().wrapping_mul(5).wrapping_add(1));
            *byte = self.entropy.get();
        }
        Ok(())
    }

    fn milliseconds(&mut self) -> u64 {
        self.time.get()
    }
}

impl Storage for World {
    fn read(&mut self, slot: usize) -> Result<Vec<u8>, PlatformError> {
        Ok(self.slots.borrow()[slot].clone())
    }

    fn write(&mut self, slot: usize, bytes: &[u8]) -> Result<(), PlatformError> {
        self.writes.set(self.writes.get() + 1);
        let left = self.budget.get();
        let written = bytes.len().min(left);
        let place = &mut self.slots.borrow_mut()[slot];
        // A torn write: the new front, and what was behind it before.
        let mut torn = bytes[..written].to_vec();
        torn.extend(place.get(written..).unwrap_or_default());
        *place = if written == bytes.len() { bytes.to_vec() } else { torn };
        if written < bytes.len() {
            self.budget.set(0);
            return Err(PlatformError);
        }
        if left != usize::MAX {
            self.budget.set(left - written);
        }
        Ok(())
    }
}

pub fn open(world: &World) -> Result<Tpm, OpenError> {
    Tpm::open(Box::new(RustCrypto), Box::new(world.clone()), Box::new(world.clone()), &[9; 32])
}

/// A TPM that has been started.
pub fn started(world: &World) -> Tpm {
    let mut tpm = open(world).unwrap();
    assert_eq!(run(&mut tpm, &plain(0x144, &[0, 0])).0, 0);
    tpm
}

pub fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

fn framed(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let size = (10 + body.len()) as u32;
    [&tag.to_be_bytes()[..], &size.to_be_bytes(), &code.to_be_bytes(), body].concat()
}

/// A command without sessions.
pub fn plain(code: u32, body: &[u8]) -> Vec<u8> {
    framed(0x8001, code, body)
}

/// A command whose first handles are authorized by passwords.
pub fn command(code: u32, handles: &[u32], passwords: &[&[u8]], parameters: &[u8]) -> Vec<u8> {
    let one = |password: &&[u8]| [&[0x40, 0, 0, 9, 0, 0, 1][..], &sized(password)].concat();
    let area: Vec<u8> = passwords.iter().flat_map(one).collect();
    let handles: Vec<u8> = handles.iter().flat_map(|handle| handle.to_be_bytes()).collect();
    framed(0x8002, code, &[&handles, &(area.len() as u32).to_be_bytes()[..], &area, parameters].concat())
}

/// Executes a command and returns the response's code and what follows it.
pub fn run(tpm: &mut Tpm, command: &[u8]) -> (u32, Vec<u8>) {
    let mut response = Vec::new();
    tpm.execute(0, command, &mut response);
    assert_eq!(response.len(), u32::from_be_bytes(response[2..6].try_into().unwrap()) as usize);
    (u32::from_be_bytes(response[6..10].try_into().unwrap()), response[10..].to_vec())
}

pub fn succeed(tpm: &mut Tpm, command: &[u8]) -> Vec<u8> {
    let (code, rest) = run(tpm, command);
    assert_eq!(code, 0, "response code {code:#x}");
    rest
}

pub fn handle(response: &[u8]) -> u32 {
    u32::from_be_bytes(response[..4].try_into().unwrap())
}

/// The content of a TPM2B, and what follows it.
pub fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let size = u16::from_be_bytes(bytes[..2].try_into().unwrap()) as usize;
    bytes[2..].split_at(size)
}

/// The parameters of a response with sessions, behind a handle if there is one.
pub fn parameters(response: &[u8], has_handle: bool) -> &[u8] {
    let response = if has_handle { &response[4..] } else { response };
    let size = u32::from_be_bytes(response[..4].try_into().unwrap()) as usize;
    &response[4..4 + size]
}

/// The storage key template of the TCG's provisioning guidance: RSA-2048 or P-256, AES-128-CFB.
pub fn storage_template(is_ecc: bool) -> Vec<u8> {
    let attributes = 0x0003_0472u32.to_be_bytes();
    let symmetric = [0, 6, 0, 0x80, 0, 0x43];
    let (kind, rest): (u16, Vec<u8>) = match is_ecc {
        true => (0x23, vec![0, 0x10, 0, 3, 0, 0x10, 0, 0, 0, 0]),
        false => (1, vec![0, 0x10, 8, 0, 0, 0, 0, 0, 0, 0]),
    };
    [&kind.to_be_bytes()[..], &[0, 0x0b], &attributes, &[0, 0], &symmetric, &rest].concat()
}

/// TPM2_CreatePrimary of a storage key.
pub fn create_primary(hierarchy: u32, is_ecc: bool) -> Vec<u8> {
    let template = storage_template(is_ecc);
    let parameters = [&[0, 4, 0, 0, 0, 0][..], &sized(&template), &[0, 0, 0, 0, 0, 0]].concat();
    command(0x131, &[hierarchy], &[b""], &parameters)
}

/// TPM2_NV_DefineSpace by the owner, with an empty authorization.
pub fn define(index: u32, attributes: u32, size: u16) -> Vec<u8> {
    let head = [&index.to_be_bytes()[..], &[0, 0x0b], &attributes.to_be_bytes(), &[0, 0]].concat();
    let public = [&head[..], &size.to_be_bytes()].concat();
    command(0x12a, &[OWNER], &[b""], &[&[0, 0][..], &sized(&public)].concat())
}

/// TPM2_NV_Write by the owner.
pub fn write(index: u32, data: &[u8]) -> Vec<u8> {
    command(0x137, &[OWNER, index], &[b""], &[&sized(data)[..], &[0, 0]].concat())
}

/// TPM2_NV_Read by the owner.
pub fn read(index: u32, size: u16) -> Vec<u8> {
    command(0x14e, &[OWNER, index], &[b""], &[&size.to_be_bytes()[..], &[0, 0]].concat())
}
