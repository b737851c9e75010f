//! Cargo builds of the bare programs.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{captured, last_lines, typed};
use crate::project::{BARE, Project};

/// The packages of every image: kernel, processes, and the loader for any QEMU.
pub const PLINTH: [&str; 20] = [
    "vmm-kernel",
    "init",
    "inspect",
    "watched-vmm",
    "vmm",
    "vtpm",
    "test-vmm",
    "snp-sim",
    "snp-test",
    "abi-test",
    "host-pci",
    "host-block",
    "block-test",
    "ram-files",
    "file-test",
    "host-net",
    "host-rng",
    "net-test",
    "batch",
    "pvh-loader",
];

/// A build of bare programs. [`Build::new`] is the one of all the scripts; set the fields that are to differ.
#[derive(Clone, Debug)]
pub struct Build {
    /// The source tree; another checkout than the project's for mutants, say.
    pub tree: PathBuf,
    /// The packages.
    pub packages: Vec<String>,
    /// Features, such as `vmm/trace`.
    pub features: Vec<String>,
    /// Cargo's profile: `release`, `dev` or one of the workspace's own.
    pub profile: String,
    /// Cargo's target folder: a build with other features or profile should have another.
    pub target_dir: PathBuf,
    /// More arguments for cargo.
    pub more: Vec<OsString>,
    /// More environment.
    pub environment: Vec<(String, String)>,
}

impl Build {
    /// A released build of these packages, where [`Project::programs`] finds it.
    pub fn new(project: &Project, packages: &[&str]) -> Self {
        Self {
            tree: project.root.clone(),
            packages: packages.iter().map(|name| (*name).to_owned()).collect(),
            features: Vec::new(),
            profile: "release".to_owned(),
            target_dir: project.target.clone(),
            more: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// The folder where the programs will be.
    pub fn programs(&self) -> PathBuf {
        // Cargo's one exception: the folder of the profile `dev`.
        let folder = if self.profile == "dev" { "debug" } else { &self.profile };
        self.target_dir.join(BARE).join(folder)
    }

    /// Builds, showing cargo's progress on a terminal, and its words when it fails; returns the programs'
    /// folder.
    ///
    /// # Errors
    /// When cargo fails.
    pub fn run(&self) -> Result<PathBuf> {
        let mut command = self.command();
        let status = command.status().with_context(|| format!("cannot start {}", typed(&command)))?;
        if !status.success() {
            bail!("the build of {} failed; cargo's words are above", self.packages.join(", "));
        }
        Ok(self.programs())
    }

    /// Builds without a word; what cargo says of a failure is in the error.
    ///
    /// # Errors
    /// When cargo fails.
    pub fn run_quietly(&self) -> Result<PathBuf> {
        let mut command = self.command();
        // Kept, where the other's words go to the terminal: this is a part of a test, whose output is its
        // own.
        let output = captured(&mut command)?;
        if !output.status.success() {
            let said = last_lines(&String::from_utf8_lossy(&output.stderr), 60);
            bail!("the build of {} failed:\n{said}", self.packages.join(", "));
        }
        Ok(self.programs())
    }

    fn command(&self) -> Command {
        let mut command = cargo(&self.tree);
        command.arg("build");
        // Cargo shows its progress to a terminal; a file need not have it.
        if !std::io::stderr().is_terminal() {
            command.arg("--quiet");
        }
        command
            .args(["--target", BARE, "--profile", &self.profile])
            .arg("--target-dir")
            .arg(&self.target_dir);
        for package in &self.packages {
            command.args(["-p", package]);
        }
        if !self.features.is_empty() {
            command.arg("--features").arg(self.features.join(","));
        }
        command.args(&self.more).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Cargo in a source tree, whose toolchain file counts, not that of the cargo that may have started us.
pub fn cargo(tree: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(tree);
    for name in ["RUSTUP_TOOLCHAIN", "CARGO", "CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"] {
        command.env_remove(name);
    }
    command
}

/// Builds all that images are packed from.
///
/// # Errors
/// When cargo fails.
pub fn plinth(project: &Project) -> Result<PathBuf> {
    crate::say::say("building Plinth");
    Build::new(project, &PLINTH).run()
}
