//! A device in a process of its own, on the board: the way to it is a channel.
//!
//! The configuration says `device NAME process`, and init gives this process four handles: `NAME.channel` to
//! call it by, the event `NAME.bell` by which it says that there is something to look at, the event
//! `NAME.complaint` by which init is told that it hangs or talks nonsense, and `NAME.lives`, memory that says
//! which process of that name there is, and which one a complaint is about.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use device_link::Words;
use device_link::remote::{Call, ConnectError, RemoteDevice, Silence};
use devices::capability::Width;
use runtime::abi::message::Message;
use runtime::abi::status::Status;
use runtime::channel::{Came, Channel};
use runtime::event::Event;
use runtime::lives::Lives;
use runtime::shared::SharedMemory;
use runtime::syscall::tsc;
use runtime::{Start, process};

use super::BoardAccess;
use super::builder::{Builder, Signal};
use super::device::{BoardDevice, Claims};

/// How long a call may take, unless the configuration says so by `set device-limit-ms N`: longer than any
/// host keeps a processor from Plinth, and than a slow one takes a serial port's output.
const LIMIT_MS: u64 = 2000;
/// How long a device may take to begin, the first time.
const START_MS: u64 = 10_000;
/// How often it may fail to, before the machine does without it.
const ATTEMPTS: u32 = 8;

/// The way to a device's process.
struct Link {
    channel: Channel,
    complaint: Event,
    lives: Lives,
    limit_ticks: u64,
    message: Box<Message>,
}

impl Call for Link {
    #[inline(always)]
    fn call(&mut self, mut words: Words) -> Result<Words, Silence> {
        // Without a limit a device that hangs keeps the vCPU's thread, and the device's lock, for ever.
        let deadline_tsc = tsc().saturating_add(self.limit_ticks);
        // In registers: four words are all that a request and an answer have.
        match self.channel.call_words(&mut words, &mut self.message, deadline_tsc) {
            Ok(Came::Words) => Ok(words),
            Ok(Came::Message) => Ok(self.first_words()),
            Err(status) => Err(silence(status)),
        }
    }

    fn life(&self) -> u64 {
        self.lives.present()
    }

    fn complain(&mut self, life: u64) {
        // Before the signal: init looks there as soon as that comes.
        self.lives.complain_of(life);
        if let Err(status) = self.complaint.signal() {
            log::warn!("nobody hears of a device that is to be ended: {status}");
        }
    }
}

impl Link {
    /// What a process says that has more to say. No answer has handles: one that does is nonsense, and what
    /// it would fill up is let go of.
    #[cold]
    fn first_words(&mut self) -> Words {
        let handles = core::mem::take(&mut self.message.handles);
        let is_nonsense = handles != [0; 4];
        for handle in handles.into_iter().filter(|handle| *handle != 0) {
            if let Err(status) = process::close(handle) {
                log::warn!("a handle that a device gave stays: {status}");
            }
        }
        let words = self.message.words.first_chunk().copied();
        words.filter(|_| !is_nonsense).unwrap_or_default()
    }
}

#[cold]
fn silence(status: Status) -> Silence {
    if status == Status::TimedOut { Silence::Late } else { Silence::Ended }
}

/// A device in a process of its own.
struct Remote {
    device: RemoteDevice<Link>,
    name: &'static str,
}

impl BoardDevice for Remote {
    fn claims(&self) -> Claims {
        let claims = self.device.claims();
        Claims {
            name: self.name,
            ports: claims.ports.clone(),
            ranges: claims.ranges.clone(),
            lines: claims.lines.clone(),
            is_timed: claims.is_timed,
            acpi: claims.acpi.clone(),
        }
    }

    fn port_read(&mut self, port: u16, width: Width, access: &mut BoardAccess<'_>) -> u32 {
        self.device.port_read(port, width, access)
    }

    fn port_write(&mut self, port: u16, width: Width, value: u32, access: &mut BoardAccess<'_>) {
        self.device.port_write(port, width, value, access);
    }

