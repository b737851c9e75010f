//! Starts processes and deals with their ends.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use runtime::abi::operation::{Handle, ProcessState, ProcessWatch, SystemEnd, end_reason};
use runtime::abi::status::Status;
use runtime::channel::Endpoint;
use runtime::event::Event;
use runtime::{Start, call, process};

use crate::config::{Config, OnEnd, Process};

/// How often a process is started again before init gives up on it.
const RESTARTS_MAX: u32 = 5;

/// A process that was started.
struct Child<'a> {
    config: &'a Process,
    handle: Handle,
    restarts: u32,
    ended: bool,
}

/// Ends the machine because of a failure. Comes back only when init may not do that.
pub fn end_machine(start: &Start) -> u32 {
    let end = SystemEnd { reason: end_reason::PROCESS_FAILED, reserved: 0 };
    match start.handle("system").map(|system| call(system, end)) {
        Some(Err(status)) => log::error!("the machine cannot be ended: {status}"),
        _ => log::error!("init was given no way to end the machine"),
    }
    1
}

/// What init has to give: what it was given, and the channels it made.
struct Source<'a> {
    start: &'a Start,
    made: Vec<(String, Handle)>,
}

impl<'a> Source<'a> {
    /// Makes the channels, each with its endpoint.
    fn new(start: &'a Start, channels: &[String]) -> Result<Self, Status> {
        let mut made = Vec::new();
        for (name, key) in channels.iter().zip(1..) {
            let endpoint = Endpoint::try_new()?;
            made.push((name.clone(), endpoint.channel(key)?.0));
            made.push((format!("{name}-endpoint"), endpoint.0));
        }
        Ok(Self { start, made })
    }

    fn handle(&self, name: &str) -> Option<Handle> {
        let made = self.made.iter().find(|(known, _)| known == name).map(|(_, handle)| *handle);
        made.or_else(|| self.start.handle(name))
    }
}

fn launch(source: &Source<'_>, files: Handle, config: &Process, event: Event) -> Result<Handle, Status> {
    let file = process::open(files, &config.name)?;
    let child = process::create(file);
    process::close(file)?;
    let child = child?;
    let mut page = String::new();
    for (name, rights) in &config.grants {
        let given = source.handle(name).ok_or(Status::NotFound)?;
        let handle = process::grant(child, given, *rights)?;
        page += &format!("handle {name} {handle}\n");
    }
    for (key, value) in &config.settings {
        page += &format!("set {key} {value}\n");
    }
    call(child, ProcessWatch { event: event.0, reserved: 0 })?;
    process::start(child, page.as_bytes(), config.cpu, config.priority)?;
    Ok(child)
}

/// Deals with a process that has ended. `false`: the machine must end.
fn ended(source: &Source<'_>, files: Handle, child: &mut Child<'_>, event: Event) -> bool {
    let name = &child.config.name;
    // The old process goes with its handle.
    if let Err(status) = process::close(child.handle) {
        log::warn!("{name}: {status}");
    }
    match child.config.on_end {
        OnEnd::Ignore => child.ended = true,
        OnEnd::EndMachine => return false,
        OnEnd::Restart if child.restarts >= RESTARTS_MAX => {
            log::error!("{name} has been started again {RESTARTS_MAX} times; giving up");
            return false;
        }
        OnEnd::Restart => {
            child.restarts += 1;
            log::warn!("{name} is started again ({} of {RESTARTS_MAX})", child.restarts);
            match launch(source, files, child.config, event) {
                Ok(handle) => child.handle = handle,
                Err(status) => {
                    log::error!("{name} cannot be started again: {status}");
                    return false;
                }
            }
        }
    }
    true
}

/// Starts all processes and watches over them. Returns init's exit code.
pub fn run(start: &Start, files: Handle, config: &Config) -> u32 {
    let event = match Event::try_new() {
        Ok(event) => event,
        Err(status) => {
            log::error!("no event: {status}");
            return end_machine(start);
        }
    };
    let source = match Source::new(start, &config.channels) {
        Ok(source) => source,
        Err(status) => {
            log::error!("the channels of init.conf: {status}");
            return end_machine(start);
        }
    };
    let mut children = Vec::new();
    for config in &config.processes {
        match launch(&source, files, config, event) {
            Ok(handle) => children.push(Child { config, handle, restarts: 0, ended: false }),
            Err(status) => {
                log::error!("{} cannot be started: {status}", config.name);
                return end_machine(start);
            }
        }
    }
    while children.iter().any(|c| !c.ended) {
        if let Err(status) = event.wait() {
            log::error!("init cannot wait: {status}");
            return end_machine(start);
        }
        for child in children.iter_mut().filter(|c| !c.ended) {
            let state = call(child.handle, ProcessState::default());
            let over = matches!(&state, Ok(s) if s.state == 2);
            if over && !ended(&source, files, child, event) {
                return end_machine(start);
            }
        }
    }
    log::info!("every process has ended");
    0
}
