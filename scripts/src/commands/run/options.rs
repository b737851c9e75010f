//! The options of `scripts/run`.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};

/// Boots a guest under Plinth, with its console on this terminal
///
/// Installs what is missing, builds Plinth, packs an IGVM file with Debian's cloud kernel in it, boots it in
/// QEMU and gives you the guest's console. The guest has a network, and its root on a disk, which is made of
/// Debian's packages when it is first needed. Type `poweroff` in the guest to end, `reboot` to reset
/// its machine; ctrl-a x ends QEMU, ctrl-a h lists QEMU's other keys.
#[derive(Clone, Debug, Args)]
#[command(override_usage = "scripts/run [OPTION]... [-- QEMU-ARGUMENT...]")]
pub struct Options {
    /// Debian kernel to boot: 6.1, newest, or the start of another version, such as 6.12; the one for clouds,
    /// or, with `-full` behind it, the one for any machine
    #[arg(long, value_name = "RELEASE", default_value = "6.1")]
    pub guest: String,
    /// Your own kernel instead: a bzImage, or an ELF file that knows PVH, multiboot 1 or multiboot 2
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// The small guest: a shell (busybox) in an initramfs, and no devices but those that other options ask
    /// for. So is any guest with a kernel, initramfs, recipe or image of your own, or without Plinth
    #[arg(long)]
    pub small: bool,
    /// Your own initramfs
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
    /// The guest's command line
    #[arg(long, value_name = "TEXT", default_value = "console=ttyS0", allow_hyphen_values = true)]
    pub append: String,
    /// The machine's memory
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = positive())]
    pub mem: u32,
    /// Its CPUs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive())]
    pub smp: u32,
    /// Who loads the image; the default is igvm where this QEMU has it, else pvh
    #[arg(long, value_enum, value_name = "WHICH")]
    pub loader: Option<Loader>,
    /// A disk of the guest's, /dev/vda: this file, by QEMU's virtio disk and a process that drives it; with
    /// `,ram` a copy of the file in memory, which is gone when the machine ends; with `,encrypt` the file has
    /// nothing but ciphertext, by a key that is kept in FILE.key and made if the disk is empty; with `,nvme`
    /// the guest finds it behind an NVMe controller, as /dev/nvme0n1. With any file the guest is the small
    /// one; `debian` is no file, but the disk with its root, and may be encrypted and behind NVMe
    #[arg(long, value_name = "FILE[,ram][,encrypt][,nvme]", conflicts_with = "image")]
    pub disk: Option<DiskFile>,
    /// A network of the guest's, eth0, by QEMU's virtio device and a process that drives it: the one that
    /// QEMU makes by itself, with DHCP, and this machine at 10.0.2.2; a guest on a disk has it anyway. With
    /// `,e1000e` the guest finds an Intel 82574L, for which kernels for any machine have a driver
    #[arg(long, value_enum, value_name = "WHICH")]
    pub net: Option<Network>,
    /// A TPM 2.0 of the guest's, with its state in this file, which is made if it is not there; its key is
    /// kept in FILE.key. Debian's newest kernel has the drivers
    #[arg(long, value_name = "FILE", conflicts_with = "image")]
    pub tpm: Option<PathBuf>,
    /// On what the guest runs, if not on QEMU's machine alone: a simulator of SEV-SNP's processor, firmware
    /// and host
    #[arg(
        long,
        value_enum,
        value_name = "WHICH",
        conflicts_with_all = ["image", "recipe", "disk", "net", "tpm", "inspect"]
    )]
    pub platform: Option<Platform>,
    /// The platform's guest is not Plinth with the small guest at VMPL1, but the payload, which boots that
    /// guest
    #[arg(long, requires_all = ["platform", "payload"])]
    pub no_plinth: bool,
    /// That payload: an OVMF image; `OVMF.fd` and `OVMF.amdsev.fd`, where there is no such file, are Debian's
    #[arg(long, value_name = "FILE", requires = "no_plinth")]
    pub payload: Option<PathBuf>,
    /// The QEMU to use [default: $PLINTH_QEMU, or qemu-system-x86_64]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,
    /// What goes into the image: a name in igvm-tools/recipes or a file
    #[arg(
        long,
        value_name = "RECIPE",
        default_value = "debian",
        default_value_if("inspect", "true", "inspect")
    )]
    pub recipe: String,
    /// Run this IGVM file instead of packing one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["guest", "kernel", "initrd", "append", "recipe"])]
    pub image: Option<PathBuf>,
    /// Where a debug image's log goes [default: target/run/plinth.log]
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// A release image: no log, no exit table
    #[arg(long, conflicts_with = "log")]
    pub no_debug: bool,
    /// With a live view, for scripts/inspect; the recipe is then inspect if no other is named
    #[arg(long)]
    pub inspect: bool,
    /// Wait for gdb on port 1234 before the first instruction
    #[arg(long)]
    pub gdb: bool,
    /// Print the QEMU command and stop
    #[arg(long)]
    pub print: bool,
    /// More arguments for QEMU
    #[arg(last = true, value_name = "QEMU-ARGUMENT")]
    pub more: Vec<OsString>,
}

