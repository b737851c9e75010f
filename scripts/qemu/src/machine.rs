//! A machine to run, and QEMU's command line for it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{Qemu, QemuError};

/// What the machine starts with.
#[derive(Clone, Debug)]
pub enum Boot {
    /// An image, by QEMU's own IGVM loader.
    Igvm {
        /// The IGVM file.
        image: PathBuf,
    },
    /// The same file, by Plinth's loader, in any QEMU.
    Pvh {
        /// The loader's ELF file.
        loader: PathBuf,
        /// The IGVM file.
        image: PathBuf,
    },
    /// No Plinth: a kernel started by QEMU, for comparison.
    Direct {
        /// A bzImage, or an ELF file with a multiboot or PVH header.
        kernel: PathBuf,
        /// Its initial RAM disk.
        initrd: Option<PathBuf>,
        /// Its command line.
        append: String,
    },
}

/// Where the first serial port goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serial {
    /// QEMU's standard output and input: a console file, where [`Machine::start`] runs it.
    Stdio,
    /// The terminal, shared with QEMU's own monitor (ctrl-a h lists the keys).
    Terminal,
    /// A file.
    File(PathBuf),
    /// No serial port.
    None,
}

/// A machine to run. [`Machine::new`] is the one of all the scripts; set the fields that are to differ.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What it starts with.
    pub boot: Boot,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Number of processors.
    pub processors: u32,
    /// The CPU model; if not given, [`Qemu::cpu_model`].
    pub cpu: Option<String>,
    /// More of the machine type, such as `"acpi=off"`; `q35` comes before it.
    pub machine_options: Vec<String>,
    /// Plinth's own log, which debug images write to port 402h.
    pub log: Option<PathBuf>,
    /// The first serial port.
    pub serial: Serial,
    /// A Unix socket for the second serial port, where a live view answers; if not given, there is no such
    /// port.
    pub inspect: Option<PathBuf>,
    /// A file that is a disk of the machine's, sector by sector: virtio, version 1.
    pub disk: Option<PathBuf>,
    /// A file that is another disk, behind that one: for the state of the guest's TPM.
    pub tpm: Option<PathBuf>,
    /// A network that QEMU itself makes (`-netdev user`), by a virtio device, version 1; what is here are
    /// more of the device's options, such as `",mac=52:54:00:12:34:56"`, or nothing.
    pub network: Option<String>,
    /// The port of the device by which Plinth ends QEMU; another makes such an end be ignored.
    pub exit_port: u16,
    /// A Unix socket for QEMU's control protocol; see [`crate::Qmp`].
    pub control: Option<PathBuf>,
    /// Where the debugger stub listens, in QEMU's notation (`tcp:127.0.0.1:1234`,
    /// `unix:PATH,server=on,wait=off`); see [`crate::Gdb`].
    pub gdb: Option<String>,
    /// Wait for the debugger, or the control socket, before the first instruction.
    pub stopped: bool,
    /// More arguments.
    pub more: Vec<OsString>,
}

impl Machine {
    /// A machine of 512 MiB and one processor, its console on standard output.
    pub fn new(boot: Boot) -> Self {
        Self {
            boot,
            memory_mib: 512,
            processors: 1,
            cpu: None,
            machine_options: Vec::new(),
            log: None,
            serial: Serial::Stdio,
            inspect: None,
            disk: None,
            tpm: None,
            network: None,
            exit_port: 0xf4,
            control: None,
            gdb: None,
            stopped: false,
            more: Vec::new(),
        }
    }

    /// Counts instructions instead of time: a tick of the time-stamp counter is an executed instruction, and
    /// two runs of the same machine agree.
    pub fn deterministic(mut self) -> Self {
        // Time passes with instructions, and is skipped where the processor sleeps; clock and chance are not
        // the host's.
        let flags = ["-icount", "shift=0,sleep=off", "-rtc", "base=2026-01-01,clock=vm", "-seed", "1"];
        self.more.extend(flags.map(OsString::from));
        self
    }

