//! QEMU is killed while a guest writes to an encrypted disk with a journaling file system: what was flushed
//! is there in the next boot, and the file system is without a mistake behind its journal.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use block_crypt::KEY_BYTES;
use plinth_qemu::{Outcome, Qemu, read_text, wait_for};

use super::encrypted::{self, cipher};
use super::guest::e2fs;
use crate::debian::kernel;
use crate::image::{Image, Payload};
use crate::initramfs::Initramfs;
use crate::testing::{Case, bytes_by_chance};

/// Bytes of the disk.
const DISK_BYTES: u64 = 32 << 20;
/// What the guest does.
const SCRIPT: &str = include_str!("cuts.sh");
/// The longest time that it writes, in milliseconds.
const WRITES_MS: u64 = 2000;

/// Kills QEMU so many times, at moments by chance, and looks at the disk each time.
///
/// # Errors
/// When something was lost.
pub fn cuts(case: &mut Case, qemu: &Qemu, times: u32) -> Result<()> {
    let mut guest = Guest::make(case)?;
    let moments = bytes_by_chance(8 * times as usize);
    let mut records = 0;
    for moment in moments.chunks(8).filter_map(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes) {
        let before = guest.flushed;
        guest.cut(case, qemu, Duration::from_millis(moment % WRITES_MS))?;
        guest.check_file_system(case)?;
        records += guest.flushed.saturating_sub(before);
    }
    guest.look(case, qemu)?;
    case.record(format_args!("{times} cuts, {records} numbers of records"));
    ensure!(records > 0, "nothing was written");
    Ok(())
}

struct Guest {
    payload: Payload,
    disk: PathBuf,
    key: PathBuf,
    /// The last record that a guest has said is flushed.
    flushed: u64,
}

impl Guest {
    /// A new disk, and a guest for it.
    fn make(case: &mut Case) -> Result<Self> {
        let (disk, key) = (case.file("disk"), case.file("disk.key"));
        fs::write(&key, bytes_by_chance(KEY_BYTES))?;
        fs::File::create(&disk)?.set_len(DISK_BYTES)?;
        case.run(e2fs("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&disk))?;
        let mut bytes = fs::read(&disk)?;
        cipher(&key)?.encrypt(0, &mut bytes);
        fs::write(&disk, bytes)?;
        let mut initramfs = Initramfs::new(case.project())?;
        initramfs.add_drivers(case.project(), "6.1")?;
        initramfs.program("bin/cuts", SCRIPT.as_bytes().to_vec());
        let initrd = Some(initramfs.pack(&case.file("initrd.gz"))?);
        let payload =
            Payload { kernel: kernel::fetch(case.project(), "6.1")?, initrd, append: String::new() };
        Ok(Self { payload, disk, key, flushed: 0 })
    }

    fn machine(&self, case: &Case, more: &str) -> Result<plinth_qemu::Machine> {
        let append =
            format!("console=ttyS0 no_timer_check plinth.test=cuts plinth.flushed={}{more}", self.flushed);
        let payload = Payload { append, ..self.payload.clone() };
        let image = Image::new(case.project(), "debian")?.payload(&payload);
        let image = image.configs(case.project(), &["vmm", "host-pci", "host-disk"], encrypted::CONFIG);
        let mut machine = case.machine(encrypted::with_key(image, &self.key).pack(&case.file("igvm"))?);
        (machine.disk, machine.log) = (Some(self.disk.clone()), Some(case.file("log")));
        Ok(machine)
    }

    /// Boots it and kills QEMU so long after it has looked at what is there.
    fn cut(&mut self, case: &mut Case, qemu: &Qemu, moment: Duration) -> Result<()> {
        let console = case.file("console");
        let mut running = self.machine(case, "")?.start(qemu, &console)?;
        let looked = wait_for(&console, "cut: looked at", case.boot_limit());
        std::thread::sleep(moment);
        let early = running.poll()?;
        // At once, and with the rest of its console.
        let ended = running.wait(Duration::ZERO)?;
        let name = case.name().to_owned();
        case.finished(&name, ended);
        looked?;
        if let Some(outcome) = early {
            bail!("the guest ended by itself: {outcome}");
        }
        self.read(case)
    }

    /// Takes what the console says.
    fn read(&mut self, case: &mut Case) -> Result<()> {
        let said = read_text(&case.file("console"));
        case.record_lines(&said, &["cut: looked", "cut: record"]);
        for word in ["is lost", "I/O error", "EXT4-fs error", "Call Trace"] {
            ensure!(!said.contains(word), "the guest says: {word}");
        }
        let numbers = said.lines().filter_map(|line| line.split_once("cut: flushed ")?.1.trim().parse().ok());
        self.flushed = numbers.max().unwrap_or(self.flushed);
        Ok(())
    }

    /// The file system that the key makes of the disk is whole, once its journal was read.
    fn check_file_system(&self, case: &mut Case) -> Result<()> {
        let plain = case.file("plain");
        let mut bytes = fs::read(&self.disk).with_context(|| self.disk.display().to_string())?;
        cipher(&self.key)?.decrypt(0, &mut bytes);
        fs::write(&plain, bytes)?;
        // The journal alone: -p would mend more.
        case.run(e2fs("e2fsck").args(["-E", "journal_only", "-y"]).arg(&plain))?;
        case.run(e2fs("e2fsck").args(["-f", "-n"]).arg(&plain)).map(drop)
    }

    /// The last boot, which ends by itself.
    fn look(&mut self, case: &mut Case, qemu: &Qemu) -> Result<()> {
        let machine = self.machine(case, " plinth.only-look")?;
        let booted = case.boot(qemu, &machine)?;
        self.read(case)?;
        case.expect_outcome(&booted, Outcome::PowerOff)?;
        case.expect(&booted.console, "guest: test status 0")?;
        case.expect_no_panic(&booted)
    }
}
