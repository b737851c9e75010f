//! `scripts/inspect`: looks into a running machine.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use plinth_qemu::{Boot, Machine, Outcome, Qemu};

use crate::build;
use crate::debian::kernel;
use crate::image::{Image, Payload};
use crate::initramfs::Initramfs;
use crate::inspect::timeline::{self, Sample};
use crate::inspect::{AskError, Client, Shown, Snapshot, View, look};
use crate::project::{Project, write};
use crate::say;

/// How long a machine may take from its start to its view's first answer.
const CONNECT: Duration = Duration::from_secs(20);

/// Looks into a machine started by `scripts/run --inspect`, while it runs: processes, memory, exits, log,
/// trace
#[derive(Debug, clap::Args)]
#[command(override_usage = "scripts/inspect [OPTION]... [VIEW]...")]
pub struct Options {
    /// What to look at; all, if nothing is named
    #[arg(value_name = "VIEW", value_enum)]
    views: Vec<View>,
    /// Look again and again, until ctrl-c or the machine's end
    #[arg(long)]
    follow: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, requires = "follow", value_parser = interval)]
    interval: f64,
    /// A line of JSON for each look
    #[arg(long)]
    json: bool,
    /// Instead: boot Debian with a live view, to user space and off again, and draw the boot's exits over
    /// time
    #[arg(long, value_name = "FILE.svg", conflicts_with_all = ["views", "follow", "json", "socket"])]
    timeline: Option<PathBuf>,
    /// Processors of the machine that is drawn
    #[arg(long, value_name = "N", default_value_t = 1, requires = "timeline")]
    smp: u32,
    /// The machine's socket [default: target/run/inspect.sock, where scripts/run --inspect makes it]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Where `scripts/run --inspect` has the machine's second serial port.
pub fn socket(project: &Project) -> PathBuf {
    project.work.join("inspect.sock")
}

/// All views, in the order in which they are shown.
const ALL: [View; 5] = [View::Machine, View::Processes, View::Exits, View::Trace, View::Log];

/// Looks.
///
/// # Errors
/// When no view answers.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    if let Some(file) = &options.timeline {
        return picture(project, options.smp, file);
    }
    let socket = options.socket.clone().unwrap_or_else(|| socket(project));
    // Without a socket no machine is about to answer: not worth waiting for.
    let limit = if socket.exists() { CONNECT } else { Duration::ZERO };
    let mut client = Client::connect(&socket, limit)?;
    let views = if options.views.is_empty() { &ALL[..] } else { &options.views };
    let mut last = Snapshot::default();
    loop {
        let now = look(&mut client, views, &last)?;
        // The first look has nothing to compare with.
        let before = last.machine.is_some().then_some(&last);
        print(&Shown { now: &now, before }, options)?;
        if !options.follow {
            return Ok(ExitCode::SUCCESS);
        }
        last = now;
        std::thread::sleep(Duration::from_secs_f64(options.interval));
    }
}

fn print(shown: &Shown<'_>, options: &Options) -> Result<()> {
    if options.json {
        return Ok(say::print(format_args!("{}\n", serde_json::to_string(shown.now)?))?);
    }
    // What is followed stays at its place on a terminal, but for a log alone, which goes on.
    let is_log = options.views == [View::Log];
    if is_log {
        return Ok(say::print(shown.now.log.as_ref().map_or("", |log| &log.text))?);
    }
    if options.follow && std::io::stdout().is_terminal() {
        // Elsewhere the looks follow each other: a file need not have terminal's codes in it.
        say::print("\x1b[H\x1b[2J")?;
    }
    Ok(say::print(shown)?)
}

/// How long a boot that is drawn may take.
const BOOT: Duration = Duration::from_secs(300);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(100);

fn picture(project: &Project, processors: u32, file: &Path) -> Result<ExitCode> {
    let qemu = Qemu::find(None)?;
    build::plinth(project)?;
    let folder = project.scratch("timeline")?;
    let initrd = Some(Initramfs::new(project)?.pack(&folder.join("initrd.gz"))?);
    let append = "console=ttyS0 plinth.test=true".to_owned();
    let payload = Payload { kernel: kernel::fetch(project, "6.1")?, initrd, append };
    let image = Image::new(project, "inspect")?.payload(&payload).pack(&folder.join("timeline.igvm"))?;
    // In the folder for temporary files, as a socket's path may have about a hundred bytes.
    let socket = std::env::temp_dir().join(format!("plinth-timeline-{}", std::process::id()));
    let mut machine = Machine::new(Boot::Pvh { loader: project.programs().join("pvh-loader"), image });
    (machine.processors, machine.inspect) = (processors, Some(socket.clone()));
    machine.log = Some(folder.join("log"));
    say::say("booting; the picture is drawn when the guest is off again");
    let running = machine.start(&qemu, &folder.join("console"))?;
    // Until the machine has ended, so that waiting for it below takes no time.
    let samples = sample(&socket);
    // The socket's name is of no use any more, and QEMU may have taken it away.
    let _ = std::fs::remove_file(&socket);
    let (samples, ended) = (samples?, running.wait(BOOT)?);
    if ended.outcome != Outcome::PowerOff {
        bail!("the machine ended with {}; its log is {}", ended.outcome, folder.join("log").display());
    }
    let title = format!("Exits a second while Debian's Linux 6.1 boots and powers off, {processors} vCPU(s)");
    write(file, timeline::svg(&samples, &title))?;
    say::say(format_args!("{} looks; written: {}", samples.len(), file.display()));
    Ok(ExitCode::SUCCESS)
}

/// Looks until the machine ends.
fn sample(socket: &Path) -> Result<Vec<Sample>> {
    let mut client = Client::connect(socket, BOOT)?;
    let mut samples = Vec::new();
    loop {
        let seen = client.exits().and_then(|exits| Ok((client.machine()?, exits)));
        match seen {
            Ok((machine, exits)) => samples.push(Sample::of(&machine, &exits)),
            // It has ended: in the middle of an answer, or before one.
            Err(AskError::Closed | AskError::Io(_)) => return Ok(samples),
            Err(error) => return Err(error.into()),
        }
        std::thread::sleep(LOOK);
    }
}

fn interval(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.05..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.05 to 3600".to_owned()),
    }
}
