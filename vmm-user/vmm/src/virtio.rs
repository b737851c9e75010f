//! The virtio devices of a guest, and what is behind them; the disk may be an NVMe controller instead.
//!
//! | `init.conf` | device | behind it |
//! |---|---|---|
//! | `device virtio-blk inside`, `set disk FILE` | a disk | that payload, in memory: [`ram_disk`] |
//! | `device virtio-blk inside`, `set disk-channel NAME` | a disk | the host's: [`host_disk`], [`worker`] |
//! | `device virtio-rng inside` | entropy | RDRAND: [`crate::random`] |
//! | the same, `set rng-channel NAME` | entropy | RDRAND and the host's: [`crate::random::mixed`] |
//! | `device virtio-console inside` | a console | itself: what is sent comes back ([`loopback`]) |
//! | `device virtio-net inside` | a network | a neighbour at 10.0.2.2: [`neighbour`] |
//! | the same, `set net-channel NAME` | a network | one of the host's, by that channel: [`host_net`] |
//!
//! More of a disk: `set disk-serial TEXT`, `set disk-queues N`, `set disk-access read-only`. With
//! `set disk-key FILE` either kind has nothing but ciphertext of what the guest has ([`crate::disk_key`]).
//! With `set disk-front nvme` the guest finds it behind an NVMe controller, and its work is always done by a
//! thread. With `set net-front e1000e` the guest finds the network behind an Intel 82574L; a virtio network
//! has `set net-queues N` pairs of queues, 1 to 8, or without that as many as there are vCPUs.
//! Packed rings are offered besides split ones by `set virtio-rings packed`. All but what is the host's is
//! reached in the exit that notifies.

pub mod host_disk;
mod host_net;
mod loopback;
mod neighbour;
mod ram_disk;
mod worker;

use alloc::format;
use alloc::string::String;

use block_crypt::Encrypted;
use devices::disk::AtOnce;
use devices::guest_memory::{GuestMemory, NotMemory};
use e1000e_device::E1000e;
use nvme_device::{Nvme, NvmeConfig};
use runtime::Start;
use runtime::abi::operation::Handle;
use runtime::channel::Channel;
use runtime::process;
use virtio_devices::blk::{Block, BlockConfig};
use virtio_devices::console::Console;
use virtio_devices::device::VirtioDevice;
use virtio_devices::net::{Net, PAIRS_MAX};
use virtio_devices::pci::{Rings, VirtioPci};
use virtio_devices::rng::Rng;

use crate::board::{BoardConfig, Builder, Place, place};
use crate::disk_key::{KeyFile, encrypted};
use crate::guest_memory::GuestRam;
use crate::random::RandomNumbers;
use crate::random::mixed::{self, Mixed};
use host_disk::HostDisk;
use host_net::Opened;
use loopback::Loopback;
use neighbour::Neighbour;
use ram_disk::RamDisk;
use worker::Worker;

/// The guest's MAC address: locally administered.
const ADDRESS: [u8; 6] = [0x02, 0x50, 0x4c, 0x00, 0x00, 0x01];

impl GuestMemory for GuestRam {
    fn read(&self, gpa: u64, bytes: &mut [u8]) -> Result<(), NotMemory> {
        self.copy_out(gpa, bytes).then_some(()).ok_or(NotMemory)
    }

    fn write(&self, gpa: u64, bytes: &[u8]) -> Result<(), NotMemory> {
        self.copy_in(gpa, bytes).then_some(()).ok_or(NotMemory)
    }

    fn load_u16(&self, gpa: u64) -> Result<u16, NotMemory> {
        // One load, as rings are aligned: an index is never half the old one and half the new.
        self.read(gpa, decoder::Size::B2).map(|value| value as u16).ok_or(NotMemory)
    }

    fn store_u16(&self, gpa: u64, value: u16) -> Result<(), NotMemory> {
        self.write(gpa, decoder::Size::B2, value.into()).ok_or(NotMemory)
    }
}

/// What is behind the guest's disk.
pub enum Disk {
    /// A payload of the image, in memory.
    Ram(RamDisk),
    /// One that is encrypted there.
    EncryptedRam(Encrypted<RamDisk>),
    /// One on a thread of its own: the host's, or any behind an NVMe controller.
    Thread(Worker),
}

/// Whether a device is behind another front than virtio's, as the setting `name` says.
fn is_other_front(name: &str, front: Option<&str>, other: &str) -> Result<bool, String> {
    match front {
        None | Some("virtio") => Ok(false),
        Some(front) if front == other => Ok(true),
        Some(front) => Err(format!("{name} {front}: it is virtio or {other}")),
    }
}

/// Whether the disk is behind an NVMe controller.
fn is_nvme(start: &Start) -> Result<bool, String> {
    is_other_front("disk-front", start.setting("disk-front"), "nvme")
}