    /// Program and arguments.
    ///
    /// # Errors
    /// [`QemuError::NoIgvm`], if the machine boots by a loader that this QEMU lacks.
    pub fn command(&self, qemu: &Qemu) -> Result<Vec<OsString>, QemuError> {
        // QEMU itself would only say that it has no such property.
        if matches!(self.boot, Boot::Igvm { .. }) && !qemu.has_igvm_loader() {
            return Err(QemuError::NoIgvm { path: qemu.path().into(), version: qemu.version() });
        }
        let mut command = vec![qemu.path().into()];
        self.add_board(&mut command, qemu);
        self.add_boot(&mut command);
        self.add_channels(&mut command);
        command.extend(self.more.iter().cloned());
        Ok(command)
    }

    fn add_board(&self, command: &mut Vec<OsString>, qemu: &Qemu) {
        let mut machine = "q35".to_owned();
        if matches!(self.boot, Boot::Igvm { .. }) {
            // By the name of the object that `add_boot` makes: this option has to be the machine's.
            machine += ",igvm-cfg=igvm0";
        }
        for option in &self.machine_options {
            machine = machine + "," + option;
        }
        let cpu = self.cpu.as_deref().unwrap_or_else(|| qemu.cpu_model());
        add(command, &["-M", &machine, "-accel", qemu.accelerator(self.processors), "-cpu", cpu]);
        add(command, &["-m", &self.memory_mib.to_string(), "-smp", &self.processors.to_string()]);
        // Without QEMU's own choice of devices, so that each version has the same; and a reset is an end.
        add(command, &["-nodefaults", "-display", "none", "-no-reboot"]);
        add(command, &["-device", &format!("isa-debug-exit,iobase={:#x},iosize=0x04", self.exit_port)]);
    }

    fn add_boot(&self, command: &mut Vec<OsString>) {
        match &self.boot {
            Boot::Igvm { image } => {
                command.extend(["-object".into(), with_path("igvm-cfg,id=igvm0,file=", image)]);
            }
            // The PVH protocol has one file to hand over besides the program, the initial RAM disk: so the
            // image is that.
            Boot::Pvh { loader, image } => {
                command.extend(["-kernel".into(), loader.into(), "-initrd".into(), image.into()]);
            }
            Boot::Direct { kernel, initrd, append } => {
                command.extend(["-kernel".into(), kernel.into()]);
                command.extend(["-append".into(), append.into()]);
                if let Some(initrd) = initrd {
                    command.extend(["-initrd".into(), initrd.into()]);
                }
            }
        }
    }

    fn add_channels(&self, command: &mut Vec<OsString>) {
        if let Some(log) = &self.log {
            command.extend(["-chardev".into(), with_path("file,id=log,path=", log)]);
            add(command, &["-device", "isa-debugcon,iobase=0x402,chardev=log"]);
        }
        // Not by -nographic: it would add a monitor and a port of its own choice.
        let serial = match &self.serial {
            Serial::Stdio => "stdio".into(),
            Serial::Terminal => "mon:stdio".into(),
            Serial::File(path) => with_path("file:", path),
            Serial::None => "none".into(),
        };
        // Before the live view's: QEMU numbers serial ports in the order of their arguments.
        command.extend(["-serial".into(), serial]);
        if let Some(socket) = &self.inspect {
            // Without `wait=off` the machine would not start before somebody has connected.
            let chardev = with_path("socket,id=inspect,server=on,wait=off,path=", socket);
            command.extend(["-chardev".into(), chardev]);
            add(command, &["-serial", "chardev:inspect"]);
        }
        for (name, file) in [("disk", &self.disk), ("tpm", &self.tpm)] {
            let Some(file) = file else { continue };
            // The format is said, since QEMU would guess it by the first sector, which the guest writes; and
            // a discard is to reach the file, so that it can be seen there.
            let drive = format!("if=none,id={name},format=raw,discard=unmap,file=");
            // Version 1 alone: `host-virtio` knows no other, and `init.conf` names the device by version 1's
            // number.
            let device = format!("virtio-blk-pci,drive={name},disable-legacy=on");
            command.extend(["-drive".into(), with_path(&drive, file)]);
            add(command, &["-device", &device]);
        }
        if let Some(options) = &self.network {
            // QEMU's own network needs no right and no set-up on this machine.
            let device = format!("virtio-net-pci,netdev=net,disable-legacy=on{options}");
            add(command, &["-netdev", "user,id=net", "-device", &device]);
        }
        if let Some(socket) = &self.control {
            let chardev = with_path("socket,id=control,server=on,wait=off,path=", socket);
            command.extend(["-chardev".into(), chardev]);
            add(command, &["-mon", "chardev=control,mode=control"]);
        }
        if let Some(place) = &self.gdb {
            add(command, &["-gdb", place]);
        }
        if self.stopped {
            add(command, &["-S"]);
        }
    }
}

