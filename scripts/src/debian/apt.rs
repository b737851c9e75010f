//! An apt of the scripts' own, with its own sources, lists and cache under `cache/apt`. The machine's apt is
//! read (which mirror, which proxy) and never changed. What is downloaded has been checked by apt against the
//! archive's signing keys.

mod settings;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use self::settings::Suites;
use crate::command::{output, quietly};
use crate::project::{Project, make_folder, read, variable, write};
use crate::say;

/// Lists, and what was made of them, are fetched again when they are older.
pub const FRESH: Duration = Duration::from_secs(3 * 24 * 3600);

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Debian's archive.
#[derive(Clone, Debug)]
pub struct Apt {
    folder: PathBuf,
    work: PathBuf,
}

impl Apt {
    /// The archive, its package lists brought up to date where they are missing or old.
    ///
    /// # Errors
    /// When this system has no apt, or its configuration names no mirror.
    pub fn open(project: &Project) -> Result<Self> {
        Self::open_suites(project, "apt", &settings::RELEASED)
    }

    /// The same of the suite that is not released, for what is nowhere else.
    ///
    /// # Errors
    /// As [`Apt::open`].
    pub fn open_unstable(project: &Project) -> Result<Self> {
        Self::open_suites(project, "apt-unstable", &settings::UNSTABLE)
    }

    fn open_suites(project: &Project, folder: &str, suites: &Suites) -> Result<Self> {
        let apt = Self { folder: project.cache.join(folder), work: project.work.clone() };
        let updated = apt.folder.join("updated");
        if is_fresh(&updated) {
            return Ok(apt);
        }
        apt.configure(suites)?;
        say::say("reading Debian's package lists");
        let spinner = say::spinner("reading");
        // A suite that fails (no network, no key) is left out by apt; what is missing shows when a package is
        // asked for.
        let read = quietly(apt.tool("apt-get").arg("update"), &apt.work.join("apt-lists.log"));
        spinner.finish_and_clear();
        record(&updated, read)?;
        Ok(apt)
    }

    /// The versions of a package that the suites have, newest first.
    ///
    /// # Errors
    /// When apt fails.
    pub fn versions(&self, name: &str) -> Result<Vec<String>> {
        let _lock = self.lock()?;
        Ok(versions(&output(self.tool("apt-cache").args(["madison", name]))?))
    }

