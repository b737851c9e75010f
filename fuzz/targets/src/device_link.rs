//! A device in a process of its own: the VMM's end against a process that answers what it likes, and the
//! device's end against a VMM that asks what it likes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use device_link::answer::{Reply, code};
use device_link::claim::{CLAIMS_MAX, Claim};
use device_link::remote::{Call, ConnectError, RemoteDevice, SOONEST_NS, Silence};
use device_link::serve::Server;
use device_link::{WORDS, Words};
use devices::acpi_entry::AcpiEntry;
use devices::capability::{
    Device, LineDevice, Missing, MmioDevice, MmioRange, Platform, PortDevice, PortRange, PowerEvent, Present,
    TimedDevice, Width,
};

const PORTS: [PortRange; 1] = [PortRange { first: 0x500, count: 4 }];
const RANGES: [MmioRange; 1] = [MmioRange { gpa: 0xd000_0000, bytes: 0x1000 }];
const LINES: [u8; 2] = [10, 11];
const WIDTHS: [Width; 4] = [Width::Byte, Width::Word, Width::Dword, Width::Qword];

/// A device that does something with all that it is given.
#[derive(Default)]
struct Probe {
    value: u64,
    deadline_ns: Option<u64>,
}

impl Device for Probe {
    const NAME: &'static str = "probe";
    type Ports = Present;
    type Mmio = Present;
    type Timer = Present;
    type Lines = Present;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        AcpiEntry::isa(b"PRB_", b"PNP0C02", &[])
    }
}

impl LineDevice for Probe {
    fn lines(&self) -> &[u8] {
        &LINES
    }
}

impl PortDevice for Probe {
    fn ports(&self) -> &[PortRange] {
        &PORTS
    }

    fn port_read(&mut self, port: u16, _: Width, _: &mut dyn Platform) -> u32 {
        self.value as u32 ^ u32::from(port)
    }

    fn port_write(&mut self, _: u16, _: Width, value: u32, platform: &mut dyn Platform) {
        self.deadline_ns = (value & 1 != 0).then(|| platform.now_ns().saturating_add(value.into()));
        (0..value % 40)
            .for_each(|bit| platform.set_line(LINES[(bit % 2) as usize], value >> bit.min(31) & 1 != 0));
    }
}

impl MmioDevice for Probe {
    fn ranges(&self) -> &[MmioRange] {
        &RANGES
    }

    fn mmio_read(&mut self, _: u64, _: Width, _: &mut dyn Platform) -> u64 {
        self.value
    }

    fn mmio_write(&mut self, offset: u64, _: Width, value: u64, _: &mut dyn Platform) {
        self.value = value ^ offset;
    }
}

impl TimedDevice for Probe {
    fn deadline_ns(&self) -> Option<u64> {
        self.deadline_ns
    }

    fn expire(&mut self, _: &mut dyn Platform) {
        self.deadline_ns = None;
    }
}

fn probe() -> Server<Probe> {
    Server::new(Probe::default()).unwrap_or_else(|| panic!("a probe's claims can be said"))
}

/// Stands in for the board; which lines are high.
#[derive(Default)]
struct Desk {
    now_ns: u64,
    high: u32,
    /// A line was made high.
    is_driven: bool,
}

impl Platform for Desk {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn set_line(&mut self, line: u8, level: bool) {
        assert!(LINES.contains(&line), "line {line} is not the device's");
        self.high = if level { self.high | 1 << line } else { self.high & !(1 << line) };
        self.is_driven |= level;
    }

    fn power(&mut self, event: PowerEvent) {
        panic!("{event:?} by a device in another process");
    }
}

/// The input, taken by pieces; zeros when it is used up.
#[derive(Default)]
struct Script {
    input: Vec<u8>,
    at: usize,
    is_honest: bool,
    calls: u32,
    /// Which process there is.
    life: u64,
    complaints: u64,
}

impl Script {
    fn byte(&mut self) -> u8 {
        let byte = self.input.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    fn word(&mut self) -> u64 {
        u64::from_le_bytes([(); 8].map(|()| self.byte()))
    }
}

/// A process that serves its device until the script says something else.
struct Process {
    server: Server<Probe>,
    script: Arc<Mutex<Script>>,
}

impl Call for Process {
    fn call(&mut self, mut words: Words) -> Result<Words, Silence> {
        let mut script = script(&self.script);
        script.calls += 1;
        let what = if script.is_honest { 0 } else { script.byte() };
        match what % 8 {
            1 => return Err(Silence::Ended),
            2 => return Err(Silence::Late),
            3 => {
                self.server = probe();
                script.life += 1;
            }
            4 => {
                words.fill_with(|| script.word());
                return Ok(words);
            }
            5 => {
                let head = u64::from(code::DONE) | u64::from(script.byte() % 20) << 8;
                words.fill_with(|| script.word());
                words[0] = head;
                return Ok(words);
            }
            _ => {}
        }
        Ok(self.server.serve(words))
    }

