//! Speaking to the user. Progress goes to standard error, so that what a command is asked to print stays
//! alone on standard output.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// All bars and signs of life. Threads may show one each, and what is printed meanwhile goes above them.
static SHOWN: LazyLock<MultiProgress> = LazyLock::new(|| MultiProgress::with_draw_target(target()));

/// A line of progress on standard error.
pub fn say(text: impl Display) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "plinth: {text}");
}

/// Lines on standard error that are not ours: the end of a log, say.
pub fn raw(text: &str) {
    // As above.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes to standard output.
///
/// # Errors
/// When it is closed.
pub fn print(text: impl Display) -> std::io::Result<()> {
    SHOWN.suspend(|| {
        let mut out = std::io::stdout().lock();
        // At once, since what follows may take long, or be another program's output.
        write!(out, "{text}").and_then(|()| out.flush())
    })
}

/// A bar for work of so many steps, on a terminal; elsewhere it draws nothing. It is gone when it is
/// finished.
pub fn bar(steps: u64, what: &str) -> ProgressBar {
    let bar = SHOWN.add(ProgressBar::new(steps));
    if let Ok(style) =
        ProgressStyle::with_template("plinth: {msg} [{bar:30}] {pos}/{len}, {elapsed}, {eta} to go")
    {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

/// A sign of life for work of unknown length, on a terminal; gone when it is finished.
pub fn spinner(what: &str) -> ProgressBar {
    let bar = SHOWN.add(ProgressBar::no_length());
    if let Ok(style) = ProgressStyle::with_template("plinth: {msg} {spinner} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    // Else a thread would tick for nobody.
    if std::io::stderr().is_terminal() {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}

fn target() -> ProgressDrawTarget {
    if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}
