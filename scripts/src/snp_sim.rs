//! Images of the simulator of SEV-SNP (`vmm-user/snp-sim`) with a guest that is firmware, an OVMF image and a
//! kernel that it boots directly; or that is Plinth, with its guest.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use igvm_tools::ovmf::Ovmf;
use igvm_tools::snp::firmware::{self, Options};
use igvm_tools::snp::kernel_hashes::KernelHashes;
use plinth_qemu::Qemu;
use plinth_snp_abi::id_block::GuestPolicy;

use crate::build::Build;
use crate::image::{Image, Payload, config_with};
use crate::project::{Project, write};

/// The CPU model of its machine: the C-bit is bit 47 of an address, so addresses have 48 bits.
pub fn cpu_model(qemu: &Qemu) -> String {
    format!("{},phys-bits=48", qemu.cpu_model())
}

/// The IGVM file of an OVMF image, in which are the hashes of a kernel for firmware that checks them.
///
/// # Errors
/// When the image is none, or a file of the payload can't be read.
pub fn firmware(rom: &[u8], payload: Option<&Payload>, vcpus: u16) -> Result<Vec<u8>> {
    let ovmf = Ovmf::parse(rom)?;
    let hashes = match payload {
        Some(payload) if ovmf.hash_table_gpa().is_some() => Some(hashes(payload)?),
        _ => None,
    };
    let options = Options { vcpus, policy: GuestPolicy::DEFAULT, measure_memory: false, hashes };
    Ok(firmware::image(&ovmf, &options)?.write()?)
}

fn hashes(payload: &Payload) -> Result<KernelHashes> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let initrd = payload.initrd.as_deref().map(read).transpose()?.unwrap_or_default();
    Ok(KernelHashes::new(&read(&payload.kernel)?, &initrd, &payload.append))
}

/// Packs the simulator with a guest, an IGVM file; with what its firmware boots, and settings of the process.
///
/// # Errors
/// When the image can't be packed.
pub fn pack(
    project: &Project,
    guest: &Path,
    payload: Option<&Payload>,
    settings: &[&str],
    file: &Path,
) -> Result<PathBuf> {
    let image = Image::new(project, "snp-sim")?
        .config(&config_with(project, "snp-sim", settings)?)
        .set("files.guest", format_args!("file:{}", guest.display()));
    let image = match payload {
        Some(payload) => image.payload(payload),
        None => image,
    };
    image.pack(file)
}

/// The kernel for SEV-SNP, in a target folder of its own, as its features are others.
fn kernel(project: &Project) -> Result<PathBuf> {
    let mut build = Build::new(project, &["vmm-kernel"]);
    build.features = vec!["vmm-kernel/snp".to_owned()];
    build.target_dir = project.target.join("snp");
    Ok(build.run_quietly()?.join("vmm-kernel"))
}

/// Packs the simulator with Plinth as its guest, by a recipe for SEV-SNP, whose IGVM file is kept beside the
/// image's.
///
/// # Errors
/// When the kernel can't be built; as [`pack`].
pub fn pack_plinth(project: &Project, plinth: Image, settings: &[&str], file: &Path) -> Result<PathBuf> {
    let guest = file.with_extension("guest");
    plinth.set("kernel", kernel(project)?.display()).pack(&guest)?;
    pack(project, &guest, None, settings, file)
}

/// Packs the simulator with an OVMF image as its guest, which has so many vCPUs, and whose IGVM file is kept
/// beside the image's.
///
/// # Errors
/// As [`firmware`] and [`pack`].
pub fn pack_firmware(
    project: &Project,
    rom: &[u8],
    payload: Option<&Payload>,
    vcpus: u16,
    settings: &[&str],
    file: &Path,
) -> Result<PathBuf> {
    let guest = file.with_extension("guest");
    write(&guest, firmware(rom, payload, vcpus)?)?;
    // Linux expects more of XSAVE than QEMU's processor has.
    let vcpus = format!("vcpus {vcpus}");
    let settings = [settings, &["xsave no", &vcpus]].concat();
    pack(project, &guest, payload, &settings, file)
}
