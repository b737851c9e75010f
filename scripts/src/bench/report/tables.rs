//! Markdown tables.

use std::fmt::Write;

use crate::bench::{Column, Row};

const EXITS: &str = "\
| row | exit | Plinth | Plinth, mitigations | KVM, mitigations | KVM, without | Plinth / KVM with \
| without / without | with / with |
|---|---|---:|---:|---:|---:|---:|---:|---:|
";
const FLAT: &str = "
| row | Plinth, 256 MiB | 1,000 more devices | 16 MiB of guest memory | 4 GiB | without caches |
|---|---:|---:|---:|---:|---:|
";
const BATCH: &str = "
| call | instructions an operation | of a single call |
|---|---:|---:|
";

/// The tables: exits by side; what should not matter; batches. `descriptions` has a line "id TEXT" a row.
pub fn markdown(rows: &[Row], descriptions: &str) -> String {
    let text = |id: &str| {
        // With the blank: a row's name may begin like another's.
        let start = format!("{id} ");
        descriptions.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default().trim()
    };
    let mut out = EXITS.to_owned();
    let guests = || rows.iter().filter(|row| !row.is_batch());
    guests().for_each(|row| out += &exit_row(row, text(&row.id)));
    // The same in every row.
    let floor = cell(rows.first().and_then(|row| row.cost(Column::Floor)));
    // Writing to a string can't fail, here and below.
    let _ = writeln!(
        out,
        "\nFloor (bare VMLOAD, VMRUN, VMSAVE, registers saved and restored, one compare): {floor} \
         instructions."
    );
    let flat: String = guests().filter_map(flat_row).collect();
    if !flat.is_empty() {
        out = out + FLAT + &flat;
    }
    let batches: Vec<_> = rows.iter().filter(|row| row.is_batch()).collect();
    if !batches.is_empty() {
        out += BATCH;
        let single = batches.iter().find(|row| row.id == "batch1").and_then(|row| row.cost(Column::Plinth));
        for row in batches {
            let cost = row.cost(Column::Plinth);
            let _ = writeln!(out, "| {} | {} | {} |", text(&row.id), cell(cost), ratio(cost, single));
        }
    }
    out
}

fn exit_row(row: &Row, text: &str) -> String {
    let [plinth, guarded, kvm, kvm_off] =
        [Column::Plinth, Column::PlinthGuarded, Column::Kvm, Column::KvmOff].map(|column| row.cost(column));
    format!(
        "| {} | {text} | {} | {} | {} | {} | {} | {} | {} |\n",
        row.id,
        cell(plinth),
        cell(guarded),
        cell(kvm),
        cell(kvm_off),
        ratio(plinth, kvm),
        ratio(plinth, kvm_off),
        ratio(guarded, kvm)
    )
}

fn flat_row(row: &Row) -> Option<String> {
    // A row that was not run with more devices has nothing to compare.
    row.cost(Column::PlinthDevices)?;
    let columns = [
        Column::Plinth,
        Column::PlinthDevices,
        Column::PlinthSmall,
        Column::PlinthLarge,
        Column::PlinthUncached,
    ];
    let cells = columns.map(|column| cell(row.cost(column)));
    Some(format!("| {} | {} |\n", row.id, cells.join(" | ")))
}

fn cell(value: Option<f64>) -> String {
    value.map(|value| format!("{value:.0}")).unwrap_or_default()
}

fn ratio(value: Option<f64>, of: Option<f64>) -> String {
    match (value, of) {
        // An empty loop may cost nothing, and there is no part of that.
        (Some(value), Some(of)) if of != 0.0 => format!("{:.3}", value / of),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_tables() {
        let rows = [
            Row::new("nop", [(Column::Plinth, 2.4), (Column::Kvm, 10.0), (Column::Floor, 41.0)]),
            Row::new("out", [(Column::Plinth, 229.01), (Column::PlinthDevices, 230.0)]),
            Row::new("batch16", [(Column::Plinth, 60.0)]),
        ];
        let text = markdown(&rows, "nop empty loop\nout OUT8\nbatch16 16 of them\n");
        for line in [
            "| nop | empty loop | 2 |  | 10 |  | 0.240 |  |  |",
            "one compare): 41 instructions.",
            "| out | 229 | 230 |  |  |  |",
            "| 16 of them | 60 |  |",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} is not in:\n{text}");
        }
    }
}
