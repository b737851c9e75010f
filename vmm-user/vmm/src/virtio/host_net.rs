//! A network of the host's: the process that drives the device is at the other end of a `net_link`.
//!
//! No vCPU waits for it. What the device model does is a copy to or from the shared memory, and a signal;
//! what takes time, connecting, a thread of its own does, the *keeper*. The two share a number, the
//! [`stage`], and nothing else, so neither ever waits for a lock that the other has: on one processor that
//! would be for ever.
//!
//! When the driver's process ends the link goes down, and up again with the next one. Frames that were on
//! their way are lost, as on any network.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use devices::network::{FRAME_MAX, Link};
use net_link::client::{self, Server};
use net_link::{MEMORY_BYTES, Nonsense, Receiver, Sender, read_bytes, write_bytes};
use runtime::abi::operation::Permissions;
use runtime::abi::status::Status;
use runtime::channel::Channel;
use runtime::event::Event;
use runtime::shared::SharedMemory;
use runtime::{syscall, thread};

/// How many seconds the guest's start waits for the address of the host's device.
const START_SECONDS: u64 = 10;
/// Between two attempts to connect, in parts of a second.
const PAUSES_SECOND: u64 = 100;
/// The keeper's priority, that of vCPUs.
const PRIORITY: u32 = 1;

/// What has become of the link.
mod stage {
    /// The memory is the keeper's: nobody is connected.
    pub const FREE: u32 = 0;
    /// A server has the memory, and the device model may have it.
    pub const CONNECTED: u32 = 1;
    /// That server has ended; the device model is to let go of the memory.
    pub const ENDED: u32 = 2;
}

/// What keeper and device model share.
struct Shared {
    /// See [`stage`]. The keeper alone connects and ends; the device model alone frees.
    stage: AtomicU32,
    /// What wakes the server, while there is one.
    server: AtomicU32,
    /// The memory that is shared with it.
    words: &'static [AtomicU64],
    /// Wakes the device model.
    bell: Event,
    /// Wakes the keeper: the memory is free.
    freed: Event,
    /// Signals an event; in tests, counts.
    signal: fn(Event),
}

/// Signals an event of another's. That it can't be is no reason to end.
fn signal(event: Event) {
    if let Err(status) = event.signal() {
        log::error!("an event of the network's: {status}");
    }
}

/// The device model's end.
pub struct HostNet {
    shared: &'static Shared,
    open: Option<Open>,
    /// The server talks nonsense; until it has ended, nobody is talked to.
    is_broken: bool,
    /// The link was up, as far as the guest knows.
    was_up: bool,
}

/// A link that is up.
struct Open {
    server: Event,
    sender: Sender<'static>,
    receiver: Receiver<'static>,
}

/// A network, and the address that the guest is to have.
pub struct Opened {
    /// The other end.
    pub link: HostNet,
    /// What signals input for the device.
    pub bell: Event,
    /// The MAC address of the host's device, if it could be had in time.
    pub address: Option<[u8; 6]>,
}

impl HostNet {
    /// Connects to whoever serves the channel, and keeps connected.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(channel: Channel, tsc_hz: u64) -> Result<Opened, Status> {
        let memory = SharedMemory::try_new(MEMORY_BYTES as u64)?;
        let mapping = memory.map(Permissions::READ | Permissions::WRITE)?;
        let (bell, freed) = (Event::try_new()?, Event::try_new()?);
        // For as long as the process lives: so do the device and the keeper.
        let words = Box::leak(Box::new(mapping)).words();
        let shared: &'static Shared = Box::leak(Box::new(Shared::new(words, bell, freed, signal)));
        let keeper = Keeper { shared, channel, memory, pause_ticks: tsc_hz / PAUSES_SECOND };
        let deadline = syscall::tsc().saturating_add(tsc_hz.saturating_mul(START_SECONDS));
        // Waited for, as the guest reads its address once. Without a server in time it gets one of Plinth's,
        // and a link that is down.
        let first = keeper.connect(deadline);
        let address = first.map(|server| server.address);
        thread::spawn(0, PRIORITY, move || keeper.keep(first))?;
        Ok(Opened { link: Self::new(shared), bell, address })
    }

    fn new(shared: &'static Shared) -> Self {
        Self { shared, open: None, is_broken: false, was_up: false }
    }

    /// Does something with the link; when the server talks nonsense that was the last.
    fn with<R>(&mut self, otherwise: R, call: impl FnOnce(&mut Open) -> Result<R, Nonsense>) -> R {
        match self.open.as_mut().map(call) {
            None => otherwise,
            Some(Ok(result)) => result,
            Some(Err(Nonsense)) => {
                log::error!("the driver of the network device talks nonsense: the link is down");
                (self.open, self.is_broken) = (None, true);
                // The guest hears of it by the next input.
                self.shared.ring_bell();
                otherwise
            }
        }
    }

    /// Takes over what the keeper has done.
    fn look(&mut self) {
        match self.shared.stage.load(Ordering::Acquire) {
            stage::CONNECTED if self.open.is_none() && !self.is_broken => {
                let ends = Sender::of_client(self.shared.words);
                // It was stored before the stage, which was loaded with what came before it.
                let server = Event(self.shared.server.load(Ordering::Relaxed));
                self.open = ends.map(|(sender, receiver)| Open { server, sender, receiver });
            }
            stage::ENDED => {
                (self.open, self.is_broken) = (None, false);
                // From here on the memory is the keeper's.
                self.shared.stage.store(stage::FREE, Ordering::Release);
                (self.shared.signal)(self.shared.freed);
            }
            _ => {}
        }
    }
}

