//! Compares two TPMs behind sockets: their response codes to random commands, and their rates.
//!
//! `scripts/tpm differential` and `scripts/bench tpm` start both TPMs and this.
#![forbid(unsafe_code)]

mod codes;
mod rates;
mod socket;
mod wire;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use socket::{Place, Socket};

/// Compares two TPMs behind swtpm's socket protocol
#[derive(Debug, Parser)]
struct Cli {
    /// The TPM that is tested: the port of its data channel and the number of its process
    #[arg(long, value_name = "PORT,PROCESS")]
    ours: Place,
    /// The TPM that it is compared with
    #[arg(long, value_name = "PORT,PROCESS")]
    theirs: Place,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Measures how long commands take: lines NAME, TAB, nanoseconds, TAB, the other's nanoseconds
    Rates {
        /// Only rows whose names contain this
        #[arg(default_value = "")]
        only: String,
    },
    /// Sends random commands to both and compares the response codes
    Codes {
        /// What chance begins with
        #[arg(long)]
        seed: u64,
        /// How many commands
        #[arg(long)]
        commands: u64,
        /// Also how often each command succeeded
        #[arg(long)]
        details: bool,
    },
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let mut tpms = [Socket::connect(cli.ours)?, Socket::connect(cli.theirs)?];
    match cli.what {
        What::Rates { only } => {
            for row in rates::run(&mut tpms, &only)? {
                let [ours, theirs] = row.time_ns;
                println!("{}\t{ours}\t{theirs}", row.name);
            }
            Ok(ExitCode::SUCCESS)
        }
        What::Codes { seed, commands, details } => {
            let seen = codes::run(tpms, seed, commands)?;
            report(&seen, details);
            Ok(if seen.different.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// Prints differences, and a last line with the numbers.
fn report(seen: &codes::Seen, details: bool) {
    if details {
        seen.by_command.iter().for_each(|(code, count)| println!("succeeded: {code:x} {count}"));
    }
    seen.explained.iter().for_each(|(reason, count)| println!("explained: {count}: {reason}"));
    for (what, (count, example)) in &seen.different {
        println!("different: {what}, {count} times\n  {example}");
    }
    let explained: u64 = seen.explained.values().sum();
    let (sent, succeeded, different) =
        (seen.sent, seen.succeeded, seen.different.values().map(|(count, _)| count).sum::<u64>());
    println!("sent {sent}, succeeded {succeeded}, explained {explained}, different {different}");
}
