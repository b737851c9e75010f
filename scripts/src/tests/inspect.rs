//! The live view: a guest boots with it, every view is asked for while it runs, nonsense is sent, and the
//! guest is not stopped by any of that.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use inspect_protocol::{Exits, Machine, Process};
use plinth_qemu::{Outcome, Qemu, Running, wait_for};

use crate::image::Image;
use crate::inspect::{AskError, Client, Snapshot, View, look};
use crate::testing::{Booted, Case, Suite};
use crate::{log, matrix};

/// How long the guest may take from its start to its user space, and to answer what is typed.
const GUEST: Duration = Duration::from_secs(100);

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    suite.check("inspect", |case| inspect(case, qemu));
    suite.check("inspect-nobody", |case| nobody(case, qemu));
    Ok(())
}

fn image(case: &Case, append: &str) -> Result<PathBuf> {
    let mut payload = matrix::payload(case, "6.1")?;
    payload.append = append.to_owned();
    Image::new(case.project(), "inspect")?.payload(&payload).pack(&case.file("igvm"))
}

fn inspect(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let mut machine = case.machine(image(case, "console=ttyS0 quiet")?);
    let (socket, log, console) = (socket(), case.file("log"), case.file("console"));
    machine.processors = 2;
    (machine.inspect, machine.log) = (Some(socket.clone()), Some(log.clone()));
    let mut running = machine.start(qemu, &console)?;
    let seen = ask(case, &mut running, &socket, &console, &log);
    // The socket's name is of no use any more.
    std::fs::remove_file(&socket).context("the live view's socket")?;
    running.send(b"\npoweroff\n")?;
    let booted = case.finished("inspect", running.wait(case.boot_limit())?);
    let last = seen?;
    case.expect_outcome(&booted, Outcome::PowerOff)?;
    check_table(case, &booted, &last)?;
    case.expect_no_panic(&booted)
}

/// Each check has a machine of its own; names of sockets are to be short.
fn socket() -> PathBuf {
    std::env::temp_dir().join(format!("plinth-inspect-{}", std::process::id()))
}

fn ask(
    case: &mut Case,
    running: &mut Running,
    socket: &Path,
    console: &Path,
    log: &Path,
) -> Result<Snapshot> {
    // While it boots.
    let mut client = Client::connect(socket, GUEST)?;
    wait_for_exits(&mut client)?;
    let early = look(&mut client, &ALL, &Snapshot::default())?;
    wait_for(console, "user space reached", GUEST)?;
    // A second client, when the first has left in the middle of a line.
    nonsense(client)?;
    let mut client = Client::connect(socket, GUEST)?;
    let late = look(&mut client, &ALL, &early)?;
    check(case, &early, &late)?;
    check_log(&mut client, log)?;
    // The guest still does what it is told.
    running.send(b"\necho $((6*7)) is alive\n")?;
    wait_for(console, "42 is alive", GUEST)?;
    let last = look(&mut client, &ALL, &late)?;
    check(case, &late, &last)?;
    Ok(last)
}

const ALL: [View; 5] = [View::Machine, View::Processes, View::Exits, View::Log, View::Trace];

