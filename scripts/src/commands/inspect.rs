//! `scripts/inspect`: looks into a running machine.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::inspect::{Client, Shown, Snapshot, View, look};
use crate::project::Project;
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
    let socket = options.socket.clone().unwrap_or_else(|| socket(project));
    let limit = if socket.exists() { CONNECT } else { Duration::ZERO };
    let mut client = Client::connect(&socket, limit)?;
    let views = if options.views.is_empty() { &ALL[..] } else { &options.views };
    let mut last = Snapshot::default();
    loop {
        let now = look(&mut client, views, &last)?;
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
        say::print("\x1b[H\x1b[2J")?;
    }
    Ok(say::print(shown)?)
}

fn interval(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.05..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.05 to 3600".to_owned()),
    }
}
