//! The simulator of an SEV-SNP host and processor (vmm-user/snp-sim) with its test guest, which says by its
//! request to be ended whether all was as it should be. The C-bit is bit 47 of an address, so QEMU's
//! processor has to have 48.

use std::path::{Path, PathBuf};

use anyhow::Result;
use igvm_tools::measure::hex;
use igvm_tools::recipe::pages::LoadedPages;
use igvm_tools::snp::launch::{Vcpus, image_digest};
use igvm_tools::snp::processor::Signature;
use igvm_tools::snp::reader::SnpFile;
use plinth_qemu::{Outcome, Qemu};
use plinth_snp_abi::vmsa::SevFeatures;

use super::snp_kernel;
use crate::assemble::{link, object};
use crate::debian::{kernel, ovmf};
use crate::image::Payload;
use crate::initramfs::Initramfs;
use crate::project::write;
use crate::snp_sim;
use crate::testing::{Case, Suite};

/// The release of Debian's kernel that firmware boots.
const RELEASE: &str = "6.12";
/// What Linux says of a machine with SEV-SNP, at VMPL0.
const ACTIVE: &str = "Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP";
/// What the guest prints in the end.
const WORDS: &str = "SNP guest: validated, reflected, shared, a VMPL below: all as it should be";

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    suite.check("snp-sim", |case| guest_runs(case, qemu, "guest"));
    // The same guest from the reset vector on.
    suite.check("snp-sim-reset", |case| guest_runs(case, qemu, "reset"));
    suite.check("snp-sim-narrow", |case| too_few_bits(case, qemu));
    firmware(suite, qemu);
    snp_kernel::run(suite, qemu)
}

/// Firmware of Debian's, as far as there is some.
fn firmware(suite: &mut Suite, qemu: &Qemu) {
    for (check, name, vcpus) in [("snp-sim-ovmf", ovmf::GENERIC, 1), ("snp-sim-ovmf-amdsev", ovmf::AMDSEV, 2)]
    {
        match ovmf::newest(suite.project(), name) {
            Ok((version, rom)) => {
                suite.check(check, |case| firmware_boots_linux(case, qemu, (&version, &rom), vcpus));
            }
            Err(error) => suite.line(&format!("none    {check}: Debian's {name} can't be had ({error:#})")),
        }
    }
}

/// The test guest as an IGVM file, by a recipe in its folder.
fn guest(case: &Case, recipe: &str) -> Result<PathBuf> {
    let folder = case.project().root.join("vmm-user/snp-sim/guest");
    // By the names that the recipes have for them.
    for (part, sources) in [("guest", &["guest", "vmpl"][..]), ("reset", &["reset"])] {
        let assemble = |source| object(&folder.join(source).with_extension("S"), &case.sibling(""), &[], &[]);
        let objects = sources.iter().map(assemble).collect::<Result<Vec<_>>>()?;
        let program = case.sibling(&format!("snp-sim-{part}"));
        link(&folder.join(part).with_extension("ld"), &[], &objects, &program)?;
    }
    let loaded = LoadedPages::read(&folder.join(recipe).with_extension("json"), &[case.sibling("")])?;
    let file = case.file("guest.igvm");
    write(&file, loaded.build()?)?;
    Ok(file)
}

fn image(case: &Case, guest: &Path, settings: &[&str]) -> Result<PathBuf> {
    snp_sim::pack(case.project(), guest, None, settings, &case.file("igvm"))
}

fn guest_runs(case: &mut Case, qemu: &Qemu, recipe: &str) -> Result<()> {
    let guest = guest(case, recipe)?;
    let mut machine = case.machine(image(case, &guest, &["memory-mib 16"])?);
    machine.memory_mib = 256;
    machine.cpu = Some(snp_sim::cpu_model(qemu));
    let booted = case.boot(qemu, &machine)?;
    case.record_lines(&booted.log_text(), &["snp-sim: ", "panic"]);
    case.record_lines(&booted.console_text(), &["SNP guest"]);
    case.expect_outcome(&booted, Outcome::TestsPassed)?;
    case.expect(&booted.console, WORDS)?;
    case.expect(&booted.log, "16 MiB of memory")?;
    // The firmware of the simulator and the tool measure the same.
    case.expect(&booted.log, &format!("launch digest {}", digest(&guest)?))?;
    case.expect_no_panic(&booted)
}

/// The launch digest of an image with one vCPU.
fn digest(image: &Path) -> Result<String> {
    let bytes = std::fs::read(image)?;
    // The vCPU's state is in the file, so that its model is of no matter.
    let vcpus = Vcpus { count: 1, signature: Signature(0), features: SevFeatures::SNP_ACTIVE };
    Ok(hex(&image_digest(&SnpFile::parse(&bytes)?, &vcpus)?))
}

/// With the 40 bits that QEMU's processors have otherwise there is no place for the C-bit, and that is said.
fn too_few_bits(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let mut machine = case.machine(image(case, &guest(case, "guest")?, &[])?);
    machine.memory_mib = 256;
    machine.cpu = Some(format!("{},phys-bits=40", qemu.cpu_model()));
    let booted = case.boot(qemu, &machine)?;
    case.expect_outcome(&booted, Outcome::TestsFailed)?;
    case.expect(&booted.log, "physical addresses have 40 bits here, and the C-bit is bit 47")
}

/// Firmware that nobody here has written boots a kernel that nobody here has written: both find SEV-SNP, and
/// are content with it to the end.
fn firmware_boots_linux(
    case: &mut Case,
    qemu: &Qemu,
    (version, rom): (&str, &[u8]),
    vcpus: u16,
) -> Result<()> {
    case.record(format_args!("OVMF {version}"));
    let project = case.project();
    let initrd = Some(Initramfs::new(project)?.pack(&case.file("initrd.gz"))?);
    let append = "console=ttyS0 plinth.test=\"dmesg; cat /proc/interrupts\"".to_owned();
    let payload = Payload { kernel: kernel::fetch(project, RELEASE)?, initrd, append };
    let file = case.file("igvm");
    let image = snp_sim::pack_firmware(project, rom, Some(&payload), vcpus, &["memory-mib 256"], &file)?;
    let mut machine = case.machine(image);
    machine.cpu = Some(snp_sim::cpu_model(qemu));
    let booted = case.boot(qemu, &machine)?;
    case.record_lines(&booted.log_text(), &["snp-sim: ", "panic"]);
    case.record_lines(&booted.console_text(), &["SEV", "SNP", "guest: "]);
    case.expect_outcome(&booted, Outcome::PowerOff)?;
    case.expect(&booted.console, ACTIVE)?;
    case.expect(&booted.console, "guest: user space reached: Linux 6.12")?;
    case.expect(&booted.console, &format!(", {vcpus} CPUs,"))?;
    case.expect(&booted.console, "guest: test status 0")?;
    case.expect_no_panic(&booted)
}
