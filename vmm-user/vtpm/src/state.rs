//! Where the TPM's state is, and the TPM that is made of it: in memory, of this process's or such as outlives
//! it, or on a disk that another process serves.

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
use crate::lasting::{Lasting, STATE_BYTES};
use crate::platform::Machine;

/// The key of a state in memory, which nobody but the TPM's processes can reach: a checksum.
const NO_KEY: [u8; 32] = [0; 32];
/// What is logged of a new TPM whose state is in memory.
const NEW_IN_MEMORY: &str = "a new TPM: its state is kept in memory only";
/// What the engine's key is made for, of the disk's.
const PURPOSE: &[u8] = b"Plinth: snapshots of a TPM";
/// PCRs that a guest can extend and not reset, and which a restart leaves zero.
const PCRS: core::ops::Range<u32> = 0..16;
/// What they are extended with then.
const RESTARTED: &[u8] = b"Plinth: the TPM was started again";

/// Where the state is.
pub enum Place {
    /// In memory of this process's.
    Memory,
    /// In memory that outlives it.
    Lasting(Lasting<'static>),
    /// On a disk.
    Disk {
        /// To its server.
        channel: Channel,
        /// Its key.
        key: Zeroizing<Vec<u8>>,
        /// What outlives this process.
        lasting: Lasting<'static>,
    },
}

/// The memory that outlives this process, if the configuration has any.
fn lasting(start: &Start) -> Result<Option<Lasting<'static>>, String> {
    let Some(name) = start.setting("state-memory") else { return Ok(None) };
    let memory = start.handle(name).map(SharedMemory);
    let memory = memory.ok_or_else(|| format!("there is no memory {name} that outlives the TPM"))?;
    let mapping = memory.map(Permissions::READ | Permissions::WRITE);
    let mapping = mapping.map_err(|status| format!("the memory that outlives the TPM: {status}"))?;
    let resets: Option<u64> = start.setting("resets").and_then(|number| number.parse().ok());
    // As long as the process.
    let words = Box::leak(Box::new(mapping)).words();
    Ok(Some(Lasting { words, life: resets.unwrap_or(0).saturating_add(1) }))
}

impl Place {
    /// Where the configuration wants it.
    ///
    /// # Errors
    /// When something that it names is not there.
    pub fn of(start: &Start) -> Result<Self, String> {
        let lasting = lasting(start)?;
        let Some(name) = start.setting("state-channel") else {
            return Ok(lasting.map_or(Self::Memory, Self::Lasting));
        };
        let missing = |what: &str| format!("the state is to be on a disk, and there is no {what}");
        let channel = start.handle(name).map(Channel).ok_or_else(|| missing(name))?;
        let key = start.setting("state-key").ok_or_else(|| missing("`set state-key FILE`"))?;
        let files = start.handle("files").ok_or_else(|| missing("handle of the image's files"))?;
        let key = KeyFile { files, name: key }.key()?;
        let lasting = lasting.ok_or_else(|| missing("`set state-memory NAME`"))?;
        Ok(Self::Disk { channel, key, lasting })
    }

    /// The TPM whose state is there, and what outlives it. Waits for the disk's server.
    ///
    /// # Errors
    /// When there is no state to be had; nothing is written then.
    pub fn open(self, machine: Machine, tsc_hz: u64) -> Result<(Tpm, Kept<'static>), String> {
        match self {
            Self::Memory => {
                let storage: Box<[Vec<u8>; 2]> = Box::default();
                let tpm = Tpm::open(Box::new(RustCrypto), Box::new(machine), storage, &NO_KEY);
                let tpm = tpm.map_err(|error| error.to_string())?;
                log::info!("{NEW_IN_MEMORY}, and is gone with its process");
                Ok((tpm, Kept(&[])))
            }
            Self::Lasting(lasting) => in_memory(machine, lasting).map(|tpm| (tpm, lasting.kept())),
            Self::Disk { channel, key, lasting } => {
                let disk = HostDisk::open(channel, tsc_hz)?;
                on_disk(disk, &key, machine, lasting).map(|tpm| (tpm, lasting.kept()))
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
    lasting: Lasting<'_>,
) -> Result<Tpm, String> {
    let area = Area::open(disk, key).map_err(|error| format!("the TPM's state: {error}"))?;
    let (new, found) = ("a new TPM: the disk for its state was empty", "the TPM's state was on the disk");
    opened(Box::new(area), &engine_key(key), machine, lasting, [new, found])
}

/// The TPM whose state is in memory that outlives this process.
pub(crate) fn in_memory(
    machine: impl tpm2_engine::Platform + 'static,
    lasting: Lasting<'static>,
) -> Result<Tpm, String> {
    let slots = lasting.slots();
    let slots = slots.ok_or_else(|| format!("the memory for the TPM's state needs {STATE_BYTES} bytes"))?;
    opened(Box::new(slots), &NO_KEY, machine, lasting, [NEW_IN_MEMORY, "the TPM's state was in memory"])
}

/// The TPM whose state is in a storage. `said`: what is logged of a new one, and of one that was there.
fn opened(
    storage: Box<dyn Storage>,
    key: &[u8; 32],
    machine: impl tpm2_engine::Platform + 'static,
    lasting: Lasting<'_>,
    said: [&str; 2],
) -> Result<Tpm, String> {
    let (kept, life) = (lasting.kept(), lasting.life);
    let (crypto, machine) = (Box::new(RustCrypto), Box::new(machine));
    let opened = Tpm::open_again(crypto, machine, storage, key, kept.newest());
    let mut tpm = opened.map_err(|error| error.to_string())?;
    let is_again = kept.is_again(life);
    let [new, found] = said;
    match (tpm.is_new(), is_again) {
        (true, _) => log::info!("{new}"),
        (false, false) => log::info!("{found}: snapshot {}", tpm.snapshot()),
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
