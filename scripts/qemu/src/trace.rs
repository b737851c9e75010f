//! Every instruction that a running machine executes, logged by QEMU.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Qemu, QemuError, Qmp};

/// How long a log may take to reach its size: QEMU writes megabytes a second.
const LIMIT: Duration = Duration::from_secs(60);

impl Qmp {
    /// Logs which instructions the machine executes, until `file` has so many bytes (about 80 an
    /// instruction). The machine runs on behind it, as before.
    ///
    /// # Errors
    /// [`QemuError::Protocol`], if QEMU refuses; [`QemuError::Late`], if the machine hardly runs.
    pub fn trace(&mut self, qemu: &Qemu, file: &Path, bytes: u64) -> Result<(), QemuError> {
        // The command was renamed; the old name went with 9.
        let single = if qemu.version().major >= 9 { "one-insn-per-tb" } else { "singlestep" };
        // QEMU logs translated blocks; of one instruction each, and not chained, they are instructions.
        self.command(&format!("{single} on"))?;
        // An old log would be added to, or be taken for this one.
        File::create(file).map_err(QemuError::io(file.display().to_string()))?;
        self.command(&format!("logfile \"{}\"", file.display()))?;
        // Last, when all is set: what is logged before would be blocks of many instructions.
        self.command("log exec,nochain")?;
        let end = Instant::now() + LIMIT;
        while std::fs::metadata(file).map_or(0, |file| file.len()) < bytes {
            if Instant::now() >= end {
                let what = format!("a log of {bytes} bytes in {}", file.display());
                return Err(QemuError::Late { what, limit: LIMIT });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // The machine would run slowly for ever, and fill the disk.
        self.command("log none")?;
        self.command(&format!("{single} off"))
    }

    /// A command of the monitor that says nothing when it is carried out.
    fn command(&mut self, line: &str) -> Result<(), QemuError> {
        let said = self.monitor(line)?;
        if said.trim().is_empty() {
            return Ok(());
        }
        Err(QemuError::Protocol(format!("QEMU refuses '{line}': {}", said.trim())))
    }
}

/// How often each address was executed, by a log that [`Qmp::trace`] had written.
///
/// # Errors
/// [`QemuError::Io`], when there is no reading it.
pub fn executed(file: &Path) -> Result<BTreeMap<u64, u64>, QemuError> {
    let failed = || QemuError::io(file.display().to_string());
    let mut counts = BTreeMap::new();
    for line in BufReader::new(File::open(file).map_err(failed())?).split(b'\n') {
        let line = line.map_err(failed())?;
        if let Some(address) = std::str::from_utf8(&line).ok().and_then(address) {
            *counts.entry(address).or_default() += 1;
        }
    }
    Ok(counts)
}

/// The address in "Trace CPU: HOST [CS-BASE/ADDRESS/FLAGS/...] SYMBOL". The log may end within a line.
fn address(line: &str) -> Option<u64> {
    let (_, rest) = line.strip_prefix("Trace ")?.split_once('[')?;
    let (_, rest) = rest.split_once('/')?;
    u64::from_str_radix(rest.split_once('/')?.0, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log() {
        let line = "Trace 0: 0x7f3a8c000100 [0000000000000000/ffffffff80001a2b/0040c0b3/ff020000] ";
        assert_eq!(address(line), Some(0xffff_ffff_8000_1a2b));
        assert_eq!(address(&line[..50]), None, "it may go on");
        assert_eq!(address("Stopped execution of TB chain before [0/1/2/3]"), None);
        let file = std::env::temp_dir().join(format!("plinth-qemu-trace-{}", std::process::id()));
        std::fs::write(&file, format!("{line}\n{line}\nother\nTrace 0: 0x1 [0/10/")).unwrap();
        assert_eq!(executed(&file).unwrap(), BTreeMap::from([(0xffff_ffff_8000_1a2b, 2), (16, 1)]));
        std::fs::remove_file(file).unwrap();
    }
}
