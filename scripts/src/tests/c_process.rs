//! A process written in C: compiled with the header made from the ABI, linked with the user runtime.

use anyhow::{Context, Result};
use plinth_qemu::{Outcome, Qemu};

use crate::assemble::{C_FLAGS, link, object};
use crate::build::Build;
use crate::image::Image;
use crate::testing::{Case, Suite};

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    suite.check("c-build", build);
    suite.check("c-process", |case| boot(case, qemu));
    Ok(())
}

fn build(case: &mut Case) -> Result<()> {
    compile(case, "main.c", "c-test")
}

/// Makes a program of a source in `vmm-user/c-test`.
///
/// # Errors
/// When it can't be compiled or linked.
pub fn compile(case: &Case, source: &str, program: &str) -> Result<()> {
    let project = case.project();
    let (programs, user) = (project.programs(), project.root.join("vmm-user"));
    let program = programs.join(program);
    // Lest a failed build leave an older program for the next check to pass with.
    if program.exists() {
        std::fs::remove_file(&program).with_context(|| format!("cannot remove {}", program.display()))?;
    }
    Build::new(project, &["plinth-c-runtime"]).run_quietly()?;
    let more = ["-std=c11", "-fno-strict-aliasing", "-fcf-protection=none"];
    let flags = [&C_FLAGS[..], &more].concat();
    let includes = [project.root.join("vcpu-abi/include"), user.join("c-runtime")];
    let main = object(&user.join("c-test").join(source), &case.sibling(""), &flags, &includes)?;
    let inputs = [main, programs.join("libplinth_c.a")];
    let flags = ["-static", "--gc-sections", "-z", "max-page-size=4096"];
    link(&user.join("user.ld"), &flags, &inputs, &program).map(drop)
}

fn boot(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let image = Image::new(case.project(), "c-test")?.pack(&case.file("igvm"))?;
    let mut machine = case.machine(image);
    machine.memory_mib = 256;
    let booted = case.boot(qemu, &machine)?;
    case.record_lines(&booted.log_text(), &["c-test: ", "panic"]);
    case.expect_outcome(&booted, Outcome::TestsPassed)?;
    case.expect(&booted.log, "a line from C")?;
    case.expect(&booted.log, "C: 0 failures")
}
