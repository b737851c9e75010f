//! Where the TPM's state is, and the TPM that is made of it: in memory, or on a disk that another process
//! serves.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use block_crypt::KeySource;
use devices::disk::Disk;
use runtime::Start;
use runtime::abi::operation::Permissions;
use runtime::channel::Channel;
use runtime::shared::SharedMemory;
use tpm2_engine::crypto::{Crypto, Hash};
use tpm2_engine::presence::{Presence, close_platform};
use tpm2_engine::{RustCrypto, Storage, Tpm};
use vmm::disk_key::KeyFile;
use vmm::virtio::host_disk::HostDisk;
use zeroize::Zeroizing;

use crate::area::Area;
use crate::kept::Kept;
use crate::platform::{Machine, Memory};

/// The key of a state in memory, which never leaves this process's: a checksum.
const NO_KEY: [u8; 32] = [0; 32];
/// What the engine's key is made for, of the disk's.
const PURPOSE: &[u8] = b"Plinth: snapshots of a TPM";
/// PCRs that a guest can extend and not reset, and which a restart leaves zero.
const PCRS: core::ops::Range<u32> = 0..16;
/// What they are extended with then.
const RESTARTED: &[u8] = b"Plinth: the TPM was started again";

/// Where the state is.
pub enum Place {
    /// In memory.
    Memory,
    /// On a disk.
    Disk {
        /// To its server.
        channel: Channel,
        /// Its key.
        key: Zeroizing<Vec<u8>>,
        /// What outlives this process.
        kept: Kept<'static>,
        /// Which life of the machine it is, from 1: each reset of the guest's begins another.
        life: u64,
    },
}

impl Place {
    /// Where the configuration wants it.
    ///
    /// # Errors
    /// When something that it names is not there.
    pub fn of(start: &Start) -> Result<Self, String> {
        let Some(name) = start.setting("state-channel") else { return Ok(Self::Memory) };
        let missing = |what: &str| format!("the state is to be on a disk, and there is no {what}");
        let channel = start.handle(name).map(Channel).ok_or_else(|| missing(name))?;
        let key = start.setting("state-key").ok_or_else(|| missing("`set state-key FILE`"))?;
        let files = start.handle("files").ok_or_else(|| missing("handle of the image's files"))?;
        let key = KeyFile { files, name: key }.key()?;
        let memory = start.setting("state-memory").ok_or_else(|| missing("`set state-memory NAME`"))?;
        let memory = start.handle(memory).map(SharedMemory).ok_or_else(|| missing(memory))?;
        let mapping = memory.map(Permissions::READ | Permissions::WRITE);
        let mapping = mapping.map_err(|status| format!("the memory that outlives the TPM: {status}"))?;
        // As long as the process.
        let kept = Kept(Box::leak(Box::new(mapping)).words());
        let resets: Option<u64> = start.setting("resets").and_then(|number| number.parse().ok());
        Ok(Self::Disk { channel, key, kept, life: resets.unwrap_or(0).saturating_add(1) })
    }

    /// The TPM whose state is there, and what outlives it. Waits for the disk's server.
    ///
    /// # Errors
    /// When there is no state to be had; nothing is written then.
    pub fn open(self, machine: Machine, tsc_hz: u64) -> Result<(Tpm, Kept<'static>), String> {
        match self {
            Self::Memory => {
                let storage = Box::new(Memory::default());
                let tpm = Tpm::open(Box::new(RustCrypto), Box::new(machine), storage, &NO_KEY);
                let tpm = tpm.map_err(|error| error.to_string())?;
                log::info!("a new TPM: its state is kept in memory only, and is gone with the machine");
                Ok((tpm, Kept(&[])))
            }
            Self::Disk { channel, key, kept, life } => {
                let disk = HostDisk::open(channel, tsc_hz)?;
                on_disk(disk, &key, machine, kept, life).map(|tpm| (tpm, kept))
            }
        }
    }
}

/// The engine's key of a disk's: whoever learns one of them does not know the other.
fn engine_key(key: &[u8]) -> Zeroizing<[u8; 32]> {
    let made = Zeroizing::new(RustCrypto.hmac(Hash::Sha256, key, &[PURPOSE]));
    Zeroizing::new(made.first_chunk().copied().unwrap_or_default())
}

/// The TPM whose state is on a disk.
fn on_disk<D: Disk + 'static>(
    disk: D,
    key: &[u8],
    machine: impl tpm2_engine::Platform + 'static,
    kept: Kept<'_>,
    life: u64,
) -> Result<Tpm, String> {
    let area = Area::open(disk, key).map_err(|error| format!("the TPM's state: {error}"))?;
    let storage: Box<dyn Storage> = Box::new(area);
    let (crypto, machine, key) = (Box::new(RustCrypto), Box::new(machine), engine_key(key));
    let opened = Tpm::open_again(crypto, machine, storage, &key, kept.newest());
    let mut tpm = opened.map_err(|error| error.to_string())?;
    let is_again = kept.is_again(life);
    match (tpm.is_new(), is_again) {
        (true, _) => log::info!("a new TPM: the disk for its state was empty"),
        (false, false) => log::info!("the TPM's state was on the disk: snapshot {}", tpm.snapshot()),
        (false, true) => {
            log::warn!("the TPM is started again: snapshot {}, and PCRs without value", tpm.snapshot());
        }
    }
    kept.begin(life);
    kept.record(tpm.snapshot());
    if is_again {
        spoil_pcrs(&mut tpm)?;
        kept.record(tpm.snapshot());
    }
    Ok(tpm)
}

/// Starts a TPM whose PCRs are lost, and extends them with something that says so: a guest could otherwise
/// give them the values of another payload.
fn spoil_pcrs(tpm: &mut Tpm) -> Result<(), String> {
    // TPM2_Startup(CLEAR): after it nobody can do so with another result.
    execute(tpm, &[0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0])?;
    for pcr in PCRS {
        // TPM2_PCR_Event with an empty password (TPM 2.0 Library, part 3, 22.3).
        let mut command = [0x80, 2].to_vec();
        for word in [29 + RESTARTED.len() as u32, 0x13c, pcr, 9] {
            command.extend(word.to_be_bytes());
        }
        command.extend([0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
        command.extend((RESTARTED.len() as u16).to_be_bytes());
        command.extend(RESTARTED);
        execute(tpm, &command)?;
    }
    // What is asked for is for the machine's next start, which this is not.
    let is_off = Presence::of(tpm).turn_off(tpm);
    is_off.map_err(|_| "the TPM can't be started again: a hierarchy can't be turned off")?;
    // As the VMM does it when the machine starts: the guest has been running since.
    match close_platform(tpm) {
        0 => Ok(()),
        code => Err(format!("the TPM can't be started again: its platform's hierarchy stays on: {code:#x}")),
    }
}

fn execute(tpm: &mut Tpm, command: &[u8]) -> Result<(), String> {
    let mut response = Vec::new();
    tpm.execute(0, command, &mut response);
    match response.get(6..10) {
        Some([0, 0, 0, 0]) => Ok(()),
        code => Err(format!("the TPM can't be started again: {code:?}")),
    }
}

#[cfg(test)]
mod tests;
