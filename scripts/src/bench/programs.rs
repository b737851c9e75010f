//! The benchmark's programs: the guest, the floor, the peer under KVM.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Bench;
use crate::assemble;
use crate::command::output;
use crate::debian::kernel;
use crate::initramfs::Initramfs;
use crate::project::Project;

/// The release of the Linux below which KVM runs.
pub const KVM_RELEASE: &str = "6.1";
/// What KVM needs of that release's modules. What is no module of it is built in.
const MODULES: [&str; 3] = ["irqbypass", "kvm", "kvm-amd"];

/// The parts of a guest that is started by the Linux boot protocol, in the order in which they lie.
const GUEST: [&str; 3] = ["setup", "start", "text"];

/// Assembles the benchmark's guest, or another one with the same beginnings and `last` as its body, into the
/// folder `objects`; returns the program.
///
/// # Errors
/// With the assembler's or the linker's words.
pub fn guest(project: &Project, last: &Path, objects: &Path, program: &Path) -> Result<PathBuf> {
    let folder = project.root.join("benches/guest");
    let mut sources = GUEST.map(|name| folder.join(name).with_extension("S")).to_vec();
    sources.push(last.to_path_buf());
    let assemble = |source: &PathBuf| assemble::object(source, objects, &[], std::slice::from_ref(&folder));
    let inputs = sources.iter().map(assemble).collect::<Result<Vec<_>>>()?;
    assemble::link(&folder.join("guest.ld"), &assemble::GUEST_LINK, &inputs, program)
}

impl Bench {
    /// Builds all three, but not Plinth.
    ///
    /// # Errors
    /// With the compiler's words.
    pub fn build(&self) -> Result<()> {
        let benches = self.project.root.join("benches");
        guest(&self.project, &benches.join("guest/rows.S"), &self.folder, &self.folder.join("guest.bin"))?;
        let floor = [benches.join("floor/floor.S"), benches.join("guest/text.S")];
        assemble::guest(
            &benches.join("floor/floor.ld"),
            &floor,
            &self.folder,
            &self.folder.join("floor.elf"),
        )?;
        let mut gcc = Command::new("gcc");
        // Static: the initramfs has no libraries.
        gcc.args(["-O2", "-Wall", "-Wextra", "-static", "-o"]).arg(self.folder.join("peer"));
        output(gcc.arg(benches.join("peer/peer.c"))).context("the peer under KVM could not be built")?;
        Ok(())
    }

    /// Packs the initramfs of the Linux below which KVM runs: its modules, the peer and the guest.
    ///
    /// # Errors
    /// When Debian's packages can't be had.
    pub fn pack_peer(&self) -> Result<PathBuf> {
        let mut tree = Initramfs::new(&self.project)?;
        tree.folder("bench");
        tree.folder("bench/modules");
        // By their names alone: the script loads them in its own order.
        for (name, contents) in kernel::modules(&self.project, KVM_RELEASE, &MODULES)? {
            tree.program(&format!("bench/modules/{name}.ko"), contents);
        }
        let l1 = self.project.root.join("benches/peer/l1.sh");
        let files =
            [("peer", self.folder.join("peer")), ("guest.bin", self.folder.join("guest.bin")), ("run", l1)];
        for (name, file) in files {
            let contents = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            tree.program(&format!("bench/{name}"), contents);
        }
        tree.pack(&self.folder.join("l1.gz"))
    }
}
