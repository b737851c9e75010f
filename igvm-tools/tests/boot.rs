//! Images booted for real, by the PVH loader in the QEMU that is installed (`PLINTH_QEMU` names another), and
//! by QEMU's own IGVM loader where `PLINTH_QEMU_IGVM` names one that has it. The kernel is `test-kernel`,
//! which checks what it finds and prints it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use support::{igvm_tools, text};

/// QEMU's status when the kernel is content, and when the loader gave up.
const CONTENT: i32 = 33;
const GIVEN_UP: i32 = 99;

/// The folder with the bare programs, built now.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let target = Path::new(env!("CARGO_BIN_EXE_igvm-tools")).parent().and_then(Path::parent).unwrap();
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "-p", "pvh-loader", "-p", "test-kernel"])
            .args(["--target", "x86_64-unknown-none", "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            // Flags for the tests, coverage for one, are not for the bare machine.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .status()
            .unwrap();
        assert!(built.success());
        target.join("x86_64-unknown-none/debug")
    })
}

/// Builds the test recipe's image into a folder of its own.
fn image(test: &str, overrides: &[&str]) -> PathBuf {
    let image = support::folder(test).join("image.igvm");
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/test.json");
    let mut arguments = vec!["build", recipe.to_str().unwrap(), "-o", image.to_str().unwrap(), "--file-root"];
    arguments.push(programs().to_str().unwrap());
    overrides.iter().for_each(|one| arguments.extend(["--set", one]));
    let output = igvm_tools(&arguments);
    assert!(output.status.success(), "{}", text(&output));
    image
}

fn run(command: &mut Command, more: &[&str]) -> Output {
    command.args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot", "-cpu", "max"]);
    command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]).args(more);
    command.output().expect("timeout, of coreutils")
}

/// A guest that hangs fails its test: `timeout` is coreutils'.
fn qemu(program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["60", program]);
    command
}

/// Boots by the PVH loader; what it logs at the debug port is taken for its standard error.
fn pvh(file: Option<&Path>, more: &[&str]) -> Output {
    static LOGS: AtomicU32 = AtomicU32::new(0);
    // Each test may run in a process of its own.
    let number = LOGS.fetch_add(1, Ordering::Relaxed);
    let log =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("boot-{}-{number}.log", std::process::id()));
    let program = std::env::var("PLINTH_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".to_owned());
    let mut command = qemu(&program);
    command.arg("-kernel").arg(programs().join("pvh-loader"));
    command.arg("-chardev").arg(format!("file,id=log,path={}", log.display()));
    command.args(["-device", "isa-debugcon,iobase=0x402,chardev=log"]);
    if let Some(file) = file {
        command.arg("-initrd").arg(file);
    }
    let mut output = run(&mut command, more);
    output.stderr.extend(std::fs::read(log).unwrap_or_default());
    output
}

/// Boots by QEMU's own loader, if there is one.
fn native(file: &Path, more: &[&str]) -> Option<Output> {
    let program = std::env::var("PLINTH_QEMU_IGVM").ok()?;
    let mut command = qemu(&program);
    command.arg("-object").arg(format!("igvm-cfg,id=igvm0,file={}", file.display()));
    Some(run(command.args(["-M", "q35,igvm-cfg=igvm0", "-accel", "tcg"]), more))
}

/// The kernel's lines that begin with a word.
fn lines<'a>(output: &'a str, word: &str) -> Vec<&'a str> {
    output.lines().filter(|line| line.starts_with(word)).collect()
}

/// The RAM in the memory map that the kernel found: first and last page.
fn ram(output: &str) -> Vec<(u64, u64)> {
    let number = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).unwrap();
    let entry = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
        ["map", first, "+", pages, "pages", "ram"] => {
            Some((number(first) / 4096, number(first) / 4096 + number(pages)))
        }
        _ => None,
    };
    output.lines().filter_map(entry).collect()
}

fn content(output: &Output) -> String {
    let said = text(output);
    assert_eq!(output.status.code(), Some(CONTENT), "{said}");
    assert!(output.stdout.starts_with(b"cr0 "), "the console is the image's alone: {said}");
    assert!(said.contains("test-kernel: all is well"), "{said}");
    said
}

