//! A guest's disk that is encrypted on one of the host's: the host's file shows nothing of what the guest
//! writes, a second boot reads it again, and one with another key does not.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use block_crypt::{KEY_BYTES, KeyError, Xts};
use plinth_qemu::{Outcome, Qemu};

use crate::debian::kernel;
use crate::disk_key;
use crate::image::{Image, Payload};
use crate::initramfs::Initramfs;
use crate::testing::{Booted, Case, Suite, bytes_by_chance};

/// Bytes of the disk, a half of which becomes text.
const DISK_BYTES: usize = 2 << 20;
/// What the guest writes again and again.
const TEXT: &[u8] = b"Plinth's guest keeps this secret\n";
/// What it does, a file of its own: a kernel's command line is too short for it.
const SCRIPT: &str = include_str!("encrypted.sh");

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) {
    suite.check("disk-encrypted", |case| encrypted(case, qemu));
}

/// An image with a key, and with the programs that drive a disk of the host's.
pub fn with_key(image: Image, key: &Path) -> Image {
    image.with_programs(&["host-pci", "host-block", "impatient-block"]).with_key("disk.key", key)
}

/// What makes the guest's disk an encrypted one, behind the other configurations.
pub const CONFIG: &str = "for vmm\n  set disk-key disk.key\n";

/// The cipher by a file with a key.
///
/// # Errors
/// When there is none.
pub fn cipher(key: &Path) -> Result<Xts> {
    let key = fs::read(key).with_context(|| format!("cannot read {}", key.display()))?;
    Xts::new(&key).map_err(|error: KeyError| anyhow::anyhow!("{error}"))
}

struct Guest {
    kernel: PathBuf,
    initrd: PathBuf,
}

fn encrypted(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let disk = case.file("disk");
    fs::write(&disk, vec![0; DISK_BYTES])?;
    let _ = fs::remove_file(case.sibling(&format!("{}.disk.key", case.name())));
    let key = disk_key::of_disk(&disk)?;
    let mut initramfs = Initramfs::new(case.project())?;
    initramfs.add_drivers(case.project(), "6.1")?;
    initramfs.program("bin/encrypted", SCRIPT.as_bytes().to_vec());
    let initrd = initramfs.pack(&case.file("initrd.gz"))?;
    let guest = Guest { kernel: kernel::fetch(case.project(), "6.1")?, initrd };

    let first = boot(case, qemu, &guest, ("write", &key), " plinth.write")?;
    case.expect(&first.console, "disk: written")?;
    expect_data(case, &first, true)?;
    check_file(&disk, &key)?;
    let second = boot(case, qemu, &guest, ("read", &key), "")?;
    expect_data(case, &second, true)?;

    let other = case.file("other.key");
    fs::write(&other, bytes_by_chance(KEY_BYTES))?;
    let third = boot(case, qemu, &guest, ("other", &other), "")?;
    expect_data(case, &third, false)?;
    check_file(&disk, &key)?;
    wrong_length(case, qemu, &guest)
}

/// Boots the guest; `how` is the boot's name and its key.
fn start(case: &mut Case, qemu: &Qemu, guest: &Guest, how: (&str, &Path), append: &str) -> Result<Booted> {
    let append = format!("console=ttyS0 no_timer_check plinth.test=encrypted{append}");
    let payload = Payload { kernel: guest.kernel.clone(), initrd: Some(guest.initrd.clone()), append };
    let image = Image::new(case.project(), "debian")?.payload(&payload);
    let image = image.configs(case.project(), &["vmm", "host-pci", "host-disk"], CONFIG);
    let mut machine = case.machine(with_key(image, how.1).pack(&case.file("igvm"))?);
    machine.disk = Some(case.file("disk"));
    let booted = case.boot_as(&format!("{}.{}", case.name(), how.0), qemu, &machine)?;
    case.record_lines(&booted.console_text(), &["disk: "]);
    case.expect_no_panic(&booted)?;
    Ok(booted)
}

fn boot(case: &mut Case, qemu: &Qemu, guest: &Guest, how: (&str, &Path), append: &str) -> Result<Booted> {
    let booted = start(case, qemu, guest, how, append)?;
    case.expect_outcome(&booted, Outcome::PowerOff)?;
    case.expect(&booted.console, "guest: test status 0")?;
    ensure!(!booted.console_text().contains("I/O error"), "the guest complains");
    ensure!(!shows_key(&booted, how.1)?, "the key is in the log");
    Ok(booted)
}

/// Whether the log has the key's first bytes, as text of one kind or another.
fn shows_key(booted: &Booted, key: &Path) -> Result<bool> {
    let key = fs::read(key)?;
    let start = key.get(..8).context("a key is longer")?;
    let (hex, list) =
        (start.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), format!("{start:?}"));
    let text = booted.log_text() + &booted.console_text();
    Ok(text.to_lowercase().contains(&hex) || text.contains(list.trim_matches(['[', ']'])))
}

/// Whether the guest finds what the first boot wrote.
fn expect_data(case: &mut Case, booted: &Booted, is_there: bool) -> Result<()> {
    case.expect(&booted.console, "disk: nothing more")?;
    let console = booted.console_text();
    for line in ["disk: the text is there", "disk: the zeroes are there"] {
        ensure!(console.contains(line) == is_there, "\"{line}\" is on the console or is not, wrongly");
    }
    Ok(())
}

/// The host's file has nothing that tells of the data, and is what the key makes of them.
fn check_file(disk: &Path, key: &Path) -> Result<()> {
    let found = fs::read(disk)?;
    ensure!(found.len() == DISK_BYTES, "the disk has another size now");
    let word = TEXT.get(..12).context("the text is longer")?;
    ensure!(
        !found.windows(word.len()).any(|window| window == word),
        "the guest's text is in the host's file"
    );
    let zero = found.chunks(16).position(|block| block.iter().all(|byte| *byte == 0));
    ensure!(zero.is_none(), "block {zero:?} of the host's file is zero");
    let mut blocks: Vec<&[u8]> = found.chunks(16).collect();
    blocks.sort_unstable();
    ensure!(blocks.windows(2).all(|pair| pair[0] != pair[1]), "the host's file has a block twice");
    let mut expected: Vec<u8> = TEXT.iter().copied().cycle().take(DISK_BYTES / 2).collect();
    expected.resize(DISK_BYTES, 0);
    cipher(key)?.encrypt(0, &mut expected);
    ensure!(found == expected, "the host's file is not what the key makes of the guest's data");
    Ok(())
}

/// A key that is none ends the start, in words.
fn wrong_length(case: &mut Case, qemu: &Qemu, guest: &Guest) -> Result<()> {
    let short = case.file("short.key");
    fs::write(&short, bytes_by_chance(KEY_BYTES - 8))?;
    let booted = start(case, qemu, guest, ("short", &short), "")?;
    case.expect_outcome(&booted, Outcome::ProcessFailure)?;
    case.expect(&booted.log, "the disk's key: it has 56 bytes and not 64")
}
