//! Recipes that are right, and each mistake with the place it is reported at.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::path::{Path, PathBuf};

use igvm_tools::inspect::{Inspection, Plinth};
use igvm_tools::recipe::{Loaded, RecipeError};
use pvh_loader::file::IgvmFile;

/// A folder with a kernel, a file, and this recipe.
fn prepare(test: &str, recipe: &str) -> PathBuf {
    let folder = support::folder(test);
    std::fs::write(folder.join("kernel"), support::kernel(5)).unwrap();
    std::fs::write(folder.join("writable"), support::kernel(7)).unwrap();
    std::fs::write(folder.join("file"), "from the folder").unwrap();
    std::fs::write(folder.join("recipe.json"), recipe).unwrap();
    folder
}

fn build(folder: &Path, roots: &[PathBuf], overrides: &[&str]) -> Result<Plinth, RecipeError> {
    let overrides: Vec<String> = overrides.iter().map(|one| one.to_string()).collect();
    let built = Loaded::read(&folder.join("recipe.json"), roots, &overrides)?.build()?;
    let file = IgvmFile::parse(&built.bytes).unwrap();
    Ok(Inspection::new(&file).unwrap().plinth.unwrap())
}

fn names(plinth: &Plinth) -> Vec<(&str, &str, u64)> {
    plinth.files.iter().map(|file| (&*file.kind, &*file.name, file.bytes)).collect()
}

const RECIPE: &str = r#"{
  "platforms": ["native"],
  "kernel": "kernel",
  "files": { "b": "file", "a": { "text": "hello" } },
  "payload": {
    "linux": "file",
    "initrd": "file",
    "cmdline": { "text": "quiet" }
  }
}"#;

#[test]
fn a_recipe() {
    let folder = prepare("a_recipe", RECIPE);
    let plinth = build(&folder, &[], &[]).unwrap();
    assert_eq!(
        names(&plinth),
        [
            ("system", "b", 15),
            ("system", "a", 5),
            ("payload", "linux", 15),
            ("payload", "initrd", 15),
            ("payload", "cmdline", 5),
        ]
    );
    assert_eq!((plinth.debug, plinth.window_gpa, plinth.window_bytes), (false, 0x0800_0000, 32 << 20));
    assert!(plinth.mitigations && plinth.shortcuts);
    assert_eq!(plinth.files[2].gpa, 0x0a00_0000);
}

#[test]
fn overrides() {
    let folder = prepare("overrides", RECIPE);
    let other = folder.join("other");
    std::fs::write(&other, "four").unwrap();
    let linux = format!("payload.linux={}", other.display());
    let init = format!("files.init.json=file:{}", other.display());
    let cmdline_file = format!("payload.cmdline=file:{}", other.display());
    let plinth = build(
        &folder,
        &[],
        &[
            "debug=true",
            "mitigations=false",
            "shortcuts=false",
            &linux,
            &init,
            "payload.initrd=",
            "payload.cmdline=root=/dev/vda ro",
            "files.a=text:x=y",
            "layout.window_base=0x10000000",
            "layout.window_bytes=1M",
            "layout.payload_base=1G",
        ],
    )
    .unwrap();
    assert_eq!(
        names(&plinth),
        [
            ("system", "b", 15),
            ("system", "a", 3),
            ("system", "init.json", 4),
            ("payload", "linux", 4),
            ("payload", "cmdline", 16),
        ]
    );
    assert_eq!((plinth.debug, plinth.window_gpa, plinth.window_bytes), (true, 0x1000_0000, 1 << 20));
    assert!(!plinth.mitigations && !plinth.shortcuts);
    assert_eq!(plinth.files[3].gpa, 1 << 30);
    assert_eq!(names(&build(&folder, &[], &[&cmdline_file]).unwrap())[4], ("payload", "cmdline", 4));
}

#[test]
fn file_roots_come_before_the_recipes_folder() {
    let folder = prepare("file_roots", RECIPE);
    let (first, second) = (folder.join("first"), folder.join("second"));
    for (root, text) in [(&first, "1"), (&second, "22")] {
        std::fs::create_dir(root).unwrap();
        std::fs::write(root.join("file"), text).unwrap();
    }
    for (roots, bytes) in
        [(vec![first.clone(), second.clone()], 1), (vec![second, first], 2), (vec![folder.join("none")], 15)]
    {
        assert_eq!(build(&folder, &roots, &[]).unwrap().files[0].bytes, bytes);
    }
}