#[test]
fn both_loaders_give_the_same() {
    let image = image("both_loaders", &[]);
    for (smp, memory) in [("1", "256"), ("2", "512"), ("4", "3G")] {
        let machine = ["-smp", smp, "-m", memory];
        let by_us = content(&pvh(Some(&image), &[&["-M", "q35"], &machine[..]].concat()));
        assert_eq!(lines(&by_us, "VPs"), [format!("VPs {smp} environment 0x1")]);
        assert_eq!(lines(&by_us, "file").len(), 4);
        let Some(by_qemu) = native(&image, &machine) else { continue };
        let by_qemu = content(&by_qemu);
        for word in ["cr0", "cs", "window", "VPs", "file"] {
            assert_eq!(lines(&by_us, word), lines(&by_qemu, word));
        }
        // The same RAM, but for what the firmware that started us keeps: the hole at A0000 and its tables.
        let all = ram(&by_qemu);
        let ours = ram(&by_us);
        assert!(ours.iter().all(|(start, end)| all.iter().any(|(low, high)| low <= start && end <= high)));
        let pages = |ram: &[(u64, u64)]| ram.iter().map(|(start, end)| end - start).sum::<u64>();
        assert!((1..256).contains(&(pages(&all) - pages(&ours))), "{all:x?} {ours:x?}");
    }
}

#[test]
fn other_machines() {
    let image = image("other_machines", &[]);
    // Machine, who counts the processors, how many.
    for (machine, source, count) in [
        (&["-M", "q35", "-smp", "2,maxcpus=4"][..], "ACPI", 2),
        (&["-M", "pc", "-smp", "3"], "ACPI", 3),
        (&["-M", "microvm", "-smp", "2"], "ACPI", 2),
        (&["-M", "microvm,acpi=off", "-smp", "3"], "fw_cfg", 3),
    ] {
        let said = content(&pvh(Some(&image), &[machine, &["-m", "256"]].concat()));
        assert!(said.contains(&format!("{count} VPs, says {source}")), "{machine:?}: {said}");
        assert_eq!(lines(&said, "VPs"), [format!("VPs {count} environment 0x1")]);
    }
}

#[test]
fn a_file_that_lies_in_its_own_way() {
    let payload = support::folder("own_way_payload").join("payload");
    // No page like another, so that none is left out of the file.
    let bytes: Vec<u8> =
        (0..2u32 << 20).flat_map(|word| word.wrapping_mul(0x9e37_79b1).to_le_bytes()).collect();
    std::fs::write(&payload, &bytes).unwrap();
    let image = image(
        "own_way",
        &[
            "layout.window_base=32M",
            "layout.window_bytes=4M",
            &format!("payload.linux={}", payload.display()),
        ],
    );
    let said = content(&pvh(Some(&image), &["-M", "q35", "-m", "50"]));
    assert!(said.contains("out of its own way"), "{said}");
    let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
    assert!(said.contains(&format!("file linux kind 2 at 0x2400000 + 0x800000 sum {sum:#x}")), "{said}");
}

#[test]
fn what_the_loader_refuses() {
    let image = image("refusals", &[]);
    let sound = std::fs::read(&image).unwrap();
    let changed = |at: usize, value: u8| {
        let mut file = sound.clone();
        file[at] = value;
        file
    };
    // All data but the VP context as zeros: no checksum covers it, and the page tables map nothing.
    let mut blank = sound.clone();
    let headers = 24 + u32::from_le_bytes(sound[12..16].try_into().unwrap()) as usize;
    blank[headers..sound.len() - 4096].fill(0);
    let cases: [(&str, Vec<u8>, &str, &str); 7] = [
        ("blank", blank, "256", "do not map its entry point"),
        ("text", b"#!/bin/sh\necho not an image\n".to_vec(), "256", "not an IGVM file"),
        ("header", sound[..16].to_vec(), "256", "truncated"),
        ("truncated", sound[..sound.len() / 2].to_vec(), "256", "truncated"),
        ("checksum", changed(40, sound[40] ^ 0x80), "256", "checksum"),
        ("version", changed(4, 9), "256", "version 9"),
        ("memory", sound.clone(), "140", "requires 0x2000000 bytes of RAM at 0x8000000"),
    ];
    for (name, bytes, memory, message) in cases {
        let file = image.with_file_name(name);
        std::fs::write(&file, bytes).unwrap();
        let output = pvh(Some(&file), &["-M", "q35", "-m", memory]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(GIVEN_UP), "{name}: {said}");
        assert!(said.contains(message), "{name}: {said}");
        // On the console, not just in the log.
        let console = String::from_utf8_lossy(&output.stdout);
        assert!(console.contains(message) && console.contains("nothing was started"), "{name}: {said}");
    }
    let output = pvh(None, &["-M", "q35"]);
    assert!(text(&output).contains("no IGVM file") && output.status.code() == Some(GIVEN_UP));
    let output = pvh(Some(&image), &["-M", "q35", "-m", "256", "-cpu", "qemu32"]);
    assert!(text(&output).contains("no long mode") && output.status.code() == Some(GIVEN_UP));
}
