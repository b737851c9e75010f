//! The program as it is used: exit codes, messages, digests.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::path::{Path, PathBuf};

use support::{igvm_tools, text};

/// A folder with a recipe and the image built from it.
fn built(test: &str) -> (PathBuf, String) {
    let folder = support::folder(test);
    std::fs::write(folder.join("kernel"), support::kernel(5)).unwrap();
    let recipe = r#"{ "platforms": ["native"], "kernel": "kernel", "files": { "a": { "text": "A" } } }"#;
    std::fs::write(folder.join("r.json"), recipe).unwrap();
    let image = build(&folder, "image.igvm", &[]);
    (folder, image)
}

fn build(folder: &Path, name: &str, more: &[&str]) -> String {
    let (recipe, image) = (path(folder, "r.json"), path(folder, name));
    let output = igvm_tools(&[&["build", &recipe, "-o", &image], more].concat());
    assert!(output.status.success(), "{}", text(&output));
    image
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

fn digest(image: &str, hash: &str) -> String {
    let output = igvm_tools(&["measure", image, "--hash", hash]);
    assert!(output.status.success(), "{}", text(&output));
    text(&output).trim().to_owned()
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let (folder, first) = built("same_bytes");
    let second = build(&folder, "second.igvm", &[]);
    assert_eq!(std::fs::read(first).unwrap(), std::fs::read(second).unwrap());
}

#[test]
fn measurements() {
    let (folder, image) = built("measurements");
    let (short, long) = (digest(&image, "sha256"), digest(&image, "sha384"));
    assert_eq!((short.len(), long.len()), (64, 96));
    // Any part that changes changes it.
    let others = [
        build(&folder, "1.igvm", &["--set", "debug=true"]),
        build(&folder, "2.igvm", &["--set", "files.a=B"]),
        build(&folder, "3.igvm", &["--set", "files.b=text:"]),
        build(&folder, "4.igvm", &["--set", "payload.p=text:p"]),
        build(&folder, "5.igvm", &["--set", "layout.window_bytes=33M"]),
    ];
    let mut digests: Vec<_> = others.iter().map(|image| digest(image, "sha256")).collect();
    digests.push(short);
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 6);
}

#[test]
fn inspection() {
    let (_, image) = built("inspection");
    let output = igvm_tools(&["inspect", &image]);
    assert!(output.status.success() && text(&output).contains("platform   native"), "{}", text(&output));
    let output = igvm_tools(&["inspect", "--json", &image]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["format_version"], 1);
    assert_eq!(json["plinth"]["files"][0]["name"], "a");
    // printf A | sha256sum
    let digest = "559aead08264d5795d3909718cdd05abd49572e84fe55590eef31a88a08fdffd";
    assert_eq!(json["plinth"]["files"][0]["sha256"], digest);
}

#[test]
fn files_that_are_not_images() {
    let (folder, image) = built("not_images");
    let sound = std::fs::read(&image).unwrap();
    let mut corrupt = sound.clone();
    corrupt[60] ^= 1;
    let cases: [(&str, &[u8], &str); 6] = [
        ("empty", b"", "truncated"),
        ("text", b"hello, world\n", "not an IGVM file"),
        ("short", &sound[..sound.len() - 1], "truncated"),
        ("header", &sound[..20], "truncated"),
        ("corrupt", &corrupt, "checksum"),
        ("long", &[&sound[..], b"x"].concat(), "1 bytes after its end"),
    ];
    for (name, bytes, message) in cases {
        let file = path(&folder, name);
        std::fs::write(&file, bytes).unwrap();
        for command in ["inspect", "measure", "run"] {
            let output = igvm_tools(&[command, &file]);
            assert_eq!(output.status.code(), Some(1), "{command} {name}");
            let said = text(&output);
            assert!(said.contains(message) && said.contains(&file), "{command} {name}: {said}");
        }
    }
    let output = igvm_tools(&["inspect", "/nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("cannot read /nowhere"), "{}", text(&output));
}

#[test]
fn build_errors_and_usage() {
    let (folder, _) = built("build_errors");
    let (recipe, image) = (path(&folder, "r.json"), path(&folder, "no/such/folder.igvm"));
    let output = igvm_tools(&["build", &recipe, "-o", &image]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("cannot write"), "{}", text(&output));
    std::fs::write(&recipe, "{\n \"platforms\": [],\n \"kernels\": 1\n}").unwrap();
    let output = igvm_tools(&["build", &recipe, "-o", &image]);
    assert!(text(&output).contains("r.json:3:10: kernels: unknown field"), "{}", text(&output));
    assert_eq!(igvm_tools(&["build"]).status.code(), Some(2));
    for arguments in [&["--help"][..], &["build", "--help"], &["run", "--help"]] {
        let output = igvm_tools(arguments);
        assert!(output.status.success() && text(&output).contains("Usage"));
    }
}

#[test]
fn run_prints_its_command() {
    let (_, image) = built("run_prints");
    let output = igvm_tools(&["run", &image, "--print", "--pvh-loader", "l", "--mem", "1G", "--", "-s"]);
    let said = text(&output);
    assert!(
        said.contains("-m 1024 ") && said.contains(&format!("-kernel l -initrd {image} -serial stdio -s")),
        "{said}"
    );
    for wrong in ["1T", "G", "-1", "9999999G"] {
        let output = igvm_tools(&["run", &image, "--print", &format!("--mem={wrong}")]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
    let output = igvm_tools(&["run", &image, "--qemu", "/nowhere/qemu"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("there is no QEMU at /nowhere/qemu"), "{}", text(&output));
}
