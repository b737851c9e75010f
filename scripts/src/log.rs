//! What a debug image logs at port 402h, as text.

/// The end of the log, with `count` lines at most. Firmware writes to the same port before Plinth does; its
/// part is left out.
pub fn tail(log: &str, count: usize) -> String {
    let lines: Vec<_> = log.lines().collect();
    // The last such line: firmware says it of each device that it tries.
    let first = lines.iter().rposition(|line| line.starts_with("Booting from")).map_or(0, |at| at + 1);
    let ours = &lines[first..];
    ours[ours.len().saturating_sub(count)..].join("\n")
}

/// A row of the exit table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitRow {
    /// The reason: `port`, `host interrupt`, ...
    pub reason: String,
    /// How many.
    pub count: u64,
    /// Who handled them: `vmm` or `kernel`.
    pub by: String,
}

/// The lines of the table that the VMM of a debug image logs when it ends, without what the log puts before
/// each: of the last one, where a guest has reset its machine.
pub fn exit_table(log: &str) -> Vec<&str> {
    let lines: Vec<_> = log.lines().collect();
    let begin = lines.iter().rposition(|line| line.contains("exit-table begin"));
    let behind = begin.and_then(|begin| lines.get(begin + 1..)).unwrap_or_default();
    behind.iter().take_while(|line| !line.contains("exit-table end")).map(|line| bare(line)).collect()
}

/// The rows of the table.
///
/// # Errors
/// A line that is neither the heading nor a row.
pub fn exit_rows(table: &[&str]) -> Result<Vec<ExitRow>, String> {
    table.iter().filter(|line| !line.starts_with("reason")).map(|line| exit_row(line)).collect()
}

/// A line is the reason (one or two words), the count, who, and what was touched most.
fn exit_row(line: &str) -> Result<ExitRow, String> {
    let words: Vec<_> = line.split_whitespace().collect();
    // A reason has a word at least, and a count stands before who handled them.
    let by = |(at, word): (usize, &&str)| (at >= 2 && matches!(*word, "vmm" | "kernel")).then_some(at);
    let parse = || {
        let at = words.iter().enumerate().find_map(by)?;
        let count = words[at - 1].parse().ok()?;
        Some(ExitRow { reason: words[..at - 1].join(" "), count, by: words[at].to_owned() })
    };
    parse().ok_or_else(|| format!("a row of no known form: {line}"))
}

/// A line without its prefix, `[seconds] cpuN LEVEL process: `.
fn bare(line: &str) -> &str {
    line.split_once(" vmm: ").map_or(line, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
SeaBIOS\nBooting from ROM...\n[    0.1] cpu0 INFO  kernel: first
[   14.1] cpu0 INFO  vmm: exit-table begin
[   14.1] cpu0 INFO  vmm: reason                  count by      most touched (count)
[   14.1] cpu0 INFO  vmm: port                    59368 vmm     3f8 (20937) 3fd (20135) ...
[   14.1] cpu0 INFO  vmm: hlt                      5151 vmm
[   14.1] cpu0 INFO  vmm: host interrupt           2723 kernel
[   14.1] cpu0 INFO  vmm: exit-table end
[   14.1] cpu0 INFO  kernel: the machine ends: PowerOff";

    #[test]
    fn the_exit_table() {
        let table = exit_table(LOG);
        assert_eq!(table.len(), 4);
        let rows = exit_rows(&table).unwrap();
        let row = |reason: &str, count, by: &str| ExitRow { reason: reason.into(), count, by: by.into() };
        assert_eq!(
            rows,
            [row("port", 59368, "vmm"), row("hlt", 5151, "vmm"), row("host interrupt", 2723, "kernel")]
        );
        assert!(exit_table("nothing\n").is_empty());
        // Of a guest that has reset its machine, the last one.
        let before = "vmm: exit-table begin\nvmm: hlt 1 vmm\nvmm: exit-table end\n";
        assert_eq!(exit_table(&(before.to_owned() + LOG)), table);
        for line in ["port", "port 5", "port vmm", "port x vmm", "5 vmm", ""] {
            assert!(exit_rows(&[line]).is_err(), "{line}");
        }
    }

    #[test]
    fn tails() {
        assert_eq!(tail(LOG, 1), "[   14.1] cpu0 INFO  kernel: the machine ends: PowerOff");
        assert!(tail(LOG, 100).starts_with("[    0.1]"));
        assert_eq!(tail("one\ntwo", 5), "one\ntwo");
        assert_eq!(tail("", 5), "");
    }
}