fn add(command: &mut Vec<OsString>, arguments: &[&str]) {
    command.extend(arguments.iter().map(OsString::from));
}

/// A path inside a QEMU option: a comma would end it, so it is doubled.
fn with_path(option: &str, path: &Path) -> OsString {
    let mut whole = OsString::from(option);
    match path.to_str() {
        Some(text) => whole.push(text.replace(',', ",,")),
        // A path that is no text can't be searched for commas: as it is.
        None => whole.push(path),
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Version, shell};

    const COMMON: &str =
        "-nodefaults -display none -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=0x04";

    fn old() -> Qemu {
        Qemu::assumed("qemu", Version { major: 7, minor: 2 }, false)
    }

    fn typed(machine: &Machine, qemu: &Qemu) -> String {
        shell(&machine.command(qemu).unwrap())
    }

    #[test]
    fn loaders() {
        let new = Qemu::assumed("qemu", Version { major: 10, minor: 2 }, true);
        let igvm = Machine::new(Boot::Igvm { image: "a,b".into() });
        assert_eq!(
            typed(&igvm, &new),
            format!(
                "qemu -M q35,igvm-cfg=igvm0 -accel tcg -cpu max -m 512 -smp 1 {COMMON} \
                 -object igvm-cfg,id=igvm0,file=a,,b -serial stdio"
            )
        );
        assert!(matches!(igvm.command(&old()), Err(QemuError::NoIgvm { .. })));
        let mut pvh = Machine::new(Boot::Pvh { loader: "l".into(), image: "it's".into() });
        pvh.processors = 2;
        assert_eq!(
            typed(&pvh, &old()),
            format!(
                "qemu -M q35 -accel tcg,thread=single -cpu max,-cx16 -m 512 -smp 2 {COMMON} -kernel l \
                 -initrd 'it'\\''s' -serial stdio"
            )
        );
        let direct = Boot::Direct { kernel: "k".into(), initrd: None, append: "a b".into() };
        assert!(typed(&Machine::new(direct), &old()).ends_with("-kernel k -append 'a b' -serial stdio"));
    }

    #[test]
    fn channels() {
        let boot = Boot::Pvh { loader: "l".into(), image: "i".into() };
        let mut machine = Machine::new(boot).deterministic();
        machine.log = Some("log".into());
        machine.serial = Serial::Terminal;
        machine.control = Some("/c".into());
        machine.inspect = Some("/i".into());
        machine.disk = Some("a,b".into());
        machine.network = Some(",mac=x".into());
        machine.gdb = Some("tcp::1234".into());
        machine.stopped = true;
        machine.exit_port = 0x4f0;
        machine.cpu = Some("EPYC".into());
        machine.machine_options = vec!["acpi=off".into()];
        let typed = typed(&machine, &old());
        for part in [
            "-M q35,acpi=off -accel tcg -cpu EPYC ",
            "iobase=0x4f0,",
            "-chardev file,id=log,path=log -device isa-debugcon,iobase=0x402,chardev=log -serial mon:stdio",
            "mon:stdio -chardev socket,id=inspect,server=on,wait=off,path=/i -serial chardev:inspect",
            "-drive if=none,id=disk,format=raw,discard=unmap,file=a,,b -device virtio-blk-pci,drive=disk,",
            "-netdev user,id=net -device virtio-net-pci,netdev=net,disable-legacy=on,mac=x -chardev",
            "-chardev socket,id=control,server=on,wait=off,path=/c -mon chardev=control,mode=control",
            "-gdb tcp::1234 -S -icount shift=0,sleep=off -rtc base=2026-01-01,clock=vm -seed 1",
        ] {
            assert!(typed.contains(part), "{part} is not in {typed}");
        }
    }
}
