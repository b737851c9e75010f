//! docs/abi.md describes every operation there is, under its code and with the rights it takes, and no other;
//! the example of docs/add-a-device.md is the one that is compiled; links between documents lead to a file
//! and to a heading in it; where a document names something in a file ("`a/b.rs`: `name`"), it is there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use vcpu_abi::operation::OPERATIONS;

use super::{ending_in, files, root, text};

/// A line an operation as its heading has it: `NAME (KIND_NUMBERh, needs RIGHT | RIGHT)`. The rights are read
/// from the declaration `NAME(KIND, NUMBER, RIGHT | RIGHT) {`.
fn declared() -> Result<BTreeSet<String>> {
    // As text: the rights are an expression in a macro's input, which no list at run time has as it is
    // written.
    let is_source = |file: &&PathBuf| file.starts_with("vcpu-abi/src/operation");
    let source: String = files()?.iter().filter(is_source).map(text).collect::<Result<_>>()?;
    let heading = |(code, name): &(u32, &str)| {
        let start = format!("    {name}(");
        let line = source.lines().find_map(|line| line.strip_prefix(&start)?.strip_suffix(") {"));
        let rights = line.and_then(|line| line.splitn(3, ", ").nth(2));
        let rights = rights.with_context(|| format!("no declaration of {name} is seen"))?;
        Ok(format!("{name} ({:04X}_{:04X}h, needs {rights})", code >> 16, code & 0xffff))
    };
    OPERATIONS.iter().map(heading).collect()
}

/// The same from the document. What follows the rights ("; HANDLE_SELF only") is its own.
fn described(document: &str) -> BTreeSet<String> {
    let headings = document.lines().filter_map(|line| line.strip_prefix("#### "));
    // The document has other headings of this level; only an operation's has its code in parentheses.
    let operations = headings.filter(|heading| heading.contains('('));
    operations.map(|heading| heading.split([';', ')']).next().unwrap_or_default().to_owned() + ")").collect()
}

/// What lies between the lines "```rust" and "```".
fn example(document: &str) -> String {
    let inside = document.lines().skip_while(|line| *line != "```rust").skip(1);
    inside.take_while(|line| *line != "```").map(|line| line.to_owned() + "\n").collect()
}

/// The targets of a document's links, but for those into the Web.
fn links(document: &str) -> impl Iterator<Item = &str> {
    let ends = document.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    // The Web is not asked: what is there may go without anybody's doing here.
    ends.map(|(target, _)| target).filter(|target| !target.contains("://"))
}

/// The anchors that GitHub makes of a document's headings: lower case, hyphens for blanks, no punctuation.
fn anchors(document: &str) -> Vec<String> {
    let kept = |letter: char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_');
    let headings = document.lines().filter(|line| line.starts_with('#'));
    let words = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    words.map(|words| words.chars().filter(|l| kept(*l)).collect::<String>().replace(' ', "-")).collect()
}

fn check_link(document: &std::path::Path, link: &str) -> Result<()> {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    // Links are relative to the document that has them.
    let folder = document.parent().context("a document is in a folder")?;
    let target = if file.is_empty() { document.to_path_buf() } else { folder.join(file) };
    ensure!(root().join(&target).exists(), "{}: there is no {link}", document.display());
    let has_heading = anchor.is_empty() || anchors(&text(&target)?).iter().any(|heading| heading == anchor);
    ensure!(has_heading, "{}: {link} has no such heading", document.display());
    Ok(())
}

/// Files and what a document names in them: "`a/b.rs`: `name`" and "`a/b.rs`: `Type::name`" give `name`.
fn named(document: &str) -> impl Iterator<Item = (&str, &str)> {
    // In turns outside and inside of backquotes, so that a file, what is between, and a name are three in a
    // row.
    let spans: Vec<_> = document.split('`').collect();
    let pairs: Vec<_> = spans.windows(3).map(|three| (three[0], three[1], three[2])).collect();
    pairs.into_iter().filter_map(|(file, between, name)| {
        let is_pair = file.ends_with(".rs") && !file.contains(' ') && between.trim_end() == ":";
        is_pair.then(|| (file, name.rsplit("::").next().unwrap_or(name)))
    })
}

/// Whether a text has a word, by itself.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.split(|letter| !is_part(letter)).any(|found| found == word)
}

#[test]
fn every_operation_is_described_as_it_is_declared() {
    let (declared, described) = (declared().unwrap(), described(&text("docs/abi.md").unwrap()));
    let missing: Vec<_> = declared.difference(&described).collect();
    let more: Vec<_> = described.difference(&declared).collect();
    assert!(missing.is_empty() && more.is_empty(), "docs/abi.md lacks {missing:#?} and has {more:#?}");
}

#[test]
fn the_example_of_a_device_is_the_one_that_is_compiled() {
    let document = example(&text("docs/add-a-device.md").unwrap());
    assert_eq!(document, text("devices/src/egg_timer.rs").unwrap());
}

#[test]
fn the_number_of_operations_is_so() {
    let operations = format!("{} operations", OPERATIONS.len());
    assert!(text("README.md").unwrap().contains(&operations), "README.md does not say: {operations}");
}

#[test]
fn what_is_named_in_a_file_is_there() {
    let (sources, mut count) = (ending_in(".rs").unwrap(), 0);
    for document in ending_in(".md").unwrap() {
        for (file, name) in named(&text(&document).unwrap()) {
            let mut those = sources.iter().filter(|source| source.ends_with(file));
            let found = those.any(|source| has_word(&text(source).unwrap(), name));
            assert!(found, "{}: there is no {name} in {file}", document.display());
            count += 1;
        }
    }
    // Were documents written in another way, nothing would be looked for, and nothing found to be wrong.
    assert!(count > 20, "{count} names in files were looked for");
}

