//! What init makes for the processes of the configuration, beside what it was given: channels, memory that
//! they share, handles to parts of guest memory, and to ranges of the host's ports.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use runtime::abi::operation::{Handle, MemoryNarrow, SystemPorts};
use runtime::abi::status::Status;
use runtime::channel::Endpoint;
use runtime::guest_range::{GuestRange, Policy};
use runtime::shared::SharedMemory;
use runtime::{Start, call};

use crate::config::{Config, Memory, NameSpace, Process};

/// Makes the channels, each with its endpoint.
fn make_channels(names: &[String]) -> Result<Vec<(String, Handle)>, Status> {
    let mut made = Vec::new();
    for (name, key) in names.iter().zip(1..) {
        let endpoint = Endpoint::try_new()?;
        made.push((name.clone(), endpoint.channel(key)?.0));
        made.push((format!("{name}-endpoint"), endpoint.0));
    }
    Ok(made)
}

/// Makes a handle to each part of guest memory that has a name.
fn name_memory(start: &Start, memory: &[Memory]) -> Result<Vec<(String, Handle)>, Status> {
    let narrowed = |part: &Memory| {
        let all = start.handle("guest-memory").ok_or(Status::NotFound)?;
        let made = call(all, MemoryNarrow { gpa: part.gpa, bytes: part.bytes, ..MemoryNarrow::default() })?;
        Ok((part.name.clone(), made.handle))
    };
    memory.iter().map(narrowed).collect()
}

/// Makes the memory that processes share. It stays as long as init has its handles.
fn make_shared(shared: &[(String, u64)]) -> Result<Vec<(String, Handle)>, Status> {
    let made = |(name, bytes): &(String, u64)| Ok((name.clone(), SharedMemory::try_new(*bytes)?.0));
    shared.iter().map(made).collect()
}

/// Keys of name spaces begin here; below are those of the channels.
const FIRST_SPACE: u64 = 1 << 16;

/// All name spaces: whose each is, its key, and what it is.
pub fn spaces(processes: &[Process]) -> impl Iterator<Item = (&Process, u64, &NameSpace)> {
    let all = processes.iter().flat_map(|process| process.files.iter().map(move |space| (process, space)));
    (FIRST_SPACE..).zip(all).map(|(key, (process, space))| (process, key, space))
}

/// The name that init has for the channel of a name space.
pub fn name_of_space(process: &Process, space: &NameSpace) -> String {
    format!("{}.files.{}", process.name, space.server)
}

/// Makes a channel for each name space, by whose key its server knows it.
fn make_spaces(processes: &[Process], made: &[(String, Handle)]) -> Result<Vec<(String, Handle)>, String> {
    let make = |(process, key, space): (&Process, u64, &NameSpace)| {
        let endpoint = format!("{}-endpoint", space.server);
        let endpoint = made.iter().find(|(name, _)| *name == endpoint).map(|(_, handle)| Endpoint(*handle));
        let endpoint = endpoint.ok_or_else(|| {
            format!("files of {}: there is no channel of the name {}", process.name, space.server)
        })?;
        let channel =
            endpoint.channel(key).map_err(|status| format!("files of {}: {status}", process.name))?;
        Ok((name_of_space(process, space), channel.0))
    };
    spaces(processes).map(make).collect()
}

/// The name that init has for the host's ports of a range of a process's guest.
pub fn name_of_ports(process: &Process, index: usize) -> String {
    format!("{}.range.{index}", process.name)
}

/// All ranges that are forwarded, with whose they are and the names of their handles.
fn forwarded(processes: &[Process]) -> impl Iterator<Item = (&Process, String, &GuestRange)> {
    processes.iter().flat_map(|process| {
        let ranges = process.ranges.iter().enumerate();
        let forwarded = ranges.filter(|(_, range)| range.policy == Policy::Forwarded);
        forwarded.map(move |(index, range)| (process, name_of_ports(process, index), range))
    })
}

/// Two ranges of the host's that two guests, or one, would have both.
fn forwarded_twice(processes: &[Process]) -> Option<String> {
    let all: Vec<_> = forwarded(processes).collect();
    all.iter().enumerate().find_map(|(index, (first, _, one))| {
        let later = all.get(index + 1..).unwrap_or_default();
        let (second, _, other) = later.iter().find(|(_, _, other)| one.overlaps(other))?;
        Some(format!("range {one} of {} and range {other} of {}", first.name, second.name))
    })
}

/// Makes a handle to the host's ports of each range that is forwarded.
fn open_ports(start: &Start, processes: &[Process]) -> Result<Vec<(String, Handle)>, String> {
    let open = |(process, name, range): (&Process, String, &GuestRange)| {
        let made = || {
            let system = start.handle("system").ok_or(Status::NotFound)?;
            let port = |number: u64| u32::try_from(number).map_err(|_| Status::BadArgument);
            let (first, count) = (port(range.first)?, port(range.count)?);
            call(system, SystemPorts { first, count, ..SystemPorts::default() })
        };
        match made() {
            Ok(made) => Ok((name, made.handle)),
            // docs/abi.md has the list.
            Err(Status::NoRight) => {
                Err(format!("range {range} of {}: some of these ports are the kernel's own", process.name))
            }
            Err(status) => Err(format!("range {range} of {}: {status}", process.name)),
        }
    };
    forwarded(processes).map(open).collect()
}

/// All of it, by name.
///
/// # Errors
/// What could not be made, and why.
pub fn all(start: &Start, config: &Config) -> Result<Vec<(String, Handle)>, String> {
    let mut made = make_channels(&config.channels).map_err(|status| format!("its channels: {status}"))?;
    made.extend(name_memory(start, &config.memory).map_err(|status| format!("its memory: {status}"))?);
    made.extend(make_shared(&config.shared).map_err(|status| format!("its shared memory: {status}"))?);
    if let Some(both) = forwarded_twice(&config.processes) {
        return Err(format!("the host's ports cannot be forwarded twice: {both}"));
    }
    made.extend(open_ports(start, &config.processes)?);
    let spaces = make_spaces(&config.processes, &made)?;
    made.extend(spaces);
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn the_hosts_ports_are_forwarded_once() {
        for (text, expected) in [
            ("process a\nrange ports 0xf4 4 forwarded\nrange ports 0xf8 4 forwarded\n", None),
            ("process a\nrange ports 0xf4 4 forwarded\nrange ports 0xf6 4 absent\n", None),
            (
                "process a\nrange ports 0xf4 4 forwarded\nprocess b\nrange ports 0xf7 1 forwarded\n",
                Some("range ports 0xf4 0x4 forwarded of a and range ports 0xf7 0x1 forwarded of b"),
            ),
            (
                "process a\nrange ports 0xf4 4 forwarded\nrange ports 0xf0 5 forwarded\n",
                Some("range ports 0xf4 0x4 forwarded of a and range ports 0xf0 0x5 forwarded of a"),
            ),
        ] {
            let config = parse(text, &|_| None).unwrap();
            assert_eq!(forwarded_twice(&config.processes).as_deref(), expected, "{text}");
        }
    }
}
