//! The device's end: any device, behind messages.
//!
//! What the device does to its surroundings during a request is taken down and becomes the answer. What it
//! can't have here: the machine's end, which is the VMM's to decide, and lines that it does not own, which
//! the VMM takes for nonsense.

use alloc::vec::Vec;

use devices::capability::{Device, Input, Lines, Mmio, Platform, Ports, PowerEvent, Timer};

use crate::answer::{Answer, LineChanges, NEVER, Reply, code as answers};
use crate::claim::{Claim, Claims};
use crate::request::{self, Ask, Request, code};
use crate::{VERSION, Words};

/// A device's claims, as it says them itself.
pub fn claims_of<D: Device>(device: &D) -> Claims {
    Claims {
        ports: <D::Ports as Ports<D>>::claims(device).to_vec(),
        ranges: <D::Mmio as Mmio<D>>::claims(device).to_vec(),
        lines: <D::Lines as Lines<D>>::claims(device).to_vec(),
        is_timed: <D::Timer as Timer<D>>::IS_PRESENT,
        acpi: device.acpi(),
    }
}

/// A device behind messages.
#[derive(Debug)]
pub struct Server<D> {
    device: D,
    claims: Vec<Claim>,
    /// 0 for none.
    session: u32,
}

/// What a device does during one request.
struct Desk {
    now_ns: u64,
    lines: LineChanges,
}

impl Platform for Desk {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn set_line(&mut self, line: u8, level: bool) {
        // A line that cannot be said is none of the guest's.
        self.lines.push(line, level);
    }

    fn power(&mut self, _: PowerEvent) {}
}

impl<D: Device> Server<D> {
    /// Puts a device behind messages. `None`: it claims what cannot be said (see [`Claims::to_list`]).
    pub fn new(device: D) -> Option<Self> {
        // Once, and before it is touched: what a device claims must not change with what it does.
        let claims = claims_of(&device).to_list()?;
        Some(Self { device, claims, session: 0 })
    }

    /// Carries out a request. Returns the answer.
    #[inline(always)]
    pub fn serve(&mut self, words: Words) -> Words {
        if !request::is_of(&words, self.session) {
            let [one, two, three, four] = self.serve_rare(words);
            return [one, two, three, four];
        }
        // What most requests are; each arm has its own copy of what follows.
        match (words[0] as u8, Request::read(&words)) {
            (code::PORT_READ, Some(request)) => self.carry_out(request),
            (code::PORT_WRITE, Some(request)) => self.carry_out(request),
            (code::MMIO_READ, Some(request)) => self.carry_out(request),
            (code::MMIO_WRITE, Some(request)) => self.carry_out(request),
            _ => {
                let [one, two, three, four] = self.serve_rare(words);
                [one, two, three, four]
            }
        }
    }

    /// What the device does during one request is the answer.
    #[inline(always)]
    fn carry_out(&mut self, request: Request) -> Words {
        let mut desk = Desk { now_ns: request.now_ns, lines: LineChanges::default() };
        let device = &mut self.device;
        let value = match request.ask {
            Ask::PortRead { port, width } => {
                // The mask: a device may return more than was asked for, which the VMM takes for nonsense.
                u64::from(<D::Ports as Ports<D>>::read(device, port, width, &mut desk)) & width.mask()
            }
            Ask::PortWrite { port, width, value } => {
                <D::Ports as Ports<D>>::write(device, port, width, value, &mut desk);
                0
            }
            Ask::MmioRead { offset, width } => {
                <D::Mmio as Mmio<D>>::read(device, offset, width, &mut desk) & width.mask()
            }
            Ask::MmioWrite { offset, width, value } => {
                <D::Mmio as Mmio<D>>::write(device, offset, width, value, &mut desk);
                0
            }
            _ => {
                // Both, as a look does not say for which of them it is; a device with nothing to do does
                // nothing.
                <D::Input as Input<D>>::input(device, &mut desk);
                <D::Timer as Timer<D>>::expire(device, &mut desk);
                0
            }
        };
        let deadline_ns = <D::Timer as Timer<D>>::deadline_ns(device).unwrap_or(NEVER);
        Reply::Done(Answer { value, deadline_ns, lines: desk.lines }).words()
    }

    /// A request that is no access, that no VMM makes, or that is of another session than the last one that
    /// began.
    #[cold]
    fn serve_rare(&mut self, words: Words) -> Words {
        match Request::read(&words) {
            None => [answers::REFUSED.into(), 0, 0, 0],
            Some(Request { ask: Ask::Greet { .. }, session, .. }) => {
                // From here on a request of an earlier session is a stranger's, and is not carried out.
                self.session = session;
                let lines = LineChanges::default();
                Reply::Done(Answer { value: VERSION, deadline_ns: NEVER, lines }).words()
            }
            Some(request) if request.session != self.session => Reply::Stranger.words(),
            Some(Request { ask: Ask::Claim { index }, .. }) => {
                let claim = usize::try_from(index).ok().and_then(|index| self.claims.get(index));
                claim.map_or([answers::NO_CLAIM.into(), 0, 0, 0], Claim::words)
            }
            Some(request) => self.carry_out(request),
        }
    }
}