/// Holds that no virtio device is to be a process of its own: there is no such program, and the guest would
/// wait for one in vain.
pub fn check_places<'a>(settings: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), String> {
    for (key, value) in settings {
        let name = key.strip_prefix("device.").filter(|name| name.starts_with("virtio-"));
        if let Some(name) = name.filter(|_| value == "process") {
            return Err(format!("{name} runs inside the VMM only: write `device {name} inside`"));
        }
    }
    Ok(())
}

fn is_inside(start: &Start, name: &str) -> bool {
    place(start, name) == Place::Inside
}

/// Finds what is behind the guest's disk, if the configuration wants one. `tsc_hz`: TSC ticks of a second.
pub fn take_disk(
    start: &Start,
    files: Handle,
    ram: &mut GuestRam,
    tsc_hz: u64,
) -> Result<Option<Disk>, String> {
    if !is_inside(start, "virtio-blk") {
        return Ok(None);
    }
    let key = start.setting("disk-key").map(|name| KeyFile { files, name });
    let is_nvme = is_nvme(start)?;
    if let Some(name) = start.setting("disk-channel") {
        let disk = HostDisk::open(channel(start, name)?, tsc_hz)?;
        return on_thread(disk, key).map(Some);
    }
    let disk = ram_disk(start, files, ram)?;
    Ok(Some(match key {
        // A queue of such a controller may have more work than an exit should take.
        key if is_nvme => on_thread(disk, key)?,
        Some(key) => Disk::EncryptedRam(encrypted(disk, key)?),
        None => Disk::Ram(disk),
    }))
}

/// The channel to the process that drives the host's disk.
fn channel(start: &Start, name: &str) -> Result<Channel, String> {
    start.handle(name).map(Channel).ok_or_else(|| format!("no channel named {name} to the host's disk"))
}

/// Has a thread do a disk's work; the cipher's, too, which so is not done by a vCPU's.
fn on_thread(disk: impl devices::disk::Disk + 'static, key: Option<KeyFile<'_>>) -> Result<Disk, String> {
    let worker = match key {
        Some(key) => Worker::start(encrypted(disk, key)?),
        None => Worker::start(disk),
    };
    worker.map(Disk::Thread).map_err(|status| format!("a thread for the disk: {status}"))
}

/// Takes the disk's payload out of the guest's memory: the guest finds none there, and reaches it through the
/// device alone.
fn ram_disk(start: &Start, files: Handle, ram: &mut GuestRam) -> Result<RamDisk, String> {
    let name = start.setting("disk").unwrap_or("disk");
    let is_read_only = start.setting("disk-access") == Some("read-only");
    // Asked before the memory is taken: a file that is not there leaves the guest all of its memory.
    let info = process::open(files, name)
        .and_then(|file| {
            let info = process::info(file);
            process::close(file)?;
            info
        })
        .map_err(|status| format!("the disk's payload {name}: {status}"))?;
    // Address 0 says that the host has no memory where the file lies.
    let memory = ram.take(info.gpa, info.bytes).filter(|_| info.gpa != 0);
    let memory = memory.ok_or_else(|| format!("the disk {name} is not in guest memory"))?;
    Ok(RamDisk::new(memory, info.gpa, info.bytes, is_read_only))
}

/// Puts the virtio devices on the board that the configuration wants inside.
pub fn add_all(start: &Start, ram: &GuestRam, disk: Option<Disk>, config: &BoardConfig, board: &mut Builder) {
    if let Some(disk) = disk {
        add_disk(start, ram, disk, board);
    }
    if is_inside(start, "virtio-rng") {
        match RandomNumbers::detect() {
            Some(source) => add_rng(start, ram, source, config.tsc_hz, board),
            // Rather no device than one that gives nothing: the guest would wait for its bytes.
            None => log::warn!("no RDRAND: the guest gets no entropy device"),
        }
    }
    if is_inside(start, "virtio-console") {
        add(start, ram, Console::new(Loopback::default()), board);
    }
    if is_inside(start, "virtio-net")
        && let Err(why) = add_net(start, ram, config, board)
    {
        log::error!("no network: {why}");
    }
}

/// The entropy device, with the host's numbers mixed in if the configuration names who gives them.
fn add_rng(start: &Start, ram: &GuestRam, source: RandomNumbers, tsc_hz: u64, board: &mut Builder) {
    let channel = start.setting("rng-channel").map(|name| start.handle(name).ok_or(name));
    let seeds = match channel {
        None => None,
        Some(Err(name)) => {
            log::error!("no channel named {name} to the host's entropy");
            None
        }
        Some(Ok(channel)) => mixed::start(Channel(channel), tsc_hz)
            .inspect_err(|status| log::error!("the host's entropy: {status}"))
            .ok(),
    };
    // Without the host's the processor's are as good as ever.
    match seeds {
        Some(seeds) => add(start, ram, Rng::new(Mixed::new(source, seeds)), board),
        None => add(start, ram, Rng::new(source), board),
    }
}

