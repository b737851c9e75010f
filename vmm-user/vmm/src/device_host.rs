//! A process that is a device: the same device code as in the VMM, behind messages.
//!
//! The start page has the device's name (`set device NAME`), how many processors there are (`set cpus N`),
//! the endpoint at which it is called, and the event (`bell`) by which it says that there is something to
//! look at. What else a device needs comes as handles and settings of the names that the VMM has for them.
//!
//! A thread on each processor receives, so that a call from any vCPU is served where it comes from. There is
//! never more than one of them on a processor: one that waits for the device's lock does not keep the one
//! that has it from running.

use alloc::boxed::Box;

use device_link::serve::Server;
use device_link::{WORDS, Words};
use devices::capability::Device;
use devices::rtc::Rtc;
use devices::uart::{self, Uart};
use runtime::abi::message::Message;
use runtime::abi::operation::{Handle, InterruptBind};
use runtime::abi::status::Status;
use runtime::channel::{Arrived, Endpoint, Received};
use runtime::event::Event;
use runtime::{Start, call, process, thread};
use spin::Mutex;

use crate::console::HostSerial;
use crate::guest_memory::ranges;
use crate::host_clock;

/// What a device's process has from who started it.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    endpoint: Endpoint,
    bell: Event,
    cpus: u32,
}

/// How a thread answers a call; for programs that are to answer wrongly.
pub trait Serve: Copy + Send + 'static {
    /// Carries out a request. Returns the answer.
    fn serve<D: Device>(self, device: &Mutex<Server<D>>, words: Words) -> Words;
}

/// As it should be.
#[derive(Clone, Copy, Debug)]
pub struct Faithful;

impl Serve for Faithful {
    #[inline(always)]
    fn serve<D: Device>(self, device: &Mutex<Server<D>>, words: Words) -> Words {
        device.lock().serve(words)
    }
}

impl Host {
    /// Finds what it needs. The error is the name of what is missing.
    pub fn of(start: &Start) -> Result<Self, &'static str> {
        Ok(Self {
            endpoint: Endpoint(start.handle("endpoint").ok_or("endpoint")?),
            bell: Event(start.handle("bell").ok_or("bell")?),
            cpus: start.setting("cpus").and_then(|cpus| cpus.parse().ok()).unwrap_or(1),
        })
    }

    /// Has a host's interrupt ring the bell: the device looks for its input when it is called for that.
    pub fn listen(&self, interrupt: Handle) -> Result<(), Status> {
        let event = Event::try_new()?;
        // The key says nothing: no other event is bound there.
        self.endpoint.bind(event, 0)?;
        call(interrupt, InterruptBind { event: event.0, reserved: 0 }).map(|_| ())
    }

    /// Serves a device, for ever. Returns why it can't.
    pub fn run<D: Device + 'static>(self, device: D, serve: impl Serve) -> Result<(), Status> {
        let server = Server::new(device).ok_or(Status::BadArgument)?;
        let server: &'static Mutex<Server<D>> = Box::leak(Box::new(Mutex::new(server)));
        // One on each processor: a call is handed over at once where a thread of the server waits on the
        // caller's.
        for cpu in 1..self.cpus {
            let work = move || {
                if let Err(status) = self.receive(server, serve) {
                    log::error!("{}: {status}", D::NAME);
                }
            };
            thread::spawn(cpu, PRIORITY, work)?;
        }
        // Only now: whoever hears it may call, from any processor.
        self.bell.signal()?;
        self.receive(server, serve)
    }

    fn receive<D: Device>(self, server: &Mutex<Server<D>>, serve: impl Serve) -> Result<(), Status> {
        let mut message = Box::new(Message { deadline_tsc: u64::MAX, ..Message::default() });
        let mut words = [0; WORDS];
        let mut what = Arrived::Message(self.endpoint.receive(&mut message)?);
        loop {
            match what {
                Arrived::Words { .. } => {}
                Arrived::Message(Received::Call) => words = first_words(&mut message),
                Arrived::Message(Received::Notification) => {
                    // The device is not touched here: what it does to its lines goes back with an answer, so
                    // the VMM calls.
                    self.bell.signal()?;
                    message.deadline_tsc = u64::MAX;
                    what = Arrived::Message(self.endpoint.receive(&mut message)?);
                    continue;
                }
            }
            words = serve.serve(server, words);
            what = self.endpoint.reply_words_and_receive(&mut words, &mut message, u64::MAX)?;
        }
    }
}

/// The priority of its threads: the VMM's. While one serves it has its caller's.
const PRIORITY: u32 = 1;

/// The words of a request that came in the message. No request has handles.
#[cold]
fn first_words(message: &mut Message) -> Words {
    for handle in core::mem::take(&mut message.handles).into_iter().filter(|handle| *handle != 0) {
        if let Err(status) = process::close(handle) {
            log::warn!("a handle that came with a request stays: {status}");
        }
    }
    message.words.first_chunk().copied().unwrap_or_default()
}

/// The guest's serial port.
pub fn serial_port(start: &Start, host: &Host) -> Result<impl Device + 'static, Status> {
    if let Some(interrupt) = start.handle("serial-interrupt") {
        host.listen(interrupt)?;
    }
    Ok(Uart::new(uart::spec::COM[0], HostSerial::open(start.handle("serial-ports"))))
}

/// The guest's real-time clock.
pub fn rtc(start: &Start, host: &Host) -> Result<impl Device + 'static, Status> {
    let memory = start.handle("guest-memory").map(ranges).transpose()?.unwrap_or_default();
    let cmos = host_clock::cmos(&memory, host.cpus);
    Ok(Rtc::new(host_clock::unix_s(start.handle("clock-ports")), &cmos))
}

/// A program: serves the device that the start page names.
pub fn program(start: &Start) -> u32 {
    program_with(start, Faithful, |_, _| Err(NO_SUCH_DEVICE))
}

/// What a program says whose start page names no device that it knows.
pub const NO_SUCH_DEVICE: &str = "there is no such device";

/// Serves a device that only some programs know. Returns why it can't.
pub type Others = fn(&str, Host) -> Result<(), &'static str>;

/// A program that serves as it likes, and knows more devices.
pub fn program_with<S: Serve>(start: &Start, serve: S, others: Others) -> u32 {
    let why = run(start, serve, others).err().unwrap_or("the device is served no more");
    log::error!("{why}");
    1
}

fn run<S: Serve>(start: &Start, serve: S, others: Others) -> Result<(), &'static str> {
    let host = Host::of(start)?;
    let ended = match start.setting("device").unwrap_or_default() {
        "serial-port" => serial_port(start, &host).and_then(|device| host.run(device, serve)),
        "rtc" => rtc(start, &host).and_then(|device| host.run(device, serve)),
        name => return others(name, host),
    };
    ended.map_err(|status| {
        log::error!("{status}");
        "the device can't be served"
    })
}
