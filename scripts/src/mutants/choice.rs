//! A few mutants of many, others with each commit.

use std::process::Command;

use super::{Mutant, Record};
use crate::command;
use crate::project::Project;

/// Takes `count` of those that are recorded as killed, by the hash of the commit: the same for the same
/// commit.
pub fn rotating(project: &Project, all: Vec<Mutant>, records: &[Record], count: usize) -> Vec<Mutant> {
    // Where there is no Git it is always the same few.
    let head = command::output(Command::new("git").arg("-C").arg(&project.root).args(["rev-parse", "HEAD"]));
    choose(head.unwrap_or_default().trim(), all, records, count)
}

fn choose(seed: &str, all: Vec<Mutant>, records: &[Record], count: usize) -> Vec<Mutant> {
    // A survivor among them would fail every run, for what is known already.
    let is_killed = |mutant: &Mutant| records.iter().any(|record| record.name == mutant.name);
    let mut killed: Vec<_> = all.into_iter().filter(is_killed).collect();
    // By hash, so that another commit has others.
    killed.sort_by_key(|mutant| hash(seed, &mutant.name));
    killed.truncate(count);
    killed
}

/// FNV-1a.
fn hash(seed: &str, name: &str) -> u64 {
    // By hand: the library's hash may be another one with the next compiler, and the choice with it.
    let bytes = seed.bytes().chain(name.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_turn() {
        let all: Vec<_> = (0..20)
            .map(|number| Mutant {
                name: format!("m{number}"),
                file: "f".into(),
                from: String::new(),
                to: String::new(),
                killed_by: Vec::new(),
            })
            .collect();
        let record = |mutant: &Mutant| Record { name: mutant.name.clone(), by: String::new(), seconds: 1 };
        let records: Vec<_> = all.iter().skip(1).map(record).collect();
        let chosen = |seed: &str| choose(seed, all.clone(), &records, 4);
        assert_eq!(chosen("a"), chosen("a"));
        assert_ne!(chosen("a"), chosen("b"));
        let mut seen: Vec<_> = (0..100).flat_map(|seed| chosen(&seed.to_string())).map(|m| m.name).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 19, "all, but the one that is not recorded: {seen:?}");
    }
}
