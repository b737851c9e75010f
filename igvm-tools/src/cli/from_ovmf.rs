//! `igvm-tools from-ovmf`: an IGVM file out of an OVMF image.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use igvm_tools::guest_image::signed;
use igvm_tools::measure::hex;
use igvm_tools::ovmf::Ovmf;
use igvm_tools::snp::firmware::{self, Options};
use igvm_tools::snp::id_block::{Identity, Key};
use igvm_tools::snp::launch::{self, Vcpus};
use igvm_tools::snp::processor::Signature;
use igvm_tools::snp::reader::SnpFile;
use plinth_snp_abi::id_block::GuestPolicy;
use plinth_snp_abi::vmsa::SevFeatures;

use super::{KernelArgs, number, read};

/// The options of `from-ovmf`.
#[derive(Args)]
pub struct FromOvmfArgs {
    /// The OVMF image
    image: PathBuf,
    /// The IGVM file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// How many vCPUs have their state in the file; QEMU wants as many
    #[arg(long, value_name = "N", default_value_t = 1)]
    vcpus: u16,
    /// The guest policy
    #[arg(long, value_name = "NUMBER", default_value = "0x30000", value_parser = number)]
    policy: u64,
    /// Measure memory that holds nothing yet as zeros; otherwise the host may choose what is in it
    #[arg(long)]
    measure_memory: bool,
    #[command(flatten)]
    kernel: KernelArgs,
    /// Sign an ID block with this key: ECDSA P-384, PEM
    #[arg(long, value_name = "FILE")]
    id_key: Option<PathBuf>,
    /// Sign the ID key with this one
    #[arg(long, value_name = "FILE", requires = "id_key")]
    author_key: Option<PathBuf>,
}

/// Writes the file, and prints its launch digest.
pub fn from_ovmf(args: &FromOvmfArgs) -> anyhow::Result<()> {
    let rom = read(&args.image)?;
    let bytes = build(args, &rom).with_context(|| args.image.display().to_string())?;
    // All of the vCPUs are in the file, so nothing depends on their model.
    let vcpus = vcpus(args);
    let digest = launch::image_digest(&SnpFile::parse(&bytes)?, &vcpus)?;
    std::fs::write(&args.output, &bytes)
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    let (output, kib) = (args.output.display(), bytes.len().div_ceil(1024));
    crate::print(&format!("{output}: {kib} KiB; launch digest {} for {} vCPUs\n", hex(&digest), vcpus.count))
}

fn build(args: &FromOvmfArgs, rom: &[u8]) -> anyhow::Result<Vec<u8>> {
    let ovmf = Ovmf::parse(rom)?;
    let policy = GuestPolicy::from_bits_retain(args.policy);
    anyhow::ensure!(policy.is_well_formed(), "a policy has bit 17 set and none from bit 26 on");
    let options = Options {
        vcpus: args.vcpus,
        policy,
        measure_memory: args.measure_memory,
        hashes: args.kernel.hashes()?,
    };
    let mut image = firmware::image(&ovmf, &options)?;
    let key = |path: &PathBuf| -> anyhow::Result<Key> {
        let pem = String::from_utf8_lossy(&read(path)?).into_owned();
        Key::from_pem(&pem).with_context(|| path.display().to_string())
    };
    if let Some(id_key) = args.id_key.as_ref().map(key).transpose()? {
        let author_key = args.author_key.as_ref().map(key).transpose()?;
        signed(&mut image, &vcpus(args), &Identity::default(), &id_key, author_key.as_ref())?;
    }
    Ok(image.write()?)
}

fn vcpus(args: &FromOvmfArgs) -> Vcpus {
    Vcpus { count: args.vcpus.into(), signature: Signature(0), features: SevFeatures::SNP_ACTIVE }
}