    fn life(&self) -> u64 {
        script(&self.script).life
    }

    fn complain(&mut self, life: u64) {
        let mut script = script(&self.script);
        assert_eq!(life, script.life, "a complaint about a process that has ended");
        script.complaints += 1;
    }
}

fn script(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(script: &Arc<Mutex<Script>>) -> Result<RemoteDevice<Process>, ConnectError> {
    let way = Process { server: probe(), script: script.clone() };
    RemoteDevice::connect("probe", way)
}

/// Accesses of a guest, and a process that serves them, hangs, ends, or talks nonsense, as the input says.
/// What the guest reads is as wide as its access; only the device's lines are driven, and they are low once
/// it is lost; its deadline is never too soon; an access is a few calls; and there is a complaint exactly
/// when it was late or talked nonsense.
///
/// # Panics
/// If a property does not hold.
pub fn answer(input: &[u8]) {
    let shared = Arc::new(Mutex::new(Script { input: input.to_vec(), ..Script::default() }));
    // A process may claim what it likes, but not without end.
    drop(connect(&shared));
    assert!(script(&shared).calls as usize <= CLAIMS_MAX + 2);
    *script(&shared) = Script { input: input.to_vec(), is_honest: true, ..Script::default() };
    let Ok(mut remote) = connect(&shared) else { panic!("it was an honest process") };
    script(&shared).is_honest = false;
    let mut desk = Desk::default();
    while script(&shared).at < input.len() {
        let (before, lost) = (script(&shared).calls, losses(&remote));
        access(&mut remote, &mut desk, &shared);
        assert!(script(&shared).calls - before <= 3, "an access is a few calls");
        assert!(
            remote.deadline_ns().is_none_or(|deadline| deadline >= desk.now_ns.saturating_add(SOONEST_NS))
        );
        if losses(&remote) != lost && !desk.is_driven {
            assert_eq!(desk.high, 0, "a lost device holds a line");
        }
    }
    let counts = remote.counts();
    assert_eq!(script(&shared).complaints, counts.late + counts.nonsense);
}

fn losses(remote: &RemoteDevice<Process>) -> u64 {
    let counts = remote.counts();
    counts.ended + counts.late + counts.nonsense
}

/// One access, as the script says. Whether a line was driven after the last time that all went low, the desk
/// knows.
fn access(remote: &mut RemoteDevice<Process>, desk: &mut Desk, shared: &Mutex<Script>) {
    let [what, time] = [(); 2].map(|()| script(shared).byte());
    desk.now_ns = desk.now_ns.saturating_add(u64::from(time) << (what >> 3));
    desk.is_driven = false;
    let width = WIDTHS[usize::from(time % 4)];
    let port_width = WIDTHS[usize::from(time % 3)];
    match what % 6 {
        0 => assert_eq!(u64::from(remote.port_read(0x500, port_width, desk)) & !port_width.mask(), 0),
        1 => {
            let value = script(shared).word() & port_width.mask();
            remote.port_write(0x501, port_width, value as u32, desk);
        }
        2 => assert_eq!(remote.mmio_read(u64::from(time), width, desk) & !width.mask(), 0),
        3 => {
            let value = script(shared).word() & width.mask();
            remote.mmio_write(8, width, value, desk);
        }
        4 => remote.expire(desk),
        _ => remote.look(desk),
    }
}

/// Messages to a device: each is answered with words that a VMM takes for an answer, a claim or a refusal.
///
/// # Panics
/// If a property does not hold.
pub fn request(input: &[u8]) {
    let mut script = Script { input: input.to_vec(), ..Script::default() };
    let mut server = probe();
    while script.at < input.len() {
        let mut words = [u64::MAX; WORDS];
        // Half of them nearly good: known codes and widths, and no session but 0 and 1.
        let (code, width) = (u64::from(script.byte() % 10), u64::from(script.byte() % 5));
        words.fill_with(|| script.word());
        if script.byte() & 1 == 0 {
            words[0] = code | width << 8 | words[0] & 1 << 32;
        }
        let words = server.serve(words);
        let refusals = [code::NO_CLAIM, code::REFUSED].map(u64::from);
        let is_answer = Reply::read(&words, u64::MAX).is_some() || Claim::read(&words).is_some();
        assert!(is_answer || refusals.contains(&words[0]), "{words:x?}");
    }
}
