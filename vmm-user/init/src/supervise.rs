//! Starts processes and deals with their ends.
//!
//! A device in a process of its own has an endpoint and a channel to it, and two events: by its *bell* the
//! process whose device it is learns that there is something to look at, by its *complaint* that process says
//! that the device hangs or talks nonsense, and by memory that it shares with init of which life of the
//! device's process it says so. All of these live as long as init, whatever becomes of processes.
//!
//! A process whose guest has reset its machine is started again with its devices: [`reset`].

mod reset;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use runtime::abi::message::Message;
use runtime::abi::operation::{
    Handle, ProcessEnd, ProcessLimit, ProcessState, ProcessWatch, Rights, SystemEnd, SystemInfo, budget,
    end_reason,
};
use runtime::abi::status::Status;
use runtime::channel::{Channel, Endpoint};
use runtime::event::Event;
use runtime::guest_range::Policy;
use runtime::lives::Lives;
use runtime::shared::SharedMemory;
use runtime::{Start, call, process};

use reset::{Follows, Phase};

use crate::config::{Config, OnEnd, Process, Role};
use crate::made::{self, name_of_ports, name_of_space};

/// The key of complaints about a child, beyond the child's own.
const COMPLAINT: u64 = 1 << 32;
/// The exit code of a device that was complained of.
const COMPLAINED_OF: u32 = 102;
/// Memory for the lives of a device: as little as there is.
const LIVES_BYTES: u64 = 4096;
/// The life of a device's first process.
const FIRST_LIFE: u64 = 1;

/// What a device and the process it belongs to share.
#[derive(Clone, Copy)]
struct Wires {
    endpoint: Endpoint,
    channel: Channel,
    bell: Event,
    complaint: Event,
    /// Memory of a page, and the lives in it.
    memory: SharedMemory,
    lives: Lives,
}

/// A process that was started.
struct Child<'a> {
    config: &'a Process,
    handle: Handle,
    end: Event,
    wires: Option<Wires>,
    /// How many processes there were before this one.
    past_lives: u64,
    restarts: u32,
    /// How often its guest, or that of the process whose device it is, has reset the machine.
    resets: u32,
    phase: Phase,
    ended: bool,
}

impl Child<'_> {
    /// Which of the processes that were started for it is the present one.
    fn life(&self) -> u64 {
        // init's own count: what is in the shared memory may be anything by now.
        FIRST_LIFE + self.past_lives
    }

    /// The present process has ended, and another is about to be started.
    fn begin_next_life(&mut self) {
        self.past_lives += 1;
        if let Some(wires) = self.wires {
            wires.lives.begin(self.life());
        }
    }

    /// Whether the last complaint is about the present process, and not about one that has ended since.
    fn is_complained_of(&self) -> bool {
        self.wires.is_some_and(|wires| wires.lives.complained_of() == self.life())
    }
}

/// What init works with.
struct Init<'a> {
    start: &'a Start,
    files: Handle,
    /// Where ends and complaints come in.
    inbox: Endpoint,
    /// All processes of the configuration.
    processes: &'a [Process],
    /// What init made for the configuration, by name.
    made: Vec<(String, Handle)>,
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

impl Wires {
    fn try_new(inbox: Endpoint, key: u64) -> Result<Self, Status> {
        let endpoint = Endpoint::try_new()?;
        let memory = SharedMemory::try_new(LIVES_BYTES)?;
        let wires = Self {
            endpoint,
            channel: endpoint.channel(0)?,
            bell: Event::try_new()?,
            complaint: Event::try_new()?,
            memory,
            lives: Lives::map(memory)?,
        };
        wires.lives.begin(FIRST_LIFE);
        // At the one inbox there is, where ends come in as well: the key tells them apart.
        inbox.bind(wires.complaint, COMPLAINT | key)?;
        Ok(wires)
    }

    /// Another bell in the place of the one that there is, which is bound to a vCPU of a machine that is no
    /// more, and keeps that.
    fn renew_bell(&mut self) -> Result<(), Status> {
        process::close(self.bell.0)?;
        self.bell = Event::try_new()?;
        Ok(())
    }

