//! A snapshot as text for people.

use std::fmt;

use inspect_protocol::{Exits, Machine, Process, Traced};

use super::Snapshot;

/// A snapshot, and the one before it, if there is one: what changed is then shown as so much a second.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// It.
    pub now: &'a Snapshot,
    /// The one before.
    pub before: Option<&'a Snapshot>,
}

/// The most rows of exits that are shown.
const ROWS: usize = 24;

// By the protocol's numbers.
const STATES: [&str; 3] = ["new", "running", "ended"];

/// Bytes in the unit that fits.
fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes >> 10),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}

fn seconds(ticks: u64, machine: &Machine) -> f64 {
    ticks as f64 / machine.tsc_hz.max(1) as f64
}

impl Shown<'_> {
    /// Seconds between the two snapshots.
    fn span(&self) -> Option<f64> {
        let (now, before) = (self.now.machine.as_ref()?, self.before?.machine.as_ref()?);
        let span = seconds(now.now_tsc.saturating_sub(before.now_tsc), now);
        // Two looks at the same tick would have anything a second.
        (span > 0.0).then_some(span)
    }

    fn process(&self, f: &mut fmt::Formatter<'_>, machine: &Machine, process: &Process) -> fmt::Result {
        // A newer machine may have states that this program does not know.
        let state = STATES.get(process.state as usize).copied().unwrap_or("?");
        write!(
            f,
            "{:>6} {:<16} {state:<8} {:>4} {:>7} {:>7} {:>10} {:>9.3}",
            process.serial,
            process.name,
            process.priority,
            process.threads,
            process.handles,
            size(process.memory_bytes),
            seconds(process.run_tsc, machine)
        )?;
        // By its number: a name may be another process by now.
        let before =
            self.before.and_then(|b| b.processes.as_ref()?.iter().find(|p| p.serial == process.serial));
        if let (Some(span), Some(before)) = (self.span(), before) {
            let ran = seconds(process.run_tsc.saturating_sub(before.run_tsc), machine);
            write!(f, " {:>5.1}%", 100.0 * ran / span)?;
        }
        writeln!(f)
    }

    fn exits(&self, f: &mut fmt::Formatter<'_>, machine: &Machine, all: &[Exits]) -> fmt::Result {
        let mut rows = sums(all);
        let before = self.before.and_then(|b| b.exits.as_deref()).map(sums).unwrap_or_default();
        rows.sort_by_key(|row| std::cmp::Reverse(row.count));
        writeln!(
            f,
            "{:<18} {:>12} {:<14} {:>10} {:>10} {:>9}",
            "exit", "at", "by", "count", "a second", "us each"
        )?;
        // The commonest: a guest may touch thousands of places.
        for row in rows.iter().take(ROWS) {
            let place = row.place.map_or_else(String::new, |place| format!("{place:x}"));
            // By what it is: rows may be in another order than before.
            let known =
                before.iter().find(|b| (&b.reason, b.place, &b.by) == (&row.reason, row.place, &row.by));
            let rate = self
                .span()
                // Counts only grow: if one is less than before, it has begun anew.
                .map(|span| (row.count - known.map_or(0, |k| k.count.min(row.count))) as f64 / span);
            let rate = rate.map_or_else(String::new, |rate| format!("{rate:.0}"));
            let each = 1e6 * seconds(row.ticks, machine) / row.count.max(1) as f64;
            let each = if row.ticks == 0 { String::new() } else { format!("{each:.2}") };
            writeln!(
                f,
                "{:<18} {place:>12} {:<14} {:>10} {rate:>10} {each:>9}",
                row.reason, row.by, row.count
            )?;
        }
        if rows.len() > ROWS {
            writeln!(f, "and {} more rows", rows.len() - ROWS)?;
        }
        Ok(())
    }
}

/// The rows of all vCPUs together.
fn sums(all: &[Exits]) -> Vec<Exits> {
    let mut rows: Vec<Exits> = Vec::new();
    for row in all {
        let same = |r: &&mut Exits| (&r.reason, r.place, &r.by) == (&row.reason, row.place, &row.by);
        match rows.iter_mut().find(same) {
            Some(sum) => {
                sum.count = sum.count.saturating_add(row.count);
                sum.ticks = sum.ticks.saturating_add(row.ticks);
            }
            None => rows.push(row.clone()),
        }
    }
    rows
}

fn traced(f: &mut fmt::Formatter<'_>, machine: &Machine, exit: &Traced) -> fmt::Result {
    let at = seconds(exit.tsc.saturating_sub(machine.boot_tsc), machine);
    let place = exit.place.map_or_else(String::new, |place| format!("{place:x}"));
    writeln!(
        f,
        "[{at:12.6}] vcpu{} {:>8} {:<14} {place:>12} {:<14} {:>8.2} us rip {:x}",
        exit.vcpu,
        exit.number,
        exit.reason,
        exit.by,
        1e6 * seconds(exit.ticks, machine),
        exit.rip
    )
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without its clock nothing that follows could be said in seconds.
        let Some(machine) = &self.now.machine else { return Ok(()) };
        writeln!(
            f,
            "up {:.3} s, {} CPUs, {} for guests; Plinth keeps {}, {} of it free; the kernel handled {} host \
             interrupts and {} NMIs",
            seconds(machine.now_tsc.saturating_sub(machine.boot_tsc), machine),
            machine.cpus,
            size(machine.guest_bytes),
            size(machine.kept_bytes),
            size(machine.free_bytes),
            machine.host_interrupts,
            machine.host_nmis
        )?;
        if let Some(processes) = &self.now.processes {
            writeln!(f, "\nnumber process          state    prio threads handles     memory   seconds")?;
            processes.iter().try_for_each(|process| self.process(f, machine, process))?;
        }
        if let Some(exits) = &self.now.exits {
            writeln!(f)?;
            self.exits(f, machine, exits)?;
        }
        if let Some(trace) = &self.now.trace {
            writeln!(f)?;
            trace.iter().try_for_each(|exit| traced(f, machine, exit))?;
        }
        if let Some(log) = &self.now.log {
            if log.lost > 0 {
                writeln!(f, "\n({} bytes of the log are lost)", log.lost)?;
            }
            write!(f, "\n{}", log.text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
