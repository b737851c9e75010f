//! The TPM's commands from software that does what it likes with them: good commands with a few changes,
//! commands that use what others have returned, commands of arbitrary bytes, losses of power, and time that
//! passes.
//!
//! An input is a list of steps; what its bytes mean is decided as they are read, and where they end, the list
//! ends. It starts from a TPM that has one of everything. Whatever comes, a response is well-formed, the TPM
//! does not fail, and its state can be opened again.

use tpm2_engine::Tpm;

use super::ready::{Command, PASSWORD, Ready, World, execute, framed, parts, split_sized};

thread_local! {
    static READY: Ready = Ready::new();
}

/// Bytes of an input, one after the other.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// As many as there are, and no more than wanted.
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}

/// What is remembered of handles and of structures that an input's commands return.
const REMEMBERED: usize = 16;
/// TPM2_Startup, and TPM2_Shutdown.
const STARTUP: u32 = 0x144;
const SHUTDOWN: u32 = 0x145;

/// A TPM, and what its caller knows.
struct Caller<'a> {
    ready: &'a Ready,
    world: World,
    tpm: Tpm,
    response: Vec<u8>,
    handles: Vec<u32>,
    structures: Vec<Vec<u8>>,
}

impl Caller<'_> {
    fn execute(&mut self, locality: u8, command: &[u8]) -> bool {
        execute(&mut self.tpm, locality, command, &mut self.response).is_some()
    }

    /// A handle that is known: the newest have the lowest numbers.
    fn handle(&self, choice: u8) -> u32 {
        let known = self.handles.iter().rev().chain(&self.ready.handles);
        known.cycle().nth(usize::from(choice)).copied().unwrap_or(PASSWORD)
    }

    /// A structure that is known, likewise.
    fn structure(&self, choice: u8) -> &[u8] {
        let known = self.structures.iter().rev().chain(&self.ready.structures);
        known.cycle().nth(usize::from(choice)).map_or(&[], Vec::as_slice)
    }

    /// A good command with changes: a bit of `kind` for each sort.
    fn command(&mut self, kind: u8, input: &mut Input<'_>) -> Option<()> {
        let commands = &self.ready.commands;
        let mut command = commands.get(usize::from(input.byte()?) % commands.len())?.clone();
        let has = |bit: u8| kind >> bit & 1 != 0;
        if has(3) {
            self.change_handles(&mut command, input)?;
        }
        if has(4) {
            self.change_sessions(&mut command, input)?;
        }
        if has(5) {
            // A structure in the place of what is there, or at the end.
            let (at, found) = (usize::from(input.byte()?), self.structure(input.byte()?));
            let at = at.min(command.parameters.len());
            let end = split_sized(&command.parameters[at..]).map_or(at, |(one, _)| at + one.len());
            command.parameters.splice(at..end, found.iter().copied());
        }
        let (code, has_sessions) = (command.code, !command.sessions.is_empty());
        let mut bytes = command.bytes();
        let mut locality = 0;
        if has(6) {
            locality = change_bytes(&mut bytes, input)?;
        }
        if self.execute(locality, &bytes) {
            self.remember(code, has_sessions);
        }
        Some(())
    }

    fn change_handles(&self, command: &mut Command, input: &mut Input<'_>) -> Option<()> {
        let (which, choice) = (input.byte()?, input.byte()?);
        let handle = self.handle(choice);
        match command.handles.get_mut(usize::from(which & 3)) {
            Some(place) => *place = handle,
            None => command.handles.push(handle),
        }
        if which & 0x80 != 0 {
            command.handles.pop();
        }
        Some(())
    }

    /// A session in the place of a password, or beside it.
    fn change_sessions(&self, command: &mut Command, input: &mut Input<'_>) -> Option<()> {
        let (which, choice) = (input.byte()?, input.byte()?);
        let session = (self.handle(choice), input.byte()?);
        let count = command.sessions.len();
        match command.sessions.get_mut(usize::from(which & 3)) {
            Some(place) => *place = session,
            None if count < 4 => command.sessions.push(session),
            None => {}
        }
        Some(())
    }

    /// Keeps what a response has for later commands.
    fn remember(&mut self, code: u32, has_sessions: bool) {
        let Some((handle, mut rest)) = parts(code, has_sessions, &self.response[10..]) else { return };
        self.handles.extend(handle);
        // All of it, and what it begins with, if that has a size.
        if !rest.is_empty() {
            self.structures.push(rest.to_vec());
        }
        for _ in 0..4 {
            let Some((one, left)) = split_sized(rest) else { break };
            self.structures.push(one.to_vec());
            rest = left;
        }
        let forgotten = self.structures.len().saturating_sub(REMEMBERED);
        self.structures.drain(..forgotten);
        let forgotten = self.handles.len().saturating_sub(REMEMBERED);
        self.handles.drain(..forgotten);
    }

    /// The power is lost, behind a shutdown or not, and comes back.
    fn power_cycle(&mut self, how: u8) {
        if how & 1 != 0 {
            let _ = self.execute(0, &framed(0x8001, SHUTDOWN, &[0, how >> 1 & 1]));
        }
        if how & 4 != 0 {
            self.tpm.power_on();
        } else {
            // Another process opens the state.
            let newest = self.tpm.snapshot();
            self.tpm = self.world.open();
            assert!(!self.tpm.is_new() && self.tpm.snapshot() == newest, "another state than was saved");
        }
        // What can't be resumed is started anew.
        let _ = self.execute(0, &framed(0x8001, STARTUP, &[0, how >> 3 & 1]));
        let _ = self.execute(0, &framed(0x8001, STARTUP, &[0, 0]));
    }

    fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        let kind = input.byte()?;
        match kind & 7 {
            0 => {
                let count = usize::from(input.byte()?);
                let _ = self.execute(kind >> 3, input.bytes(count));
            }
            1 => {
                let passed = u64::from(input.byte()?) << (kind >> 3);
                self.world.time.set(self.world.time.get().saturating_add(passed));
            }
            2 => self.power_cycle(kind >> 3),
            3 => {
                self.tpm.hash_start();
                self.tpm.hash_data(input.bytes(usize::from(kind >> 3)));
                self.tpm.hash_end();
                assert_eq!(self.tpm.failure(), None, "the TPM fails");
            }
            _ => self.command(kind, input)?,
        }
        Some(())
    }
}

