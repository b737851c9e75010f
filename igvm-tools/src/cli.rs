//! Commands that are more than a call of the library, and what they share.

pub mod from_ovmf;
pub mod measure;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use igvm_tools::snp::kernel_hashes::KernelHashes;

/// A kernel that an OVMF image boots directly, and whose hash it is given.
#[derive(Args)]
pub struct KernelArgs {
    /// A kernel that an OVMF image boots directly: it is given its hash
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The kernel's initrd
    #[arg(long, value_name = "FILE", requires = "kernel")]
    initrd: Option<PathBuf>,
    /// The kernel's command line
    #[arg(long, value_name = "TEXT", requires = "kernel")]
    append: Option<String>,
}

impl KernelArgs {
    /// The hashes of the kernel and what belongs to it, if there is one.
    pub fn hashes(&self) -> anyhow::Result<Option<KernelHashes>> {
        let Some(kernel) = &self.kernel else { return Ok(None) };
        let initrd = self.initrd.as_deref().map(read).transpose()?.unwrap_or_default();
        let command_line = self.append.as_deref().unwrap_or_default();
        Ok(Some(KernelHashes::new(&read(kernel)?, &initrd, command_line)))
    }
}

/// Reads a file; errors name it.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A number, decimal or with 0x.
pub fn number(text: &str) -> Result<u64, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|error| error.to_string())
}
