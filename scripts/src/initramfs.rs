//! The guest's initramfs: busybox, the first process with its settings, and what a boot needs besides. The
//! same inputs give the same bytes: names sorted, times zero, everything root's.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};

use crate::build::cargo;
use crate::command::output;
use crate::debian::apt::Apt;
use crate::debian::{kernel, package, tpm2_tools};
use crate::project::{Project, write};

/// A file of the archive: mode, with its type, and contents.
type Entry = (u32, Vec<u8>);

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const LINK: u32 = 0o120_777;

/// Drivers of the guest's devices, most of them virtio, and the file system of disks, in the order in which
/// they can be loaded. A kernel may have some of them built in, or not at all.
const DRIVERS: [&str; 28] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "virtio-rng",
    "virtio_console",
    "failover",
    "net_failover",
    "virtio_net",
    "pps_core",
    "ptp",
    "e1000e",
    "crct10dif_common",
    "crct10dif_generic",
    "crc-t10dif",
    "crc64",
    "crc64_rocksoft_generic",
    "crc64-rocksoft",
    "t10-pi",
    "nvme-core",
    "nvme",
    "crc16",
    "crc32c_generic",
    "mbcache",
    "jbd2",
    "ext4",
];

/// An initramfs to pack. A folder's files come after it, since names are sorted.
#[derive(Clone, Debug, Default)]
pub struct Initramfs {
    entries: BTreeMap<String, Entry>,
}

impl Initramfs {
    /// The guest's: busybox' commands, `scripts/guest/init` as the first process, and what that needs.
    ///
    /// # Errors
    /// When busybox can't be had.
    pub fn new(project: &Project) -> Result<Self> {
        let mut tree = Self::default();
        for folder in ["bin", "dev", "etc", "proc", "root", "sys", "tmp"] {
            tree.folder(folder);
        }
        let busybox = busybox(project)?;
        tree.program("bin/busybox", read(&busybox)?);
        // Each command is a link to the one program, which looks at the name it was called by.
        for applet in output(Command::new(&busybox).arg("--list"))?.lines().filter(|name| *name != "busybox")
        {
            tree.entries.insert(format!("bin/{applet}"), (LINK, b"busybox".to_vec()));
        }
        let guest = project.root.join("scripts/guest");
        tree.program("init", read(&guest.join("init"))?);
        tree.program("etc/lease", read(&guest.join("lease"))?);
        for name in ["inittab", "profile"] {
            tree.entries.insert(format!("etc/{name}"), (FILE, read(&guest.join(name))?));
        }
        Ok(tree)
    }

    /// Adds `port`, a command that reads and writes I/O ports (`vmm-user/tests-guest/port`).
    ///
    /// # Errors
    /// When cargo fails.
    pub fn add_port_command(&mut self, project: &Project) -> Result<()> {
        const LINUX: &str = "x86_64-unknown-linux-gnu";
        // Nothing of the machine's own libraries is in the guest.
        let linked = format!("target.{LINUX}.rustflags=['-Ctarget-feature=+crt-static', '-Cstrip=symbols']");
        let mut cargo = cargo(&project.root);
        cargo.args([
            "build",
            "--quiet",
            "--release",
            "-p",
            "guest-port",
            "--target",
            LINUX,
            "--config",
            &linked,
        ]);
        output(cargo.arg("--target-dir").arg(&project.target))?;
        self.program("bin/port", read(&project.target.join(LINUX).join("release/port"))?);
        Ok(())
    }

    /// Adds the drivers of devices and of ext4, of a kernel of that release; the first process loads
    /// them.
    ///
    /// # Errors
    /// When Debian's packages can't be had.
    pub fn add_drivers(&mut self, project: &Project, release: &str) -> Result<()> {
        self.folder("modules");
        for (name, contents) in kernel::modules(project, release, &DRIVERS)? {
            // The number in the name is the order in which the guest loads them.
            let number = DRIVERS.iter().position(|module| *module == name).unwrap_or(DRIVERS.len());
            self.program(&format!("modules/{number:02}-{name}.ko"), contents);
        }
        Ok(())
    }

