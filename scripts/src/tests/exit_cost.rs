//! What exits cost must not grow: counts of instructions, which are the same in every run, against
//! benches/expected.txt; nor may it with the number of devices or the size of memory.

use anyhow::{Result, ensure};
use plinth_qemu::Qemu;

use crate::bench::{Bench, Column, QUICK, Side, expected};
use crate::profile::{self, Stages, Unit};
use crate::project::read;
use crate::testing::{Case, Suite};

/// The row that is profiled.
const PROFILED: &str = "outu";

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    let bench = Bench::new(suite.project(), qemu, &suite.folder().join("bench"))?;
    suite.check("exit-cost", |case| exit_cost(case, &bench));
    suite.check("exit-cost-flat", |case| flat(case, &bench));
    suite.check("exit-profile", |case| exit_profile(case, &bench));
    Ok(())
}

fn exit_cost(case: &mut Case, bench: &Bench) -> Result<()> {
    bench.build()?;
    for side in [Side::Floor, Side::Plinth, Side::PlinthGuarded, Side::Batch] {
        bench.run(side, QUICK)?;
    }
    let text = read(&case.project().root.join("benches/expected.txt"))?;
    let verdicts = expected::compare(&text, &bench.rows()?)?;
    ensure!(!verdicts.is_empty(), "benches/expected.txt has no rows");
    // What is wrong stands at the end, which is what is shown.
    let (good, bad): (Vec<_>, Vec<_>) = verdicts.iter().partition(|verdict| verdict.good);
    good.iter().chain(&bad).for_each(|verdict| case.record(&verdict.line));
    ensure!(bad.is_empty(), "{} rows cost too much, or are gone", bad.len());
    Ok(())
}

fn flat(case: &mut Case, bench: &Bench) -> Result<()> {
    if !bench.has(Column::Plinth) {
        bench.run(Side::Plinth, QUICK)?;
    }
    bench.run(Side::Flat, QUICK)?;
    let (compared, wrong) = expected::compare_flat(&bench.rows()?);
    case.record(format_args!("{compared} rows compared"));
    wrong.iter().for_each(|line| case.record(line));
    ensure!(compared > 0 && wrong.is_empty(), "{} costs grow", wrong.len());
    Ok(())
}

/// Every instruction of a row is found in the programs, and they are as many as the row's count.
fn exit_profile(case: &mut Case, bench: &Bench) -> Result<()> {
    bench.build()?;
    let counts = profile::log_row(bench, PROFILED)?;
    let stages = Stages::read(case.project())?;
    let profile = profile::profile(bench, PROFILED, &counts, Unit::File, Some(&stages))?;
    case.record(&profile);
    let share = |name| {
        let share = profile.places.iter().find(|share| share.place == name);
        share.map_or(0.0, |share| share.instructions)
    };
    ensure!(share("world switch") > 0.0 && share("dispatch") > 0.0, "stages are missing");
    ensure!(share("(unknown)") < 1.0, "there is code that no program has");
    if let Some(cost) =
        bench.rows()?.iter().find(|row| row.id == PROFILED).and_then(|row| row.cost(Column::Plinth))
    {
        let off = (profile.instructions - cost).abs();
        ensure!(
            off < cost / 100.0,
            "the profile has {:.1} instructions, the row {cost:.1}",
            profile.instructions
        );
    }
    Ok(())
}
