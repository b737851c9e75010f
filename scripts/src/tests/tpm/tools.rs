//! tpm2-tools in the guest: what `tools.sh` does with them, and the PCRs of all banks against what
//! tpm2_eventlog makes of the event log.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::initramfs::Initramfs;
use crate::project::Project;

/// What the guest does, a file of its own: a kernel's command line is too short for it.
const SCRIPT: &str = include_str!("tools.sh");

/// What it prints of its commands, in order.
const DONE: [&str; 16] = [
    "eventlog done",
    "createprimary done",
    "create done",
    "readpublic done",
    "quote done",
    "checkquote done",
    // With another nonce.
    "checkquote refused",
    "createpolicy done",
    "create done",
    "unseal done",
    "secret is back",
    "pcrextend done",
    // With another value of a PCR.
    "unseal refused",
    "pcrreset done",
    "unseal done",
    "secret is back again",
];

/// Banks of the TPM.
const BANKS: [&str; 4] = ["sha1", "sha256", "sha384", "sha512"];
/// PCRs that are compared.
const PCRS: u32 = 10;
/// What a line begins with that lists PCRs: as they are read, and as the event log has them.
const LISTS: [&str; 2] = ["read: ", "log: "];

/// Adds the tools to the guest, and its command `tools`.
pub fn add(initramfs: &mut Initramfs, project: &Project) -> Result<()> {
    initramfs.program("bin/tools", SCRIPT.as_bytes().to_vec());
    initramfs.add_tpm2_tools(project)
}

/// Fails unless the guest's commands did what they must, and the PCRs are those of the event log.
pub fn check(console: &str) -> Result<()> {
    let lines = || console.lines().filter_map(|line| Some(line.trim_end().split_once("tpm: tools: ")?.1));
    let is_list = |line: &&str| LISTS.iter().any(|start| line.starts_with(start));
    let done: Vec<&str> = lines().filter(|line| !is_list(line)).collect();
    ensure!(done == DONE, "the tools did {done:?}");
    let [read, log] = LISTS.map(|start| pcrs(lines().filter_map(|line| line.strip_prefix(start))));
    let (read, log) = (read?, log?);
    for bank in BANKS {
        for pcr in 0..PCRS {
            let value =
                read.get(&(bank, pcr)).with_context(|| format!("PCR {pcr} of {bank} was not read"))?;
            // What the log has no event of was never extended.
            let zero = value.trim_start_matches("0X").bytes().all(|digit| digit == b'0');
            let agrees = log.get(&(bank, pcr)).map_or(zero, |logged| logged == value);
            ensure!(agrees, "PCR {pcr} of {bank} is {value}; the log gives {:?}", log.get(&(bank, pcr)));
        }
    }
    ensure!(log.len() >= BANKS.len(), "the log has PCRs of {} banks only", log.len());
    Ok(())
}

/// The values in a list: a line with a bank's name and a colon, then lines `PCR : VALUE`.
fn pcrs<'a>(lines: impl Iterator<Item = &'a str>) -> Result<BTreeMap<(&'a str, u32), String>> {
    let (mut values, mut bank) = (BTreeMap::new(), "");
    for line in lines {
        match line.trim().split_once(':').context("a line without a colon")? {
            (name, "") => bank = name,
            (pcr, value) => {
                values.insert((bank, pcr.trim().parse()?), value.trim().to_uppercase());
            }
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a guest prints whose PCRs have these values in each bank, and its log gives those.
    fn console(read: &str, log: &str) -> String {
        let line = |line: &str| format!("1.0 tpm: tools: {line}\n");
        let mut console: String = DONE.iter().map(|done| line(done)).collect();
        for bank in BANKS {
            console += &line(&format!("read:   {bank}:"));
            (0..PCRS).for_each(|pcr| console += &line(&format!("read:     {pcr} : 0x{read}")));
            console += &line(&format!("log:   {bank}:"));
            (0..PCRS).for_each(|pcr| console += &line(&format!("log:     {pcr}  : 0x{log}")));
        }
        console
    }

    #[test]
    fn what_the_tools_print() {
        check(&console("AB", "ab")).unwrap();
        assert!(check(&console("AB", "ac")).is_err());
        assert!(check(&console("AB", "ab").replace("  4  :", "  44  :")).is_err(), "the log lacks one");
        assert!(check(&console("AB", "ab").replace("sha384", "sha3")).is_err(), "a bank is missing");
        assert!(check(&console("AB", "ab").replace("unseal refused", "unseal done")).is_err());
    }
}
