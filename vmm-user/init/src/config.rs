//! Reads `init.conf`.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use runtime::abi::operation::{Rights, budget};
use runtime::guest_range::{GuestRange, RangeError, amount};

/// How often a process is started again before init gives up on it, unless `on-end` says so.
const RESTARTS: u32 = 5;

/// What to do when a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnEnd {
    /// Start it again, so many times.
    Restart(u32),
    /// End the machine.
    EndMachine,
    /// Nothing.
    Ignore,
}

/// What a process is to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A process like any.
    Plain,
    /// A device of the process of that index, in a process of its own.
    Device(usize),
}

/// A name space: files of another process's that a process reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameSpace {
    /// The name of the channel by which the files are served.
    pub server: String,
    /// `r` or `rw`.
    pub access: String,
    /// The folder that they are in, or nothing.
    pub folder: String,
}

/// A process to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its name.
    pub name: String,
    /// The name of its file.
    pub file: String,
    /// What it is.
    pub role: Role,
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
    /// Limits of what it may use: numbers of budgets, and how much.
    pub budgets: Vec<(u32, u64)>,
    /// What is at ranges of its guest's ports and addresses.
    pub ranges: Vec<GuestRange>,
    /// Whose files it reaches.
    pub files: Vec<NameSpace>,
}

impl Process {
    /// Whether it is started again, with its devices, when its guest resets the machine.
    pub fn resets_in_place(&self) -> bool {
        // The first, as the process itself reads it.
        self.settings.iter().find(|(key, _)| key == "reset").is_some_and(|(_, value)| value == "in-place")
    }

    /// Whether it is granted a handle of that name.
    pub fn has(&self, handle: &str) -> bool {
        self.grants.iter().any(|(name, _)| name == handle)
    }
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

fn policy(words: &[&str]) -> Result<OnEnd, &'static str> {
    match words {
        ["restart"] => Ok(OnEnd::Restart(RESTARTS)),
        ["restart", times] => {
            times.parse().map(OnEnd::Restart).map_err(|_| "on-end restart takes a number of times")
        }
        ["end-machine"] => Ok(OnEnd::EndMachine),
        ["ignore"] => Ok(OnEnd::Ignore),
        _ => Err("on-end takes restart, end-machine or ignore"),
    }
}

/// The budgets' names.
const BUDGETS: [(&str, u32); budget::END as usize] = [
    ("memory", budget::MEMORY),
    ("handles", budget::HANDLES),
    ("threads", budget::THREADS),
    ("events", budget::EVENTS),
    ("processes", budget::PROCESSES),
    ("objects", budget::OBJECTS),
    ("priority", budget::PRIORITY),
    ("share", budget::SHARE),
];

/// The rest of a line `files SERVER`.
fn name_space(known: &[NameSpace], server: &str, words: &[&str]) -> Result<NameSpace, &'static str> {
    let (access, folder) = match words {
        [access] => (*access, ""),
        [access, folder] => (*access, *folder),
        _ => return Err("files takes a channel, r or rw, and a folder perhaps"),
    };
    if !matches!(access, "r" | "rw") {
        return Err("files takes r or rw");
    }
    // Without it the folder would be the beginning of other names, too.
    if !folder.is_empty() && !folder.ends_with('/') {
        return Err("a folder ends with /");
    }
    // Its handle has the server's name.
    if known.iter().any(|known| known.server == server) {
        return Err("the process has files of this server");
    }
    Ok(NameSpace { server: server.to_owned(), access: access.to_owned(), folder: folder.to_owned() })
}

fn statement(process: &mut Process, words: &[&str]) -> Result<(), &'static str> {
    match words {
        ["grant", name, letters] => {
            let rights = rights(letters).ok_or("rights are letters of `rwmcsaxg`")?;
            process.grants.push(((*name).to_owned(), rights));
        }
        // With one blank between words, however many there were: a value is a part of one line of the start
        // page.
        ["set", key, value @ ..] => process.settings.push(((*key).to_owned(), value.join(" "))),
        ["file", name] => process.file = (*name).to_owned(),
        ["cpu", number] => process.cpu = number.parse().map_err(|_| "cpu takes a number")?,
        ["priority", number] => process.priority = number.parse().map_err(|_| "priority takes a number")?,
        ["budget", name, limit] => {
            let known = BUDGETS.iter().find(|(known, _)| known == name);
            let (_, number) = known.ok_or("there is no such budget")?;
            // Whether it may be so much the kernel says, when the process is made.
            process.budgets.push((*number, amount(limit).ok_or("a budget takes a number")?));
        }
        ["files", server, words @ ..] => process.files.push(name_space(&process.files, server, words)?),
        ["on-end", words @ ..] => process.on_end = policy(words)?,
        _ => return Err("not a statement"),
    }
    Ok(())
}

/// A part of guest memory that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Its name.
    pub name: String,
    /// Its first byte.
    pub gpa: u64,
    /// Its size.
    pub bytes: u64,
}

/// All that the text says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Names of channels. A grant of the name gives the channel, of `NAME-endpoint` where its calls come.
    pub channels: Vec<String>,
    /// Parts of guest memory. A grant of the name gives that part and no more.
    pub memory: Vec<Memory>,
    /// Memory that processes share, and that outlives them: names, and sizes in bytes.
    pub shared: Vec<(String, u64)>,
    /// The processes to start.
    pub processes: Vec<Process>,
}

/// What statements go to.
enum Section {
    /// The process of an index.
    Process(usize),
    /// The process of an index: a device that runs inside of it.
    Inside(usize),
}

/// The text so far.
#[derive(Default)]
struct Reader {
    config: Config,
    /// The last process that is no device.
    owner: Option<usize>,
    section: Option<Section>,
}

