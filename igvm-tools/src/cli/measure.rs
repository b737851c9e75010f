//! `igvm-tools measure`: a digest of an image, or the launch digest that SEV-SNP gives one.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use igvm_tools::measure;
use igvm_tools::ovmf::Ovmf;
use igvm_tools::snp::launch::{self, Vcpus};
use igvm_tools::snp::processor::Signature;
use igvm_tools::snp::reader::SnpFile;
use plinth_snp_abi::vmsa::SevFeatures;

use super::{KernelArgs, number, read};

/// What an IGVM file begins with.
const IGVM: &[u8] = b"IGVM";

/// The options of `measure`.
#[derive(Args)]
pub struct MeasureArgs {
    /// The IGVM file; with --vcpus also an OVMF image
    image: PathBuf,
    /// The hash of the digest of what is loaded
    #[arg(long, value_enum, default_value = "sha256", conflicts_with = "vcpus")]
    hash: Hash,
    /// The launch digest of SEV-SNP instead, for so many vCPUs
    #[arg(long, value_name = "N")]
    vcpus: Option<u32>,
    /// The vCPUs' model, by QEMU's name, such as EPYC-Milan
    #[arg(long, value_name = "MODEL", requires = "vcpus", value_parser = model)]
    vcpu_type: Option<Signature>,
    /// The same by EAX of CPUID leaf 1
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "vcpus",
        conflicts_with = "vcpu_type",
        value_parser = signature
    )]
    vcpu_sig: Option<Signature>,
    /// SEV_FEATURES of vCPUs whose state is not in the file
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = number)]
    guest_features: u64,
    #[command(flatten)]
    kernel: KernelArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Hash {
    Sha256,
    Sha384,
}

/// Prints the digest that the options ask for.
pub fn measure(args: &MeasureArgs) -> anyhow::Result<()> {
    let digest = match args.vcpus {
        Some(count) => launch_digest(args, count)?.to_vec(),
        None => crate::of_image(&args.image, |file| {
            Ok(match args.hash {
                Hash::Sha256 => measure::sha256(file)?,
                Hash::Sha384 => measure::sha384(file)?,
            })
        })?,
    };
    crate::print(&(measure::hex(&digest) + "\n"))
}

fn launch_digest(args: &MeasureArgs, count: u32) -> anyhow::Result<[u8; 48]> {
    let bytes = read(&args.image)?;
    let signature = args.vcpu_type.or(args.vcpu_sig);
    let digest = if bytes.starts_with(IGVM) {
        of_igvm(args, &bytes, count, signature)
    } else {
        of_ovmf(args, &bytes, count, signature)
    };
    digest.with_context(|| args.image.display().to_string())
}

fn of_igvm(
    args: &MeasureArgs,
    bytes: &[u8],
    count: u32,
    signature: Option<Signature>,
) -> anyhow::Result<[u8; 48]> {
    ensure!(args.kernel.hashes()?.is_none(), "hashes of a kernel are in an IGVM file already, or not at all");
    let file = SnpFile::parse(bytes)?;
    // vCPUs whose state is in the file are of any model.
    let in_file = (0..count).all(|number| file.contexts().any(|context| u32::from(context.vcpu) == number));
    let signature = signature.or(in_file.then_some(Signature(0)));
    Ok(launch::image_digest(&file, &vcpus(args, count, signature)?)?)
}

fn of_ovmf(
    args: &MeasureArgs,
    bytes: &[u8],
    count: u32,
    signature: Option<Signature>,
) -> anyhow::Result<[u8; 48]> {
    let ovmf = Ovmf::parse(bytes)?;
    let hashes = args.kernel.hashes()?;
    Ok(launch::ovmf_digest(&ovmf, hashes.as_ref(), &vcpus(args, count, signature)?)?)
}

fn vcpus(args: &MeasureArgs, count: u32, signature: Option<Signature>) -> anyhow::Result<Vcpus> {
    let signature =
        signature.context("the digest depends on the processor's model: give --vcpu-type or --vcpu-sig")?;
    Ok(Vcpus { count, signature, features: SevFeatures::from_bits_retain(args.guest_features) })
}

/// A model of QEMU's.
fn model(name: &str) -> Result<Signature, String> {
    Signature::of_model(name)
        .ok_or_else(|| format!("the models are {}, each with or without a version", Signature::models()))
}

/// A signature by its number.
fn signature(text: &str) -> Result<Signature, String> {
    u32::try_from(number(text)?).map(Signature).map_err(|error| error.to_string())
}
