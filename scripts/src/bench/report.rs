//! Rows for readers: JSON, Markdown tables, and a picture.

mod picture;
mod tables;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

pub use picture::svg;
pub use tables::markdown;

use super::{Bench, Column, Row};
use crate::project::{read, write};

/// Names in the JSON, in this order.
const JSON: [(&str, Column); 9] = [
    ("plinth", Column::Plinth),
    ("plinth_mitigations", Column::PlinthGuarded),
    ("kvm", Column::Kvm),
    ("kvm_mitigations_off", Column::KvmOff),
    ("floor", Column::Floor),
    ("plinth_1000_devices", Column::PlinthDevices),
    ("plinth_16_mib", Column::PlinthSmall),
    ("plinth_4_gib", Column::PlinthLarge),
    ("plinth_uncached", Column::PlinthUncached),
];

/// A list of rows: `id`, a number or null a side, and for a batch of sixteen what a single operation costs.
pub fn rows_as_json(rows: &[Row]) -> String {
    let single = rows.iter().find(|row| row.id == "batch1").and_then(|row| row.cost(Column::Plinth));
    let object = |row: &Row| {
        let mut object = Map::from_iter([("id".to_owned(), json!(row.id))]);
        // Null where a side has no such row, so that all rows have the same names.
        object.extend(JSON.map(|(name, column)| (name.to_owned(), json!(row.cost(column)))));
        // What a batch saves shows beside what one call of one operation costs.
        if row.id == "batch16" {
            object.insert("single".to_owned(), json!(single));
        }
        format!("  {}", Value::Object(object))
    };
    format!("[\n{}\n]\n", rows.iter().map(object).collect::<Vec<_>>().join(",\n"))
}

/// The tables and the picture in the benchmark's folder.
#[derive(Clone, Debug)]
pub struct Report {
    /// The JSON.
    pub json: String,
    /// The tables.
    pub tables: String,
    svg: String,
}

impl Bench {
    /// Writes `exits.json`, `exits.md` and `exits.svg`.
    ///
    /// # Errors
    /// When one can't be written.
    pub fn report(&self, rows: &[Row]) -> Result<Report> {
        let descriptions = read(&self.project.root.join("benches/report/rows.txt"))?;
        let report =
            Report { json: rows_as_json(rows), tables: markdown(rows, &descriptions), svg: svg(rows) };
        write(&self.folder.join("exits.json"), &report.json)?;
        write(&self.folder.join("exits.md"), &report.tables)?;
        write(&self.folder.join("exits.svg"), &report.svg)?;
        Ok(report)
    }

    /// Puts these tables between the marks of docs/benchmarks.md, and this picture beside it.
    ///
    /// # Errors
    /// When the document has no marks.
    pub fn publish(&self, report: &Report) -> Result<()> {
        let docs = self.project.root.join("docs");
        let document = docs.join("benchmarks.md");
        let text = read(&document)?;
        write(&document, with_tables(&text, &report.tables).context("docs/benchmarks.md has no marks")?)?;
        write(&docs.join("exits.svg"), &report.svg)
    }
}

/// The document with other tables between its marks.
fn with_tables(document: &str, tables: &str) -> Option<String> {
    let begin = document.find("<!-- results begin")?;
    // Behind the whole line of the mark, which says more than its beginning.
    let begin = begin + document[begin..].find('\n')? + 1;
    // The first end behind the beginning, wherever else the words stand.
    let end = begin + document[begin..].find("<!-- results end")?;
    Some(format!("{}{tables}{}", &document[..begin], &document[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_of_rows() {
        let rows = [
            Row::new("nop", [(Column::Plinth, 2.5)]),
            Row::new("batch1", [(Column::Plinth, 300.0)]),
            Row::new("batch16", [(Column::Plinth, 60.0)]),
        ];
        let read: Value = serde_json::from_str(&rows_as_json(&rows)).unwrap();
        assert_eq!(read[0]["id"], "nop");
        assert_eq!((&read[0]["plinth"], &read[0]["kvm"]), (&json!(2.5), &Value::Null));
        assert_eq!(read[2]["single"], 300.0);
    }

    #[test]
    fn between_the_marks() {
        let document = "a\n<!-- results begin: x -->\nold\n<!-- results end -->\nb\n";
        let new = "a\n<!-- results begin: x -->\nnew\n<!-- results end -->\nb\n";
        assert_eq!(with_tables(document, "new\n").unwrap(), new);
        assert!(with_tables("nothing", "new").is_none());
    }
}
