//! Random guests on two processors: the seeds that found something once, and some others.

use anyhow::{Result, bail};
use plinth_qemu::Qemu;

use crate::chaos::{self, Place};
use crate::testing::{Case, Suite};

/// Seeds of a few seconds each, besides those that are known.
const OTHERS: [(u64, u64); 3] = [(11, 10), (12, 10), (13, 10)];

/// One more, on a processor without CMPXCHG16B: the races put that where another instruction has exited, and
/// a VMM that carried it out would end.
const WITHOUT_CX16: (u64, u64) = (14, 10);

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    let Some(qemu) = chaos::qemu(suite.project(), qemu) else {
        suite.line("skipped chaos: needs QEMU 10 or later, which random code does not end by itself");
        return Ok(());
    };
    suite.check("chaos-build", |case| chaos::build(case.project()).map(drop));
    let seeds = chaos::known_seeds(suite.project())?.into_iter().chain(OTHERS);
    for (seed, seconds) in seeds {
        suite.check(&format!("chaos-{seed}"), |case| guest(case, &qemu, None, (seed, seconds)));
    }
    suite.check("chaos-no-cx16", |case| {
        guest(case, &qemu, Some(format!("{},-cx16", qemu.cpu_model())), WITHOUT_CX16)
    });
    Ok(())
}

fn guest(case: &mut Case, qemu: &Qemu, cpu: Option<String>, (seed, seconds): (u64, u64)) -> Result<()> {
    let project = case.project().clone();
    let (programs, folder) = (project.programs(), project.scratch("chaos-test")?);
    let place = Place { project, programs, qemu: qemu.clone(), cpu, folder: folder.clone() };
    let mut seen = place.run(seed, seconds)?;
    case.record(format_args!("{seen}; the files are in {}", folder.display()));
    // Random code stops itself now and then, in ways that the other processor cannot mend (docs/testing.md,
    // "Random guests"). A machine that holds guests up does it again.
    if seen.finding.as_ref().is_some_and(|finding| finding.stood_still) {
        seen = place.run(seed, seconds)?;
        case.record(format_args!("once more: {seen}"));
    }
    if seen.finding.is_some() {
        bail!("seed {seed}: {seen}");
    }
    Ok(())
}
