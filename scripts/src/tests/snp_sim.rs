//! The simulator of an SEV-SNP host and processor (vmm-user/snp-sim) with its test guest, which says by its
//! request to be ended whether all was as it should be. The C-bit is bit 47 of an address, so QEMU's
//! processor has to have 48.

use std::path::PathBuf;

use anyhow::Result;
use plinth_qemu::{Outcome, Qemu};

use crate::assemble::{link, object};
use crate::image::Image;
use crate::testing::{Case, Suite};

/// What the guest prints in the end.
const WORDS: &str = "SNP guest: validated, reflected, shared: all as it should be";

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    suite.check("snp-sim", |case| guest_runs(case, qemu));
    suite.check("snp-sim-narrow", |case| too_few_bits(case, qemu));
    Ok(())
}

fn image(case: &Case) -> Result<PathBuf> {
    let folder = case.project().root.join("vmm-user/snp-sim/guest");
    let object = object(&folder.join("guest.S"), &case.sibling(""), &[], &[])?;
    let guest = link(&folder.join("guest.ld"), &[], &[object], &case.file("bin"))?;
    let image = Image::new(case.project(), "snp-sim")?;
    image.set("files.guest", format_args!("file:{}", guest.display())).pack(&case.file("igvm"))
}

fn guest_runs(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let mut machine = case.machine(image(case)?);
    machine.memory_mib = 256;
    machine.cpu = Some(format!("{},phys-bits=48", qemu.cpu_model()));
    let booted = case.boot(qemu, &machine)?;
    case.record_lines(&booted.log_text(), &["snp-sim: ", "panic"]);
    case.record_lines(&booted.console_text(), &["SNP guest"]);
    case.expect_outcome(&booted, Outcome::TestsPassed)?;
    case.expect(&booted.console, WORDS)?;
    case.expect_no_panic(&booted)
}

/// With the 40 bits that QEMU's processors have otherwise there is no place for the C-bit, and that is said.
fn too_few_bits(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let mut machine = case.machine(image(case)?);
    machine.memory_mib = 256;
    machine.cpu = Some(format!("{},phys-bits=40", qemu.cpu_model()));
    let booted = case.boot(qemu, &machine)?;
    case.expect_outcome(&booted, Outcome::TestsFailed)?;
    case.expect(&booted.log, "physical addresses have 40 bits here, and the C-bit is bit 47")
}
