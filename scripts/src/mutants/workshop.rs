//! Where mutants are made, built and run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use plinth_qemu::Qemu;

use super::tree::{Tree, same_file};
use super::{Killer, Mutant, Report, Verdict};
use crate::build::{Build, PLINTH, cargo};
use crate::project::Project;
use crate::testing::{Checked, Suite};
use crate::tests::{GROUPS, abi};

/// How much longer than without a change a killer may take, lest a busy machine counts as a kill: so many
/// times, and so long besides.
const SLOWER: u32 = 6;
const BESIDES: Duration = Duration::from_secs(40);
/// How long a killer may take without a change.
const FIRST: Duration = Duration::from_secs(600);
/// How much of a killer's words is kept.
const WORDS: usize = 160;

/// A copy of the source tree, with a target folder of its own.
#[derive(Debug)]
pub struct Workshop {
    original: Project,
    project: Project,
    tree: Tree,
    qemu: Qemu,
    /// How long each killer took without a change, or why it is none.
    baselines: HashMap<Killer, Result<Duration, String>>,
}

/// How a killer ended.
struct Ended {
    passed: bool,
    why: String,
    took: Duration,
}

impl Workshop {
    /// Opens the workshop in a folder. The project itself has to be built: what a mutant does not change is
    /// taken from there.
    ///
    /// # Errors
    /// When the copy can't be made.
    pub fn new(original: &Project, qemu: &Qemu, folder: &Path) -> Result<Self> {
        // Cargo is run in the copy, where a relative path would be another.
        let folder = std::path::absolute(folder).with_context(|| folder.display().to_string())?;
        let (root, target) = (folder.join("tree"), folder.join("target"));
        let tree = Tree::new(&original.root, &root)?;
        let work = target.join("run");
        crate::project::make_folder(&work)?;
        let project = Project { root, target, work, cache: original.cache.clone() };
        Ok(Self { original: original.clone(), project, tree, qemu: qemu.clone(), baselines: HashMap::new() })
    }

    /// Runs each killer of these mutants without a change: it has to pass. Says which does not.
    ///
    /// # Errors
    /// When the programs can't be copied.
    pub fn baselines(&mut self, mutants: &[Mutant], mut say: impl FnMut(&str)) -> Result<()> {
        self.place_programs()?;
        // Many mutants share a killer: each is run once.
        for killer in mutants.iter().flat_map(|mutant| &mutant.killed_by) {
            if self.baselines.contains_key(killer) {
                continue;
            }
            let baseline = match self.run(killer, "baseline", FIRST) {
                Ok(Ended { passed: true, took, .. }) => Ok(took),
                Ok(Ended { why, .. }) => Err(format!("{killer} fails without a change: {why}")),
                Err(error) => Err(format!("{killer} does not run without a change: {error:#}")),
            };
            match &baseline {
                Ok(took) => say(&format!("passes    {killer} ({} s)", took.as_secs())),
                Err(why) => say(why),
            }
            self.baselines.insert(killer.clone(), baseline);
        }
        Ok(())
    }

    /// Makes a mutant and runs its killers until one fails.
    pub fn test(&self, mutant: &Mutant) -> Report {
        let began = Instant::now();
        let verdict = match self.tree.change(mutant) {
            Ok(change) => {
                let verdict = self.run_killers(mutant);
                // The file is as it was before the next mutant, whatever became of this one.
                drop(change);
                verdict.unwrap_or_else(|error| Verdict::NotTried(format!("{error:#}")))
            }
            Err(error) => Verdict::Stale(format!("{error:#}")),
        };
        Report { name: mutant.name.clone(), verdict, took: began.elapsed() }
    }

    fn run_killers(&self, mutant: &Mutant) -> Result<Verdict> {
        let mut built = false;
        for killer in &mutant.killed_by {
            let baseline = self.baselines.get(killer).context("no baseline")?;
            let usual = baseline.as_ref().map_err(|why| anyhow!("{why}"))?;
            // Unit tests build what they need themselves; only images need programs, and those once for all
            // killers.
            if !built && !matches!(killer, Killer::Unit { .. }) {
                self.place_programs()?;
                let packages = packages_of(&mutant.file)?;
                Build::new(&self.project, packages).run_quietly().context("does not build")?;
                built = true;
            }
            // A change that has a test hang is noticed by the time that it takes.
            let ended = self.run(killer, &mutant.name, *usual * SLOWER + BESIDES)?;
            if !ended.passed {
                return Ok(Verdict::Killed(killer.clone(), ended.why));
            }
        }
        Ok(Verdict::Survived)
    }

    /// Puts the project's own programs in the place of those that were built with a change.
    fn place_programs(&self) -> Result<()> {
        let (from, to) = (self.original.programs(), self.project.programs());
        crate::project::make_folder(&to)?;
        let entries =
            std::fs::read_dir(&from).with_context(|| format!("no programs in {}", from.display()))?;
        for entry in entries {
            let path = entry?.path();
            // Programs have no extension; beside them lie libraries and what cargo notes.
            if path.is_file() && path.extension().is_none() {
                same_file(&path, &to.join(path.file_name().unwrap_or_default()))?;
            }
        }
        Ok(())
    }