/// What is behind the guest's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskFile {
    /// The file.
    pub file: PathBuf,
    /// A copy in memory, not the file itself.
    pub is_ram: bool,
    /// It is encrypted.
    pub is_encrypted: bool,
    /// The guest finds it behind an NVMe controller.
    pub is_nvme: bool,
}

impl DiskFile {
    /// Whether it is the disk with Debian's root. A file of that name is `./debian`.
    pub fn is_debian(&self) -> bool {
        self.file.as_os_str() == "debian"
    }
}

impl Options {
    /// Whether the guest's root is on a disk made of Debian's packages: it is asked for, or nothing else is.
    pub fn has_root_disk(&self) -> bool {
        let is_own = self.kernel.is_some() || self.initrd.is_some() || self.image.is_some();
        // What another recipe says of processes and devices holds.
        let is_other = !["debian", "inspect"].contains(&&*self.recipe);
        let is_direct = self.loader == Some(Loader::Direct);
        let is_small = self.small || is_own || is_other || is_direct || self.platform.is_some();
        self.disk.as_ref().map_or(!is_small, DiskFile::is_debian)
    }
}

impl FromStr for DiskFile {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (mut file, mut is_ram, mut is_encrypted, mut is_nvme) = (text, false, false, false);
        loop {
            if let Some(rest) = file.strip_suffix(",ram") {
                (file, is_ram) = (rest, true);
            } else if let Some(rest) = file.strip_suffix(",encrypt") {
                (file, is_encrypted) = (rest, true);
            } else if let Some(rest) = file.strip_suffix(",nvme") {
                (file, is_nvme) = (rest, true);
            } else {
                return Ok(Self { file: file.into(), is_ram, is_encrypted, is_nvme });
            }
        }
    }
}

/// What is behind the guest's network device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// QEMU's user network
    User,
    /// The same, behind an Intel 82574L
    #[value(name = "user,e1000e")]
    UserE1000e,
}

/// What a guest runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Platform {
    /// A simulator of SEV-SNP, a process of Plinth's
    SnpSim,
}

/// Who loads the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Loader {
    /// QEMU's own IGVM loader
    Igvm,
    /// Plinth's loader, for any QEMU
    Pvh,
    /// No Plinth at all, for comparison
    Direct,
}

impl fmt::Display for Loader {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Igvm => "igvm",
            Self::Pvh => "pvh",
            Self::Direct => "direct",
        })
    }
}

/// A whole number above 0.
fn positive() -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(1..)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn who_has_debians_disk() {
        for (words, has) in [
            ("", true),
            ("--smp 4 --guest newest --inspect --no-debug --tpm state", true),
            ("--disk debian", true),
            ("--small --disk debian,encrypt", true),
            ("--kernel vmlinuz --disk debian", true),
            ("--disk ./debian", false),
            ("--disk file --net user", false),
            ("--small", false),
            ("--small --net user", false),
            ("--kernel vmlinuz", false),
            ("--initrd initrd.gz", false),
            ("--image plinth.igvm", false),
            ("--recipe bench", false),
            ("--loader direct", false),
            ("--platform snp-sim --no-plinth --payload OVMF.fd", false),
            ("--platform snp-sim", false),
            ("--loader pvh", true),
        ] {
            let words = ["run"].into_iter().chain(words.split_whitespace());
            assert_eq!(Command::parse_from(words.clone()).options.has_root_disk(), has, "{words:?}");
        }
    }

    #[test]
    fn a_disk_is_a_file_and_what_is_done_with_it() {
        for (text, name, is_ram, is_encrypted, is_nvme) in [
            ("a,b", "a,b", false, false, false),
            ("a,ram", "a", true, false, false),
            ("a,encrypt", "a", false, true, false),
            ("a,nvme", "a", false, false, true),
            ("a,ram,encrypt", "a", true, true, false),
            ("a,encrypt,nvme,ram", "a", true, true, true),
        ] {
            let Ok(disk) = text.parse::<DiskFile>();
            assert_eq!(disk, DiskFile { file: name.into(), is_ram, is_encrypted, is_nvme });
        }
    }
}