    fn mmio_read(&mut self, offset: u64, width: Width, access: &mut BoardAccess<'_>) -> u64 {
        self.device.mmio_read(offset, width, access)
    }

    fn mmio_write(&mut self, offset: u64, width: Width, value: u64, access: &mut BoardAccess<'_>) {
        self.device.mmio_write(offset, width, value, access);
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.device.deadline_ns()
    }

    fn expire(&mut self, access: &mut BoardAccess<'_>) {
        self.device.expire(access);
    }

    fn input(&mut self, access: &mut BoardAccess<'_>) {
        self.device.look(access);
    }

    fn report(&self) -> Option<String> {
        Some(format!("{}: {}", self.name, self.device.counts()))
    }
}

/// Where the configuration wants a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a process of its own.
    Process,
    /// In this one.
    Inside,
    /// It says nothing.
    Unsaid,
}

/// Where the configuration wants a device.
pub fn place(start: &Start, name: &str) -> Place {
    match start.setting(&format!("device.{name}")) {
        Some("process") => Place::Process,
        Some("inside") => Place::Inside,
        _ => Place::Unsaid,
    }
}

/// Puts all devices on the board that have processes of their own.
pub fn add_all(start: &Start, tsc_hz: u64, board: &mut Builder) {
    let ticks_per_ms = tsc_hz / 1000;
    let limit_ms = start.setting("device-limit-ms").and_then(|ms| ms.parse().ok()).unwrap_or(LIMIT_MS);
    for (key, value) in start.settings() {
        if let Some(name) = key.strip_prefix("device.").filter(|_| value == "process") {
            match open(start, name, ticks_per_ms, limit_ms) {
                Ok((device, bell)) => board.insert_with_input(Box::new(device), Some(Signal::Event(bell))),
                // Only this device is lost.
                Err(why) => log::error!("device {name} is left out: {why}"),
            }
        }
    }
}

fn open(start: &Start, name: &str, ticks_per_ms: u64, limit_ms: u64) -> Result<(Remote, Event), String> {
    let handle = |what: &str| {
        let name = format!("{name}.{what}");
        start.handle(&name).ok_or_else(|| format!("no handle named {name}"))
    };
    let (channel, bell) = (Channel(handle("channel")?), Event(handle("bell")?));
    let complaint = Event(handle("complaint")?);
    let lives =
        Lives::map(SharedMemory(handle("lives")?)).map_err(|status| format!("its lives: {status}"))?;
    let link = |ms: u64| Link {
        channel,
        complaint,
        lives,
        limit_ticks: ms.saturating_mul(ticks_per_ms),
        message: Box::default(),
    };
    let mut attempt = 1;
    loop {
        // Before it is tried: who fails is this process, or one that has taken its place meanwhile and gets a
        // try of its own.
        let life = lives.present();
        match RemoteDevice::connect(name, link(START_MS)) {
            Ok(mut device) => {
                // From here on it is a vCPU that waits, with the device's lock held, and no longer the
                // machine's start.
                device.way().limit_ticks = limit_ms.saturating_mul(ticks_per_ms);
                // Once for each device, and for as long as the board lives.
                return Ok((Remote { device, name: String::leak(name.into()) }, bell));
            }
            Err(why) if attempt == ATTEMPTS => return Err(format!("{why}")),
            Err(why) => wait_for_another(why, life, &mut link(0), bell, ticks_per_ms),
        }
        attempt += 1;
    }
}

/// The process of a device did not begin well: perhaps the next one does.
fn wait_for_another(why: ConnectError, life: u64, link: &mut Link, bell: Event, ticks_per_ms: u64) {
    // A process that has ended is followed by another anyway; one that lives must be ended first.
    if why != ConnectError::Silent(Silence::Ended) {
        link.complain(life);
    }
    // Not waiting to the end is one attempt lost.
    let _ = bell.wait_until(tsc().saturating_add(ticks_per_ms.saturating_mul(1000)));
}
