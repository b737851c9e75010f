//! From a recipe with `pages` to an image.

use std::path::Path;

use plinth_snp_abi::id_block::GuestPolicy;
use plinth_snp_abi::vmsa::SevFeatures;
use pvh_loader::file::ParameterKind;

use super::{Contents, EntryKind, GuestPlatform, LoadedPages, PageEntry, ParameterEntry, SnpEntry, elf};
use crate::PAGE_BYTES;
use crate::guest_image::{GuestImage, Page, ParameterPlace, SnpPart, signed};
use crate::inspect::Range;
use crate::recipe::{RecipeError, find};
use crate::snp::id_block::{Identity, Key};
use crate::snp::launch::Vcpus;
use crate::snp::processor::Signature;
use crate::snp::reader::PageKind;

/// The most bytes of one entry.
const ENTRY_MAX: u64 = 1 << 30;

impl LoadedPages {
    /// Builds the image.
    ///
    /// # Errors
    /// [`RecipeError`], for all that can be wrong with the recipe or the files it names.
    pub fn build(&self) -> Result<Vec<u8>, RecipeError> {
        let recipe = &self.recipe;
        let is_for = |platform| recipe.platforms.contains(&platform);
        let (native, snp) = (is_for(GuestPlatform::Native), is_for(GuestPlatform::Snp));
        if recipe.platforms.len() != usize::from(native) + usize::from(snp) || !(native || snp) {
            let message = "an image is for native, snp, or both, each named once";
            return Err(self.blame.field("platforms", message));
        }
        if recipe.snp.is_some() != snp {
            return Err(self.blame.field("snp", "it is there if and only if the image is for snp"));
        }
        let start =
            |error: crate::guest_image::start::StartError| self.blame.field("start", error.to_string());
        recipe.start.check().map_err(start)?;
        let mut image = GuestImage {
            required: self.required()?,
            parameters: self.parameters()?,
            pages: self.pages()?,
            native: if native { Some(recipe.start.native().map_err(start)?) } else { None },
            snp: None,
        };
        self.check_places(&image)?;
        if let Some(entry) = &recipe.snp {
            image.snp = Some(self.snp(entry)?);
            self.sign(entry, &mut image)?;
        }
        image.write().map_err(|error| self.blame.field("pages", error.to_string()))
    }

    /// All pages, by address: the same parts always make the same file.
    fn pages(&self) -> Result<Vec<Page>, RecipeError> {
        let mut pages = Vec::new();
        for entry in &self.recipe.pages {
            self.entry(entry, &mut pages)?;
        }
        pages.sort_by_key(|page: &Page| page.gpa);
        Ok(pages)
    }

    fn entry(&self, entry: &PageEntry, pages: &mut Vec<Page>) -> Result<(), RecipeError> {
        let wrong = |message: &str| Err(self.blame.field("pages", message));
        let kind = match entry.kind {
            EntryKind::Measured => PageKind::Measured,
            EntryKind::Unmeasured => PageKind::Unmeasured,
            EntryKind::Shared => PageKind::Shared,
            EntryKind::Cpuid => PageKind::Cpuid,
            EntryKind::Secrets => PageKind::Secrets,
        };
        let filled = matches!(kind, PageKind::Cpuid | PageKind::Secrets);
        match (&entry.elf, entry.gpa, &entry.file, &entry.text, entry.bytes) {
            (Some(path), None, None, None, None) if !filled => {
                let program = elf::parts(&self.file("pages", path)?);
                let program = program.map_err(|message| self.blame.field("pages", message))?;
                program.iter().try_for_each(|part| self.add(pages, kind, part.gpa, &part.data, part.bytes))
            }
            (None, Some(gpa), None, None, None) if filled => self.add(pages, kind, gpa.0, &[], PAGE_BYTES),
            (None, Some(gpa), file, text, bytes) if !filled => {
                let data = match (file, text) {
                    (Some(path), None) => self.file("pages", path)?,
                    (None, Some(text)) => text.clone().into_bytes(),
                    (None, None) => Vec::new(),
                    (Some(_), Some(_)) => return wrong("an entry has a file or a text, not both"),
                };
                let length = data.len() as u64;
                let bytes = bytes.map_or(length.max(1), |amount| amount.0);
                if bytes < length {
                    return wrong("an entry has fewer bytes than its contents");
                }
                self.add(pages, kind, gpa.0, &data, bytes)
            }
            _ => wrong(
                "an entry is a program (elf), a place (gpa) with contents (file, text) or bytes, or the gpa \
                 alone of a page of kind cpuid or secrets",
            ),
        }
    }

    /// Adds so many bytes at an address that may lie within a page; they begin with the contents.
    fn add(
        &self,
        pages: &mut Vec<Page>,
        kind: PageKind,
        gpa: u64,
        data: &[u8],
        bytes: u64,
    ) -> Result<(), RecipeError> {
        let before = gpa % PAGE_BYTES;
        let end = before.checked_add(bytes).filter(|end| *end <= ENTRY_MAX);
        let fits = end.filter(|end| (gpa - before).checked_add(*end).is_some_and(|end| end <= 1 << 47));
        let Some(end) = fits else {
            let message = format!("{bytes:#x} bytes at {gpa:#x} are more than an entry or memory can have");
            return Err(self.blame.field("pages", message));
        };
        let mut contents = vec![0; before as usize];
        contents.extend_from_slice(data);
        let mut chunks = contents.chunks(PAGE_BYTES as usize);
        for offset in (0..end).step_by(PAGE_BYTES as usize) {
            let data = chunks.next().unwrap_or_default().to_vec();
            pages.push(Page { gpa: gpa - before + offset, kind, data });
        }
        Ok(())
    }

