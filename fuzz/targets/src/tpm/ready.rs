//! A TPM that has one of everything, from which each input starts, and commands that succeed there.
//!
//! Both are texts, a line a command: its code, its handles, and behind `|` its parameters. A handle with `!`
//! is authorized by the empty password, with `!NAME` by that session; `+NAME` is a session that audits. Words
//! are hexadecimal bytes, `bN` for a sized buffer of N bytes, `(` and `)` around what gets its size in front,
//! and names of bytes that are known: those of [`NAMES`], and of what earlier commands have made. A command
//! with a name leaves the handle that it makes under that name, the structures with a size that its response
//! begins with as `NAME.0`, `NAME.1`, what is behind them as `NAME.rest`, and all as `NAME.all`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use tpm2_engine::{Platform, PlatformError, Storage, Tpm};

use super::commands::{COMMANDS, NAMES, READY};
use super::quick::Quick;

/// A time, a source of entropy, and two slots: a TPM's, and the test's that looks at them.
#[derive(Clone, Default)]
pub struct World {
    /// Milliseconds.
    pub time: Rc<Cell<u64>>,
    entropy: Rc<Cell<u64>>,
    slots: Rc<RefCell<[Vec<u8>; 2]>>,
}

impl World {
    /// One of its own, in the same state.
    fn copied(&self) -> World {
        World {
            time: Rc::new(Cell::new(self.time.get())),
            entropy: Rc::new(Cell::new(self.entropy.get())),
            slots: Rc::new(RefCell::new(self.slots.borrow().clone())),
        }
    }

    /// Opens the TPM whose state is in the slots.
    pub fn open(&self) -> Tpm {
        let (platform, storage) = (Box::new(self.clone()), Box::new(self.clone()));
        let opened = Tpm::open(Box::new(Quick), platform, storage, &[9; 32]);
        opened.unwrap_or_else(|error| panic!("the state can't be opened: {error}"))
    }
}

impl Platform for World {
    fn entropy(&mut self, out: &mut [u8]) -> Result<(), PlatformError> {
        // The same in each run, or nothing would be found twice.
        for byte in out {
            let next = self.entropy.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            self.entropy.set(next);
            *byte = (next >> 56) as u8;
        }
        Ok(())
    }

    fn milliseconds(&mut self) -> u64 {
        self.time.get()
    }
}

impl Storage for World {
    fn read(&mut self, slot: usize) -> Result<Vec<u8>, PlatformError> {
        self.slots.borrow().get(slot).cloned().ok_or(PlatformError)
    }

    fn write(&mut self, slot: usize, bytes: &[u8]) -> Result<(), PlatformError> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(slot).ok_or(PlatformError)?;
        slot.clear();
        slot.extend_from_slice(bytes);
        Ok(())
    }
}

/// Bytes with their size in front.
pub fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// A command with its header.
pub fn framed(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let size = (10 + body.len()) as u32;
    [&tag.to_be_bytes()[..], &size.to_be_bytes(), &code.to_be_bytes(), body].concat()
}

/// What a sized structure begins with, if it does, and what follows it.
pub fn split_sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let size = u16::from_be_bytes(*bytes.first_chunk()?);
    bytes.split_at_checked(2 + usize::from(size))
}

/// Executes a command. Returns what follows the header, if it succeeded; whatever it is, the response is
/// well-formed and the TPM has not failed.
pub fn execute(tpm: &mut Tpm, locality: u8, command: &[u8], response: &mut Vec<u8>) -> Option<usize> {
    tpm.execute(locality, command, response);
    assert_eq!(tpm.failure(), None, "the TPM fails");
    let word = |at: usize| u32::from_be_bytes(response[at..at + 4].try_into().unwrap_or_default());
    assert_eq!(word(2) as usize, response.len(), "the response has another size");
    let tag = u16::from_be_bytes([response[0], response[1]]);
    if word(6) != 0 {
        assert!(response.len() == 10 && matches!(tag, 0x8001 | 0x00c4), "an error with parameters");
        return None;
    }
    assert_eq!(Some(tag), command.first_chunk().map(|tag| u16::from_be_bytes(*tag)), "another tag");
    Some(10)
}

/// Commands whose response begins with a handle.
const MAKES_HANDLE: [u32; 8] = [0x131, 0x157, 0x15b, 0x161, 0x167, 0x176, 0x186, 0x191];

/// What a response has behind its header: the handle, and the parameters.
pub fn parts(code: u32, has_sessions: bool, response: &[u8]) -> Option<(Option<u32>, &[u8])> {
    let mut rest = response;
    let mut handle = None;
    if MAKES_HANDLE.contains(&code) {
        let (value, behind) = rest.split_first_chunk()?;
        (handle, rest) = (Some(u32::from_be_bytes(*value)), behind);
    }
    if has_sessions {
        let (size, behind) = rest.split_first_chunk()?;
        rest = behind.get(..u32::from_be_bytes(*size) as usize)?;
    }
    Some((handle, rest))
}

/// A command in parts.
#[derive(Clone)]
pub struct Command {
    /// TPM_CC.
    pub code: u32,
    /// Its handles.
    pub handles: Vec<u32>,
    /// Sessions: handle and attributes.
    pub sessions: Vec<(u32, u8)>,
    /// Its parameters.
    pub parameters: Vec<u8>,
}

/// TPMA_SESSION.
const CONTINUE: u8 = 1;
const AUDIT: u8 = 1 << 7;

/// TPM_RS_PW.
pub const PASSWORD: u32 = 0x4000_0009;

