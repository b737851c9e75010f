//! The list of targets is whole, and the inputs that corpora are made from are good for something.

use std::collections::BTreeSet;
use std::path::Path;

use pvh_loader::hvm::StartInfo;
use zerocopy::FromBytes;

use crate::{all, loader};

fn names(folder: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn each_target_has_a_file_and_a_corpus() {
    let expected: BTreeSet<String> = all().iter().map(|target| target.0.to_owned()).collect();
    assert_eq!(names("fuzz_targets"), expected);
    assert_eq!(names("corpus"), expected);
}

#[test]
fn a_sound_file_is_loaded_and_a_changed_one_is_not() {
    let mut file = loader::sound_file();
    assert!(loader::is_loaded(&file));
    loader::file(&file);
    file[3] = 0x80;
    file[2] = 17;
    assert!(!loader::is_loaded(&file));
    loader::file(&file);
}

#[test]
fn a_sound_host_says_how_many_processors_it_has() {
    let host = loader::sound_host();
    loader::host(&host);
    assert!(StartInfo::read_from_prefix(&host[1..]).is_ok());
}