    fn parameters(&self) -> Result<Vec<ParameterPlace>, RecipeError> {
        let place = |entry: &ParameterEntry| {
            let kind = match entry.contents {
                Contents::MemoryMap => ParameterKind::MemoryMap,
                Contents::VpCount => ParameterKind::VpCount,
                Contents::EnvironmentInfo => ParameterKind::EnvironmentInfo,
            };
            let bytes = entry.bytes.map_or(PAGE_BYTES, |amount| amount.0);
            let range = self.range("parameters", entry.gpa.0, bytes)?;
            Ok(ParameterPlace { gpa: range.gpa, bytes: range.bytes, kind })
        };
        self.recipe.parameters.iter().map(place).collect()
    }

    fn required(&self) -> Result<Vec<Range>, RecipeError> {
        let range = |entry: &super::RequiredEntry| self.range("required", entry.gpa.0, entry.bytes.0);
        self.recipe.required.iter().map(range).collect()
    }

    fn range(&self, field: &str, gpa: u64, bytes: u64) -> Result<Range, RecipeError> {
        let whole = gpa.is_multiple_of(PAGE_BYTES) && bytes.is_multiple_of(PAGE_BYTES);
        let fits = gpa.checked_add(bytes).is_some_and(|end| end <= 1 << 47);
        if whole && fits && (1..=ENTRY_MAX).contains(&bytes) {
            Ok(Range { gpa, bytes })
        } else {
            let message = format!("{bytes:#x} bytes at {gpa:#x} are not whole pages, none, or too many");
            Err(self.blame.field(field, message))
        }
    }

    /// No two pages or parameters in one place: a loader would put one over the other without a word.
    fn check_places(&self, image: &GuestImage) -> Result<(), RecipeError> {
        let pages = image.pages.iter().map(|page| (page.gpa, PAGE_BYTES));
        let parameters = image.parameters.iter().map(|place| (place.gpa, place.bytes));
        let mut places: Vec<_> = pages.chain(parameters).collect();
        places.sort_unstable();
        let twice = places.windows(2).find_map(|pair| match pair {
            [(low, bytes), (high, _)] if high - low < *bytes => Some(*high),
            _ => None,
        });
        match twice {
            Some(gpa) => Err(self.blame.field("pages", format!("two parts of the image claim {gpa:#x}"))),
            None => Ok(()),
        }
    }

    fn snp(&self, entry: &SnpEntry) -> Result<SnpPart, RecipeError> {
        let policy =
            entry.policy.map_or(GuestPolicy::DEFAULT, |amount| GuestPolicy::from_bits_retain(amount.0));
        if !policy.is_well_formed() {
            let message = "the AMD-SP wants bit 17 set and none from bit 26 on";
            return Err(self.blame.field("snp.policy", message));
        }
        Ok(SnpPart { policy, contexts: vec![self.recipe.start.vmsa()], id_block: None })
    }

    fn sign(&self, entry: &SnpEntry, image: &mut GuestImage) -> Result<(), RecipeError> {
        let identity = Identity {
            family_id: self.id("snp.family_id", &entry.family_id)?,
            image_id: self.id("snp.image_id", &entry.image_id)?,
            guest_svn: entry.guest_svn,
        };
        let id_key = entry.id_key.as_deref().map(|path| self.key("snp.id_key", path)).transpose()?;
        let author = entry.author_key.as_deref().map(|path| self.key("snp.author_key", path)).transpose()?;
        let Some(id_key) = id_key else {
            let unused = author.is_some() || entry.vcpus.is_some() || identity != Identity::default();
            let message = "without id_key there is no ID block, which all of this would be in";
            return if unused { Err(self.blame.field("snp", message)) } else { Ok(()) };
        };
        let count = entry.vcpus.unwrap_or(1);
        let signature = match &entry.vcpu_type {
            Some(name) => Signature::of_model(name).ok_or_else(|| {
                let message = format!("the models are {}", Signature::models());
                self.blame.field("snp.vcpu_type", message)
            })?,
            // The first one's state is in the image.
            None if count == 1 => Signature(0),
            None => return Err(self.blame.field("snp.vcpus", "more than one need a vcpu_type")),
        };
        let vcpus = Vcpus { count, signature, features: SevFeatures::SNP_ACTIVE };
        signed(image, &vcpus, &identity, &id_key, author.as_ref())
            .map_err(|error| self.blame.field("snp", error.to_string()))
    }

    fn key(&self, field: &str, path: &Path) -> Result<Key, RecipeError> {
        let pem = String::from_utf8_lossy(&self.file(field, path)?).into_owned();
        Key::from_pem(&pem).map_err(|error| self.blame.field(field, error.to_string()))
    }

    fn id(&self, field: &str, text: &str) -> Result<[u8; 16], RecipeError> {
        let mut id = [0; 16];
        match id.get_mut(..text.len()) {
            Some(place) => place.copy_from_slice(text.as_bytes()),
            None => return Err(self.blame.field(field, "it has up to 16 bytes")),
        }
        Ok(id)
    }

    fn file(&self, field: &str, path: &Path) -> Result<Vec<u8>, RecipeError> {
        find::read(&self.roots, path).map_err(|message| self.blame.field(field, message))
    }
}

#[cfg(test)]
mod tests;