impl Command {
    /// All of its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128 + self.parameters.len());
        bytes.extend([0x80, if self.sessions.is_empty() { 1 } else { 2 }, 0, 0, 0, 0]);
        bytes.extend(self.code.to_be_bytes());
        self.handles.iter().for_each(|handle| bytes.extend(handle.to_be_bytes()));
        if !self.sessions.is_empty() {
            let at = bytes.len();
            bytes.extend([0; 4]);
            for (handle, attributes) in &self.sessions {
                bytes.extend(handle.to_be_bytes());
                let nonce: &[u8] = if *handle == PASSWORD { &[0, 0] } else { &NONCE };
                bytes.extend(nonce);
                bytes.extend([*attributes, 0, 0]);
            }
            let size = (bytes.len() - at - 4) as u32;
            bytes[at..at + 4].copy_from_slice(&size.to_be_bytes());
        }
        bytes.extend(&self.parameters);
        let size = bytes.len() as u32;
        bytes[2..6].copy_from_slice(&size.to_be_bytes());
        bytes
    }
}

/// The caller's nonce.
const NONCE: [u8; 18] = [0, 16, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7];

/// What is known by name.
type Names = BTreeMap<String, Vec<u8>>;

/// Bytes of hexadecimal digits.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.as_chunks().0.iter().map(|[high, low]| high << 4 | low).collect())
}

fn word(names: &Names, text: &str) -> Vec<u8> {
    if let Some(found) = names.get(text) {
        return found.clone();
    }
    if let Some(count) =
        text.strip_prefix('b').and_then(|count| count.parse().ok()).filter(|_| text.len() < 4)
    {
        return sized(&vec![7; count]);
    }
    from_hex(text).unwrap_or_else(|| panic!("'{text}' is not known"))
}

/// The bytes that some words stand for, up to a closing bracket.
fn words<'a>(names: &Names, text: &mut impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(one) = text.next() {
        match one {
            "(" => bytes.extend(sized(&words(names, text))),
            ")" => break,
            one => bytes.extend(word(names, one)),
        }
    }
    bytes
}

fn handle(names: &Names, text: &str) -> u32 {
    let bytes = word(names, text);
    bytes.first_chunk().map_or_else(|| panic!("'{text}' is no handle"), |bytes| u32::from_be_bytes(*bytes))
}

/// The command of a line.
fn command(names: &Names, line: &str) -> Command {
    let (head, parameters) = line.split_once('|').unwrap_or((line, ""));
    let mut head = head.split_whitespace();
    let code = head.next().and_then(|code| u32::from_str_radix(code, 16).ok());
    let code = code.unwrap_or_else(|| panic!("no code: {line}"));
    let (mut handles, mut sessions) = (Vec::new(), Vec::new());
    for one in head {
        if let Some(auditing) = one.strip_prefix('+') {
            sessions.push((handle(names, auditing), CONTINUE | AUDIT));
            continue;
        }
        let (name, session) = one.split_once('!').map_or((one, None), |(name, by)| (name, Some(by)));
        handles.push(handle(names, name));
        match session {
            None => {}
            Some("") => sessions.push((PASSWORD, CONTINUE)),
            Some(session) => sessions.push((handle(names, session), CONTINUE)),
        }
    }
    Command { code, handles, sessions, parameters: words(names, &mut parameters.split_whitespace()) }
}

/// What each input starts with.
pub struct Ready {
    world: World,
    tpm: Tpm,
    /// Handles of what there is.
    pub handles: Vec<u32>,
    /// Commands that succeed.
    pub commands: Vec<Command>,
    /// Structures that the TPM has returned.
    pub structures: Vec<Vec<u8>>,
}

impl Ready {
    /// Makes it.
    pub fn new() -> Ready {
        let world = World::default();
        let mut tpm = world.open();
        let mut names: Names = Names::new();
        for line in lines(NAMES) {
            let (name, text) = line.split_once(':').unwrap_or((line, ""));
            let bytes = words(&names, &mut text.split_whitespace());
            names.insert(name.to_owned(), bytes);
        }
        let mut response = Vec::new();
        for line in lines(READY) {
            let (name, text) = line.split_once(':').unwrap_or(("", line));
            let made = command(&names, text);
            let done = execute(&mut tpm, 0, &made.bytes(), &mut response);
            assert!(done.is_some(), "{line}: {:02x?}", response.get(6..));
            let found = parts(made.code, !made.sessions.is_empty(), &response[10..]);
            let (handle, mut rest) = found.unwrap_or_default();
            names.insert(format!("{name}.all"), rest.to_vec());
            if let Some(handle) = handle {
                names.insert(name.to_owned(), handle.to_be_bytes().to_vec());
            }
            for number in 0.. {
                let Some((one, behind)) = split_sized(rest) else { break };
                names.insert(format!("{name}.{number}"), one.to_vec());
                rest = behind;
            }
            names.insert(format!("{name}.rest"), rest.to_vec());
        }
        let commands = lines(COMMANDS).map(|line| command(&names, line)).collect();
        let of_handle = |bytes: &Vec<u8>| bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let handles = names.values().filter(|bytes| bytes.len() == 4).filter_map(of_handle).collect();
        let structures = names.into_values().filter(|bytes| bytes.len() > 4).collect();
        Ready { world, tpm, handles, commands, structures }
    }

    /// A TPM in this state, in a world of its own.
    pub fn start(&self) -> (World, Tpm) {
        let world = self.world.copied();
        let tpm = self.tpm.fork(Box::new(Quick), Box::new(world.clone()), Box::new(world.clone()));
        (world, tpm)
    }
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}
