use std::collections::BTreeSet;
use std::path::Path;

use super::circles::Graph;
use super::source::{Import, Source};
use super::{CALLED_FROM_BELOW, FLOORS, OF_HOST_CALLS, OF_MASKING, OF_PLATFORMS, Words};

fn kernel() -> Source {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vmm-kernel/src");
    Source::read(&src).unwrap()
}

/// The floor of a file, and the name by which it is there.
fn floor(file: &str) -> Option<(usize, &'static str)> {
    let is_in =
        |name: &&str| file.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let numbered =
        FLOORS.iter().enumerate().flat_map(|(number, names)| names.iter().map(move |n| (number, *n)));
    numbered.filter(|(_, name)| is_in(name)).max_by_key(|(_, name)| name.len())
}

fn is_upward(import: &&Import) -> bool {
    match (floor(&import.from), floor(&import.to)) {
        (Some((from, at)), Some((to, at_to))) => at != at_to && to >= from,
        _ => true,
    }
}

/// The folder of a file. A file that has a folder of its own stands in that.
fn folder<'a>(file: &'a str, files: &BTreeSet<&str>) -> &'a str {
    let has_folder =
        files.iter().any(|other| other.strip_prefix(file).is_some_and(|rest| rest.starts_with('/')));
    if has_folder { file } else { file.rsplit_once('/').map_or("", |(folder, _)| folder) }
}

fn is_parent(one: &str, other: &str) -> bool {
    other.rsplit_once('/').is_some_and(|(folder, _)| folder == one)
}

fn are_parent_and_child(one: &str, other: &str) -> bool {
    is_parent(one, other) || is_parent(other, one)
}

fn listed<'a>(lines: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    lines.into_iter().map(|(from, to)| format!("\n  {from} -> {to}")).collect()
}

#[test]
fn every_file_of_the_kernel_stands_on_a_floor() {
    let kernel = kernel();
    let homeless: Vec<_> = kernel.files().into_iter().filter(|file| floor(file).is_none()).collect();
    assert!(homeless.is_empty(), "on no floor: {homeless:?}");
    for name in FLOORS.iter().copied().flatten() {
        assert!(kernel.files().iter().any(|file| floor(file).is_some_and(|(_, n)| n == *name)), "no {name}");
    }
}

#[test]
fn imports_of_the_kernel_go_down() {
    let imports = kernel().imports();
    let upward: String = imports
        .iter()
        .filter(is_upward)
        .map(|import| format!("\n  {} -> {}: {}", import.from, import.to, import.path))
        .collect();
    assert!(upward.is_empty(), "these imports go up, or to a neighbour:{upward}");
}

#[test]
fn no_files_of_the_kernel_stand_in_a_circle() {
    let imports = kernel().imports();
    let pairs = imports.iter().map(|import| (import.from.as_str(), import.to.as_str()));
    let mut circles = Graph::new(pairs).in_circles();
    circles.retain(|(from, to)| !are_parent_and_child(from, to));
    assert!(circles.is_empty(), "each of these is part of a circle:{}", listed(circles));
}

#[test]
fn no_folders_of_the_kernel_stand_in_a_circle() {
    let kernel = kernel();
    let (files, imports) = (kernel.files(), kernel.imports());
    let pairs = imports
        .iter()
        .filter(|import| !are_parent_and_child(&import.from, &import.to))
        .map(|import| (folder(&import.from, &files), folder(&import.to, &files)))
        .filter(|(from, to)| from != to && !from.is_empty() && !to.is_empty());
    let circles = Graph::new(pairs).in_circles();
    assert!(circles.is_empty(), "each of these is part of a circle:{}", listed(circles));
}

#[test]
fn what_is_called_by_name_alone_is_listed() {
    let listed = CALLED_FROM_BELOW.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(kernel().exported, listed);
}

/// Whether a line has a word, in any letters.
fn has_word(line: &str, word: &str) -> bool {
    let line = line.to_lowercase();
    let ends = |neighbour: Option<char>| neighbour.is_none_or(|c| !c.is_ascii_alphanumeric());
    line.match_indices(word)
        .any(|(at, _)| ends(line[..at].chars().next_back()) && ends(line[at + word.len()..].chars().next()))
}