    /// Adds Debian's program `tpm2` and the libraries that it needs.
    ///
    /// # Errors
    /// When Debian's packages can't be had.
    pub fn add_tpm2_tools(&mut self, project: &Project) -> Result<()> {
        for folder in ["lib", "lib64"] {
            self.folder(folder);
        }
        for (name, contents) in tpm2_tools::fetch(project)? {
            let folder = match name.as_str() {
                tpm2_tools::LOADER => "lib64",
                name if name.contains(".so") => "lib",
                _ => "bin",
            };
            self.program(&format!("{folder}/{name}"), contents);
        }
        Ok(())
    }

    /// Adds a folder.
    pub fn folder(&mut self, name: &str) {
        self.entries.insert(name.to_owned(), (FOLDER, Vec::new()));
    }

    /// Adds a file that can be executed.
    pub fn program(&mut self, name: &str, contents: Vec<u8>) {
        self.entries.insert(name.to_owned(), (PROGRAM, contents));
    }

    /// Packs it into a file.
    ///
    /// # Errors
    /// When there is no writing it.
    pub fn pack(&self, file: &Path) -> Result<PathBuf> {
        let archive = self.archive().context("packing the initramfs")?;
        // Whole or not at all: another boot may be reading it.
        let new = file.with_extension(format!("{}.new", std::process::id()));
        write(&new, archive)?;
        std::fs::rename(&new, file).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file.into())
    }

    fn archive(&self) -> std::io::Result<Vec<u8>> {
        // Without a name and a time in gzip's header, so that the same inputs give the same bytes.
        let mut out = GzBuilder::new().write(Vec::new(), Compression::best());
        for (number, (name, (mode, contents))) in (1..).zip(&self.entries) {
            // The format has eight hexadecimal digits for it.
            let size = u32::try_from(contents.len()).map_err(std::io::Error::other)?;
            // A folder is named by its parent and by itself.
            let links = if *mode == FOLDER { 2 } else { 1 };
            let entry = cpio::NewcBuilder::new(name).ino(number).mode(*mode).nlink(links);
            let mut writer = entry.write(&mut out, size);
            writer.write_all(contents)?;
            writer.finish()?;
        }
        cpio::newc::trailer(&mut out)?;
        out.finish()
    }
}

/// Debian 12's static busybox, whatever the machine itself has.
fn busybox(project: &Project) -> Result<PathBuf> {
    let file = project.cache.join("busybox");
    if !file.exists() {
        // Only where there is no copy: a boot must not need a network each time.
        let apt = Apt::open(project)?;
        let version = apt.versions("busybox-static")?.pop();
        let version = version.context("Debian's busybox-static is not to be had; is there a network?")?;
        let deb = apt.fetch("busybox-static", &version)?;
        // Under another name until it is whole: other checkouts share the cache.
        let new = project.cache.join(format!("busybox.{}", std::process::id()));
        write(&new, package::file(&deb, |path| path.ends_with("/bin/busybox"))?)?;
        make_executable(&new)?;
        std::fs::rename(&new, &file).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(file)
}

fn make_executable(file: &Path) -> Result<()> {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(file, mode).with_context(|| format!("cannot make {} executable", file.display()))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_inputs_give_the_same_bytes() {
        let mut tree = Initramfs::default();
        tree.program("bin/x", b"#!x".to_vec());
        tree.folder("bin");
        let packed = tree.archive().unwrap();
        assert_eq!(packed, tree.archive().unwrap());
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut plain).unwrap();
        let first = cpio::NewcReader::new(&plain[..]).unwrap();
        assert_eq!((first.entry().name(), first.entry().mode()), ("bin", FOLDER));
        let mut second = cpio::NewcReader::new(first.finish().unwrap()).unwrap();
        assert_eq!((second.entry().name(), second.entry().mode()), ("bin/x", PROGRAM));
        let mut contents = String::new();
        std::io::Read::read_to_string(&mut second, &mut contents).unwrap();
        assert_eq!(contents, "#!x");
        let end = cpio::NewcReader::new(second.finish().unwrap()).unwrap();
        assert!(end.entry().is_trailer());
    }
}
