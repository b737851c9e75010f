//! The QEMU command that runs an image. The project's `scripts/run` does more; this is the least.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Who loads the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loader {
    /// QEMU itself: 10.1 or newer, built with libigvm.
    Igvm,
    /// The PVH loader's ELF file, in any QEMU.
    Pvh(PathBuf),
}

/// A machine to run an image in.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The QEMU program.
    pub qemu: PathBuf,
    /// Who loads the image.
    pub loader: Loader,
    /// Memory, in QEMU's notation.
    pub memory: String,
    /// Number of processors.
    pub processors: u32,
    /// More arguments for QEMU.
    pub more: Vec<String>,
}

impl Machine {
    /// Program and arguments.
    pub fn command(&self, image: &Path) -> Vec<OsString> {
        let mut command: Vec<OsString> = vec![self.qemu.clone().into()];
        let mut add = |arguments: &[&str]| command.extend(arguments.iter().map(OsString::from));
        let processors = self.processors.to_string();
        add(&["-accel", "tcg", "-cpu", "max", "-m", &self.memory, "-smp", &processors]);
        add(&["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]);
        // The PVH loader reports failure through it.
        add(&["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
        match &self.loader {
            Loader::Igvm => {
                add(&["-M", "q35,igvm-cfg=igvm0", "-object"]);
                let mut object = OsString::from("igvm-cfg,id=igvm0,file=");
                object.push(escaped(image));
                command.push(object);
            }
            Loader::Pvh(loader) => {
                add(&["-M", "q35", "-kernel"]);
                command.extend([loader.clone().into(), "-initrd".into(), image.into()]);
            }
        }
        command.extend(self.more.iter().map(OsString::from));
        command
    }
}

/// A path inside a QEMU option: a comma would end it, so it is doubled.
fn escaped(path: &Path) -> OsString {
    match path.to_str() {
        Some(text) => text.replace(',', ",,").into(),
        None => path.into(),
    }
}

/// The command as one would type it.
pub fn shell(command: &[OsString]) -> String {
    let quoted = |word: &OsString| {
        let word = word.to_string_lossy();
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_=+./:,@%".contains(letter);
        if !word.is_empty() && word.chars().all(plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    command.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(loader: Loader) -> Machine {
        Machine { qemu: "qemu".into(), loader, memory: "1G".into(), processors: 2, more: vec!["-s".into()] }
    }

    #[test]
    fn commands() {
        let common = "qemu -accel tcg -cpu max -m 1G -smp 2 -nodefaults -display none -serial stdio \
                      -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=4";
        for (loader, image, end) in [
            (Loader::Igvm, "a,b", "-M q35,igvm-cfg=igvm0 -object igvm-cfg,id=igvm0,file=a,,b -s"),
            (Loader::Pvh("l".into()), "it's", "-M q35 -kernel l -initrd 'it'\\''s' -s"),
        ] {
            let command = machine(loader).command(Path::new(image));
            assert_eq!(shell(&command), format!("{common} {end}"));
        }
    }
}
