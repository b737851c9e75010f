//! What the VMM remembers of the guest's code must not show, nor that it batches, nor the kernel's short
//! cuts: a guest that changes its code, and Linux, with each of them and without.

use anyhow::{Context, Result, ensure};
use plinth_qemu::{Outcome, Qemu};

use crate::bench::{self, Amount, Bench, Column, Side};
use crate::image::{Image, Payload, config_with};
use crate::matrix;
use crate::testing::{Case, Suite};

/// The checks of the guest that changes its code: name, the kernel's short cuts, one more setting of the
/// VMM's.
const CHANGING: [(&str, bool, Option<&str>); 4] = [
    ("changing-code", true, None),
    ("changing-code-uncached", true, Some("caches no")),
    ("changing-code-unbatched", true, Some("batches no")),
    ("changing-code-long-way", false, None),
];

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    for (name, shortcuts, setting) in CHANGING {
        suite.check(name, |case| changing_code(case, qemu, shortcuts, setting));
    }
    let bench = Bench::new(suite.project(), qemu, &suite.folder().join("bench-switches"))?;
    suite.check("switches-matter", |case| switches_matter(case, &bench));
    suite.check("boot-plain", |case| plain_boot(case, qemu));
    Ok(())
}

/// An image of that recipe with the VMM that can do without caches and batches.
fn image(case: &Case, recipe: &str) -> Result<Image> {
    let vmm = case.project().programs().join("step-vmm");
    Ok(Image::new(case.project(), recipe)?.set("files.vmm", vmm.display()))
}

/// The guest of vmm-user/tests-guest/changing-code.S.
fn changing_code(case: &mut Case, qemu: &Qemu, shortcuts: bool, setting: Option<&str>) -> Result<()> {
    let project = case.project().clone();
    let source = project.root.join("vmm-user/tests-guest/changing-code.S");
    let kernel = bench::guest(&project, &source, &case.sibling(""), &case.file("bin"))?;
    let settings: Vec<_> = ["extra-devices 2"].into_iter().chain(setting).collect();
    let image = image(case, "bench")?
        .payload(&Payload { kernel, initrd: None, append: "-".to_owned() })
        .config(&config_with(&project, "bench", &settings)?)
        .set("debug", true)
        .set("shortcuts", shortcuts);
    let mut machine = case.machine(image.pack(&case.file("igvm"))?);
    machine.memory_mib = 256;
    let booted = case.boot(qemu, &machine)?;
    case.record(booted.console_text());
    case.expect_outcome(&booted, Outcome::Reboot)?;
    // 35 checks of eight calls, and one of one: a call that fails ends its check early, so that fewer are
    // counted.
    case.expect(&booted.console, "CHANGED 281 0")
}

/// The settings do something, lest the checks here compare a thing with itself: without, an MMIO write costs
/// a tenth more at least.
fn switches_matter(case: &mut Case, bench: &Bench) -> Result<()> {
    let few = Amount { iterations: 100, rounds: 1 };
    bench.build()?;
    bench.run(Side::Plinth, few)?;
    bench.plinth_uncached(few)?;
    let rows = bench.rows()?;
    let row = rows.iter().find(|row| row.id == "mmiow").context("there is no row mmiow")?;
    let plain = row.cost(Column::Plinth).context("no cost with caches")?;
    let uncached = row.cost(Column::PlinthUncached).context("no cost without caches")?;
    bench.plinth_as("plinth", few, 256, |image| image.set("shortcuts", false))?;
    let rows = bench.rows()?;
    let long_way = rows.iter().find(|row| row.id == "mmiow").and_then(|row| row.cost(Column::Plinth));
    let long_way = long_way.context("no cost the long way")?;
    case.record(format_args!("plinth {plain}, without caches {uncached}, the long way {long_way}"));
    ensure!(plain > 0.0 && uncached > plain * 1.1 && long_way > plain * 1.1, "a switch does nothing");
    Ok(())
}

/// Linux as in 20-boot, but nothing is remembered, batched, or done by a short cut.
fn plain_boot(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let config = config_with(case.project(), "vmm", &["caches no", "batches no"])?;
    let payload = matrix::payload(case, "6.1")?;
    let image = image(case, "debian")?.payload(&payload).set("shortcuts", false).config(&config);
    let machine = case.machine(image.pack(&case.file("igvm"))?);
    matrix::boot_image(case, qemu, &machine)
}
