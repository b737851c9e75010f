//! Reads `init.conf`.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use runtime::abi::operation::Rights;

/// What to do when a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnEnd {
    /// Start it again, unless it does so too often.
    Restart,
    /// End the machine.
    EndMachine,
    /// Nothing.
    Ignore,
}

/// A process to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its name, and its file's.
    pub name: String,
    /// Handles of init's, with the rights that are given.
    pub grants: Vec<(String, Rights)>,
    /// What it is told.
    pub settings: Vec<(String, String)>,
    /// Where it starts.
    pub cpu: u32,
    /// How urgent it is.
    pub priority: u32,
    /// What becomes of its end.
    pub on_end: OnEnd,
}

/// A mistake, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Rights by letter: read, write, map, create, signal, await, execute (run), grant.
fn rights(letters: &str) -> Option<Rights> {
    letters.chars().try_fold(Rights::empty(), |rights, letter| {
        Some(
            rights
                | match letter {
                    'r' => Rights::READ,
                    'w' => Rights::WRITE,
                    'm' => Rights::MAP,
                    'c' => Rights::CREATE,
                    's' => Rights::SIGNAL,
                    'a' => Rights::WAIT,
                    'x' => Rights::RUN,
                    'g' => Rights::GRANT,
                    _ => return None,
                },
        )
    })
}

fn statement(process: &mut Process, words: &[&str]) -> Result<(), &'static str> {
    match words {
        ["grant", name, letters] => {
            let rights = rights(letters).ok_or("rights are letters of `rwmcsaxg`")?;
            process.grants.push(((*name).to_owned(), rights));
        }
        ["set", key, value @ ..] => process.settings.push(((*key).to_owned(), value.join(" "))),
        ["cpu", number] => process.cpu = number.parse().map_err(|_| "cpu takes a number")?,
        ["priority", number] => process.priority = number.parse().map_err(|_| "priority takes a number")?,
        ["on-end", policy] => {
            process.on_end = match *policy {
                "restart" => OnEnd::Restart,
                "end-machine" => OnEnd::EndMachine,
                "ignore" => OnEnd::Ignore,
                _ => return Err("on-end takes restart, end-machine or ignore"),
            }
        }
        _ => return Err("not a statement"),
    }
    Ok(())
}

/// Gives the text of a file of the image by its name.
pub type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

/// All that the text says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Names of channels. A grant of the name gives the channel, of `NAME-endpoint` where its calls come.
    pub channels: Vec<String>,
    /// The processes to start.
    pub processes: Vec<Process>,
    /// The one that statements are of.
    current: Option<usize>,
}

/// Reads the text, and those that it includes.
pub fn parse(text: &str, read: Read<'_>) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    parse_into(&mut config, text, Some(read))?;
    Ok(config)
}

/// `read`: none in what is included, which includes nothing more.
fn parse_into(config: &mut Config, text: &str, read: Option<Read<'_>>) -> Result<(), ConfigError> {
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("");
        let words: Vec<&str> = line.split_whitespace().collect();
        let error = |what| ConfigError { line: index + 1, what };
        match words.as_slice() {
            [] => {}
            ["include", name] => {
                let read = read.ok_or(error("what is included includes nothing more"))?;
                let more = read(name).ok_or(error("there is no such file to include"))?;
                parse_into(config, &more, None)?;
            }
            ["channel", name] => config.channels.push((*name).to_owned()),
            ["process", name] => config.add(name),
            ["for", name] => {
                let known = config.processes.iter().position(|process| process.name == *name);
                config.current = Some(known.ok_or(error("there is no such process before"))?);
            }
            words => {
                let process = config.current.and_then(|at| config.processes.get_mut(at));
                let process = process.ok_or(error("a statement before the first process"))?;
                statement(process, words).map_err(error)?;
            }
        }
    }
    Ok(())
}

impl Config {
    fn add(&mut self, name: &str) {
        self.current = Some(self.processes.len());
        self.processes.push(Process {
            name: name.to_owned(),
            grants: Vec::new(),
            settings: Vec::new(),
            cpu: 0,
            priority: 1,
            on_end: OnEnd::EndMachine,
        });
    }
}
