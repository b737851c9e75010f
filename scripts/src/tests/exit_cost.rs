//! What exits cost must not grow: counts of instructions, which are the same in every run, against
//! benches/expected.txt; nor may it with the number of devices or the size of memory.

use anyhow::{Result, ensure};
use plinth_qemu::Qemu;

use crate::bench::{Bench, Column, QUICK, Side, expected};
use crate::project::read;
use crate::testing::{Case, Suite};

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    let bench = Bench::new(suite.project(), qemu, &suite.folder().join("bench"))?;
    suite.check("exit-cost", |case| exit_cost(case, &bench));
    suite.check("exit-cost-flat", |case| flat(case, &bench));
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
    good.iter().chain(&bad).for_each(|verdict| case.note(&verdict.line));
    ensure!(bad.is_empty(), "{} rows cost too much, or are gone", bad.len());
    Ok(())
}

fn flat(case: &mut Case, bench: &Bench) -> Result<()> {
    if !bench.has(Column::Plinth) {
        bench.run(Side::Plinth, QUICK)?;
    }
    bench.run(Side::Flat, QUICK)?;
    let (compared, wrong) = expected::compare_flat(&bench.rows()?);
    case.note(format_args!("{compared} rows compared"));
    wrong.iter().for_each(|line| case.note(line));
    ensure!(compared > 0 && wrong.is_empty(), "{} costs grow", wrong.len());
    Ok(())
}
