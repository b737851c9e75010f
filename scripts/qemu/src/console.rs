//! Consoles and logs: files that grow while a machine runs.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::QemuError;

/// Copies lines to a file, each after the seconds since `began`. A line that QEMU is in the middle of when it
/// ends is one as well.
pub fn stamp(from: impl Read, to: &mut File, began: Instant) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        // Serial lines end with both.
        while matches!(line.last(), Some(b'\n' | b'\r')) {
            line.pop();
        }
        // When the line ended, not when it began: only then is it whole.
        let since = began.elapsed();
        let mut stamped = format!("{}.{:03} ", since.as_secs(), since.subsec_millis()).into_bytes();
        stamped.append(&mut line);
        stamped.push(b'\n');
        to.write_all(&stamped)?;
    }
    Ok(())
}

/// A console's or log's text; what is not UTF-8 in it is replaced, and a file that is not there is empty.
pub fn read_text(path: &Path) -> String {
    // A guest may write any byte on its console, and a machine that ended at once has no log.
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Waits until a line of the file has `text` in it.
///
/// # Errors
/// [`QemuError::Late`] when that takes longer than `limit`.
pub fn wait_for(path: &Path, text: &str, limit: Duration) -> Result<(), QemuError> {
    let end = Instant::now() + limit;
    // All of it each time: what is waited for may be cut in two between two looks.
    while !read_text(path).contains(text) {
        if Instant::now() >= end {
            return Err(QemuError::Late { what: format!("\"{text}\" in {}", path.display()), limit });
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// When a line with `text` in it first came, in seconds since QEMU's start, as a console's line begins.
pub fn seconds_to(console: &str, text: &str) -> Option<f64> {
    let line = console.lines().find(|line| line.contains(text))?;
    line.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps() {
        let path = std::env::temp_dir().join(format!("plinth-qemu-stamp-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        stamp(&b"one\r\n\ntwo \xff"[..], &mut file, Instant::now()).unwrap();
        let text = read_text(&path);
        std::fs::remove_file(&path).unwrap();
        let ends: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(ends, ["one", "", "two \u{fffd}"]);
        assert!(seconds_to(&text, "two").unwrap() < 10.0);
        assert_eq!(seconds_to(&text, "three"), None);
    }

    #[test]
    fn waiting() {
        let nowhere = Path::new("/nowhere/at/all");
        assert!(matches!(wait_for(nowhere, "x", Duration::ZERO), Err(QemuError::Late { .. })));
        assert!(wait_for(Path::new("Cargo.toml"), "plinth-qemu", Duration::ZERO).is_ok());
    }
}
