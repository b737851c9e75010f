//! Requests of three clients by chance, against a model: a map of names to bytes. For tests and the fuzz
//! target.
#![allow(clippy::unwrap_used, reason = "a property that does not hold ends the test")]

extern crate std;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use file_link::serve::Serve;
use file_link::{Mode, Name, Piece, Refusal, Reply, Request};
use runtime::abi::operation::Handle;

use crate::contents::{load, store};
use crate::limits::{BYTES, FILE_BYTES, MAPPED, OPEN};
use crate::machine::{Machine, Slot};
use crate::space::{Server, Space};

/// Words of the memory that a client shares.
const WORDS: usize = 64;
/// What a client passes: memory, or none.
pub const GOOD: Handle = 1;

/// A machine in the test's memory.
#[derive(Default)]
pub struct Fake {
    memory: BTreeMap<usize, Vec<AtomicU64>>,
    slots: BTreeMap<(usize, usize), Vec<AtomicU64>>,
    /// Whether there is memory for slots.
    pub is_full: bool,
}

fn words(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

/// The file of the image, as `boot/one`: its bytes.
pub fn image() -> Vec<u8> {
    (0..3000u32).map(|at| (at * 7) as u8).collect()
}

/// Which slot a handle is for, and whether to be written.
pub fn slot_of(handle: Handle) -> (Slot, bool) {
    let number = (handle - 100) as usize;
    (Slot { space: number / 4, index: number / 2 % 2 }, number % 2 == 1)
}

impl Machine for Fake {
    fn connect(&mut self, space: usize, memory: Handle) -> bool {
        self.memory.remove(&space);
        if memory == GOOD {
            self.memory.insert(space, words(WORDS));
        }
        memory == GOOD
    }

    fn memory(&self, space: usize) -> &[AtomicU64] {
        self.memory.get(&space).map_or(&[], Vec::as_slice)
    }

    fn make(&mut self, slot: Slot) -> bool {
        self.slots.insert((slot.space, slot.index), words(FILE_BYTES as usize / 8));
        !self.is_full
    }

    fn mapped(&self, slot: Slot) -> &[AtomicU64] {
        &self.slots[&(slot.space, slot.index)]
    }

    fn handle(&self, slot: Slot, is_written: bool) -> Handle {
        100 + 4 * slot.space as u32 + 2 * slot.index as u32 + u32::from(is_written)
    }

    fn image_bytes(&mut self, name: &[u8]) -> Option<u64> {
        (name == b"one").then(|| image().len() as u64)
    }

    fn image_read(&mut self, name: &[u8], first: u64, into: &mut [u8]) -> Option<usize> {
        let image = (name == b"one").then(image)?;
        let rest = image.get(usize::try_from(first).ok()?..).unwrap_or_default();
        Some(into.iter_mut().zip(rest).map(|(to, from)| *to = *from).count())
    }
}

/// The clients: key, whether they may write, and their folders.
const CLIENTS: [(u64, bool, &str); 3] = [(7, true, ""), (8, true, "a/"), (9, false, "a/")];
const NAMES: [&str; 5] = ["x", "a/x", "a/y", "boot/one", "y"];

/// A server for them.
pub fn server() -> Server<Fake> {
    let space =
        |(key, is_written, folder): (u64, bool, &str)| Space { key, is_written, folder: folder.into() };
    Server::new(Fake::default(), CLIENTS.map(space).into())
}

struct File {
    owner: usize,
    bytes: Vec<u8>,
    slot: Option<Slot>,
}

#[derive(Clone)]
struct Open {
    /// The file's serial number here, which a removed file takes with it; `None` for that of the image.
    file: Option<u64>,
    is_written: bool,
}

#[derive(Default)]
struct Model {
    names: BTreeMap<Vec<u8>, u64>,
    files: BTreeMap<u64, File>,
    next: u64,
    is_connected: [bool; 3],
    open: [BTreeMap<u64, Open>; 3],
    /// All numbers that were ever given, to be tried again.
    numbers: Vec<u64>,
    /// Who was given a handle to a slot.
    holders: BTreeMap<(usize, usize), BTreeSet<usize>>,
}

/// What is to come back: exactly that, or anything.
type Expected = Result<u64, Refusal>;

impl Model {
    fn full(space: usize, name: &str) -> Vec<u8> {
        [CLIENTS[space].2.as_bytes(), name.as_bytes()].concat()
    }

    fn open(&mut self, space: usize, name: &str, mode: Mode, reply: Reply) {
        let (path, is_written) = (Self::full(space, name), !mode.is_empty());
        let is_image = path.starts_with(b"boot/");
        let known = self.names.get(&path).copied();
        let expected = if is_written && (is_image || !CLIENTS[space].1) {
            Err(Refusal::NotAllowed)
        } else if self.open[space].len() >= OPEN {
            Err(Refusal::TooMany)
        } else if is_image && path != b"boot/one"
            || !is_image && known.is_none() && !mode.contains(Mode::CREATE)
        {
            Err(Refusal::NotFound)
        } else {
            Ok(())
        };
        assert_eq!(reply.map(drop), expected, "{path:?} {mode:?}");
        let Ok(done) = reply else { return };
        let file = (!is_image).then(|| known.unwrap_or_else(|| self.create(path, space)));
        if let Some(file) =
            file.and_then(|file| self.files.get_mut(&file)).filter(|_| mode.contains(Mode::TRUNCATE))
        {
            file.bytes.clear();
        }
        let bytes = file.map_or(3000, |file| self.files[&file].bytes.len() as u64);
        assert_eq!(done.bytes, bytes);
        assert!(!self.numbers.contains(&done.value), "{} was given before", done.value);
        self.numbers.push(done.value);
        self.open[space].insert(done.value, Open { file, is_written });
    }

    fn create(&mut self, path: Vec<u8>, owner: usize) -> u64 {
        self.next += 1;
        self.names.insert(path, self.next);
        self.files.insert(self.next, File { owner, bytes: vec![], slot: None });
        self.next
    }

    /// The bytes of what is open, if it is and was not removed.
    fn bytes(&self, space: usize, number: u64) -> Result<Vec<u8>, Refusal> {
        match self.open[space].get(&number).ok_or(Refusal::NotOpen)?.file {
            None => Ok(image()),
            Some(file) => Ok(self.files.get(&file).ok_or(Refusal::NotOpen)?.bytes.clone()),
        }
    }

    fn write(&mut self, space: usize, number: u64, piece: Piece, from: &[u8]) -> Expected {
        let open = self.open[space].get(&number).ok_or(Refusal::NotOpen)?;
        let file = open.file.filter(|_| open.is_written).ok_or(Refusal::NotAllowed)?;
        if piece.words(WORDS).is_none() {
            return Err(Refusal::Wrong);
        }
        let used: usize = {
            let owner = self.files.get(&file).ok_or(Refusal::NotOpen)?.owner;
            self.files.values().filter(|file| file.owner == owner).map(|file| file.bytes.len()).sum()
        };
        let file = self.files.get_mut(&file).ok_or(Refusal::NotOpen)?;
        if piece.bytes == 0 {
            return Ok(0);
        }
        let end =
            piece.first.checked_add(piece.bytes).filter(|end| *end <= FILE_BYTES).ok_or(Refusal::NoRoom)?;
        let longer = (end as usize).saturating_sub(file.bytes.len());
        if longer > 0 && (file.owner != space || (used + longer) as u64 > BYTES) {
            return Err(Refusal::NoRoom);
        }
        file.bytes.resize(file.bytes.len() + longer, 0);
        file.bytes[piece.first as usize..end as usize].copy_from_slice(from);
        Ok(piece.bytes)
    }

    /// A handle was given: it is for memory that has the file, and nobody sees in it what is not theirs.
    fn mapped(
        &mut self,
        space: usize,
        number: u64,
        is_written: bool,
        reply: Reply,
        handle: Handle,
        machine: &Fake,
    ) {
        let bytes = self.bytes(space, number);
        let open = self.open[space].get(&number).cloned();
        match (reply, &bytes, &open) {
            (Ok(done), Ok(bytes), Some(open)) => {
                let (slot, may_write) = slot_of(handle);
                assert_eq!((may_write, done.value), (is_written, bytes.len() as u64));
                assert!(!is_written || open.is_written);
                let mut found = vec![0; bytes.len()];
                load(machine.mapped(slot), 0, &mut found);
                assert_eq!(&found, bytes);
                let holders = self.holders.entry((slot.space, slot.index)).or_default();
                let file = open.file.and_then(|file| self.files.get_mut(&file));
                let is_there = file.as_ref().is_some_and(|file| file.slot == Some(slot));
                // What is put there now, those who had it before will see.
                assert!(is_there || slot.space == space && holders.iter().all(|holder| *holder == space));
                assert!(slot.index < MAPPED);
                holders.insert(space);
                if let Some(file) = file {
                    file.slot = Some(slot);
                }
            }
            (Ok(_), ..) => panic!("what is not open was mapped"),
            (Err(Refusal::NotOpen), Err(Refusal::NotOpen), _) => {}
            (Err(Refusal::NotAllowed), _, Some(open)) => assert!(is_written && !open.is_written),
            (Err(Refusal::TooMany), Ok(_), _) => {}
            (refused, ..) => panic!("{refused:?} to a client that maps"),
        }
        if reply.is_err() {
            assert_eq!(handle, 0);
        }
    }

    fn remove(&mut self, space: usize, name: &str) -> Expected {
        let path = Self::full(space, name);
        if !CLIENTS[space].1 || path.starts_with(b"boot/") {
            return Err(Refusal::NotAllowed);
        }
        let file = self.names.remove(&path).ok_or(Refusal::NotFound)?;
        self.files.remove(&file);
        Ok(0)
    }
}

/// A test of one input: four bytes are a step.
struct Run {
    server: Server<Fake>,
    model: Model,
}

impl Run {
    fn ask(&mut self, space: usize, request: Request) -> (Reply, Handle) {
        // As a server gets it.
        let request = Request::from_words(&request.to_words()).unwrap();
        self.server.serve(CLIENTS[space].0, request, GOOD)
    }

    fn step(&mut self, [kind, one, two, three]: [u8; 4]) {
        let space = usize::from(kind >> 4) % 3;
        let name = NAMES[usize::from(one) % NAMES.len()];
        let a_name = Name::new(name.as_bytes()).unwrap();
        // One of those that it has, or that anybody ever had.
        let own = self.model.open[space].keys().nth(usize::from(one) % OPEN).copied();
        let any = self.model.numbers.get(usize::from(one)).copied();
        let file = if one & 0x80 == 0 { own.or(any) } else { any }.unwrap_or(u64::from(one));
        let first = u64::from(two) << (three % 12);
        let piece = Piece { first, bytes: u64::from(three) * 3, offset: u64::from(two % 8) * 8 };
        let is_connected = self.model.is_connected[space];
        match kind & 0xf {
            0 => {
                let handle = if one == 0 { 0 } else { GOOD };
                let (reply, _) = self.server.serve(CLIENTS[space].0, Request::Connect, handle);
                let may_write = u64::from(CLIENTS[space].1);
                let expected = if one == 0 { Err(Refusal::Wrong) } else { Ok(may_write) };
                assert_eq!(reply.map(|done| done.value), expected);
                self.model.is_connected[space] = one != 0;
                self.model.open[space].clear();
            }
            // A channel that is nobody's.
            1 => assert_eq!(self.server.serve(6, Request::Connect, GOOD), (Err(Refusal::NotAllowed), 0)),
            _ if !is_connected => {
                let (reply, handle) = self.ask(space, Request::Read { file, piece });
                assert_eq!((reply, handle), (Err(Refusal::NotConnected), 0));
            }
            2..=4 => {
                let mode = Mode::from_bits_truncate(u64::from(two));
                let (reply, _) = self.ask(space, Request::Open { name: a_name, mode });
                self.model.open(space, name, mode, reply);
            }
            5..=7 => self.read(space, file, piece),
            8..=10 => {
                let from: Vec<u8> = (0..piece.bytes).map(|at| (at as u8) ^ one ^ three).collect();
                store(self.server.machine().memory(space), piece.offset as usize, &from);
                let (reply, _) = self.ask(space, Request::Write { file, piece });
                let expected = self.model.write(space, file, piece, &from);
                assert_eq!(reply.map(|done| done.value), expected, "{piece:?}");
            }
            11 => {
                let is_written = two & 1 != 0;
                let (reply, handle) = self.ask(space, Request::Map { file, is_written });
                self.model.mapped(space, file, is_written, reply, handle, self.server.machine());
            }
            12 => {
                let (reply, _) = self.ask(space, Request::Close { file });
                let expected = self.model.open[space].remove(&file).map(drop).ok_or(Refusal::NotOpen);
                assert_eq!(reply.map(drop), expected);
            }
            13 => {
                let (reply, _) = self.ask(space, Request::Remove { name: a_name });
                let expected = self.model.remove(space, name);
                assert_eq!(reply.map(|done| done.value), expected);
            }
            _ => self.poke(file, space, first, three),
        }
    }

    fn read(&mut self, space: usize, file: u64, piece: Piece) {
        let memory = self.server.machine().memory(space);
        memory.iter().for_each(|word| word.store(u64::MAX, Ordering::Relaxed));
        let (reply, _) = self.ask(space, Request::Read { file, piece });
        let bytes = self.model.bytes(space, file);
        let expected = bytes.and_then(|bytes| {
            let rest = bytes.get(piece.first as usize..).unwrap_or_default();
            let read = rest.get(..piece.bytes as usize).unwrap_or(rest).to_vec();
            if piece.words(WORDS).is_some() { Ok(read) } else { Err(Refusal::Wrong) }
        });
        // Of two mistakes either is told.
        if piece.words(WORDS).is_none() && self.model.open[space].contains_key(&file) {
            return assert_eq!(reply, Err(Refusal::Wrong));
        }
        assert_eq!(
            reply.map(|done| done.value),
            expected.as_ref().map(|read| read.len() as u64).map_err(|e| *e)
        );
        let Ok(expected) = expected else { return };
        let memory = self.server.machine().memory(space);
        let mut found = vec![0; expected.len()];
        load(memory, piece.offset as usize, &mut found);
        assert_eq!(found, expected);
        // What is beside it is as it was; the last word is filled up with zeros.
        let end = (piece.offset as usize + expected.len()).div_ceil(8);
        let before = memory.iter().take(piece.offset as usize / 8);
        assert!(before.chain(memory.iter().skip(end)).all(|word| word.load(Ordering::Relaxed) == u64::MAX));
    }

    /// A client writes to a file that it has mapped.
    fn poke(&mut self, number: u64, space: usize, first: u64, value: u8) {
        let open = self.model.open[space].get(&number).filter(|open| open.is_written);
        let file = open.and_then(|open| open.file).and_then(|file| self.model.files.get_mut(&file));
        let Some(File { bytes, slot: Some(slot), .. }) = file else { return };
        let first = first as usize % (FILE_BYTES as usize);
        store(self.server.machine().mapped(*slot), first, &[value]);
        if let Some(byte) = bytes.get_mut(first) {
            *byte = value;
        }
    }
}

/// Carries out what the input says.
///
/// # Panics
/// If what the server does is not what the model does.
pub fn run(input: &[u8]) {
    let mut run = Run { server: server(), model: Model::default() };
    for step in input.as_chunks().0 {
        run.step(*step);
    }
}
