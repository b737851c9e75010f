//! `scripts/bench guest`: what a guest gets of a machine under Plinth, and without it on the same QEMU: the
//! time until it is up, its disk, its network, and a compiler that works in it.
//!
//! [`Bench`] boots Debian from a fresh disk on each [`Side`], with the same kernel, drivers and packages;
//! [`table`] makes a table of what they say.

mod network;
pub mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use plinth_qemu::{Boot, Machine, Outcome, Qemu, read_text, seconds_to};

use crate::command::last_lines;
use crate::debian::{disk, kernel};
use crate::disk_key::{self, encrypted};
use crate::image::{Image, Payload};
use crate::initramfs::Initramfs;
use crate::project::{Project, make_folder};
use crate::testing::seconds;
use network::Server;

/// The guest's release.
const GUEST: &str = "6.1";
/// What its disk has besides what every such disk has.
const PACKAGES: [&str; 4] = ["fio", "iperf3", "gcc", "libc6-dev"];
/// What the guest does.
const SCRIPT: &str = include_str!("guest_bench/guest.sh");
/// Memory of the machine, in MiB.
const MEMORY_MIB: u32 = 1024;
/// How long one boot may take.
const LIMIT_SECONDS: u64 = 1200;

/// On what the guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// On QEMU alone.
    Direct,
    /// Under Plinth.
    Plinth,
    /// Under Plinth, its disk encrypted.
    Encrypted,
}

impl Side {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Plinth, Self::Encrypted];

    /// As its files are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Plinth => "plinth",
            Self::Encrypted => "encrypted",
        }
    }
}

/// The benchmark, with all that its boots share.
#[derive(Debug)]
pub struct Bench {
    project: Project,
    qemu: Qemu,
    /// Where disks, images, consoles and logs go.
    folder: PathBuf,
    processors: u32,
    server: Server,
    disk: PathBuf,
    payload: Payload,
}

impl Bench {
    /// The guest, its disk and the server on this machine that it sends to.
    ///
    /// # Errors
    /// When something can't be had or made.
    pub fn new(project: &Project, qemu: &Qemu, processors: u32) -> Result<Self> {
        let folder = project.target.join("bench/guest");
        make_folder(&folder)?;
        let server = Server::start()?;
        let disk = disk::fetch_with(project, &PACKAGES)?;
        let mut initramfs = Initramfs::new(project)?;
        initramfs.add_drivers(project, GUEST)?;
        initramfs.folder("run");
        initramfs.program("run/bench", SCRIPT.as_bytes().to_vec());
        let initrd = Some(initramfs.pack(&folder.join("initrd.gz"))?);
        // The kernel's own check of its timer is about time, of which a busy machine has none.
        let command = format!("plinth.test=\"/run/bench {}\"", server.port);
        let append = format!("console=ttyS0 no_timer_check root=/dev/vda {command}");
        let payload = Payload { kernel: kernel::fetch(project, GUEST)?, initrd, append };
        let (project, qemu) = (project.clone(), qemu.clone());
        Ok(Self { project, qemu, folder, processors, server, disk, payload })
    }

    /// Boots the guest from a new disk and returns what its console says, a time before each line.
    ///
    /// # Errors
    /// When it does not come to its end; the end of the console is in the error.
    pub fn run(&mut self, side: Side) -> Result<String> {
        self.server.check()?;
        let disk = self.folder.join(format!("{}.disk", side.name()));
        if side == Side::Encrypted {
            encrypted::copy(&self.disk, &disk)?;
        } else {
            disk::copy(&self.disk, &disk)?;
        }
        let mut machine = Machine::new(self.boot(side, &disk)?);
        (machine.memory_mib, machine.processors) = (MEMORY_MIB, self.processors);
        machine.network = Some(String::new());
        machine.log = (side != Side::Direct).then(|| self.folder.join(format!("{}.log", side.name())));
        machine.disk = Some(disk.clone());
        let console = self.folder.join(format!("{}.console", side.name()));
        let ended = machine.run(&self.qemu, &console, seconds("PLINTH_BENCH_LIMIT", LIMIT_SECONDS)?)?;
        let said = read_text(&console);
        // QEMU alone ends by itself when the guest powers off.
        let is_good = matches!(ended.outcome, Outcome::PowerOff | Outcome::Quit)
            && said.contains("guest: test status 0")
            && said.contains("reboot: Power down");
        let end = last_lines(&said, 25);
        ensure!(is_good, "the guest on {} ended with {}:\n{end}", side.name(), ended.outcome);
        fs::remove_file(&disk).with_context(|| format!("cannot remove {}", disk.display()))?;
        Ok(said)
    }

    fn boot(&self, side: Side, disk: &Path) -> Result<Boot> {
        if side == Side::Direct {
            let Payload { kernel, initrd, append } = self.payload.clone();
            return Ok(Boot::Direct { kernel, initrd, append });
        }
        let mut image = Image::new(&self.project, "debian")?.payload(&self.payload);
        let mut more = "";
        if side == Side::Encrypted {
            image = image.with_key("disk.key", &disk_key::of_disk(disk)?);
            more = "for vmm\n  set disk-key disk.key\n";
        }
        let image = image
            .configs(&self.project, &["vmm", "host-pci", "host-disk", "host-net"], more)
            .with_programs(&["host-pci", "host-block", "host-net"])
            // As it is meant to be used: a debug image counts and logs.
            .set("debug", false)
            .pack(&self.folder.join(format!("{}.igvm", side.name())))?;
        Ok(Boot::Pvh { loader: self.project.programs().join("pvh-loader"), image })
    }
}

/// The number of a result: `start` and `debian` are seconds from QEMU's start, `compile` is seconds as well,
/// and the others are what the guest says.
pub fn result(console: &str, name: &str) -> Option<f64> {
    let at = |text: &str| seconds_to(console, text);
    match name {
        "start" => at("guest: user space reached"),
        "debian" => at("guest: Debian "),
        "compile" => Some(at("bench: compile ends")? - at("bench: compile begins")?),
        _ => {
            let (_, rest) = console.split_once(&format!("bench: {name} "))?;
            rest.split_whitespace().next()?.parse().ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read() {
        let console = "0.5 x\n2.5 guest: user space reached: Linux 6\n4.0 guest: Debian 12\n\
                       5.0 bench: write 1234\n6.0 bench: read \n7.5 bench: compile begins\n\
                       9.0 bench: compile ends\n";
        let found = |name| result(console, name);
        assert_eq!(["start", "debian", "compile"].map(found), [Some(2.5), Some(4.0), Some(1.5)]);
        assert_eq!([found("write"), found("random-write"), found("send")], [Some(1234.0), None, None]);
    }
}
