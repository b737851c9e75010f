//! No line of code, comments or documents ends behind column 110, which is rustfmt's limit here.

use std::path::Path;

use super::{files, text};
use crate::tests::source::is_shell;

const COLUMNS: usize = 110;

/// Kinds of files that people write, by the ends of their names.
const WRITTEN: &[&str] = &["rs", "S", "c", "h", "ld", "md", "toml", "json", "txt", "conf", "sh"];

/// Whether a line can't be broken: a row of a table, a record that a program writes, or one word of a
/// document that is longer by itself.
fn is_unbreakable(file: &Path, line: &str) -> bool {
    if file.ends_with("mutants.d/killed.txt") {
        return true;
    }
    let is_document = file.extension().is_some_and(|end| end == "md");
    is_document && (line.starts_with('|') || line.split_whitespace().count() == 1)
}

/// The numbers of lines that are too long.
fn too_long(file: &Path, text: &str) -> Vec<usize> {
    let lines = (1..).zip(text.lines());
    // Characters, not bytes: what a reader sees is meant.
    let long = lines.filter(|(_, line)| line.chars().count() > COLUMNS && !is_unbreakable(file, line));
    long.map(|(number, _)| number).collect()
}

#[test]
fn lines_are_not_too_long() {
    let (mut long, mut scripts) = (String::new(), 0);
    for file in files().unwrap() {
        let end = file.extension().map(|end| end.to_string_lossy().into_owned());
        let text = match end {
            Some(end) if WRITTEN.contains(&&*end) => text(&file).unwrap(),
            Some(_) => continue,
            // Programs that are typed have no ending; what is no text is none of them.
            None => text(&file).ok().filter(|text| is_shell(text)).unwrap_or_default(),
        };
        scripts += usize::from(is_shell(&text));
        for number in too_long(&file, &text) {
            long += &format!("\n  {}:{number}", file.display());
        }
    }
    // If none were recognized, none would be looked at.
    assert!(scripts >= 10, "{scripts} shell scripts were looked at");
    assert!(long.is_empty(), "lines of more than {COLUMNS} columns:{long}");
}

#[test]
fn long_lines_are_seen() {
    let (short, long) = ("é ".repeat(COLUMNS / 2), "e ".repeat(COLUMNS / 2) + "e");
    let (code, document) = (Path::new("a.rs"), Path::new("a.md"));
    assert_eq!(too_long(code, &format!("{short}\n{long}\n|{long}\n")), [2, 3]);
    let word = "e".repeat(COLUMNS + 1);
    assert_eq!(too_long(document, &format!("{long}\n|{long}\n{word}\n{short}\n")), [1]);
}
