//! Packing an image: a recipe, what it leaves open, and the programs, as one IGVM file.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use igvm_tools::recipe::Loaded;

use crate::disk_key::write_private;
use crate::project::{Project, read, write};

/// An image to pack.
#[derive(Clone, Debug)]
pub struct Image {
    recipe: PathBuf,
    programs: PathBuf,
    overrides: Vec<String>,
    /// There is a key in it.
    is_secret: bool,
}

/// The guest that goes into an image, or into a machine without Plinth.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    /// A bzImage, or an ELF file with PVH or multiboot.
    pub kernel: PathBuf,
    /// Its initial RAM disk.
    pub initrd: Option<PathBuf>,
    /// Its command line.
    pub append: String,
}

impl Image {
    /// An image of the project's programs by a recipe: a name in `igvm-tools/recipes`, or a file (with a `/`
    /// or ending in `.json`).
    ///
    /// # Errors
    /// When there is no such recipe.
    pub fn new(project: &Project, recipe: &str) -> Result<Self> {
        // A plain name is the project's: no file of the user's folder is taken for it by chance.
        let file = if recipe.contains('/') || recipe.ends_with(".json") {
            PathBuf::from(recipe)
        } else {
            project.root.join("igvm-tools/recipes").join(format!("{recipe}.json"))
        };
        if !file.exists() {
            bail!("there is no recipe {}; those of the project are in igvm-tools/recipes", file.display());
        }
        Ok(Self { recipe: file, programs: project.programs(), overrides: Vec::new(), is_secret: false })
    }

    /// Takes the programs from another folder; see [`crate::build::Build::programs`].
    #[must_use]
    pub fn programs(mut self, folder: &Path) -> Self {
        self.programs = folder.into();
        self
    }

    /// Overrides the recipe; keys and values are those of `igvm-tools build --set`
    /// (docs/images.md): `debug`, `mitigations`, `shortcuts`, `kernel`, `files.NAME`, `payload.NAME`,
    /// `layout.FIELD`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Display) -> Self {
        self.overrides.push(format!("{key}={value}"));
        self
    }

    /// The guest.
    #[must_use]
    pub fn payload(self, payload: &Payload) -> Self {
        // An empty value leaves that part out.
        let initrd = payload.initrd.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        self.set("payload.linux", payload.kernel.display())
            .set("payload.initrd", initrd)
            // A text, where the value alone would be a file's name.
            .set("payload.cmdline", format_args!("text:{}", payload.append))
    }

    /// The processes' configuration.
    #[must_use]
    pub fn config(self, text: &str) -> Self {
        self.set("files.init.conf", format_args!("text:{text}"))
    }

    /// Makes the processes' configuration of several of the project's, `vmm-user/config/NAME.conf`, each a
    /// file of the image that `init.conf` includes, and of more statements.
    #[must_use]
    pub fn configs(self, project: &Project, names: &[&str], more: &str) -> Self {
        let includes: String = names.iter().map(|name| format!("include {name}.conf\n")).collect();
        names.iter().fold(self.config(&(includes + more)), |image, name| {
            let file = project.root.join("vmm-user/config").join(format!("{name}.conf"));
            image.set(&format!("files.{name}.conf"), format_args!("file:{}", file.display()))
        })
    }

    /// Adds programs of the project's.
    #[must_use]
    pub fn with_programs(self, names: &[&str]) -> Self {
        names.iter().fold(self, |image, name| {
            let file = image.programs.join(name);
            image.set(&format!("files.{name}"), format_args!("file:{}", file.display()))
        })
    }

    /// Adds a file with a key. The image is then for nobody but the user to read.
    #[must_use]
    pub fn with_key(mut self, name: &str, file: &Path) -> Self {
        self.is_secret = true;
        self.set(&format!("files.{name}"), format_args!("file:{}", file.display()))
    }

    /// Packs the image into a file.
    ///
    /// # Errors
    /// With the recipe's place, for all that is wrong with it or the files it names.
    pub fn pack(&self, file: &Path) -> Result<PathBuf> {
        let roots = [self.programs.clone()];
        let built = Loaded::read(&self.recipe, &roots, &self.overrides)
            .and_then(|loaded| loaded.build())
            .context("the image could not be packed")?;
        if self.is_secret {
            write_private(file, &built.bytes)?;
        } else {
            write(file, built.bytes)?;
        }
        Ok(file.into())
    }
}

/// A configuration of the project's (`vmm-user/config/NAME.conf`) with more settings of its last process.
///
/// # Errors
/// When there is no such configuration.
pub fn config_with(project: &Project, name: &str, settings: &[&str]) -> Result<String> {
    let mut text = read(&project.root.join("vmm-user/config").join(format!("{name}.conf")))?;
    for setting in settings {
        // Settings belong to the process above them, which is the last one here.
        text += &format!("  set {setting}\n");
    }
    Ok(text)
}

/// The ordinary configuration, with more settings, of a guest whose reset is the end.
///
/// # Errors
/// When there is no such configuration, or it does not say what a reset does.
pub fn config_ended_by_reset(project: &Project, settings: &[&str]) -> Result<String> {
    const IN_PLACE: &str = "set reset in-place\n";
    let text = config_with(project, "vmm", settings)?;
    ensure!(text.contains(IN_PLACE), "vmm.conf does not say what a reset does");
    Ok(text.replace(IN_PLACE, "set reset end\n"))
}

/// The configuration of a TPM (`vmm-user/config/tpm.conf`), whose registers are those of that interface:
/// `crb` or `fifo`. It goes behind that of the process `vmm`.
///
/// # Errors
/// When there is no such configuration, or it names no interface.
pub fn tpm_config(project: &Project, interface: &str) -> Result<String> {
    let tpm = config_with(project, "tpm", &[])?;
    // Replacing what is not there would change nothing, and the test be of the other interface.
    ensure!(tpm.contains("set interface crb\n"), "tpm.conf names no interface");
    Ok(tpm.replace("set interface crb\n", &format!("set interface {interface}\n")))
}
