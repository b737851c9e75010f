//! What needs no QEMU: format, lints, unit tests, the interpreter (a group of its own), shell scripts.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use plinth_qemu::Qemu;

use crate::build::cargo;
use crate::command::succeeds;
use crate::project::Project;
use crate::testing::{Case, Suite};

/// What the interpreter leaves out. What takes minutes there and is safe code, above page tables that other
/// tests change: the loader of executables, the fuzz targets, layout, the host's map, the bitmap, the log's
/// ring, and tests that take thousands of frames one by one. And what is assembly, since a page may go while
/// it is looked at: operations that are done where they lie.
const NOT_INTERPRETED: [&str; 10] = [
    "task::elf",
    "host::targets",
    "layout::tests",
    "memory::host_map",
    "memory::bitmap",
    "one_go_is_short_and_ends",
    "frames_are_free_when_the_object",
    "pieces_are_zeroed_adjacent",
    "log_ring::tests",
    "abi::in_place",
];

/// What of the VMM the interpreter runs: vCPUs over fake pages, and what they reach guest memory by. The rest
/// is safe code over large tables.
const INTERPRETED_OF_VMM: [&str; 2] = ["vcpu::", "guest_memory"];

/// The checks.
pub fn run(suite: &mut Suite, _: &Qemu) -> Result<()> {
    let root = suite.project().root.clone();
    let cargo = |arguments: &[&str]| {
        let mut command = cargo(&root);
        command.args(arguments);
        command
    };
    suite.check("format", |case| case.run(&mut cargo(&["fmt", "--all", "--check"])).map(drop));
    let lints = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    suite.check("lints", |case| case.run(&mut cargo(&lints)).map(drop));
    suite.check("unit-tests", unit_tests);
    if succeeds(Command::new("shellcheck").arg("--version")) {
        suite.check("shell-scripts", |case| {
            let scripts = shell_scripts(case.project())?;
            case.run(Command::new("shellcheck").current_dir(&root).arg("-x").args(scripts)).map(drop)
        });
    } else {
        suite.line("skipped shell-scripts: needs shellcheck");
    }
    Ok(())
}

/// The check by the interpreter.
pub fn interpreter(suite: &mut Suite, _: &Qemu) -> Result<()> {
    if succeeds(cargo(&suite.project().root).args(["+nightly", "miri", "--version"])) {
        suite.check("miri", miri);
    } else {
        suite.line("skipped miri: needs a nightly toolchain with it (rustup +nightly component add miri)");
    }
    Ok(())
}

fn unit_tests(case: &mut Case) -> Result<()> {
    let root = case.project().root.clone();
    if succeeds(cargo(&root).args(["nextest", "--version"])) {
        case.run(cargo(&root).args(["nextest", "run", "--workspace", "--no-fail-fast"]))?;
        // nextest runs no documentation tests.
        case.run(cargo(&root).args(["test", "--workspace", "--doc"]))?;
    } else {
        case.run(cargo(&root).args(["test", "--workspace", "--no-fail-fast"]))?;
    }
    Ok(())
}

/// Where something is unsafe and can be run by an interpreter, it is: pools, queues, locks, run page and
/// VMCB, page tables in simulated memory, XSAVE images. By integers to pointers, as the kernel has them, so
/// without strict provenance.
fn miri(case: &mut Case) -> Result<()> {
    let mut command = interpreted(case, "vmm-kernel", "");
    for name in NOT_INTERPRETED {
        command.args(["--skip", name]);
    }
    case.run(&mut command)?;
    // Its tests leave pages behind on purpose, which a vCPU keeps for as long as the process lives.
    let mut command = interpreted(case, "vmm", " -Zmiri-ignore-leaks");
    case.run(command.args(INTERPRETED_OF_VMM)).map(drop)
}

/// The interpreter over a crate's unit tests; what follows are their names.
fn interpreted(case: &Case, package: &str, more: &str) -> Command {
    let mut command = cargo(&case.project().root);
    command.env("MIRIFLAGS", format!("-Zmiri-permissive-provenance{more}"));
    command.args(["+nightly", "miri", "test", "-p", package, "--lib", "--"]);
    command
}

/// All files that begin as a shell script does, and the parts that such a script reads.
fn shell_scripts(project: &Project) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in ["fuzz", "scripts", "scripts/lib", "scripts/tests", "scripts/guest", "benches/peer"] {
        let Ok(entries) = project.root.join(folder).read_dir() else { continue };
        for entry in entries {
            let path = entry?.path();
            let is_part = path.extension().is_some_and(|extension| extension == "sh");
            if path.is_file() && (is_part || is_shell(&plinth_qemu::read_text(&path))) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether the first line names a shell: `#!/bin/sh`, `#!/usr/bin/env bash`, `#!/bin/busybox sh`.
pub(crate) fn is_shell(text: &str) -> bool {
    let first = text.lines().next().and_then(|line| line.strip_prefix("#!"));
    first.is_some_and(|interpreter| interpreter.ends_with("sh"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_found() {
        let project = Project::open().unwrap();
        let found = shell_scripts(&project).unwrap();
        for name in ["scripts/run", "scripts/test", "scripts/guest/init"] {
            assert!(found.contains(&project.root.join(name)), "{name}");
        }
        assert!(!found.iter().any(|file| file.extension().is_some_and(|extension| extension == "toml")));
    }
}