/// How many pairs of queues a virtio network has: as the setting says, or one for each vCPU.
fn net_queues(setting: Option<&str>, cpus: u32) -> Result<u16, String> {
    let most = u32::from(PAIRS_MAX);
    let Some(setting) = setting else { return Ok(cpus.clamp(1, most) as u16) };
    let pairs = setting.parse().ok().filter(|pairs| (1..=most).contains(pairs));
    pairs.map(|pairs| pairs as u16).ok_or_else(|| format!("net-queues {setting}: it is 1 to {most}"))
}

/// The network, of the host's if the configuration names one.
///
/// # Errors
/// When there is none: only this device is lost.
fn add_net(start: &Start, ram: &GuestRam, config: &BoardConfig, board: &mut Builder) -> Result<(), String> {
    let pairs = net_queues(start.setting("net-queues"), config.cmos.cpus)?;
    let is_e1000e = is_other_front("net-front", start.setting("net-front"), "e1000e")?;
    let Some(name) = start.setting("net-channel") else {
        let neighbour = Neighbour::default();
        if is_e1000e {
            board.add_function(E1000e::new(neighbour, ram.clone(), ADDRESS));
        } else {
            add(start, ram, Net::new(neighbour, ADDRESS, pairs), board);
        }
        return Ok(());
    };
    let Opened { link, bell, address } = host_net::open(start, name, config.tsc_hz)?;
    let address = address.unwrap_or(ADDRESS);
    if is_e1000e {
        board.add_function_with_input(E1000e::new(link, ram.clone(), address), bell);
    } else {
        let device = VirtioPci::new(Net::new(link, address, pairs), ram.clone(), rings(start));
        board.add_function_with_input(device, bell);
    }
    Ok(())
}

fn add_disk(start: &Start, ram: &GuestRam, disk: Disk, board: &mut Builder) {
    let queues = start.setting("disk-queues").and_then(|queues| queues.parse().ok()).unwrap_or(1);
    let serial = start.setting("disk-serial").unwrap_or("plinth").as_bytes().to_vec();
    match disk {
        Disk::Ram(disk) => {
            add(start, ram, Block::new(AtOnce::new(disk), BlockConfig { serial, queues }), board)
        }
        Disk::EncryptedRam(disk) => {
            add(start, ram, Block::new(AtOnce::new(disk), BlockConfig { serial, queues }), board);
        }
        Disk::Thread(worker) => {
            // Jobs end on the worker's thread, which has no way to the guest: by this event vCPU 0 takes them
            // back.
            let done = worker.done();
            if is_nvme(start) == Ok(true) {
                let config = NvmeConfig { serial, queues };
                board.add_function_with_input(Nvme::new(worker, ram.clone(), config), done);
            } else {
                let device = Block::new(worker, BlockConfig { serial, queues });
                board.add_function_with_input(VirtioPci::new(device, ram.clone(), rings(start)), done);
            }
        }
    }
}

fn add(start: &Start, ram: &GuestRam, device: impl VirtioDevice + 'static, board: &mut Builder) {
    board.add_function(VirtioPci::new(device, ram.clone(), rings(start)));
}

/// Which rings the devices offer.
fn rings(start: &Start) -> Rings {
    match start.setting("virtio-rings") {
        Some("packed") => Rings::Packed,
        _ => Rings::Split,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtio_device_is_no_process() {
        let process = [("device.rtc", "process"), ("device.virtio-rng", "process")];
        let why = check_places(process.into_iter()).unwrap_err();
        assert_eq!(why, "virtio-rng runs inside the VMM only: write `device virtio-rng inside`");
        let inside = [("device.rtc", "process"), ("device.virtio-rng", "inside"), ("disk", "process")];
        assert_eq!(check_places(inside.into_iter()), Ok(()));
    }

    #[test]
    fn a_network_has_a_pair_of_queues_for_each_vcpu() {
        let cpus = [0, 1, 3, 8, 64].map(|cpus| net_queues(None, cpus));
        assert_eq!(cpus, [1, 1, 3, 8, 8].map(Ok));
        assert_eq!(["1", "8"].map(|setting| net_queues(Some(setting), 2)), [Ok(1), Ok(8)]);
        for setting in ["0", "9", "", "-1", "two", "65537"] {
            assert_eq!(net_queues(Some(setting), 2), Err(format!("net-queues {setting}: it is 1 to 8")));
        }
    }

    #[test]
    fn a_device_has_one_of_two_fronts() {
        let is_nvme = |front| is_other_front("disk-front", front, "nvme");
        assert_eq!([None, Some("virtio"), Some("nvme")].map(is_nvme), [Ok(false), Ok(false), Ok(true)]);
        assert_eq!(is_nvme(Some("ahci")), Err("disk-front ahci: it is virtio or nvme".into()));
    }
}