impl Reader {
    /// `files`: none in what is included, which includes nothing more.
    fn read(&mut self, text: &str, files: Option<Read<'_>>) -> Result<(), ConfigError> {
        for (index, line) in text.lines().enumerate() {
            // What follows is for the reader.
            let line = line.split('#').next().unwrap_or("");
            let words: Vec<&str> = line.split_whitespace().collect();
            let error = |what| ConfigError { line: index + 1, what };
            if let ["include", name] = words[..] {
                // One level and no more: two files that include each other would never end.
                let files = files.ok_or(error("what is included includes nothing more"))?;
                let more = files(name).ok_or(error("there is no such file to include"))?;
                self.read(&more, None)?;
            } else {
                self.line(&words).map_err(error)?;
            }
        }
        Ok(())
    }

    fn line(&mut self, words: &[&str]) -> Result<(), &'static str> {
        match words {
            [] => Ok(()),
            ["process", name] => {
                // Devices that follow are this one's, up to the next process.
                self.owner = Some(self.config.processes.len());
                self.begin(name, name, Role::Plain, OnEnd::EndMachine);
                Ok(())
            }
            ["for", name] => self.go_back_to(name),
            ["channel", name] => {
                self.config.channels.push((*name).to_owned());
                Ok(())
            }
            ["memory", name, gpa, bytes] => self.memory(name, gpa, bytes),
            ["shared", name, bytes] => {
                let bytes = amount(bytes).ok_or("shared takes a size")?;
                self.config.shared.push(((*name).to_owned(), bytes));
                Ok(())
            }
            ["device", name, place] => self.device(name, place),
            ["range", words @ ..] => self.range(words),
            words => self.statement(words),
        }
    }

    fn begin(&mut self, name: &str, file: &str, role: Role, on_end: OnEnd) {
        self.section = Some(Section::Process(self.config.processes.len()));
        let (name, file) = (name.to_owned(), file.to_owned());
        let (grants, settings) = (Vec::new(), Vec::new());
        self.config.processes.push(Process {
            name,
            file,
            role,
            grants,
            settings,
            cpu: 0,
            priority: 1,
            on_end,
            budgets: Vec::new(),
            ranges: Vec::new(),
            files: Vec::new(),
        });
    }

    /// More of a process that was begun before.
    fn go_back_to(&mut self, name: &str) -> Result<(), &'static str> {
        let known = self.config.processes.iter().position(|process| process.name == name);
        let index = known.ok_or("there is no such process before")?;
        // Devices that follow belong to a process: a device is nobody's owner.
        let is_plain = self.config.processes.get(index).is_some_and(|process| process.role == Role::Plain);
        if is_plain {
            self.owner = Some(index);
        }
        self.section = Some(Section::Process(index));
        Ok(())
    }

    fn memory(&mut self, name: &str, gpa: &str, bytes: &str) -> Result<(), &'static str> {
        // It would take the place of all guest memory, for whoever is granted that.
        if name == "guest-memory" || self.config.memory.iter().any(|known| known.name == name) {
            return Err("there is memory of this name");
        }
        let gpa = amount(gpa).ok_or("memory takes a first byte")?;
        let bytes = amount(bytes).ok_or("memory takes a size")?;
        self.config.memory.push(Memory { name: name.to_owned(), gpa, bytes });
        Ok(())
    }

    /// A range of the guest's of the process before it.
    fn range(&mut self, words: &[&str]) -> Result<(), &'static str> {
        let range = GuestRange::parse(words).map_err(RangeError::what)?;
        let owner = self.owner.and_then(|owner| self.config.processes.get_mut(owner));
        owner.ok_or("a range before the first process")?.ranges.push(range);
        Ok(())
    }

    /// A device of the process before it, which is told where it is.
    fn device(&mut self, name: &str, place: &str) -> Result<(), &'static str> {
        let owner = self.owner.ok_or("a device before the first process")?;
        let process = self.config.processes.get_mut(owner).ok_or("a device before the first process")?;
        process.settings.push((alloc::format!("device.{name}"), place.to_owned()));
        match place {
            "inside" => self.section = Some(Section::Inside(owner)),
            "process" => {
                // One device less is no reason to end the machine, as the end of a process is.
                self.begin(name, "device-host", Role::Device(owner), OnEnd::Restart(RESTARTS));
                self.statement(&["set", "device", name])?;
            }
            _ => return Err("a device is inside or a process"),
        }
        Ok(())
    }

    fn statement(&mut self, words: &[&str]) -> Result<(), &'static str> {
        let index = match self.section {
            None => return Err("a statement before the first process"),
            Some(Section::Process(index)) => index,
            Some(Section::Inside(owner)) => {
                // What would be said of a process that there is not.
                if !matches!(words, ["grant" | "set" | "files", ..]) {
                    return match words {
                        ["file" | "cpu" | "priority" | "on-end" | "budget", ..] => Ok(()),
                        _ => Err("not a statement"),
                    };
                }
                owner
            }
        };
        let process = self.config.processes.get_mut(index).ok_or("a statement before the first process")?;
        match words {
            // What a device needs by itself, its owner may have already.
            ["grant", name, _] if matches!(self.section, Some(Section::Inside(_))) && process.has(name) => {
                Ok(())
            }
            words => statement(process, words),
        }
    }
}

/// Gives the text of a file of the image by its name.
pub type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads the text, and those that it includes.
pub fn parse(text: &str, read: Read<'_>) -> Result<Config, ConfigError> {
    let mut reader = Reader::default();
    reader.read(text, Some(read))?;
    Ok(reader.config)
}

#[cfg(test)]
mod tests;
