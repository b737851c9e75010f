//! Recipes with `pages`: images of any guest, page by page, for NATIVE, SEV-SNP or both.
//!
//! ```json
//! {
//!   "platforms": ["snp"],
//!   "pages": [
//!     { "elf": "guest" },
//!     { "gpa": "0x00200000", "text": "hello" },
//!     { "gpa": "0x00300000", "bytes": "64K", "kind": "unmeasured" },
//!     { "gpa": "0x00400000", "kind": "cpuid" },
//!     { "gpa": "0x00401000", "kind": "secrets" }
//!   ],
//!   "parameters": [{ "gpa": "0x00500000", "bytes": "8K", "contents": "memory-map" }],
//!   "start": { "mode": "protected", "rip": "0x00100000" },
//!   "snp": { "policy": "0x30000", "id_key": "id.pem" }
//! }
//! ```

mod build;
mod elf;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Amount, Blame, RecipeError};
use crate::guest_image::start::Start;

/// A recipe as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PagesRecipe {
    /// For the reader.
    #[serde(default)]
    pub description: String,
    /// What the image can run on.
    pub platforms: Vec<GuestPlatform>,
    /// What is loaded.
    pub pages: Vec<PageEntry>,
    /// What the host is to say.
    #[serde(default)]
    pub parameters: Vec<ParameterEntry>,
    /// What must be RAM.
    #[serde(default)]
    pub required: Vec<RequiredEntry>,
    /// How the first processor starts.
    #[serde(default)]
    pub start: Start,
    /// What SEV-SNP has beside pages.
    pub snp: Option<SnpEntry>,
}

/// A platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestPlatform {
    /// A virtual machine that is not confidential.
    Native,
    /// SEV-SNP.
    Snp,
}

/// How pages are launched on SEV-SNP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// Private, contents measured.
    #[default]
    Measured,
    /// Private, contents not measured.
    Unmeasured,
    /// Shared with the host.
    Shared,
    /// The CPUID page.
    Cpuid,
    /// The secrets page.
    Secrets,
}

/// Some pages: a program at its own addresses, or a place with contents or without.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageEntry {
    /// A static ELF64 program, loaded at its physical addresses.
    pub elf: Option<PathBuf>,
    /// Where they are.
    pub gpa: Option<Amount>,
    /// A file with their contents.
    pub file: Option<PathBuf>,
    /// Their contents.
    pub text: Option<String>,
    /// How much it is; what the contents do not fill is zero. One page if nothing says otherwise.
    pub bytes: Option<Amount>,
    /// How they are launched.
    #[serde(default)]
    pub kind: EntryKind,
}

/// What the host writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contents {
    /// The memory map.
    MemoryMap,
    /// The number of processors.
    VpCount,
    /// What kind of environment it is.
    EnvironmentInfo,
}

/// A parameter and its place.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterEntry {
    /// Where it is.
    pub gpa: Amount,
    /// The area's size; one page if it is not given.
    pub bytes: Option<Amount>,
    /// What it is.
    pub contents: Contents,
}

/// Memory that must be there.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequiredEntry {
    /// First byte.
    pub gpa: Amount,
    /// Length.
    pub bytes: Amount,
}

/// What SEV-SNP has beside pages.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpEntry {
    /// The guest policy; multithreading allowed and nothing else if it is not given.
    pub policy: Option<Amount>,
    /// The key that signs the ID block, in PEM; there is none without it.
    pub id_key: Option<PathBuf>,
    /// The key that signs that key.
    pub author_key: Option<PathBuf>,
    /// The number of vCPUs that the ID block's digest is for; 1 if it is not given.
    pub vcpus: Option<u32>,
    /// Their model, if there is more than one.
    pub vcpu_type: Option<String>,
    /// Up to 16 bytes.
    #[serde(default)]
    pub family_id: String,
    /// Up to 16 bytes.
    #[serde(default)]
    pub image_id: String,
    /// The guest's security version.
    #[serde(default)]
    pub guest_svn: u32,
}

/// A recipe and what is needed to report on it.
#[derive(Clone, Debug)]
pub struct LoadedPages {
    recipe: PagesRecipe,
    blame: Blame,
    roots: Vec<PathBuf>,
}

impl LoadedPages {
    /// Whether a recipe is one with `pages`. What is no recipe at all is not.
    pub fn is_meant(text: &str) -> bool {
        let value = serde_json::from_str::<serde_json::Value>(text);
        value.is_ok_and(|value| value.get("pages").is_some())
    }

    /// Reads a recipe and takes note of the file roots.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn read(path: &Path, roots: &[PathBuf]) -> Result<Self, RecipeError> {
        let blame = super::blame(path)?;
        let recipe = super::parse(&blame)?;
        Ok(Self { recipe, blame, roots: super::with_own_folder(path, roots) })
    }
}