    /// What the device's process gets.
    fn of_device(&self) -> [(&'static str, Handle, Rights); 2] {
        // CREATE, to bind events of its own there.
        [("endpoint", self.endpoint.0, Rights::WAIT | Rights::CREATE), ("bell", self.bell.0, Rights::SIGNAL)]
    }

    /// What the process gets whose device it is.
    fn of_owner(&self) -> [(&'static str, Handle, Rights); 4] {
        [
            // To call by. Of the bell, WRITE to bind it to a vCPU, WAIT for the start, and SIGNAL for what
            // came before that.
            ("channel", self.channel.0, Rights::SIGNAL),
            ("bell", self.bell.0, Rights::SIGNAL | Rights::WAIT | Rights::WRITE),
            ("complaint", self.complaint.0, Rights::SIGNAL),
            ("lives", self.memory.0, Rights::READ | Rights::WRITE | Rights::MAP),
        ]
    }
}

/// Gives a child a handle of init's, and says so in its start page.
fn give(child: Handle, name: &str, source: Handle, rights: Rights, page: &mut String) -> Result<(), Status> {
    let handle = process::grant(child, source, rights)?;
    *page += &format!("handle {name} {handle}\n");
    Ok(())
}

impl Init<'_> {
    /// What init has to give: what it was given, the channels it made, and by what another than its owner
    /// complains of a device, as `NAME.complaint` and `NAME.lives`.
    fn handle(&self, name: &str, wires: &[Wired<'_>]) -> Option<Handle> {
        let of_device = || {
            let (device, what) = name.rsplit_once('.')?;
            let (_, wires) = wires.iter().find(|(config, _)| config.name == device)?;
            let wires = wires.as_ref()?;
            match what {
                "complaint" => Some(wires.complaint.0),
                "lives" => Some(wires.memory.0),
                _ => None,
            }
        };
        let made = self.made.iter().find(|(known, _)| known == name).map(|(_, handle)| *handle);
        made.or_else(of_device).or_else(|| self.start.handle(name))
    }

    /// Starts a process that was or was not there before. `wires`: all children's.
    fn launch(
        &self,
        index: usize,
        config: &Process,
        end: Event,
        resets: u32,
        wires: &[Wired<'_>],
    ) -> Result<Handle, Status> {
        let file = process::open(self.files, &config.file)?;
        let child = process::create(file);
        // Whatever became of the process: a handle that stayed would be lost again at each restart.
        process::close(file)?;
        let child = child?;
        // A process that does not run yet goes with its last handle.
        let started = self.fill_and_start(index, child, config, end, resets, wires);
        if started.is_err() {
            process::close(child)?;
        }
        started.map(|()| child)
    }

    fn fill_and_start(
        &self,
        index: usize,
        child: Handle,
        config: &Process,
        end: Event,
        resets: u32,
        wires: &[Wired<'_>],
    ) -> Result<(), Status> {
        let mut page = String::new();
        if resets > 0 {
            // Before the settings of the configuration: a process goes by the first of a name.
            page += &format!("set resets {resets}\n");
        }
        // First, since the handles below count already.
        for (budget, limit) in self.budgets(config) {
            call(child, ProcessLimit { budget, reserved: 0, limit })?;
        }
        for (name, rights) in &config.grants {
            // Not started without it: it would fail somewhere else, and nobody would know why.
            let source = self.handle(name, wires).ok_or(Status::NotFound)?;
            give(child, name, source, *rights, &mut page)?;
        }
        for (other, (device, wires)) in wires.iter().enumerate() {
            let Some(wires) = wires else { continue };
            if other == index {
                for (name, source, rights) in wires.of_device() {
                    give(child, name, source, rights, &mut page)?;
                }
                // A device serves by a thread on each processor, where its callers are.
                page += &format!("set cpus {}\n", self.info().cpus);
            } else if device.role == Role::Device(index) {
                for (name, source, rights) in wires.of_owner() {
                    give(child, &format!("{}.{name}", device.name), source, rights, &mut page)?;
                }
            }
        }
        for space in &config.files {
            let source = self.handle(&name_of_space(config, space), wires).ok_or(Status::NotFound)?;
            give(child, &format!("files.{}", space.server), source, Rights::SIGNAL, &mut page)?;
        }
        // A server is told what its clients may reach, each by the key of its channel.
        for (_, key, space) in made::spaces(self.processes) {
            if config.has(&format!("{}-endpoint", space.server)) {
                page += &format!("set space.{key} {} {}\n", space.access, space.folder);
            }
        }
        for (number, range) in config.ranges.iter().enumerate() {
            if range.policy == Policy::Forwarded {
                let source = self.handle(&name_of_ports(config, number), wires).ok_or(Status::NotFound)?;
                give(child, &format!("range.{number}"), source, Rights::READ | Rights::WRITE, &mut page)?;
            }
            page += &format!("set range.{number} {range}\n");
        }
        for (key, value) in &config.settings {
            page += &format!("set {key} {value}\n");
        }
        // Before it starts: it might be over before anybody watches.
        call(child, ProcessWatch { event: end.0, reserved: 0 })?;
        process::start(child, page.as_bytes(), config.cpu, config.priority)
    }

    /// The limits of a process: those of the configuration, and for a device what its code needs besides.
    fn budgets(&self, config: &Process) -> Vec<(u32, u64)> {
        let cpus = u64::from(self.info().cpus);
        let of_devices = [
            (budget::MEMORY, (1 << 20) + cpus * (128 << 10)),
            (budget::HANDLES, 32),
            (budget::THREADS, cpus + 2),
            (budget::EVENTS, 8),
            (budget::PROCESSES, 0),
            (budget::OBJECTS, 8),
            (budget::SHARE, 80 * cpus),
        ];
        let defaults = of_devices.into_iter().filter(|_| matches!(config.role, Role::Device(_)));
        // What is said last counts.
        defaults.chain(config.budgets.iter().copied()).collect()
    }

    /// Facts of the machine, as far as init may know them.
    fn info(&self) -> SystemInfo {
        let info = self.start.handle("system").and_then(|system| call(system, SystemInfo::default()).ok());
        // Without the right to ask there is one processor for certain.
        info.unwrap_or(SystemInfo { cpus: 1, ..SystemInfo::default() })
    }

    /// Deals with a process that has ended. `false`: the machine must end.
    fn ended(&self, index: usize, child: &mut Child<'_>, wires: &[Wired<'_>]) -> bool {
        let name = &child.config.name;
        // The old process goes with its handle.
        if let Err(status) = process::close(child.handle) {
            log::warn!("{name}: {status}");
        }
        let is_device = child.wires.is_some();
        match child.config.on_end {
            OnEnd::Ignore => child.ended = true,
            OnEnd::EndMachine => return false,
            OnEnd::Restart(times) if child.restarts >= times => {
                log::error!("{name} has been started again {times} times; giving up");
                child.ended = true;
                // Without a device the machine goes on.
                return is_device;
            }
            OnEnd::Restart(times) => {
                child.restarts += 1;
                child.begin_next_life();
                // A test reads it, to see whether all that an ended process had comes back (docs/testing.md).
                let free = self.info().free_bytes >> 10;
                log::warn!("{name} is started again ({} of {times}), {free} KiB are free", child.restarts);
                match self.launch(index, child.config, child.end, child.resets, wires) {
                    Ok(handle) => child.handle = handle,
                    Err(status) => {
                        log::error!("{name} cannot be started again: {status}");
                        child.ended = true;
                        return is_device;
                    }
                }
            }
        }
        true
    }

    /// Starts all, devices and their owners in the order of the configuration.
    fn start_all<'a>(&self, processes: &'a [Process]) -> Result<Vec<Child<'a>>, (&'a str, Status)> {
        let mut wired: Vec<Wired<'a>> = Vec::new();
        // All wires before the first process: it may be given those of a device that comes later.
        for (config, key) in processes.iter().zip(0..) {
            let wires = match config.role {
                Role::Plain => None,
                Role::Device(_) => {
                    Some(Wires::try_new(self.inbox, key).map_err(|status| (config.name.as_str(), status))?)
                }
            };
            wired.push((config, wires));
        }
        let mut children = Vec::new();
        for (index, (config, wires)) in wired.iter().enumerate() {
            let child = self.start_one(index, config, *wires, &wired);
            children.push(child.map_err(|status| (config.name.as_str(), status))?);
        }
        Ok(children)
    }

    fn start_one<'a>(
        &self,
        index: usize,
        config: &'a Process,
        wires: Option<Wires>,
        wired: &[Wired<'a>],
    ) -> Result<Child<'a>, Status> {
        let end = Event::try_new()?;
        // Before it starts: one that ends at once is heard of.
        self.inbox.bind(end, index as u64)?;
        let handle = self.launch(index, config, end, 0, wired)?;
        let phase = Phase::Runs;
        Ok(Child { config, handle, end, wires, past_lives: 0, restarts: 0, resets: 0, phase, ended: false })
    }
}