/// The view may answer before there is a guest.
fn wait_for_exits(client: &mut Client) -> Result<()> {
    let end = Instant::now() + GUEST;
    while Instant::now() < end {
        match client.exits() {
            Ok(exits) if !exits.is_empty() => return Ok(()),
            Ok(_) => {}
            Err(AskError::Refused { word, .. }) if word == "absent" => {}
            Err(error) => return Err(error.into()),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("no exits within {} s", GUEST.as_secs())
}

/// What is no request is refused, and the next one is answered.
fn nonsense(mut client: Client) -> Result<()> {
    let long = "x".repeat(100_000);
    for (line, word) in [
        ("", "unknown"),
        ("processes please", "unknown"),
        ("log -1", "number"),
        ("trace 18446744073709551616", "number"),
        ("\u{1}\u{7f}\u{e9}\0", "unknown"),
        (long.as_str(), "too-long"),
    ] {
        let answer = client.ask_line(line);
        let short: String = line.chars().take(20).collect();
        let is_refused = matches!(&answer, Err(AskError::Refused { word: said, .. }) if said == word);
        ensure!(is_refused, "{short:?} is answered by {answer:?}, not {word}");
    }
    client.machine()?;
    Ok(client.leave("mach")?)
}

/// The machine's time and the VMM's go on, and what is shown is of this machine.
fn check(case: &mut Case, before: &Snapshot, after: &Snapshot) -> Result<()> {
    case.record(crate::inspect::Shown { now: after, before: Some(before) });
    let machines = [before, after].map(|seen| seen.machine.clone());
    check_exits(before, after)?;
    let [Some(first), Some(second)] = machines else { bail!("no machine is shown") };
    check_machine(&first, &second)?;
    let named = |seen: &Snapshot, name: &str| -> Result<Process> {
        let processes = seen.processes.as_ref().context("no processes are shown")?;
        let found = processes.iter().find(|process| process.name == name);
        found.cloned().with_context(|| format!("no process {name} is shown"))
    };
    // The VMM has a thread for each vCPU, and the one that answers.
    for (name, threads, priority) in [("init", 1, 3), ("vmm", 3, 1), ("inspect", 1, 2)] {
        let (one, two) = (named(before, name)?, named(after, name)?);
        ensure!(one.serial == two.serial && two.state == 1, "{name} was started again, or ended");
        ensure!((two.threads, two.priority) == (threads, priority), "{two:?}");
        ensure!(two.memory_bytes >= 64 << 10 && two.memory_bytes < second.kept_bytes, "{two:?}");
        let span = second.now_tsc - first.now_tsc;
        let ran = two.run_tsc.checked_sub(one.run_tsc).context("time ran backwards")?;
        ensure!(ran <= span * u64::from(threads), "{name} ran {ran} of {span} ticks");
        ensure!(ran > 0 || name == "init", "{name} did not run");
    }
    Ok(())
}

/// What the guest exits for is counted, timed and told by device, and the trace goes on where it ended.
fn check_exits(before: &Snapshot, after: &Snapshot) -> Result<()> {
    let exits = |seen: &Snapshot| seen.exits.clone().context("no exits are shown");
    let (one, two) = (exits(before)?, exits(after)?);
    for row in &one {
        let same = |r: &&Exits| (r.vcpu, &r.reason, r.place) == (row.vcpu, &row.reason, row.place);
        let now = two.iter().find(same).with_context(|| format!("{row:?} is gone"))?;
        ensure!(now.count >= row.count && now.ticks >= row.ticks, "{row:?}, then {now:?}");
        ensure!(row.vcpu < 2 && row.count > 0 && row.ticks > 0 && row.by == now.by, "{row:?}");
    }
    let sum = |rows: &[Exits], reason: &str| -> u64 {
        rows.iter().filter(|row| row.reason == reason).map(|row| row.count).sum()
    };
    for reason in ["cpuid", "port", "memory", "rdmsr", "wrmsr", "hlt"] {
        ensure!(sum(&two, reason) > 0, "no exits for {reason}");
    }
    ensure!(two.iter().map(|row| row.count).sum::<u64>() > one.iter().map(|row| row.count).sum(), "no exits");
    let console = two.iter().find(|row| row.reason == "port" && row.place == Some(0x3f8));
    let console = console.context("no exit by the console's port")?;
    ensure!(!matches!(console.by.as_str(), "nobody" | "vmm"), "{console:?}");
    check_trace(before, after)
}

fn check_trace(before: &Snapshot, after: &Snapshot) -> Result<()> {
    let numbers = |seen: &Snapshot| -> Result<Vec<u64>> {
        let trace = seen.trace.as_ref().context("no trace is shown")?;
        Ok(trace.iter().map(|exit| exit.number).collect())
    };
    let (one, two) = (numbers(before)?, numbers(after)?);
    ensure!(!one.is_empty() && !two.is_empty(), "an empty trace");
    ensure!(one.iter().chain(&two).is_sorted_by(|a, b| a < b), "{one:?}, then {two:?}");
    let trace = after.trace.as_deref().unwrap_or_default();
    let strange = trace.iter().find(|exit| exit.vcpu > 1 || exit.reason == "?" || exit.ticks == 0);
    ensure!(strange.is_none(), "{strange:?}");
    Ok(())
}

/// What the view counted is in the table that the VMM of a debug image logs in the end, and not more.
fn check_table(case: &mut Case, booted: &Booted, last: &Snapshot) -> Result<()> {
    let text = booted.log_text();
    let rows = log::exit_rows(&log::exit_table(&text)).map_err(|error| anyhow!(error))?;
    for reason in ["cpuid", "port", "memory"] {
        let seen = last.exits.iter().flatten().filter(|row| row.reason == reason);
        let seen: u64 = seen.map(|row| row.count).sum();
        let all = rows.iter().find(|row| row.reason == reason && row.by == "vmm").map_or(0, |row| row.count);
        case.record(format_args!("{reason}: {seen} seen, {all} in the end"));
        ensure!(seen > 0 && seen <= all, "{reason}: {seen} seen, {all} in the end");
    }
    Ok(())
}

fn check_machine(first: &Machine, second: &Machine) -> Result<()> {
    ensure!(second.now_tsc > first.now_tsc && first.now_tsc > first.boot_tsc, "{first:?}, {second:?}");
    ensure!(second.host_interrupts >= first.host_interrupts, "{first:?}, {second:?}");
    ensure!(second.cpus == 2 && second.free_bytes < second.kept_bytes, "{second:?}");
    ensure!(second.guest_bytes > 256 << 20 && second.guest_bytes < 512 << 20, "{second:?}");
    Ok(())
}

/// The log as the view has it is what a debug image writes to its port, byte for byte.
fn check_log(client: &mut Client, log: &Path) -> Result<()> {
    let seen = client.log(0)?;
    ensure!(seen.lost == 0 && seen.bytes > 0 && seen.text.len() as u64 == seen.bytes, "{seen:?}");
    let written = plinth_qemu::read_text(log);
    ensure!(written.contains(&seen.text), "the log's file has another text than the view shows");
    ensure!(seen.text.contains(" inspect: answers on the second serial port\n"), "{}", seen.text);
    // From the end on there is nothing, wherever that is.
    let rest = client.log_part(u64::MAX)?;
    ensure!(rest.bytes == 0 && rest.lost == 0 && rest.from == rest.end && rest.end >= seen.end, "{rest:?}");
    Ok(())
}

/// An image with a live view on a host without a second serial port: it boots nevertheless.
fn nobody(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let machine = case.machine(image(case, "console=ttyS0 quiet plinth.test=true")?);
    let booted = case.boot(qemu, &machine)?;
    case.expect_outcome(&booted, Outcome::PowerOff)?;
    case.expect(&booted.log, "the host has no second serial port")
}
