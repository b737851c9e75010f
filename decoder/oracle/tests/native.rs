//! The emulator does what the processor does. The full run is `native-oracle 1000000`; this is a part of it.

use std::process::Command;

#[test]
fn no_differences() {
    let output = Command::new(env!("CARGO_BIN_EXE_native-oracle")).args(["60000", "1"]).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(report.contains("0 differences"), "{report}");
}