/// A process, and its wires if it is a device.
type Wired<'a> = (&'a Process, Option<Wires>);

/// Starts all processes and watches over them. Returns init's exit code.
pub fn run(start: &Start, files: Handle, config: &Config) -> u32 {
    let inbox = match Endpoint::try_new() {
        Ok(inbox) => inbox,
        Err(status) => {
            log::error!("no endpoint: {status}");
            return end_machine(start);
        }
    };
    // Before the first process, which may be granted a channel that is served by the last.
    let made = match made::all(start, config) {
        Ok(made) => made,
        Err(what) => {
            log::error!("init.conf: {what}");
            return end_machine(start);
        }
    };
    let init = Init { start, files, inbox, processes: &config.processes, made };
    match init.start_all(&config.processes) {
        Ok(mut children) => init.watch_over(&mut children),
        Err((name, status)) => {
            log::error!("{name} cannot be started: {status}");
            end_machine(start)
        }
    }
}

impl Init<'_> {
    fn watch_over(&self, children: &mut [Child<'_>]) -> u32 {
        let mut message = Message::default();
        while children.iter().any(|c| !c.ended) {
            // Anew each time: what came last has overwritten it.
            message.deadline_tsc = u64::MAX;
            if let Err(status) = self.inbox.receive(&mut message) {
                log::error!("init cannot wait: {status}");
                return end_machine(self.start);
            }
            // The kernel gives the key that was bound: which child, and what about it.
            let index = (message.key & !COMPLAINT) as usize;
            // One that is over may still be complained of, by a signal that was on its way.
            // One that is gone until its machine begins anew has no handle any more.
            let has_handle = |c: &&mut Child<'_>| !c.ended && c.phase != Phase::Gone;
            let Some(child) = children.get_mut(index).filter(has_handle) else { continue };
            if message.key & COMPLAINT != 0 {
                // It may have ended by itself meanwhile, and its successor has given no cause.
                if child.is_complained_of() {
                    end(child, COMPLAINED_OF);
                }
            // A signal may be of an end that was dealt with already: events do not count.
            } else if let Some(code) = exit_code(child) {
                let goes_on = match reset::what_follows(child, code) {
                    Follows::Policy => {
                        let wired = wired(children);
                        children.get_mut(index).is_none_or(|child| self.ended(index, child, &wired))
                    }
                    Follows::Reset => self.begin_reset(index, children),
                    Follows::Rest(owner) => self.gone(index, owner, children),
                };
                // Its owner finds out: that it is gone, or that it is there again.
                if let Some(wires) = children.get(index).and_then(|child| child.wires)
                    && let Err(status) = wires.bell.signal()
                {
                    log::warn!("a device's bell: {status}");
                }
                if !goes_on {
                    return end_machine(self.start);
                }
            }
        }
        log::info!("every process has ended");
        0
    }
}

/// All processes, with their wires.
fn wired<'a>(children: &[Child<'a>]) -> Vec<Wired<'a>> {
    children.iter().map(|child| (child.config, child.wires)).collect()
}

/// The exit code of a process that has ended.
fn exit_code(child: &Child<'_>) -> Option<u32> {
    let state = call(child.handle, ProcessState::default()).ok()?;
    (state.state == 2).then_some(state.code)
}

/// Ends a process.
fn end(child: &Child<'_>, code: u32) {
    match call(child.handle, ProcessEnd { code, reserved: 0 }) {
        // It has ended by itself meanwhile.
        Ok(_) | Err(Status::WrongState) => {}
        Err(status) => log::error!("{} cannot be ended: {status}", child.config.name),
    }
}

#[cfg(test)]
mod tests;
