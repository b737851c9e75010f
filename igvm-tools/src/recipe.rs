//! Recipes: JSON files that say what goes into an image.
//!
//! ```json
//! {
//!   "platforms": ["native"],
//!   "debug": true,
//!   "kernel": "vmm-kernel",
//!   "files": { "init": "init", "init.json": "init.json" },
//!   "payload": { "linux": "vmlinuz", "cmdline": { "text": "console=ttyS0" } },
//!   "layout": { "window_base": "0x08000000", "window_bytes": "32M", "payload_base": "0x0a000000" }
//! }
//! ```
//!
//! A file is named by its path alone, or by an empty path if it is for the command line to name; `{ "text":
//! "..." }` gives its contents. A relative path is looked for under each file root given, in order, then in
//! the recipe's folder; the first that exists is taken. Every mistake is reported with file, line and field.

mod entries;
mod error;
mod find;
mod locate;
mod overrides;
pub mod pages;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use entries::{Amount, Entries, Source};
pub use error::{Blame, RecipeError};

use crate::layout::{File, Parts, Platform};
use crate::{image, kernel, layout, program, snp_image};

/// Where Plinth's window begins if the recipe does not say: 128 MiB.
pub const WINDOW_BASE: u64 = 0x0800_0000;

/// Where the C-bit is if the recipe does not say: as in processors of Milan's and Genoa's generations.
pub const C_BIT: u32 = 51;

/// How large the window is if the recipe does not say.
pub const WINDOW_BYTES: u64 = 32 << 20;

/// A recipe as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// For the reader.
    #[serde(default)]
    pub description: String,
    /// What the image can run on.
    pub platforms: Vec<Platform>,
    /// Copy the kernel's log to the host's console.
    #[serde(default)]
    pub debug: bool,
    /// Take measures against speculative execution with what others left in the processor.
    #[serde(default = "yes")]
    pub mitigations: bool,
    /// Let the kernel take short cuts; without them, to compare.
    #[serde(default = "yes")]
    pub shortcuts: bool,
    /// The kernel's ELF file.
    pub kernel: PathBuf,
    /// The RAM file system, in this order.
    #[serde(default)]
    pub files: Entries,
    /// The guest's payload, in this order.
    #[serde(default)]
    pub payload: Entries,
    /// What an image for SEV-SNP has besides.
    #[serde(default)]
    pub snp: SnpFields,
    /// Where things go in guest memory.
    #[serde(default)]
    pub layout: LayoutFields,
}

fn yes() -> bool {
    true
}

/// The recipe's `snp`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpFields {
    /// Where the C-bit is; [`C_BIT`] if not given.
    pub c_bit: Option<u32>,
}

/// The recipe's `layout`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayoutFields {
    /// First byte of Plinth's window; [`WINDOW_BASE`] if not given.
    pub window_base: Option<Amount>,
    /// Its size; [`WINDOW_BYTES`] if not given.
    pub window_bytes: Option<Amount>,
    /// First byte of the payload; right after the window if not given.
    pub payload_base: Option<Amount>,
}

/// A recipe and what is needed to report on it.
#[derive(Clone, Debug)]
pub struct Loaded {
    recipe: Recipe,
    blame: Blame,
    roots: Vec<PathBuf>,
}

/// What a build made.
#[derive(Clone, Debug)]
pub struct Built {
    /// The IGVM file's bytes.
    pub bytes: Vec<u8>,
    /// Bytes the image occupies in the window.
    pub window_used: u64,
    /// Bytes of payload, in whole pages.
    pub payload: u64,
}

impl Loaded {
    /// Reads a recipe, applies `overrides` (`KEY=VALUE`, see `docs/images.md`) and takes note of the file
    /// roots.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn read(path: &Path, roots: &[PathBuf], overrides: &[String]) -> Result<Self, RecipeError> {
        let mut blame = blame(path)?;
        let mut recipe: Recipe = parse(&blame)?;
        // Before files are looked for: a recipe may leave it to the command line to name one.
        for one in overrides {
            overrides::apply(&mut recipe, &mut blame, one)?;
        }
        Ok(Self { recipe, blame, roots: with_own_folder(path, roots) })
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Builds the image.
    ///
    /// # Errors
    /// [`RecipeError`], for all that can be wrong with the recipe or the files it names.
    pub fn build(&self) -> Result<Built, RecipeError> {
        let parts = self.parts()?;
        let layout = layout::lay_out(&parts)
            .map_err(|error| self.blame.field(&self.field_of(&error), error.to_string()))?;
        let window_used = layout.image_end - layout.window.gpa;
        let payload = layout.payload_end - parts.payload_base;
        // The rest of an image lies in the window, which is bounded: a file that is too large is so by its
        // payload.
        let written = match layout.snp {
            Some(snp) => snp_image::of_layout(layout, snp).write(),
            None => image::write(layout),
        };
        let bytes = written.map_err(|error| self.blame.field("payload", error.to_string()))?;
        Ok(Built { bytes, window_used, payload })
    }