/// The lines of the kernel outside of where its words belong that have one of them, tests aside.
fn out_of_place(words: &Words) -> Vec<String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vmm-kernel/src");
    let mut found = Vec::new();
    for file in kernel().files() {
        if words.within.iter().any(|name| file == *name || file.starts_with(&format!("{name}/"))) {
            continue;
        }
        let paths = [src.join(format!("{file}.rs")), src.join(file).join("mod.rs")];
        let path = paths.iter().find(|path| path.exists()).unwrap();
        for (number, line) in std::fs::read_to_string(path).unwrap().lines().enumerate() {
            if words.words.iter().any(|word| has_word(line, word)) {
                found.push(format!("\n  {file}, line {}: {}", number + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn only_backends_speak_of_their_platforms() {
    let found = out_of_place(&OF_PLATFORMS);
    assert!(found.is_empty(), "a platform's words outside of its backend:{}", found.concat());
}

#[test]
fn the_host_is_asked_in_one_place() {
    let found = out_of_place(&OF_HOST_CALLS);
    assert!(found.is_empty(), "not by cpu::host_call:{}", found.concat());
}

#[test]
fn interrupts_are_turned_on_and_off_in_one_place() {
    let found = out_of_place(&OF_MASKING);
    assert!(found.is_empty(), "not by cpu::masking:{}", found.concat());
}

/// The words are where they belong: else the two checks above would find nothing, whatever there was.
#[test]
fn words_are_found() {
    for (words, at_least) in [(OF_PLATFORMS, 50), (OF_HOST_CALLS, 5), (OF_MASKING, 5)] {
        let count = out_of_place(&Words { within: &[], ..words }).len();
        assert!(count >= at_least, "{count} lines have one of {:?}", words.words);
    }
    assert!(has_word("/// The VMCB's page", "vmcb") && has_word("intercept_cr: u32", "intercept"));
    assert!(!has_word("fn interceptor()", "intercept") && !has_word("let rasid = 1", "asid"));
}

fn imports_of(files: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut source = Source::default();
    files.iter().for_each(|(file, text)| source.add(file, text).unwrap());
    let pairs: BTreeSet<_> = source.imports().into_iter().map(|import| (import.from, import.to)).collect();
    pairs.into_iter().collect()
}

/// Whether `one` is seen to name `other`, which declares `pub struct Thing` and is passed on by `shop`.
fn names(one: &str) -> Vec<String> {
    let files = [
        ("lib", "pub mod one; pub mod other; pub mod shop;"),
        ("one", one),
        ("other", "pub struct Thing; pub const NUMBER: u32 = 1; pub mod inner { pub fn f() {} }"),
        ("shop/mod", "pub use crate::other as resold; pub use crate::other::Thing; pub mod shelf;"),
        ("shop/shelf", "pub use super::Thing as Good;"),
    ];
    let imports = imports_of(&files).into_iter().filter(|(from, _)| from == "one");
    imports.map(|(_, to)| to).collect()
}

#[test]
fn imports_are_seen_however_they_are_written() {
    for (text, expected) in [
        ("use crate::other::Thing;", &["other"][..]),
        ("use crate::{other::{self, NUMBER}};", &["other"]),
        ("use super::other as o; fn f() { o::inner::f() }", &["other"]),
        ("fn f() { use crate::other::Thing as T; }", &["other"]),
        ("fn f() -> u32 { crate::other::NUMBER }", &["other"]),
        ("fn f(x: super::other::Thing) {}", &["other"]),
        ("core::arch::global_asm!(\"\", f = sym crate::other::inner::f);", &["other"]),
        ("use crate::other::*;", &["other"]),
        ("mod inner { use super::super::other::Thing; }", &["other"]),
        // What passes it on is named as well.
        ("use crate::shop::Thing;", &["other", "shop"]),
        ("use crate::shop::resold::inner;", &["other", "shop"]),
        ("use crate::shop::shelf::Good;", &["other", "shop", "shop/shelf"]),
        // Not ours, and not code.
        ("use core::other::Thing; use other_crate::Thing as T;", &[]),
        ("/// [`x`](crate::other::Thing)\nfn f() {}", &[]),
        ("#[cfg(test)] mod tests { use crate::other::Thing; }", &[]),
        ("enum Own { Thing } fn f() { let _ = Own::Thing; }", &[]),
    ] {
        assert_eq!(names(text), expected, "{text}");
    }
}

#[test]
fn circles_are_found_over_others() {
    let graph = Graph::new([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e")]);
    assert_eq!(graph.in_circles(), [("a", "b"), ("b", "c"), ("c", "a")]);
}