    /// The first dependency of a package whose name `wanted` accepts: name and, if it says one, version.
    ///
    /// # Errors
    /// When apt fails.
    pub fn dependency(
        &self,
        name: &str,
        version: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Option<(String, Option<String>)>> {
        let _lock = self.lock()?;
        let shown = output(self.tool("apt-cache").args(["show", &format!("{name}={version}")]))?;
        Ok(dependencies(&shown).find(|(name, _)| wanted(name)))
    }

    /// A package and all that it depends on, directly or not, for this architecture: names and versions, of a
    /// suite where that has them.
    ///
    /// # Errors
    /// When apt fails.
    pub fn with_dependencies(&self, name: &str, version: &str, suite: &str) -> Result<Vec<(String, String)>> {
        let _lock = self.lock()?;
        let mut install = self.tool("apt-get");
        // Nothing is installed in this apt's eyes, so nothing is left out for being there.
        install.args(["--simulate", "--no-install-recommends", "--target-release", suite, "install"]);
        Ok(simulated(&output(install.arg(format!("{name}={version}")))?))
    }

    /// Downloads a package once and returns the .deb file.
    ///
    /// # Errors
    /// When apt fails.
    pub fn fetch(&self, name: &str, version: &str) -> Result<PathBuf> {
        let files = self.fetch_all(&[(name.to_owned(), version.to_owned())])?;
        files.into_iter().next().context("apt downloads what it is asked for")
    }

    /// Downloads packages once, by name and version, and returns the .deb files in the same order.
    ///
    /// # Errors
    /// When apt fails.
    pub fn fetch_all(&self, packages: &[(String, String)]) -> Result<Vec<PathBuf>> {
        let _lock = self.lock()?;
        let archives = self.folder.join("archives");
        // apt writes a colon in a version as %3a.
        let file = |(name, version): &(String, String)| {
            let of = |kind| archives.join(format!("{name}_{}_{kind}.deb", version.replace(':', "%3a")));
            // Some packages are the same for every architecture.
            let all = of("all");
            if all.exists() { all } else { of("amd64") }
        };
        // A version never changes its contents, so what was downloaded once is good.
        let missing: Vec<_> = packages.iter().filter(|package| !file(package).exists()).collect();
        if let Some((name, version)) = missing.first() {
            let what = match missing.len() {
                1 => format!("{name} {version}"),
                count => format!("{count} packages"),
            };
            say::say(format_args!("downloading {what}"));
            let spinner = say::spinner(&format!("downloading {what}"));
            let mut download = self.tool("apt-get");
            // apt writes to where it is run.
            download.args(["-q", "download"]).current_dir(&archives);
            download.args(missing.iter().map(|(name, version)| format!("{name}={version}")));
            let fetched = quietly(&mut download, &self.work.join("apt-download.log"));
            spinner.finish_and_clear();
            fetched.with_context(|| format!("{what} could not be downloaded; is there a network?"))?;
        }
        Ok(packages.iter().map(file).collect())
    }

    /// The sources of these suites, for a system that is installed from the same mirror.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn sources(&self, suites: &[&str]) -> Result<String> {
        let all = read(&self.folder.join("sources.list"))?;
        let is_wanted = |line: &&str| line.split(' ').any(|word| suites.contains(&word));
        Ok(all.lines().filter(is_wanted).map(|line| line.to_owned() + "\n").collect())
    }

    /// The proxy that this machine's apt uses, or nothing.
    ///
    /// # Errors
    /// When apt fails.
    pub fn proxy(&self) -> Result<String> {
        let mut dump = self.tool("apt-config");
        dump.args(["dump", "--no-empty", "--format", "%v%n", "Acquire::http::Proxy"]);
        Ok(output(&mut dump)?.trim().to_owned())
    }

    /// One of apt's programs with this configuration.
    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.arg("-c").arg(self.folder.join("apt.conf"));
        command
    }

    /// One program at a time, of all checkouts.
    fn lock(&self) -> Result<File> {
        let path = self.folder.join("lock");
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }

    /// Writes the sources and the configuration.
    fn configure(&self, suites: &Suites) -> Result<()> {
        if !Path::new(KEYRING).exists() {
            bail!(
                "{KEYRING} is missing; install the package debian-archive-keyring, or give --kernel and \
                 --initrd"
            );
        }
        let uris = output(Command::new("apt-get").args(["update", "--print-uris"])).context(
            "Debian's kernels are fetched by apt; where there is none, give --kernel and --initrd",
        )?;
        // What the user says comes first, then the mirror that this machine uses for itself.
        let given = variable("PLINTH_DEBIAN_MIRROR").map(|path| path.display().to_string());
        let main = given.or_else(|| settings::mirror(&uris, "debian")).context(
            "apt's configuration names no Debian mirror; set PLINTH_DEBIAN_MIRROR to the address of one (it \
             ends in /debian)",
        )?;
        let security = settings::mirror(&uris, "debian-security");
        // Debian's own mirrors have it under this name.
        let security = security.unwrap_or_else(|| format!("{main}-security"));
        make_folder(&self.folder.join("state/lists/partial"))?;
        make_folder(&self.folder.join("archives/partial"))?;
        let sources = settings::sources(KEYRING, &main, &security, suites);
        write(&self.folder.join("sources.list"), sources)?;
        write(&self.folder.join("apt.conf"), settings::configuration(&self.folder))
    }
}

