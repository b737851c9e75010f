//! Images for SEV-SNP: the launch digests of OVMF images are those that `sev-snp-measure` computes, and an
//! IGVM file comes out of each of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use igvm_tools::ovmf::sample::RomBuilder;
use plinth_qemu::Qemu;

use crate::build::cargo;
use crate::debian::ovmf;
use crate::project::write;
use crate::sev_snp_measure;
use crate::testing::{Case, Suite};

/// Options of `measure`, which are the other program's too, and the digests that it gave for the small ROM
/// in version 0.0.13. `{}` is the folder with `kernel` and `initrd`.
const KEPT: [(&str, &str); 7] = [
    (
        "--vcpus 1 --vcpu-type EPYC-v4",
        "2da153fc65f5be20747a6f8f32667721bc83325bf9c74a179e15e8dbe407b1b250e758ed88d589774d69f3a295415807",
    ),
    (
        "--vcpus 2 --vcpu-type EPYC-Milan",
        "2df1295a6e867a2268e9a6c5823467d83b55bdc8f1275999821cb074886d73c2a6b68ea57ed905a8683de535d2b7258d",
    ),
    (
        "--vcpus 4 --vcpu-type EPYC-Genoa",
        "8c50f3a3f4faeca9baaf9d8822389b5080ed6ed44486f74f73684d5a6bd06dbafe91cf59f10e2883fc8e83a2d81c656e",
    ),
    (
        "--vcpus 3 --vcpu-type EPYC-Turin --guest-features 0x21",
        "bd8d7cc8cc25be38b368cf801fa1292921bf090f461df8fcd50884a9edf6fd8f7ad6d145f34f0d0573a10fab43a540c6",
    ),
    (
        "--vcpus 1 --vcpu-type EPYC-Rome --kernel {}/kernel",
        "9d0a487d024b0976df2cb70b93f65e99ae5c1590a494c5f5e512aae374bbd3f826b99dc5acd9e45ab099b9ec5c1958e8",
    ),
    (
        "--vcpus 2 --vcpu-type EPYC-Milan --kernel {}/kernel --initrd {}/initrd",
        "6b1287cdb0f219cd31e39c71546b89c6a26692ed14b02acbd176e5a3b4a6a9be8246d7aefb84a28ef83869aebde49036",
    ),
    (
        "--vcpus 2 --vcpu-type EPYC-Milan --kernel {}/kernel --initrd {}/initrd --append console=ttyS0",
        "2042a94b33fed4ae360981b940bf48a25151adc45299d318228ccde1f108f135c0304e4b6076f2826c270ffeeca3ee07",
    ),
];

/// The checks.
pub fn run(suite: &mut Suite, _: &Qemu) -> Result<()> {
    let mut files = None;
    suite.check("snp-digests-kept", |case| {
        let made = Files::make(case)?;
        kept(case, &made)?;
        files = Some(made);
        Ok(())
    });
    let Some(mut files) = files else { return Ok(()) };
    match ovmf::images(suite.project()) {
        Ok(images) => files.add(images)?,
        Err(error) => {
            suite.line(&format!("none    Debian's OVMF can't be had ({error:#}): a small ROM only"));
        }
    }
    match sev_snp_measure::program(suite.project()) {
        Ok(program) => {
            suite.check("snp-digests", |case| compared(case, &files, &program));
        }
        Err(error) => suite.line(&format!(
            "none    snp-digests: sev-snp-measure can't be had ({error:#}); its digests of a small ROM, \
             which are kept, were compared"
        )),
    }
    suite.check("snp-from-ovmf", |case| from_ovmf(case, &files));
    Ok(())
}

/// The program under test, and what it is given.
struct Files {
    program: PathBuf,
    folder: PathBuf,
    /// The small ROM first.
    roms: Vec<PathBuf>,
}

impl Files {
    fn make(case: &mut Case) -> Result<Self> {
        let root = case.project().root.clone();
        case.run(cargo(&root).args(["build", "-p", "igvm-tools"]))?;
        let folder = case.project().scratch("snp-images")?;
        write(&folder.join("kernel"), "a kernel\n")?;
        write(&folder.join("initrd"), "an initrd\n")?;
        let small = folder.join("small.fd");
        write(&small, RomBuilder::sound().build())?;
        let program = case.project().target.join("debug/igvm-tools");
        Ok(Self { program, folder, roms: vec![small] })
    }

    fn add(&mut self, images: Vec<(String, Vec<u8>)>) -> Result<()> {
        for (version, contents) in images {
            let file = self.folder.join(format!("debian-{}.fd", version.replace([':', '+', '~'], "-")));
            write(&file, contents)?;
            self.roms.push(file);
        }
        Ok(())
    }

    fn options(&self, text: &str) -> Vec<String> {
        let folder = self.folder.display().to_string();
        text.split(' ').map(|word| word.replace("{}", &folder)).collect()
    }

    fn measure(&self, case: &mut Case, image: &Path, options: &[String]) -> Result<String> {
        let said = case.run(Command::new(&self.program).arg("measure").arg(image).args(options))?;
        Ok(said.trim().to_owned())
    }
}

fn kept(case: &mut Case, files: &Files) -> Result<()> {
    let small = files.roms.first().context("no ROM")?;
    for (options, digest) in KEPT {
        let measured = files.measure(case, small, &files.options(options))?;
        ensure!(measured == digest, "{options}: {measured}, and not {digest}");
    }
    Ok(())
}

/// Both programs say the same of every ROM, but for the hashes of a kernel where a ROM has no place for them,
/// which both refuse.
fn compared(case: &mut Case, files: &Files, program: &Path) -> Result<()> {
    let small = files.roms.first();
    for rom in &files.roms {
        for (text, _) in KEPT {
            let has_kernel = text.contains("--kernel");
            // Debian's ROMs of these suites check no kernel.
            if has_kernel && Some(rom) != small {
                continue;
            }
            let options = files.options(text);
            let theirs = case.run(&mut sev_snp_measure::command(program, rom, &options))?;
            let ours = files.measure(case, rom, &options)?;
            ensure!(ours == theirs.trim(), "{} {text}: {ours}, and not {theirs}", rom.display());
            case.record(format!("{} {text}: {ours}", rom.display()));
        }
    }
    Ok(())
}

/// An IGVM file out of each ROM has the digest that is printed when it is made, whatever the model.
fn from_ovmf(case: &mut Case, files: &Files) -> Result<()> {
    for rom in &files.roms {
        let image = rom.with_extension("igvm");
        let mut command = Command::new(&files.program);
        command.arg("from-ovmf").arg(rom).arg("-o").arg(&image).args(["--vcpus", "2"]);
        let said = case.run(&mut command)?;
        for options in ["--vcpus 2", "--vcpus 2 --vcpu-type EPYC-Genoa"] {
            let digest = files.measure(case, &image, &files.options(options))?;
            ensure!(said.contains(&digest), "{}: {digest} is not in {said}", image.display());
        }
        let inspected = case.run(Command::new(&files.program).arg("inspect").arg(&image))?;
        for part in
            ["sev-snp", "policy 0x30000", "secrets    0x000080d000", "cpuid      0x000080e000", "vCPU 1"]
        {
            ensure!(inspected.contains(part), "{} lacks {part}:\n{inspected}", image.display());
        }
    }
    Ok(())
}
