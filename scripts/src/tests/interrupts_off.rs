//! How long the kernel has interrupts off at most: parts of the ABI's tests on a kernel that measures it, on
//! a machine that counts instructions.

use anyhow::{Context, Result, ensure};
use plinth_qemu::{Outcome, Qemu};

use super::abi;
use crate::build::Build;
use crate::image::{Image, config_with};
use crate::testing::{Case, Suite};

/// The parts with the longest calls: those that use up most, map and take back, and those of channels, shared
/// memory, guest memory that is taken back, and functions of the host's PCI bus. Others wait for times that
/// pass slowly where instructions are counted.
const PARTS: [&str; 8] =
    ["exhaustion", "unmapping", "vm", "channels", "shared", "revocation", "narrowing", "pci"];

/// The most instructions that the kernel may execute with interrupts off.
const MOST: u64 = 50_000;

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    for part in PARTS {
        let mut longest = String::new();
        suite.check(&format!("interrupts-off-{part}"), |case| {
            longest = measure(case, qemu, part)?;
            Ok(())
        });
        if !longest.is_empty() {
            suite.measure(&format!("interrupts off at most, {part}"), &longest);
        }
    }
    Ok(())
}

fn measure(case: &mut Case, qemu: &Qemu, part: &str) -> Result<String> {
    let mut build = Build::new(case.project(), &["vmm-kernel"]);
    build.profile = "measured".to_owned();
    build.features = vec!["vmm-kernel/masked-time".to_owned()];
    let kernel = build.run_quietly()?.join("vmm-kernel").display().to_string();
    let config = config_with(case.project(), "abi-test", &[&format!("only {part}")])?;
    let image = Image::new(case.project(), "abi-test")?.set("kernel", &kernel).config(&config);
    let machine = abi::machine(case, image.pack(&case.file("igvm"))?, 1).deterministic();
    let booted = case.boot(qemu, &machine)?;
    case.expect_outcome(&booted, Outcome::TestsPassed)?;
    let text = booted.log_text();
    let (ticks, why) = longest_of(&text).context("the log says nothing of interrupts that were off")?;
    let longest = format!("{ticks} instructions, in {why} (goal: at most {MOST})");
    case.record(&longest);
    // A system call takes some hundreds: less was not measured.
    ensure!((100..=MOST).contains(&ticks), "interrupts were off for {longest}");
    Ok(longest)
}

/// Ticks, and what they were part of, of a line `interrupts were off for N ticks at most, in WHY`.
fn longest_of(log: &str) -> Option<(u64, &str)> {
    let said = log.lines().find_map(|line| line.split_once("interrupts were off for "))?.1;
    let (ticks, why) = said.split_once(" ticks at most, in ")?;
    Some((ticks.parse().ok()?, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_how_long() {
        let log =
            "[0.1] x\n[0.2] cpu0 INFO  kernel: interrupts were off for 1234 ticks at most, in 0x10003\n";
        assert_eq!(longest_of(log), Some((1234, "0x10003")));
        assert_eq!(longest_of("interrupts were off for ever"), None);
    }
}
