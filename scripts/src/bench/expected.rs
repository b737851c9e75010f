//! Rows against what is accepted: `benches/expected.txt`, and rows against each other.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result};

use super::{Column, Row};

/// The first lines of the file.
const HEADING: &str = "\
# Instructions an exit takes, which scripts/test holds new ones against. Written by scripts/bench --quick
# --accept.
";

/// The rows as the file has them, "id instructions".
pub fn accept(rows: &[Row]) -> String {
    let mut text = HEADING.to_owned();
    for (id, cost) in costs(rows) {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{id} {cost:.2}");
    }
    text
}

fn costs(rows: &[Row]) -> Vec<(String, f64)> {
    let mut costs = Vec::new();
    let floor = rows.first().and_then(|row| row.cost(Column::Floor));
    costs.extend(floor.map(|cost| ("floor".to_owned(), cost)));
    for row in rows {
        costs.extend(row.cost(Column::Plinth).map(|cost| (row.id.clone(), cost)));
        costs.extend(row.cost(Column::PlinthGuarded).map(|cost| (format!("{}/mitigations", row.id), cost)));
    }
    costs
}

/// A row held against what was expected.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What to say.
    pub line: String,
    /// Whether it is as it should be.
    pub good: bool,
}

/// Holds rows against the file: none may cost more than 2% above what is expected, or be gone.
///
/// # Errors
/// When the file is not as [`accept`] writes it.
pub fn compare(expected: &str, rows: &[Row]) -> Result<Vec<Verdict>> {
    let now: BTreeMap<_, _> = costs(rows).into_iter().collect();
    let lines = expected.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| verdict(line, &now).with_context(|| format!("benches/expected.txt: {line}"))).collect()
}

fn verdict(line: &str, now: &BTreeMap<String, f64>) -> Result<Verdict> {
    let (id, expected) = line.split_once(' ').context("a line is a row and a number")?;
    let expected: f64 = expected.parse()?;
    let Some(cost) = now.get(id) else {
        return Ok(Verdict { line: format!("{id}: no such row any more"), good: false });
    };
    // The constant is for rows of a few instructions, where rounding alone is more than that share.
    let good = *cost <= expected * 1.02 + 0.05;
    let word = match good {
        false => "too much",
        // No failure, but what is gained would not be held on to.
        true if *cost < expected * 0.98 => "less: take it with scripts/bench --quick --accept",
        true => "as expected",
    };
    Ok(Verdict { line: format!("{id:<20} {cost:10.2}, expected {expected:10.2}: {word}"), good })
}

/// How many rows were compared, and what to say of those that cost 3% more, and two instructions, with more
/// devices or another size of memory.
pub fn compare_flat(rows: &[Row]) -> (usize, Vec<String>) {
    let (mut compared, mut wrong) = (0, Vec::new());
    for row in rows {
        // Batches, and rows that were not run with more devices, have nothing to compare.
        let (Some(plain), Some(_)) = (row.cost(Column::Plinth), row.cost(Column::PlinthDevices)) else {
            continue;
        };
        compared += 1;
        for column in [Column::PlinthDevices, Column::PlinthSmall, Column::PlinthLarge] {
            // A row that is missing there has not become cheap.
            let cost = row.cost(column).unwrap_or(f64::INFINITY);
            if cost > plain * 1.03 + 2.0 {
                wrong.push(format!("{}: {plain:.2}, but {cost:.2} as {}", row.id, column.name()));
            }
        }
    }
    (compared, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(cost: f64) -> Vec<Row> {
        let all = [Column::Plinth, Column::PlinthDevices, Column::PlinthSmall, Column::PlinthLarge];
        let costs = all.map(|column| (column, if column == Column::PlinthLarge { cost } else { 100.0 }));
        vec![Row::new("nop", costs.into_iter().chain([(Column::Floor, 41.0), (Column::PlinthGuarded, cost)]))]
    }

    #[test]
    fn against_the_file() {
        let text = accept(&rows(147.0));
        assert!(text.ends_with("--accept.\nfloor 41.00\nnop 100.00\nnop/mitigations 147.00\n"), "{text}");
        let good = |cost| compare(&text, &rows(cost)).unwrap().iter().all(|verdict| verdict.good);
        assert!(good(147.0) && good(149.9) && good(1.0) && !good(150.1));
        assert!(!compare(&text, &[]).unwrap()[0].good, "a row that is gone");
        assert!(compare("nop x\n", &rows(1.0)).is_err());
    }

    #[test]
    fn against_each_other() {
        assert_eq!(compare_flat(&rows(104.9)), (1, vec![]));
        assert_eq!(compare_flat(&rows(105.1)).1, ["nop: 100.00, but 105.10 as plinth_large"]);
        assert_eq!(compare_flat(&[Row::new("nop", [(Column::Plinth, 1.0)])]).0, 0);
    }
}