/// Changes up to three bytes of a command, and returns the locality that it comes from. Its size is right
/// mostly, or nothing behind the header would be looked at.
fn change_bytes(bytes: &mut Vec<u8>, input: &mut Input<'_>) -> Option<u8> {
    let how = input.byte()?;
    for _ in 0..how & 3 {
        let (at, value) = (usize::from(input.byte()?), input.byte()?);
        let at = at % bytes.len();
        match how >> 2 & 3 {
            0 => bytes[at] = value,
            1 => bytes[at] ^= 1 << (value & 7),
            2 if at >= 6 => bytes.insert(at, value),
            _ if at >= 6 => bytes.truncate(at),
            _ => bytes[at] = bytes[at].wrapping_add(value),
        }
    }
    if how >> 4 & 3 != 3 && bytes.len() >= 6 {
        let size = bytes.len() as u32;
        bytes[2..6].copy_from_slice(&size.to_be_bytes());
    }
    Some(if how & 0x80 == 0 { 0 } else { how >> 4 & 7 })
}

/// Commands to a TPM.
pub fn run(input: &[u8]) {
    READY.with(|ready| {
        let (world, tpm) = ready.start();
        let (handles, structures) = (Vec::new(), Vec::new());
        let mut caller = Caller { ready, world, tpm, response: Vec::new(), handles, structures };
        let mut input = Input(input);
        while caller.step(&mut input).is_some() {}
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_commands_succeed() {
        let ready = Ready::new();
        let mut response = Vec::new();
        // TPM2_PP_Commands wants physical presence, which nobody here has.
        for command in ready.commands.iter().filter(|command| command.code != 0x12d) {
            let (_, mut tpm) = ready.start();
            let done = execute(&mut tpm, 0, &command.bytes(), &mut response);
            let code = response.get(6..10).unwrap_or_default();
            assert!(done.is_some(), "{:x} {:08x?}: {code:02x?}", command.code, command.handles);
        }
    }

    #[test]
    fn copies_do_the_same_and_leave_the_first_as_it_was() {
        let ready = Ready::new();
        let [first, second] = [(); 2].map(|()| {
            let (_, mut tpm) = ready.start();
            let mut responses = Vec::new();
            for command in &ready.commands {
                let mut response = Vec::new();
                let _ = execute(&mut tpm, 0, &command.bytes(), &mut response);
                responses.push(response);
            }
            responses
        });
        assert!(first == second, "two copies differ");
        assert!(first.len() > 100);
    }

    #[test]
    fn each_command_is_among_them() {
        let ready = Ready::new();
        let (_, mut tpm) = ready.start();
        let mut response = Vec::new();
        // TPM_CAP_COMMANDS.
        let list = framed(0x8001, 0x17a, &[0, 0, 0, 2, 0, 0, 1, 0x1f, 0, 0, 0, 0xff]);
        assert!(execute(&mut tpm, 0, &list, &mut response).is_some());
        let all = response[19..].as_chunks::<4>().0.iter().map(|tpma| u32::from_be_bytes(*tpma) & 0xffff);
        let known = |code: u32| code == STARTUP || ready.commands.iter().any(|command| command.code == code);
        let missing: Vec<u32> = all.filter(|code| !known(*code)).collect();
        assert!(missing.is_empty(), "{missing:x?}");
        assert!(response.len() > 400);
    }
}
