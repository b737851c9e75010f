//! For the tests: a scratch folder for each, a kernel to pack, and the program under test.
#![allow(dead_code, clippy::unwrap_used, reason = "tests, each of which uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A fresh folder, named after the test.
pub fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// An ELF64 program of one instruction, linked where kernels are; `flags` are its segment's.
pub fn kernel(flags: u32) -> Vec<u8> {
    let base = 0xffff_ffff_8000_0000u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    file.extend([base, 64, 0].iter().flat_map(|field| field.to_le_bytes()));
    file.extend(0u32.to_le_bytes());
    file.extend([64u16, 56, 1, 64, 0, 0].iter().flat_map(|field| field.to_le_bytes()));
    file.extend([1, flags].iter().flat_map(|field| field.to_le_bytes()));
    file.extend([0x1000, base, base, 1, 1, 0x1000].iter().flat_map(|field: &u64| field.to_le_bytes()));
    file.resize(0x1000, 0);
    file.push(0xf4);
    file
}

/// Runs `igvm-tools`.
pub fn igvm_tools(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_igvm-tools")).args(arguments).output().unwrap()
}

/// What a program printed, on both channels.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
