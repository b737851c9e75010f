//! Every dependency that a crate names is used by it, every one that the workspace names by a crate, and no
//! crate has lints of its own.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Result, anyhow};
use proc_macro2::{TokenStream, TokenTree};

use super::{ending_in, text};

/// Crates that are no members of the workspace, and so can't have its lints.
const ALONE: [&str; 2] = ["benches/emulator-peer/Cargo.toml", "fuzz/Cargo.toml"];

/// The names in a manifest's lists of dependencies, of whichever kind and target.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut is_list = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            // `dev-dependencies`, and those of one target, end like this too.
            is_list = section.trim_end_matches(']').ends_with("dependencies");
        } else if let Some((key, _)) = line.split_once('=').filter(|_| is_list && !line.starts_with('#')) {
            // `name.workspace = true` has the name before the dot.
            let name = key.trim().split('.').next().unwrap_or_default();
            names.insert(name.to_owned());
        }
    }
    names
}

/// Adds the identifiers of Rust source; those in comments and documents are none.
fn identifiers(source: &str, found: &mut BTreeSet<String>) -> Result<()> {
    fn add(tokens: TokenStream, found: &mut BTreeSet<String>) {
        for token in tokens {
            match token {
                TokenTree::Ident(name) => drop(found.insert(name.to_string())),
                // All that is in brackets, macros' input too: a crate may be named nowhere else.
                TokenTree::Group(group) => add(group.stream(), found),
                _ => {}
            }
        }
    }
    add(TokenStream::from_str(source).map_err(|error| anyhow!("{error}"))?, found);
    Ok(())
}

/// The identifiers of a crate's sources, those of crates in folders below it left out.
fn identifiers_of(manifest: &Path, manifests: &[std::path::PathBuf]) -> Result<BTreeSet<String>> {
    let folder = |manifest: &Path| manifest.parent().unwrap_or(Path::new("")).to_path_buf();
    let own = folder(manifest);
    let others: Vec<_> = manifests.iter().map(|other| folder(other)).filter(|other| *other != own).collect();
    let mut found = BTreeSet::new();
    for file in ending_in(".rs")?.iter().filter(|file| file.starts_with(&own)) {
        // A crate within this one's folder has its own manifest.
        if !others.iter().any(|other| other.starts_with(&own) && file.starts_with(other)) {
            identifiers(&text(file)?, &mut found)?;
        }
    }
    Ok(found)
}

/// The crates' manifests; the workspace's is none.
fn manifests() -> Result<Vec<std::path::PathBuf>> {
    let mut all = ending_in("Cargo.toml")?;
    // It lists what crates may take, and has no source.
    all.retain(|manifest| manifest != Path::new("Cargo.toml"));
    Ok(all)
}

#[test]
fn dependencies_are_used() {
    let manifests = manifests().unwrap();
    let mut unused = String::new();
    for manifest in &manifests {
        let identifiers = identifiers_of(manifest, &manifests).unwrap();
        for name in dependencies(&text(manifest).unwrap()) {
            // As Rust spells it.
            if !identifiers.contains(&name.replace('-', "_")) {
                unused += &format!("\n  {}: {name}", manifest.display());
            }
        }
    }
    assert!(unused.is_empty(), "dependencies that nothing names:{unused}");
}

#[test]
fn dependencies_of_the_workspace_are_used() {
    let all: BTreeSet<_> =
        manifests().unwrap().iter().flat_map(|manifest| dependencies(&text(manifest).unwrap())).collect();
    let unused: Vec<_> = dependencies(&text("Cargo.toml").unwrap()).difference(&all).cloned().collect();
    assert!(unused.is_empty(), "no crate has these dependencies of the workspace: {unused:?}");
}

#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    for manifest in manifests().unwrap() {
        let has = text(&manifest).unwrap().contains("[lints]\nworkspace = true\n");
        let is_alone = ALONE.iter().any(|alone| manifest == Path::new(alone));
        assert!(has != is_alone, "{}", manifest.display());
    }
    assert!(text("Cargo.toml").unwrap().contains("missing_docs = \"deny\"\n"));
}

#[test]
fn what_is_a_dependency_and_what_uses_it() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\na-b = \"1\"\nc.workspace = true\n# d = \"1\"\n\
                    [target.'cfg(unix)'.dev-dependencies]\ne = { version = \"1\" }\n[features]\nf = []\n";
    assert_eq!(dependencies(manifest).into_iter().collect::<Vec<_>>(), ["a-b", "c", "e"]);
    let mut found = BTreeSet::new();
    identifiers("/// [`hidden`]\nfn f() { m!(a_b::c) } // comment\n#[derive(d::E)] struct S;", &mut found)
        .unwrap();
    for (name, is_there) in [("a_b", true), ("d", true), ("hidden", false), ("comment", false)] {
        assert_eq!(found.contains(name), is_there, "{name}");
    }
}