    fn parts(&self) -> Result<Parts, RecipeError> {
        // Boot page and first page tables are made for one platform.
        let [platform] = self.recipe.platforms[..] else {
            return Err(self
                .blame
                .field("platforms", "an image is for one platform: [\"native\"] or [\"snp\"]"));
        };
        let c_bit = self.recipe.snp.c_bit.unwrap_or(C_BIT);
        // Above what 32-bit code reaches, and within the address of a page-table entry.
        if !(32..52).contains(&c_bit) {
            return Err(self.blame.field("snp.c_bit", "the C-bit is one of bits 32 to 51"));
        }
        if platform != Platform::Snp && self.recipe.snp.c_bit.is_some() {
            return Err(self.blame.field("snp", "it is for images of the platform snp alone"));
        }
        let kernel = self.file("kernel", &self.recipe.kernel)?;
        let kernel = kernel::parse(&kernel).map_err(|error| self.blame.field("kernel", error.to_string()))?;
        let fields = &self.recipe.layout;
        let window_base = fields.window_base.map_or(WINDOW_BASE, |amount| amount.0);
        let window_bytes = fields.window_bytes.map_or(WINDOW_BYTES, |amount| amount.0);
        let after = window_base.saturating_add(window_bytes);
        Ok(Parts {
            platform,
            c_bit,
            kernel,
            files: self.programs()?,
            payload: self.files("payload", &self.recipe.payload)?,
            debug: self.recipe.debug,
            mitigations: self.recipe.mitigations,
            shortcuts: self.recipe.shortcuts,
            window_base,
            window_bytes,
            payload_base: fields.payload_base.map_or(after, |amount| amount.0),
        })
    }

    /// The RAM file system, its programs without what is never loaded.
    fn programs(&self) -> Result<Vec<File>, RecipeError> {
        let mut files = self.files("files", &self.recipe.files)?;
        for file in &mut files {
            // The guest's payload is left as it is: what its files mean is the guest's affair.
            file.data = program::without_unloaded(std::mem::take(&mut file.data));
        }
        Ok(files)
    }

    fn files(&self, section: &str, entries: &Entries) -> Result<Vec<File>, RecipeError> {
        let read = |(name, source): &(String, Source)| {
            let data = match source {
                Source::Text(text) => text.clone().into_bytes(),
                Source::File(path) => self.file(&format!("{section}.{name}"), path)?,
            };
            Ok(File { name: name.clone(), data })
        };
        entries.0.iter().map(read).collect()
    }

    /// Reads a file that `field` names.
    fn file(&self, field: &str, path: &Path) -> Result<Vec<u8>, RecipeError> {
        if path.as_os_str().is_empty() {
            let message = format!("the recipe leaves this file open: name it with --set {field}=PATH");
            return Err(self.blame.field(field, message));
        }
        find::read(&self.roots, path).map_err(|message| self.blame.field(field, message))
    }

    /// The recipe's field a layout error is about.
    fn field_of(&self, error: &layout::LayoutError) -> String {
        match error {
            layout::LayoutError::Name(name) | layout::LayoutError::NameTwice(name) => {
                // Of a name that is used twice the second one is to blame, and payload comes behind files.
                let payload = self.recipe.payload.0.iter().any(|(other, _)| other == name);
                format!("{}.{name}", if payload { "payload" } else { "files" })
            }
            _ => error.field().to_owned(),
        }
    }
}

/// Reads a recipe's text.
fn blame(path: &Path) -> Result<Blame, RecipeError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| RecipeError::whole(path, format!("cannot read it: {error}")))?;
    Ok(Blame::new(path, text))
}

/// The places where files are looked for: the recipe's own folder last, as who builds says where things are.
fn with_own_folder(path: &Path, roots: &[PathBuf]) -> Vec<PathBuf> {
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    roots.iter().cloned().chain([folder]).collect()
}

fn parse<T: DeserializeOwned>(blame: &Blame) -> Result<T, RecipeError> {
    let mut json = serde_json::Deserializer::from_str(blame.text());
    let recipe = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        blame.json(Some(field), error.inner())
    })?;
    // A second object, or half of one, would be passed over otherwise.
    json.end().map_err(|error| blame.json(None, &error))?;
    Ok(recipe)
}