    /// Runs a killer. An error says that it did not come to its end, so that nothing is known.
    fn run(&self, killer: &Killer, label: &str, limit: Duration) -> Result<Ended> {
        let folder = self.project.work.join(label);
        // A suite of one check: its words are wanted, not its lines.
        let suite = Suite::new(&self.project, &folder)?.quiet();
        // A check may be one boot long: both end by the same time.
        let mut suite = suite.with_check_limit(limit).with_boot_limit(limit);
        match killer {
            Killer::Unit { package, filter } => self.unit_tests(&mut suite, package, filter),
            Killer::Abi { variant, processors, part } => {
                let name = killer.to_string().replace(' ', "-");
                suite.check(&name, |case| abi::part(case, &self.qemu, *variant, *processors, part));
                booted(suite.checked(), &name)
            }
            Killer::Check { group, name } => {
                let group = GROUPS.iter().find(|one| one.name == group).context("no such group")?;
                let mut suite = suite.only(&[name]);
                (group.run)(&mut suite, &self.qemu)?;
                booted(suite.checked(), name)
            }
        }
    }

    fn unit_tests(&self, suite: &mut Suite, package: &str, filter: &str) -> Result<Ended> {
        let mut build = self.cargo_test(package);
        // Built by itself first: a test that does not compile has noticed nothing.
        let output = crate::command::captured(build.arg("--no-run"))?;
        ensure!(
            output.status.success(),
            "does not build: {}",
            last(&String::from_utf8_lossy(&output.stderr))
        );
        suite.check("unit", |case| case.run(self.cargo_test(package).arg(filter)).map(drop));
        let checked = suite.checked().last().context("no result")?;
        let words = &checked.words;
        if checked.passed {
            // A filter with a mistake in it would pass for ever, whatever is broken.
            ensure!(any_ran(words), "no test has \"{filter}\" in its name");
        } else if !["test result: FAILED", "SIGABRT", "SIGSEGV", "no end after"]
            .iter()
            .any(|w| words.contains(w))
        {
            bail!("the tests did not come to an end: {}", last(words));
        }
        Ok(Ended { passed: checked.passed, why: why(words), took: checked.took })
    }

    fn cargo_test(&self, package: &str) -> Command {
        let mut command = cargo(&self.project.root);
        command.args(["test", "-p", package, "--lib", "--target-dir"]).arg(&self.project.target);
        // Some packages have tests beside their library. Asked for where there are none, cargo would fail.
        if self.project.root.join(folder_of(package)).join("tests").is_dir() {
            command.args(["--test", "*"]);
        }
        command
    }
}

/// The folder of a package that has tests beside its library.
fn folder_of(package: &str) -> &str {
    match package {
        "tpm2-engine" => "devices/tpm",
        // Others are called as their folders are.
        name => name,
    }
}

/// Whether one of the programs with tests, in what they wrote, ran any.
fn any_ran(words: &str) -> bool {
    words.lines().any(|line| line.trim().starts_with("running ") && !line.contains("running 0 tests"))
}

/// The packages to build for images when a file has changed.
fn packages_of(file: &Path) -> Result<&'static [&'static str]> {
    const OF: [(&str, &[&str]); 9] = [
        ("vmm-kernel", &["vmm-kernel"]),
        ("vmm-user/vmm", &["vmm"]),
        ("devices", &["vmm"]),
        ("decoder", &["vmm"]),
        ("vmm-user/init", &["init"]),
        ("vmm-user/snp-sim", &["snp-sim"]),
        ("vmm-user/snp-model", &["snp-sim"]),
        // Of all that is linked with it, the one whose killers are the ABI's.
        ("vmm-user/runtime", &["abi-test"]),
        ("vcpu-abi", &PLINTH),
    ];
    let found = OF.iter().find(|(folder, _)| file.starts_with(PathBuf::from(folder)));
    found.map(|(_, packages)| *packages).with_context(|| format!("no program has {}", file.display()))
}

/// A check that booted a machine.
fn booted(checked: &[Checked], name: &str) -> Result<Ended> {
    // A check's images are packed by checks beside it.
    if let Some(build) = checked.iter().find(|one| one.name != name && !one.passed) {
        bail!("{}: {}", build.name, last(&build.words));
    }
    let check = checked.iter().find(|one| one.name == name).with_context(|| format!("no check {name}"))?;
    // A QEMU that is missing fails every check, and kills nothing.
    ensure!(check.boots > 0, "no machine was booted: {}", last(&check.words));
    Ok(Ended { passed: check.passed, why: why(&check.words), took: check.took })
}

/// The line that says most of why a killer failed.
fn why(words: &str) -> String {
    let marks = ["FAILED: ", "kernel panic", " ... FAILED", "thread '"];
    let line = marks.iter().find_map(|mark| words.lines().find(|line| line.contains(mark)));
    line.map_or_else(|| last(words), cut)
}

fn last(words: &str) -> String {
    cut(words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("not a word"))
}

fn cut(line: &str) -> String {
    line.trim().chars().take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons() {
        assert_eq!(why("a\nx FAILED: b\nc"), "x FAILED: b");
        assert_eq!(why("a\n\n"), "a");
        assert_eq!(why(""), "not a word");
        assert_eq!(packages_of(Path::new("vmm-user/vmm/src/vcpu.rs")).unwrap(), ["vmm"]);
        assert!(packages_of(Path::new("README.md")).is_err());
    }

    #[test]
    fn only_a_boot_counts() {
        let checked = |name: &str, passed, boots| Checked {
            name: name.to_owned(),
            passed,
            boots,
            took: Duration::ZERO,
            words: "words".to_owned(),
        };
        assert!(booted(&[checked("a", false, 0)], "a").is_err(), "QEMU did not start");
        assert!(booted(&[checked("a-build", false, 0), checked("a", false, 1)], "a").is_err());
        assert!(booted(&[checked("b", true, 1)], "a").is_err());
        assert!(!booted(&[checked("a-build", true, 0), checked("a", false, 1)], "a").unwrap().passed);
        assert!(booted(&[checked("a", true, 1)], "a").unwrap().passed);
    }
}