#[test]
fn mistakes() {
    let with = |from: &str, to: &str| {
        assert!(RECIPE.contains(from));
        RECIPE.replacen(from, to, 1)
    };
    let layout =
        |layout: &str| with("\"kernel\": \"kernel\",", &format!("\"kernel\": \"kernel\",\n{layout},"));
    // Line, field, a part of the message.
    let cases = [
        ("".to_owned(), 1, "", "EOF"),
        ("{\n \"kernel\": 5 }".to_owned(), 2, "kernel", "invalid type"),
        ("{}".to_owned(), 1, "", "missing field `platforms`"),
        (RECIPE.to_owned() + "x", 10, "", "trailing"),
        (with("\"files\"", "\"file\""), 4, "file", "unknown field `file`"),
        (with("\"native\"", "\"tdx\""), 2, "platforms[0]", "unknown variant `tdx`"),
        (with("[\"native\"]", "[]"), 2, "platforms", "for one platform"),
        (with("[\"native\"]", "[\"native\", \"native\"]"), 2, "platforms", "for one platform"),
        (with("{ \"text\": \"hello\" }", "{ \"txt\": \"hello\" }"), 4, "files.a", "unknown field `txt`"),
        (with("{ \"text\": \"hello\" }", "{}"), 4, "files.a", "missing field `text`"),
        (with("{ \"text\": \"hello\" }", "7"), 4, "files.a", "a path, or"),
        (with("\"a\"", "\"b\""), 4, "files", "used twice"),
        (with("\"initrd\": \"file\"", "\"initrd\": \"nowhere\""), 7, "payload.initrd", "no file nowhere"),
        (with("\"initrd\": \"file\"", "\"initrd\": \"\""), 7, "payload.initrd", "--set payload.initrd=PATH"),
        (with("\"kernel\": \"kernel\"", "\"kernel\": \"nowhere\""), 3, "kernel", "no file nowhere"),
        (with("\"kernel\": \"kernel\"", "\"kernel\": \"file\""), 3, "kernel", "not a readable ELF64"),
        (with("\"kernel\": \"kernel\"", "\"kernel\": \".\""), 3, "kernel", "cannot read"),
        (with("\"kernel\": \"kernel\"", "\"kernel\": \"writable\""), 3, "kernel", "writable and executable"),
        (with("\"initrd\"", "\"a\""), 7, "payload.a", "used twice in the image"),
        (with("\"b\"", "\"\""), 4, "files.", "empty"),
        (layout("\"layout\": { \"window\": 5 }"), 4, "layout.window", "unknown field `window`"),
        (layout("\"layout\": { \"window_base\": -5 }"), 4, "layout.window_base", "a number of bytes"),
        (layout("\"layout\": { \"window_base\": \"5X\" }"), 4, "layout.window_base", "a number of bytes"),
        (layout("\"layout\": {\n\"window_base\": 5 }"), 5, "layout.window_base", "not a multiple"),
        (layout("\"layout\": { \"window_bytes\": 0 }"), 4, "layout.window_bytes", "not a multiple"),
        (
            layout("\"layout\": { \"payload_base\": \"129M\" }"),
            4,
            "layout.payload_base",
            "overlaps the window",
        ),
        (layout("\"layout\": { \"window_bytes\": \"32K\" }"), 4, "layout.window_bytes", "too few"),
    ];
    for (recipe, line, field, message) in cases {
        let folder = prepare("mistakes", &recipe);
        let error = build(&folder, &[], &[]).unwrap_err();
        let path = format!("{}:", folder.join("recipe.json").display());
        let place = error.place.strip_prefix(&path).unwrap();
        let (numbers, found) = place.split_once(": ").unwrap_or((place, ""));
        // What the parser finds has a column too.
        assert_eq!((numbers.split(':').next(), found), (Some(&*line.to_string()), field), "{error}");
        assert!(error.message.contains(message), "{error} does not say {message:?}");
    }
}

#[test]
fn mistakes_on_the_command_line() {
    let folder = prepare("mistakes_on_the_command_line", RECIPE);
    for (assignment, place, message) in [
        ("debug", "--set debug", "KEY=VALUE"),
        ("debug=yes", "--set debug=yes", "true or false"),
        ("mitigations=1", "--set mitigations=1", "true or false"),
        ("shortcuts=no", "--set shortcuts=no", "true or false"),
        ("platforms=snp", "--set platforms=snp", "the key is one of"),
        ("layout.window=5", "--set layout.window=5", "layout has window_base"),
        ("layout.window_base=five", "--set layout.window_base=five", "an amount is like"),
        ("layout.window_base=5", "--set layout.window_base", "not a multiple"),
        ("payload.linux=/nowhere/at/all", "--set payload.linux", "no file /nowhere/at/all"),
        ("kernel=/nowhere/at/all", "--set kernel", "no file /nowhere/at/all"),
    ] {
        let error = build(&folder, &[], &[assignment]).unwrap_err();
        assert_eq!(error.place, place, "{error}");
        assert!(error.message.contains(message), "{error} does not say {message:?}");
    }
    let error = Loaded::read(Path::new("/nowhere/r.json"), &[], &[]).unwrap_err();
    assert!(error.to_string().starts_with("/nowhere/r.json: cannot read it"), "{error}");
}

#[test]
fn the_projects_recipes_are_recipes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if std::fs::read_to_string(&path).unwrap().contains("\"platforms\"") {
            let recipe = Loaded::read(&path, &[], &[]).unwrap();
            assert!(!recipe.recipe().description.is_empty(), "{}", path.display());
            count += 1;
        }
    }
    assert!(count >= 2);
}
