//! Kernels that are no bzImage: ELF files, of 32 and of 64 bits, that know PVH, multiboot 1 or multiboot 2
//! (vmm-user/tests-guest/protocols.S). Each says what it was told.

use anyhow::{Context, Result};
use plinth_qemu::{Outcome, Qemu};

use crate::assemble::{GUEST_LINK, link, object};
use crate::image::{Image, Payload, config_ended_by_reset};
use crate::testing::{Case, Suite};

/// Kernels: name, the number of the protocol in the source, the assembler's and the linker's format.
const KERNELS: [(&str, usize, [&str; 2]); 4] = [
    ("kernel-pvh", 0, ["-m64", "elf_x86_64"]),
    ("kernel-pvh-32", 0, ["-m32", "elf_i386"]),
    ("kernel-multiboot", 1, ["-m32", "elf_i386"]),
    ("kernel-multiboot2", 2, ["-m32", "elf_i386"]),
];
const COMMAND_LINE: &str = "first=1 \"a second\"";
const MODULE: &str = "text of a module";

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    for (name, protocol, formats) in KERNELS {
        suite.check(name, |case| boot(case, qemu, protocol, formats));
    }
    suite.check("kernel-none", |case| refused(case, qemu));
    Ok(())
}

/// A debug image with that kernel and the module.
fn image(case: &Case, kernel: std::path::PathBuf) -> Result<std::path::PathBuf> {
    let module = case.file("module");
    std::fs::write(&module, MODULE).with_context(|| module.display().to_string())?;
    let payload = Payload { kernel, initrd: Some(module), append: COMMAND_LINE.to_owned() };
    let config = config_ended_by_reset(case.project(), &[])?;
    Image::new(case.project(), "debian")?.payload(&payload).config(&config).pack(&case.file("igvm"))
}

fn boot(case: &mut Case, qemu: &Qemu, protocol: usize, [width, format]: [&str; 2]) -> Result<()> {
    let folder = case.project().root.join("vmm-user/tests-guest");
    let objects = case.sibling("");
    let define = format!("-DPROTOCOL={protocol}");
    // One source makes several objects of one name, each linked before the next is made.
    let object = object(&folder.join("protocols.S"), &objects, &[width, &define], &[])?;
    let flags = [&GUEST_LINK[..], &["-m", format]].concat();
    let kernel = link(&folder.join("protocols.ld"), &flags, &[object], &case.file("elf"))?;
    let mut machine = case.machine(image(case, kernel)?);
    machine.memory_mib = 256;
    let booted = case.boot(qemu, &machine)?;
    case.record(booted.console_text());
    case.expect_outcome(&booted, Outcome::Reboot)?;
    let (before, behind) = [("", " tsc_early_khz="), ("kernel ", "]"), ("", "]")][protocol];
    case.expect(&booted.console, &format!("told the line [{before}{COMMAND_LINE}{behind}"))?;
    case.expect(&booted.console, &format!("] and the module [{MODULE}] and its memory"))
}

/// A file that is no kernel ends in words, on the console too.
fn refused(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let kernel = case.file("text");
    std::fs::write(&kernel, "no kernel, but a text\n").with_context(|| kernel.display().to_string())?;
    let mut machine = case.machine(image(case, kernel)?);
    machine.memory_mib = 256;
    let booted = case.boot(qemu, &machine)?;
    case.expect(&booted.console, "the kernel is neither a bzImage, nor an ELF file")
}
