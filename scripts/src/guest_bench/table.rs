//! What the guests said, as a table.

use std::fmt::Write as _;

use super::{Side, result};

/// A line of the table: the result's name, what it is, and what its number is divided by to be shown. Of the
/// first ones less is better.
const LINES: [(&str, &str, f64); 9] = [
    ("start", "start of QEMU to user space, s", 1.0),
    ("debian", "start of QEMU to Debian's last script, s", 1.0),
    ("compile", "compiling forty files of C, s", 1.0),
    ("write", "disk, sequential write, MiB/s", 1024.0),
    ("read", "disk, sequential read, MiB/s", 1024.0),
    ("random-write", "disk, random writes of 4 KiB, a second", 1.0),
    ("random-read", "disk, random reads of 4 KiB, a second", 1.0),
    ("send", "network, sending, MiB/s", 1024.0),
    ("receive", "network, receiving, MiB/s", 1024.0),
];

/// Consoles of a side's guests.
pub type Said = (Side, Vec<String>);

/// A Markdown table: each result's median on each side, and its ratio to the first side's.
pub fn markdown(said: &[Said]) -> String {
    let mut out = "| |".to_owned();
    for (index, (side, _)) in said.iter().enumerate() {
        let name = match side {
            Side::Direct => "QEMU alone",
            Side::Plinth => "Plinth",
            Side::Encrypted => "Plinth, disk encrypted",
        };
        // Writing to a string can't fail, here and below.
        let _ = write!(out, " {name} |{}", if index > 0 { " ratio |" } else { "" });
    }
    out += "\n|---|";
    out += &"---:|".repeat((2 * said.len()).saturating_sub(1));
    out += "\n";
    for (name, text, unit) in LINES {
        let medians: Vec<_> = said.iter().map(|(_, consoles)| median(consoles, name)).collect();
        let first = medians.first().copied().flatten();
        let _ = write!(out, "| {text} |");
        for (index, median) in medians.iter().enumerate() {
            let _ = write!(out, " {} |", median.map_or("-".to_owned(), |median| shown(median / unit)));
            if index > 0 {
                let ratio = median.zip(first).map(|(median, first)| format!("{:.2}", median / first));
                let _ = write!(out, " {} |", ratio.unwrap_or("-".to_owned()));
            }
        }
        out += "\n";
    }
    out
}

/// Three digits.
fn shown(number: f64) -> String {
    let digits = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
    format!("{number:.digits$}")
}

fn median(consoles: &[String], name: &str) -> Option<f64> {
    let mut numbers: Vec<_> = consoles.iter().filter_map(|console| result(console, name)).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios() {
        let of = |numbers: &[&str]| -> Vec<String> {
            numbers.iter().map(|number| format!("1.0 bench: write {number}\n")).collect()
        };
        let said = [(Side::Direct, of(&["204800", "1024", "307200"])), (Side::Plinth, of(&["102400"]))];
        let table = markdown(&said);
        assert!(table.starts_with("| | QEMU alone | Plinth | ratio |\n|---|---:|---:|---:|\n"), "{table}");
        assert!(table.contains("\n| disk, sequential write, MiB/s | 200 | 100 | 0.50 |\n"), "{table}");
        assert!(table.contains("\n| network, sending, MiB/s | - | - | - |\n"), "{table}");
    }
}
