//! `scripts/run`: boots a guest under Plinth, with its console on this terminal.

mod devices;
mod options;
mod root;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use plinth_qemu::{Boot, Machine, Outcome, Qemu, QemuError, Serial, read_text, shell};

pub use options::{DiskFile, Loader, Network, Options, Platform};

use crate::commands::inspect;
use crate::debian::{kernel, ovmf};
use crate::image::{Image, Payload};
use crate::initramfs::Initramfs;
use crate::project::{BARE, Project};
use crate::{build, log, say, snp_sim};

/// The simulator's memory where Plinth is its guest, which accepts all of it, page by page.
const SIMULATED_MEMORY: &str = "memory-mib 256";
/// Where `--gdb` listens.
const GDB: &str = "tcp::1234";

/// Boots the guest, again and again while it asks for a reboot.
///
/// # Errors
/// When something can't be had, built or started.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    let qemu = Qemu::find(options.qemu.as_deref())?;
    let loader = loader(options, &qemu)?;
    let options = &root::settled(project, options)?;
    let machine = machine(project, options, loader, &qemu)?;
    // Only now: what the command names is there, so that it can be typed.
    if options.print {
        say::print(format_args!("{}\n", shell(&machine.command(&qemu)?)))?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.gdb {
        let kernel = project.programs().join("vmm-kernel");
        say::say(format_args!("waiting for gdb: gdb {} -ex 'target remote :1234'", kernel.display()));
    }
    let outcome = boot(&machine, &qemu, loader)?;
    Ok(if explain(outcome, machine.log.as_deref()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The loader asked for, or the best that this QEMU has.
fn loader(options: &Options, qemu: &Qemu) -> Result<Loader> {
    match options.loader {
        Some(Loader::Igvm) if !qemu.has_igvm_loader() => {
            Err(QemuError::NoIgvm { path: qemu.path().into(), version: qemu.version() }.into())
        }
        Some(loader) => Ok(loader),
        None if qemu.has_igvm_loader() => Ok(Loader::Igvm),
        None => Ok(Loader::Pvh),
    }
}

/// The machine, with all that it takes built and packed.
fn machine(project: &Project, options: &Options, loader: Loader, qemu: &Qemu) -> Result<Machine> {
    let boot = match loader {
        Loader::Direct if options.disk.is_some() => bail!("without Plinth there is no --disk"),
        Loader::Direct if options.tpm.is_some() => bail!("without Plinth there is no --tpm"),
        Loader::Direct => {
            let Payload { kernel, initrd, append } = payload(project, options)?;
            Boot::Direct { kernel, initrd, append }
        }
        Loader::Igvm => Boot::Igvm { image: image(project, options)? },
        Loader::Pvh => {
            let image = image(project, options)?;
            Boot::Pvh { loader: project.target.join(BARE).join("release/pvh-loader"), image }
        }
    };
    let mut machine = Machine::new(boot);
    (machine.memory_mib, machine.processors) = (options.mem, options.smp);
    machine.serial = Serial::Terminal;
    // A release image, or none of Plinth's, has no log.
    if !options.no_debug && loader != Loader::Direct {
        machine.log = Some(options.log.clone().unwrap_or_else(|| project.work.join("plinth.log")));
    }
    if options.gdb {
        // Stopped, or the kernel would have run before gdb is there.
        (machine.gdb, machine.stopped) = (Some(GDB.to_owned()), true);
    }
    machine.inspect = options.inspect.then(|| inspect::socket(project));
    if let Some(DiskFile { file, is_ram: false, .. }) = &options.disk {
        machine.disk = Some(readable(file)?);
    }
    machine.tpm = options.tpm.as_deref().map(readable).transpose()?;
    machine.network = options.net.map(|_| String::new());
    machine.cpu = options.platform.map(|_| snp_sim::cpu_model(qemu));
    machine.more.clone_from(&options.more);
    Ok(machine)
}

/// The image asked for, or one that is packed now.
fn image(project: &Project, options: &Options) -> Result<PathBuf> {
    if let Some(image) = &options.image {
        // The image is all that the user brings; its loader is still the project's.
        build::Build::new(project, &["pvh-loader"]).run()?;
        return readable(image);
    }
    let payload = payload(project, options)?;
    build::plinth(project)?;
    let file = project.work.join("plinth.igvm");
    if let (Some(Platform::SnpSim), false) = (options.platform, options.no_plinth) {
        let plinth = Image::new(project, "snp-guest")?.payload(&payload);
        return snp_sim::pack_plinth(project, plinth, &[SIMULATED_MEMORY], &file);
    }
    if let Some(Platform::SnpSim) = options.platform {
        let rom = firmware(project, options)?;
        // All of the simulator's vCPUs are on one processor of the machine.
        let vcpus = u16::try_from(options.smp).context("so many vCPUs")?;
        return snp_sim::pack_firmware(project, &rom, Some(&payload), vcpus, &[], &file);
    }
    let image = Image::new(project, &options.recipe)?.payload(&payload);
    let mut image = devices::add(project, options, image)?;
    // The recipes for guests are of debug images.
    if options.no_debug {
        image = image.set("debug", false);
    }
    image.pack(&file)
}

/// The firmware that is the simulator's guest.
fn firmware(project: &Project, options: &Options) -> Result<Vec<u8>> {
    let payload = options.payload.as_deref().context("no payload is named")?;
    let known = payload.to_str().filter(|name| ovmf::is_known(name));
    match known {
        Some(name) if !payload.exists() => ovmf::newest(project, name).map(|(_, rom)| rom),
        _ => std::fs::read(payload).with_context(|| format!("cannot read {}", payload.display())),
    }
}

fn payload(project: &Project, options: &Options) -> Result<Payload> {
    let kernel = match &options.kernel {
        Some(file) => readable(file)?,
        None => kernel::fetch(project, &options.guest)?,
    };
    let initrd = match &options.initrd {
        Some(file) => readable(file)?,
        None => {
            let mut tree = Initramfs::new(project)?;
            tree.add_port_command(project)?;
            // Another's kernel takes other modules, or has the drivers built in.
            if (options.disk.is_some() || options.net.is_some()) && options.kernel.is_none() {
                tree.add_drivers(project, &options.guest)?;
            }
            tree.pack(&project.work.join("initrd.gz"))?
        }
    };
    Ok(Payload { kernel, initrd: Some(initrd), append: options.append.clone() })
}

/// A file that the user named, as an absolute path.
fn readable(file: &Path) -> Result<PathBuf> {
    std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    // Opening a folder succeeds.
    if file.is_dir() {
        bail!("{} is a folder", file.display());
    }
    Ok(std::path::absolute(file)?)
}

fn boot(machine: &Machine, qemu: &Qemu, loader: Loader) -> Result<Outcome> {
    loop {
        say::say(format_args!(
            "booting ({loader} loader, QEMU {}, {} CPUs, {} MiB); ctrl-a x quits",
            qemu.version(),
            machine.processors,
            machine.memory_mib
        ));
        let outcome = machine.run_on_terminal(qemu)?;
        // Each time, as the next boot empties the log.
        if let Some(log) = &machine.log {
            for line in log::exit_table(&read_text(log)) {
                say::print(format_args!("{line}\n"))?;
            }
        }
        if outcome != Outcome::Reboot {
            return Ok(outcome);
        }
        say::say("the guest asked for a reboot: starting the image again");
    }
}

/// Tells the user how it ended, with the log's end if that was bad; returns whether it was good.
fn explain(outcome: Outcome, log: Option<&Path>) -> bool {
    if outcome != Outcome::Quit {
        say::say(outcome.explanation());
    }
    if let (false, Some(log)) = (outcome.is_good(), log) {
        say::raw(&log::tail(&read_text(log), 40));
    }
    outcome.is_good()
}
