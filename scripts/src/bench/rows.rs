//! From the guests' output to rows: instructions an iteration, by side.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// What was measured: a run of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// Plinth.
    Plinth,
    /// With mitigations.
    PlinthGuarded,
    /// Linux KVM with mitigations.
    Kvm,
    /// Without.
    KvmOff,
    /// The world switch alone.
    Floor,
    /// Plinth with 1,000 more devices.
    PlinthDevices,
    /// With 16 MiB of guest memory.
    PlinthSmall,
    /// On a machine of 4 GiB.
    PlinthLarge,
    /// Without caches.
    PlinthUncached,
    /// System calls without a guest.
    Batch,
}

impl Column {
    /// All of them, in the order in which their rows are read.
    pub const ALL: [Self; 10] = [
        Self::Plinth,
        Self::PlinthGuarded,
        Self::Kvm,
        Self::KvmOff,
        Self::Floor,
        Self::PlinthDevices,
        Self::PlinthSmall,
        Self::PlinthLarge,
        Self::PlinthUncached,
        Self::Batch,
    ];

    /// What files and lines call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plinth => "plinth",
            Self::PlinthGuarded => "plinth_guarded",
            Self::Kvm => "kvm",
            Self::KvmOff => "kvm_off",
            Self::Floor => "floor",
            Self::PlinthDevices => "plinth_devices",
            Self::PlinthSmall => "plinth_small",
            Self::PlinthLarge => "plinth_large",
            Self::PlinthUncached => "plinth_uncached",
            Self::Batch => "batch",
        }
    }
}

/// What one thing costs, by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The row's name, as the guest has it.
    pub id: String,
    costs: BTreeMap<Column, f64>,
}

impl Row {
    /// A row of these costs.
    pub fn new(id: &str, costs: impl IntoIterator<Item = (Column, f64)>) -> Self {
        Self { id: id.to_owned(), costs: costs.into_iter().collect() }
    }

    /// The instructions an iteration, to two places; none where a side has no such row.
    pub fn cost(&self, column: Column) -> Option<f64> {
        self.costs.get(&column).copied()
    }

    /// Whether it is of a batch of operations.
    pub fn is_batch(&self) -> bool {
        self.id.starts_with("batch")
    }
}

/// The lines of a console that are a side's: those that begin with ROW, NONE or IPIS behind the time, with
/// the side's name before them.
pub fn raw(name: &str, console: &str) -> String {
    // The console's lines begin with seconds, which differ with each run.
    let without_time = console.lines().filter_map(|line| Some(line.split_once(' ')?.1));
    let is_ours = |line: &&str| ["ROW ", "NONE ", "IPIS "].iter().any(|start| line.starts_with(start));
    without_time.filter(is_ours).map(|line| format!("{name} {line}\n")).collect()
}

/// The rows that are an access to the benchmark's device, and what they are called when that is in a process
/// of its own.
const IN_PROCESS: [(&str, &str); 2] = [("outu", "outproc"), ("mmiow", "mmioproc")];

/// The row of the guest's that is another row while the device is in a process of its own.
pub fn access_of(row: &str) -> Option<&'static str> {
    IN_PROCESS.iter().find(|(_, id)| *id == row).map(|(own, _)| *own)
}

/// Lines of `side`, whose device is in a process of its own, as lines of `name`.
pub fn of_process(raw: &str, side: &str, name: &str) -> String {
    let renamed = |line: &str| {
        let rest = line.strip_prefix(side)?.strip_prefix(" ROW ")?;
        let (id, rest) = rest.split_once(' ')?;
        let (_, id) = IN_PROCESS.iter().find(|(own, _)| *own == id)?;
        Some(format!("{name} ROW {id} {rest}\n"))
    };
    raw.lines().filter_map(renamed).collect()
}

/// The rows of lines `SIDE ROW id ticks iterations`, in the order in which they first come; of several rounds
/// the median counts. A batch's rows are of one operation, and are Plinth's.
///
/// # Errors
/// A line of another form.
pub fn of(raw: &str) -> Result<Vec<Row>> {
    let mut order: Vec<&str> = Vec::new();
    let mut rounds: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for line in raw.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        // NONE and IPIS are no costs.
        let [side, "ROW", id, ticks, iterations] = words[..] else { continue };
        let number = |text: &str| text.parse::<f64>().with_context(|| format!("no number: {text} in {line}"));
        // The guest's order is the document's.
        if !order.contains(&id) {
            order.push(id);
        }
        rounds.entry((side, id)).or_default().push(number(ticks)? / number(iterations)?);
    }
    let median = |side: &str, id: &str| Some(median(rounds.get(&(side, id))?));
    let cost = |column: Column, id: &str| match column {
        Column::Plinth if id.starts_with("batch") => median("batch", id),
        // One number for all rows: the world switch is the same.
        Column::Floor => median("floor", "floor"),
        // Its rows are shown as Plinth's.
        Column::Batch => None,
        _ => median(column.name(), id),
    };
    let row = |id: &str, cost: &dyn Fn(Column) -> Option<f64>| {
        Row::new(id, Column::ALL.iter().filter_map(|column| Some((*column, rounded(cost(*column)?)))))
    };
    // Those are what other rows are made of.
    let is_own = |id: &&&str| !matches!(**id, "hltt1" | "hltt2" | "floor");
    let mut rows: Vec<_> =
        order.iter().filter(is_own).map(|id| row(id, &|column| cost(column, id))).collect();
    if order.contains(&"hltt1") {
        // Those wait one period and two: what is left of twice the first less the second is cost.
        let timer = |column| match column {
            Column::Floor => cost(column, ""),
            _ => Some(2.0 * cost(column, "hltt1")? - cost(column, "hltt2")?),
        };
        // The guest's rows come first; this one is made of them.
        rows.push(row("hlttimer", &timer));
    }
    Ok(rows)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    // Of an even number the lower middle one: a value that was measured.
    values[(values.len() - 1) / 2]
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_device_in_a_process() {
        let raw = "a_process ROW nop 1 2\na_process ROW outu 3 4\na_process ROW mmiow 5 6\nb ROW outu 7 8\n";
        assert_eq!(of_process(raw, "a_process", "a"), "a ROW outproc 3 4\na ROW mmioproc 5 6\n");
    }

    #[test]
    fn rows_of_a_console() {
        let console =
            "0.100 Linux\n0.2 ROW nop 1000 500\n0.3 ROW nop 1500 500\n0.4 ROW nop 1250 500\n0.5 NONE x\n";
        let mut lines = raw("plinth", console);
        assert_eq!(lines.lines().count(), 4);
        lines += "kvm ROW nop 5000 500\nfloor ROW floor 4100 100\nplinth ROW hltt1 1000 1\n\
                  plinth ROW hltt2 1700 1\n\
                  batch ROW batch1 300 3\n";
        let rows = of(&lines).unwrap();
        let costs = |row: &Row| [Column::Plinth, Column::Kvm, Column::Floor].map(|column| row.cost(column));
        let found: Vec<_> = rows.iter().map(|row| (row.id.as_str(), costs(row))).collect();
        let floor = Some(41.0);
        assert_eq!(
            found,
            [
                ("nop", [Some(2.5), Some(10.0), floor]),
                ("batch1", [Some(100.0), None, floor]),
                ("hlttimer", [Some(300.0), None, floor])
            ]
        );
        assert!(of("plinth ROW nop x 5").is_err());
    }
}
