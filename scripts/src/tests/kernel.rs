//! The kernel from inside: the ABI's tests on a kernel that looks after its stacks and the processors' TLBs;
//! how large the stack frames of the released one are; a fault where one is least convenient.

use anyhow::{Context, Result, bail, ensure};
use plinth_qemu::{Outcome, Qemu};

use super::{abi, barrier, registers};
use crate::build::Build;
use crate::frames;
use crate::image::Image;
use crate::project::Project;
use crate::testing::{Booted, Case, Suite};

/// The most that a function's frame takes of a kernel stack, of which threads have 16 KiB.
const FRAME_MAX: u64 = 1024;
/// Functions that only the boot calls, on stacks that nothing else uses by then: how much they take at most.
const AT_BOOT: [(&str, u64); 3] =
    [("start::boot_processor", 24 * 1024), ("start::enter_cpu", 4096), ("guest_memory::withhold", 4096)];
/// What the deepest stack of each kind has left at least, of 16, 16 and 8 KiB.
const LEFT: [(&str, u64); 3] = [("Thread", 12 * 1024), ("Idle", 12 * 1024), ("Interrupt", 6 * 1024)];

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    suite.check("kernel-frames", stack_frames);
    for processors in [1, 2] {
        let mut left = Vec::new();
        suite.check(&format!("kernel-checks-{processors}"), |case| {
            left = checked_abi(case, qemu, processors)?;
            Ok(())
        });
        for (kind, bytes) in left {
            suite.measure(&format!("stack never used, {kind}, {processors} cpus"), &format!("{bytes} bytes"));
        }
    }
    suite.check("registers", |case| registers::run(case, qemu));
    suite.check("branch-barrier", |case| barrier::run(case, qemu));
    suite.check("fault-in-log", |case| fault_in_log(case, qemu));
    Ok(())
}

/// No function of the released kernel takes much of a stack.
fn stack_frames(case: &mut Case) -> Result<()> {
    let frames = frames::of(&case.project().programs().join("vmm-kernel"))?;
    frames.iter().take(10).for_each(|(name, bytes)| case.record(format_args!("{bytes:>6} {name}")));
    ensure!(frames.len() > 30, "only {} functions have a frame: this is not the kernel", frames.len());
    for (name, bytes) in &frames {
        let at_boot = AT_BOOT.iter().find(|(function, _)| name.ends_with(function));
        let limit = at_boot.map_or(FRAME_MAX, |(_, limit)| *limit);
        ensure!(*bytes <= limit, "{name} has a stack frame of {bytes} bytes, more than {limit}");
    }
    Ok(())
}

/// The kernel with the checks that only tests need; returns its file.
///
/// # Errors
/// When the build fails.
pub fn checked_kernel(project: &Project) -> Result<String> {
    let mut build = Build::new(project, &["vmm-kernel"]);
    build.profile = "checked".to_owned();
    build.features = vec!["vmm-kernel/checks".to_owned()];
    Ok(build.run_quietly()?.join("vmm-kernel").display().to_string())
}

/// The ABI's tests on such a kernel; returns what was never used of each kind of stack.
fn checked_abi(case: &mut Case, qemu: &Qemu, processors: u32) -> Result<Vec<(&'static str, u64)>> {
    let kernel = checked_kernel(case.project())?;
    let image = Image::new(case.project(), "abi-test")?.set("kernel", &kernel);
    let machine = abi::machine(case, image.pack(&case.file("igvm"))?, processors);
    let booted = case.boot(qemu, &machine)?;
    case.expect_no_panic(&booted)?;
    case.expect_outcome(&booted, Outcome::TestsPassed)?;
    case.expect(&booted.log, &format!("0 failures, {processors} cpus"))?;
    LEFT.iter().map(|(kind, least)| stack_left(case, &booted, kind, *least)).collect()
}

fn stack_left(
    case: &mut Case,
    booted: &Booted,
    kind: &'static str,
    least: u64,
) -> Result<(&'static str, u64)> {
    let text = booted.log_text();
    let start = format!("stacks: {kind}: ");
    let bytes = text.lines().find_map(|line| line.split_once(&start)?.1.split(' ').next()?.parse().ok());
    let bytes: u64 = bytes.with_context(|| format!("no line \"{start}\" in the log"))?;
    case.record(format_args!("{kind}: {bytes} bytes were never used"));
    if bytes < least {
        bail!("{kind} stacks: only {bytes} bytes were never used; at least {least} have to be");
    }
    Ok((kind, bytes))
}

/// A fault of the kernel's while it writes a line of the log is told, and ends the machine.
fn fault_in_log(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let config = "process abi-test\n  grant log w\n  set role fault-in-log\n  on-end end-machine\n";
    let kernel = checked_kernel(case.project())?;
    let image = Image::new(case.project(), "abi-test")?.set("kernel", &kernel).config(config);
    let mut machine = case.machine(image.pack(&case.file("igvm"))?);
    machine.memory_mib = 256;
    let booted = case.boot(qemu, &machine)?;
    case.expect_outcome(&booted, Outcome::KernelPanic)?;
    case.expect(&booted.log, "breakpoint (vector 3) in the kernel on cpu0")?;
    case.expect(&booted.log, "the machine stops")
}
