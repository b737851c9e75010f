//! The list agrees with the source.

use super::*;
use crate::tests::GROUPS;

/// Each mutant's text occurs in its file exactly once.
#[test]
fn none_is_stale() {
    let project = Project::open().unwrap();
    let stale: Vec<_> = all(&project)
        .unwrap()
        .iter()
        .filter_map(|mutant| Some(format!("{}: {:#}", mutant.name, mutant.applied_to(&project.root).err()?)))
        .collect();
    assert!(
        stale.is_empty(),
        "stale mutants: change scripts/mutants.d with the source:\n{}",
        stale.join("\n")
    );
}

/// Each killer names tests that there are.
#[test]
fn killers_exist() {
    let project = Project::open().unwrap();
    let suite = read(&project.root.join("vmm-user/abi-test/src/suite.rs")).unwrap();
    let is_part = |part: &str| suite.contains(&format!("    (\"{part}\", "));
    for Mutant { name, killed_by, .. } in all(&project).unwrap() {
        for killer in killed_by {
            match &killer {
                Killer::Unit { .. } => {}
                Killer::Abi { part, .. } => assert!(is_part(part), "{name}: no part \"{part}\""),
                Killer::Check { group, .. } => {
                    assert!(GROUPS.iter().any(|one| one.name == group), "{name}: no group {group}");
                }
            }
        }
    }
}

/// What is recorded as killed is in the list.
#[test]
fn records_name_mutants() {
    let project = Project::open().unwrap();
    let names: BTreeSet<_> = all(&project).unwrap().into_iter().map(|mutant| mutant.name).collect();
    for record in Record::read(&project).unwrap() {
        assert!(names.contains(&record.name), "no mutant {}", record.name);
    }
}