/// Files that a document names, by whole path or the end of one.
fn named_files(document: &str) -> impl Iterator<Item = &str> {
    let is_file = |span: &&str| {
        let is_name = |letter: char| letter.is_alphanumeric() || "/._-".contains(letter);
        span.chars().all(is_name) && span.ends_with(".rs")
    };
    document.split('`').filter(is_file)
}

#[test]
fn files_that_are_named_are_there() {
    let sources = ending_in(".rs").unwrap();
    for document in ending_in(".md").unwrap() {
        for file in named_files(&text(&document).unwrap()) {
            let is_there = sources.iter().any(|source| source.ends_with(file));
            assert!(is_there, "{}: there is no {file}", document.display());
        }
    }
}

/// The third step of a stranger's way to any line: README.md, ARCHITECTURE.md, a file.
#[test]
fn every_module_of_kernel_and_vmm_is_in_architecture() {
    let architecture = text("ARCHITECTURE.md").unwrap();
    let part = |from: &str, to: &str| {
        let behind = architecture.split_once(from).unwrap().1;
        behind.split_once(to).unwrap().0.to_owned()
    };
    let kernel = part("### The kernel, module by module", "### The VMM");
    let vmm = part("### The VMM, module by module", "## Trust");
    let mut missing = Vec::new();
    for (folder, part) in [("vmm-kernel/src", kernel), ("vmm-user/vmm/src", vmm)] {
        for file in ending_in(".rs").unwrap().into_iter().filter(|file| file.starts_with(folder)) {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            // The row of a folder speaks of these, and of what is for tests.
            let is_head = ["lib", "main", "mod", "tests", "fake", "device-host"].contains(&&*name);
            let is_for_tests = file.components().any(|part| part.as_os_str() == "tests");
            if !is_head && !is_for_tests && !has_word(&part, &name) {
                missing.push(file);
            }
        }
    }
    assert!(missing.is_empty(), "a table of ARCHITECTURE.md needs a row, or a name in one, for {missing:#?}");
}

/// The same for crates whose modules have one row together: what lies beside `lib.rs`.
#[test]
fn every_module_of_the_other_crates_is_in_architecture() {
    let architecture = text("ARCHITECTURE.md").unwrap();
    let part = architecture.split_once("### The other crates, module by module").unwrap().1;
    let part = part.split_once("## Trust").unwrap().0;
    let rows = [
        ("vcpu-abi", "vcpu-abi/src"),
        ("snp-abi", "vcpu-abi/snp-abi/src"),
        ("decoder", "decoder/src"),
        ("decoder/oracle", "decoder/oracle/src"),
        ("devices", "devices/src"),
        ("devices/nvme", "devices/nvme/src"),
        ("devices/virtio", "devices/virtio/src"),
        ("devices/tpm", "devices/tpm/src"),
        ("igvm-tools", "igvm-tools/src"),
        ("pvh-loader", "igvm-tools/pvh-loader/src"),
        ("scripts", "scripts/src"),
        ("scripts/qemu", "scripts/qemu/src"),
        ("runtime", "vmm-user/runtime/src"),
        ("snp-model", "vmm-user/snp-model/src"),
        ("snp-sim", "vmm-user/snp-sim/src"),
    ];
    let sources = ending_in(".rs").unwrap();
    for (name, folder) in rows {
        let row = part.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
        let inside = sources.iter().filter_map(|file| file.strip_prefix(folder).ok());
        let tops: BTreeSet<_> = inside.filter_map(|file| file.components().next()).collect();
        for module in tops {
            let module = module.as_os_str().to_string_lossy();
            let module = module.trim_end_matches(".rs");
            // In `scripts`, what is called after tests is the crate's own business.
            let is_head = ["lib", "main", "bin", "tests", "testing"].contains(&module) && name != "scripts";
            let is_head = is_head || ["lib", "main"].contains(&module);
            assert!(is_head || has_word(row, module), "the row of {name} lacks {module}");
        }
    }
}

#[test]
fn links_lead_to_something() {
    for document in ending_in(".md").unwrap() {
        for link in links(&text(&document).unwrap()) {
            check_link(&document, link).unwrap();
        }
    }
}

#[test]
fn what_a_document_says_is_seen() {
    let document = "# A\n#### Name (0001_0002h, needs READ; SELF only)\n[x](a.md) [y](https://z) \
                    [z](#to-it--b)\n\
                    ## To it: / b\n```rust\nlet x;\n```\n";
    assert_eq!(described(document).into_iter().collect::<Vec<_>>(), ["Name (0001_0002h, needs READ)"]);
    assert_eq!(links(document).collect::<Vec<_>>(), ["a.md", "#to-it--b"]);
    assert_eq!(anchors(document)[2], "to-it--b");
    assert_eq!(example(document), "let x;\n");
    let names: Vec<_> = named("`a/b.rs`: `A::one`, `x` in `c.rs`:\n`two` and `d.rs`: three").collect();
    assert_eq!(names, [("a/b.rs", "one"), ("c.rs", "two")]);
    assert!(has_word("fn one(x: u8)", "one") && !has_word("fn one_more(x: u8)", "one"));
    let readme = std::path::Path::new("README.md");
    assert!(check_link(readme, "nowhere.md").is_err() && check_link(readme, "#no-such-heading").is_err());
}
