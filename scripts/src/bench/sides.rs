//! The sides of the benchmark: what runs the guest.

use std::fmt;

use anyhow::{Result, ensure};
use plinth_qemu::{Boot, Machine};

use super::programs::KVM_RELEASE;
use super::{Amount, Bench, rows};
use crate::debian::kernel;
use crate::image::{Image, config_with};
use crate::project::{read, write};

/// What can be asked to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Side {
    /// VMLOAD, VMRUN and VMSAVE by themselves
    Floor,
    /// Linux KVM with mitigations
    Kvm,
    /// Linux KVM without mitigations
    KvmOff,
    /// Plinth
    Plinth,
    /// Plinth with mitigations
    PlinthGuarded,
    /// Plinth with 1,000 more devices, with 16 MiB of guest memory, on a machine of 4 GiB, and without caches
    Flat,
    /// No guest, only system calls
    Batch,
}

impl fmt::Display for Side {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As it is typed.
        let value = clap::ValueEnum::to_possible_value(self);
        out.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

impl Side {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 7] =
        [Self::Floor, Self::Kvm, Self::KvmOff, Self::Plinth, Self::PlinthGuarded, Self::Flat, Self::Batch];

    /// Whether it needs Plinth's programs.
    pub fn is_plinth(self) -> bool {
        matches!(self, Self::Plinth | Self::PlinthGuarded | Self::Flat | Self::Batch)
    }
}

impl Bench {
    /// Runs a side.
    ///
    /// # Errors
    /// When it gives no rows.
    pub fn run(&self, side: Side, amount: Amount) -> Result<()> {
        match side {
            Side::Floor => self.floor(),
            Side::Kvm => self.kvm("kvm", amount, ""),
            Side::KvmOff => self.kvm("kvm_off", amount, "mitigations=off"),
            Side::Plinth => {
                self.plinth_as("plinth", amount, 256, |image| image)?;
                self.device_in_process("plinth", amount, |image| image)
            }
            Side::PlinthGuarded => {
                self.plinth_as("plinth_guarded", amount, 256, |image| image.set("mitigations", true))?;
                self.device_in_process("plinth_guarded", amount, |image| image.set("mitigations", true))
            }
            Side::Flat => self.flat(amount),
            Side::Batch => {
                let image = Image::new(&self.project, "batch")?.pack(&self.folder.join("batch.igvm"))?;
                self.measure("batch", self.machine(image), 256)
            }
        }
    }

    /// Runs the guest in an image of Plinth's, all groups of rows at once, as the side `name`.
    ///
    /// # Errors
    /// When it gives no rows.
    pub fn plinth_as(
        &self,
        name: &str,
        amount: Amount,
        memory_mib: u32,
        change: impl FnOnce(Image) -> Image,
    ) -> Result<()> {
        // All four groups of rows, and no row by itself.
        let image = self.image(format!("{} {} 15 -", amount.iterations, amount.rounds))?;
        let image = change(image).pack(&self.folder.join(format!("{name}.igvm")))?;
        self.measure(name, self.machine(image), memory_mib)
    }

    /// An image as [`Bench::image`] makes it, with the benchmark's device in a process of its own.
    ///
    /// # Errors
    /// When the recipe or the configuration is not there.
    pub fn process_image(&self, append: String) -> Result<Image> {
        let config = read(&self.project.root.join("vmm-user/config/bench.conf"))?
            // The VMM's own device would answer at the same port.
            .replace("  set bench-devices yes\n", "")
            + "device benchmark process\n  file test-device-host\n  grant log w\n";
        let host = self.project.programs().join("test-device-host");
        Ok(self.image(append)?.config(&config).set("files.test-device-host", host.display()))
    }

    /// Runs the guest with the benchmark's device in a process of its own; two of its rows become rows of the
    /// side `name`, which was run before.
    fn device_in_process(
        &self,
        name: &str,
        amount: Amount,
        change: impl FnOnce(Image) -> Image,
    ) -> Result<()> {
        let side = format!("{name}_process");
        // Its other groups are not of the device.
        let image = self.process_image(format!("{} {} 1 -", amount.iterations, amount.rounds))?;
        let image = change(image).pack(&self.folder.join(format!("{side}.igvm")))?;
        self.measure(&side, self.machine(image), 256)?;
        let [own, process] = [name, &side].map(|name| self.folder.join(format!("{name}.raw")));
        let rows = rows::of_process(&read(&process)?, &side, name);
        ensure!(rows.lines().count() >= 2, "{} has no rows of a device", process.display());
        write(&own, read(&own)? + &rows)
    }

    /// Runs the guest with the VMM that can do without caches, and does.
    ///
    /// # Errors
    /// When it gives no rows.
    pub fn plinth_uncached(&self, amount: Amount) -> Result<()> {
        let config = config_with(&self.project, "bench", &["caches no"])?;
        // The ordinary VMM has no such setting, lest it costs something.
        let vmm = self.project.programs().join("step-vmm");
        self.plinth_as("plinth_uncached", amount, 256, |image| {
            image.set("files.vmm", vmm.display()).config(&config)
        })
    }

    /// With more devices and with other sizes of memory, which should not matter; and without the VMM's
    /// caches, which should.
    fn flat(&self, amount: Amount) -> Result<()> {
        let config = config_with(&self.project, "bench", &["extra-devices 1000"])?;
        self.plinth_as("plinth_devices", amount, 256, |image| image.config(&config))?;
        // A machine of 32 MiB, of which Plinth's window takes 16 from 15 on: firmware keeps a little at the
        // end. The guest has the rest.
        self.plinth_as("plinth_small", amount, 32, |image| {
            let layout = [("window_base", "15M"), ("window_bytes", "16M"), ("payload_base", "12M")];
            layout.iter().fold(image, |image, (key, value)| image.set(&format!("layout.{key}"), value))
        })?;
        self.plinth_as("plinth_large", amount, 4096, |image| image)?;
        self.plinth_uncached(amount)
    }

    fn floor(&self) -> Result<()> {
        let kernel = self.folder.join("floor.elf");
        self.measure("floor", Machine::new(Boot::Direct { kernel, initrd: None, append: String::new() }), 64)
    }

    fn kvm(&self, name: &str, amount: Amount, more: &str) -> Result<()> {
        let Amount { iterations, rounds } = amount;
        let boot = Boot::Direct {
            kernel: kernel::fetch(&self.project, KVM_RELEASE)?,
            initrd: Some(self.pack_peer()?),
            append: format!(
                "console=ttyS0 loglevel=4 {more} plinth.test=\"/bench/run {iterations} {rounds}\""
            ),
        };
        self.measure(name, Machine::new(boot), 2048)
    }
}