/// Creates the file that says that the lists are up to date, if they were all read.
fn record(updated: &Path, read: Result<()>) -> Result<()> {
    match read {
        Ok(()) => write(updated, ""),
        // Without the file: the next command reads the lists again.
        Err(error) => {
            say::say(format_args!(
                "not every package list could be read; going on with what there is ({error:#})"
            ));
            Ok(())
        }
    }
}

/// Whether a file is there and young enough.
pub fn is_fresh(file: &Path) -> bool {
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    // A time that lies ahead is of a clock that was set back: it counts as old.
    modified.is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age < FRESH))
}

/// The versions in what `apt-cache madison` prints: `name | version | place`.
fn versions(madison: &str) -> Vec<String> {
    madison
        .lines()
        .filter_map(|line| line.split('|').nth(1))
        .map(|version| version.trim().to_owned())
        .collect()
}

/// The packages with programs or libraries in what `apt-get --simulate install` prints: `Inst name (version
/// suite [architecture])`.
fn simulated(printed: &str) -> Vec<(String, String)> {
    let installed = printed.lines().filter_map(|line| line.strip_prefix("Inst "));
    installed
        .filter_map(|line| {
            let (name, rest) = line.split_once(" (")?;
            // Packages of no architecture have documents and settings.
            let version = rest.split(' ').next().filter(|_| rest.contains("[amd64])"))?;
            Some((name.to_owned(), version.to_owned()))
        })
        .collect()
}

/// The dependencies in what `apt-cache show` prints: names, with versions where they are equal to one.
fn dependencies(shown: &str) -> impl Iterator<Item = (String, Option<String>)> {
    let lists = shown.lines().filter_map(|line| line.strip_prefix("Depends: "));
    lists.flat_map(|list| list.split(',')).filter_map(|one| {
        let (name, rest) = one.trim().split_once(' ').unwrap_or((one.trim(), ""));
        let version = rest.trim().strip_prefix("(= ").and_then(|rest| rest.strip_suffix(')'));
        (!name.is_empty()).then(|| (name.to_owned(), version.map(str::to_owned)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_could_not_be_read_are_not_fresh() {
        let updated = std::env::temp_dir().join(format!("plinth-apt-{}", std::process::id()));
        record(&updated, Err(anyhow::anyhow!("no network"))).unwrap();
        assert!(!is_fresh(&updated));
        record(&updated, Ok(())).unwrap();
        assert!(is_fresh(&updated));
        std::fs::remove_file(&updated).unwrap();
    }

    #[test]
    fn what_apt_prints() {
        let madison = " linux-image-cloud-amd64 | 7.3.4-1~bpo13+1 | http://x trixie-backports/main amd64 \
                       Packages\n \
                       linux-image-cloud-amd64 | 6.1.192-2 | http://x bookworm/main amd64 Packages\n";
        assert_eq!(versions(madison), ["7.3.4-1~bpo13+1", "6.1.192-2"]);
        let shown = "Package: a\nDepends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2), kmod, \
                     libc6 (>= 2)\n\
                     Size: 1";
        let found: Vec<_> = dependencies(shown).collect();
        assert_eq!(
            found,
            [
                ("linux-image-6.1.0-56-cloud-amd64".to_owned(), Some("6.1.192-2".to_owned())),
                ("kmod".to_owned(), None),
                ("libc6".to_owned(), None)
            ]
        );
        assert_eq!(dependencies("Depends: ").count(), 0);
        let printed = "Inst zlib1g (1:1.2.13-1 Debian:12/oldstable [amd64])\n\
                       Inst libaudit-common (1:3.0.9-1 Debian:12/oldstable [all]) []\n\
                       Conf zlib1g (1:1.2.13-1 Debian:12/oldstable [amd64])\n";
        assert_eq!(simulated(printed), [("zlib1g".to_owned(), "1:1.2.13-1".to_owned())]);
    }
}
