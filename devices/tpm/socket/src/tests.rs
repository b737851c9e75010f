//! The document about the TPM lists the commands that there are.

use std::collections::BTreeSet;

use crate::control::{AfterCommand, Control};
use crate::options::value;
use crate::place;

/// A TPM in a folder of the test's own.
fn tpm(name: &str) -> tpm2_engine::Tpm {
    let folder = std::env::temp_dir().join(format!("tpm2-socket-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let tpm = place::open(&format!("dir={}", folder.display()), None).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    tpm
}

#[test]
fn the_document_lists_the_commands_that_there_are() {
    let mut tpm = tpm("document");
    let mut response = Vec::new();
    // The start-up can't be saved, as the folder is gone; what the TPM can do it tells nevertheless.
    tpm.execute(0, &[0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0], &mut response);
    let get = [0x80, 1, 0, 0, 0, 22, 0, 0, 1, 0x7a, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 0];
    tpm.execute(0, &get, &mut response);
    let codes: BTreeSet<u16> = response[19..]
        .chunks(4)
        .map(|attributes| u16::from_be_bytes([attributes[2], attributes[3]]))
        .collect();
    let document = include_str!("../../../../docs/vtpm.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| ")?.split_once("h | "));
    let listed: BTreeSet<u16> = rows.filter_map(|(code, _)| u16::from_str_radix(code, 16).ok()).collect();
    assert_eq!(codes, listed);
    assert!(codes.len() > 100);
}

#[test]
fn the_control_channel_responds_as_swtpm_does() {
    let (mut tpm, mut control) = (tpm("control"), Control::new(false));
    let mut execute = |request: &[u8]| control.execute(&mut tpm, request);
    assert_eq!(execute(&[0, 0, 0, 1]).0.len(), 8);
    assert_eq!(execute(&[0, 0, 0, 2, 0, 0, 0, 0]).0, [0; 4]);
    assert_eq!(execute(&[0, 0, 0, 5, 3]).0, [0; 4]);
    assert_eq!(execute(&[0, 0, 0, 5, 5]).0, [0, 0, 0, 61]);
    assert_eq!(execute(&[0, 0, 0, 7, 0, 0, 0, 9, 1]).0, [0, 0, 0, 9], "data that are not there");
    assert_eq!(execute(&[0, 0, 0, 17, 0, 0, 0, 0]).0.len(), 16);
    assert_eq!(execute(&[0, 0, 0, 99]).0, [0, 0, 0, 10]);
    assert!(execute(&[0, 0, 0, 3]).1 == AfterCommand::End);
    assert_eq!(control.locality, 3);
    assert!(control.is_running);
}

#[test]
fn options_are_read() {
    assert_eq!(value("type=tcp,port=5", "port"), Some("5"));
    assert_eq!(value("type=tcp,port=5", "path"), None);
}