impl Link for HostNet {
    fn is_up(&self) -> bool {
        self.open.is_some()
    }

    fn attend(&mut self) -> bool {
        self.look();
        let is_up = self.is_up();
        core::mem::replace(&mut self.was_up, is_up) != is_up
    }

    fn has_room(&mut self) -> bool {
        // With the link down frames go nowhere: the guest is not to keep them.
        self.with(true, |open| Ok(open.sender.room()?.is_some()))
    }

    fn send(&mut self, frame: &[u8]) {
        self.with((), |open| {
            // The device model has asked before. What there is no room for all the same is lost, as on a
            // wire.
            let Some(slot) = open.sender.room()? else { return Ok(()) };
            write_bytes(slot, frame);
            open.sender.put(frame.len())
        });
    }

    fn receive(&mut self, frame: &mut [u8; FRAME_MAX]) -> usize {
        self.with(0, |open| {
            let Some(received) = open.receiver.take()? else { return Ok(0) };
            let Some(room) = frame.get_mut(..received.bytes) else { return Ok(0) };
            read_bytes(received.words, room);
            Ok(received.bytes)
        })
    }

    fn has_frame(&mut self) -> bool {
        self.with(false, |open| open.receiver.has_frame())
    }

    fn finish(&mut self, is_all: bool) {
        if let Some(open) = &mut self.open {
            // Both before the signal, which is one for the two.
            let (is_new, is_room) = (open.sender.publish(), open.receiver.release());
            if is_new || is_room {
                (self.shared.signal)(open.server);
            }
        }
        if !is_all {
            self.shared.ring_bell();
        }
    }
}

impl Shared {
    fn new(words: &'static [AtomicU64], bell: Event, freed: Event, signal: fn(Event)) -> Self {
        Self { stage: AtomicU32::new(stage::FREE), server: AtomicU32::new(0), words, bell, freed, signal }
    }

    fn ring_bell(&self) {
        (self.signal)(self.bell);
    }

    /// The memory is as at first: no server, and not the device model, has it.
    fn clear(&self) {
        self.words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    fn connected(&self, server: Event) {
        self.server.store(server.0, Ordering::Relaxed);
        self.stage.store(stage::CONNECTED, Ordering::Release);
        self.ring_bell();
    }

    fn ended(&self) {
        self.stage.store(stage::ENDED, Ordering::Release);
        self.ring_bell();
    }

    fn is_free(&self) -> bool {
        self.stage.load(Ordering::Acquire) == stage::FREE
    }
}

/// Connects, again and again.
struct Keeper {
    shared: &'static Shared,
    channel: Channel,
    memory: SharedMemory,
    pause_ticks: u64,
}

impl Keeper {
    /// Connects to the next server, until a deadline at most.
    fn connect(&self, deadline_tsc: u64) -> Option<Server> {
        loop {
            // Before each attempt: a server that ended before its reply came may have written there.
            self.shared.clear();
            match client::connect(self.channel, self.memory, self.shared.bell, deadline_tsc) {
                Ok(server) => return Some(server),
                Err(_) if syscall::tsc() >= deadline_tsc => return None,
                // The one of before has just ended, and the next is not there yet. Nothing signals that.
                Err(_) => drop(self.shared.freed.wait_until(syscall::tsc().saturating_add(self.pause_ticks))),
            }
        }
    }

    /// The thread. It takes no memory of the heap: its lock may be a vCPU's.
    fn keep(self, first: Option<Server>) {
        let mut next = first;
        loop {
            let Some(server) = next.take().or_else(|| self.connect(u64::MAX)) else { continue };
            self.shared.connected(server.event);
            server.wait_for_end();
            self.shared.ended();
            // Until the device model has let go: it uses the memory, and signals the server by its handle.
            while !self.shared.is_free() {
                if let Err(status) = self.shared.freed.wait() {
                    log::error!("the network's keeper can't wait: {status}");
                }
            }
            server.close();
        }
    }
}

/// Opens the network at the other end of a channel that the configuration names.
pub fn open(start: &runtime::Start, name: &str, tsc_hz: u64) -> Result<Opened, String> {
    let channel =
        start.handle(name).ok_or_else(|| format!("no channel named {name} to the host's network"))?;
    HostNet::open(Channel(channel), tsc_hz).map_err(|status| format!("the host's network: {status}"))
}

#[cfg(test)]
mod tests;
