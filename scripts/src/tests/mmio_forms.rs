//! Every accepted form that reaches memory, on a device that behaves like memory and on memory itself: no
//! differences.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use plinth_qemu::{Outcome, Qemu};

use crate::assemble::{C_FLAGS, GUEST_LINK, link, object};
use crate::build::cargo;
use crate::image::{Image, Payload, config_ended_by_reset};
use crate::project::variable;
use crate::testing::{Case, Suite};

/// Forms in 64-, 32- and 16-bit code.
const FORMS: [(u32, u64); 3] = [(64, 4016), (32, 4040), (16, 3828)];

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    // Cases of each form, and the seed they are drawn from.
    let each = number("PLINTH_MMIO_CASES", 3)?;
    let seed = number("PLINTH_MMIO_SEED", 1)?;
    let folder = suite.folder().to_path_buf();
    suite.check("mmio-forms-build", |case| build(case, &folder, each, seed));
    suite.check("mmio-forms", |case| compare(case, qemu, &folder, each, &[]));
    suite.check("mmio-forms-uncached", |case| compare(case, qemu, &folder, each, &["caches no"]));
    Ok(())
}

/// A number in the environment.
fn number(name: &str, otherwise: u64) -> Result<u64> {
    let text = variable(name).map(|text| text.display().to_string());
    text.map_or(Ok(otherwise), |text| text.parse().with_context(|| format!("{name} is a number, not {text}")))
}

/// The guest, and the table of cases that is its initial RAM disk.
fn files(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("mmio-forms.bin"), folder.join("mmio-forms.cases"))
}

fn build(case: &mut Case, folder: &Path, each: u64, seed: u64) -> Result<()> {
    let root = case.project().root.clone();
    let (program, cases) = files(folder);
    let (benches, guests) = (root.join("benches/guest"), root.join("vmm-user/tests-guest"));
    // Objects of its own: an assembly file and a C file have the same name.
    let parts = case.project().scratch("run/tests/mmio-forms-parts")?;
    let flags = [&C_FLAGS[..], &["-std=gnu11", "-masm=intel"]].concat();
    let inputs = [
        object(&benches.join("setup.S"), folder, &[], &[])?,
        object(&guests.join("mmio-forms.S"), &parts, &[], &[])?,
        object(&guests.join("mmio-legacy.S"), folder, &[], &[])?,
        object(&guests.join("mmio-forms.c"), folder, &flags, &[])?,
    ];
    link(&benches.join("guest.ld"), &GUEST_LINK, &inputs, &program)?;
    let tool = ["run", "--quiet", "--release", "-p", "decoder-oracle", "--bin", "mmio-cases"];
    let numbers = [each.to_string(), seed.to_string()];
    let said = case.run(cargo(&root).args(tool).arg(&cases).args(numbers))?;
    for (bits, forms) in FORMS {
        let counts = format!("{bits}-bit code: {forms} forms, {} cases", forms * each);
        case.expect_text("the words of mmio-cases", &said, &counts)?;
    }
    Ok(())
}

/// How many of `count` numbers from `first` on are multiples of four: those cases run in legacy mode as well.
fn legacy(first: u64, count: u64) -> u64 {
    (first + count).div_ceil(4) - first.div_ceil(4)
}

/// Boots the guest with more settings of the VMM's. It counts cases, skipped ones and differences.
fn compare(case: &mut Case, qemu: &Qemu, folder: &Path, each: u64, settings: &[&str]) -> Result<()> {
    let project = case.project().clone();
    let (kernel, cases) = files(folder);
    let settings = [&["memory-device yes"], settings].concat();
    let image = Image::new(&project, "bench")?
        .payload(&Payload { kernel, initrd: Some(cases), append: "-".to_owned() })
        .config(&config_ended_by_reset(&project, &settings)?)
        // The VMM that can do without caches.
        .set("files.vmm", project.programs().join("step-vmm").display())
        .set("debug", true);
    let mut machine = case.machine(image.pack(&case.file("igvm"))?);
    // The cases are the same below every QEMU, CMPXCHG16B among them.
    (machine.memory_mib, machine.cpu) = (256, Some("max".to_owned()));
    let booted = case.boot(qemu, &machine)?;
    case.record(booted.console_text());
    case.expect_outcome(&booted, Outcome::Reboot)?;
    let mut first = 0;
    for (bits, forms) in FORMS {
        let count = forms * each;
        case.expect(&booted.console, &format!("FORMS {bits} {count} 0 0"))?;
        if bits != 64 {
            case.expect(&booted.console, &format!("LEGACY {bits} {} 0 0", legacy(first, count)))?;
        }
        first += count;
    }
    case.expect(&booted.console, "LMSW 6 0")?;
    case.expect(&booted.console, "STACK 3 0")?;
    case.expect(&booted.console, "FORMS end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_of_four() {
        for first in 0..20 {
            for count in 0..20 {
                let counted = (first..first + count).filter(|number| number % 4 == 0).count();
                assert_eq!(legacy(first, count), counted as u64, "{count} from {first}");
            }
        }
    }
}
