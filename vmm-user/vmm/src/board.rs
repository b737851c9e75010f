//! The board: the devices that all vCPUs share, who owns which port and address, and the way of interrupts.
//!
//! Each device has a lock of its own. The router's (PIC, I/O APIC) is taken inside a device's, never the
//! other way. A vCPU's own local APIC is not here. Timers of the board's devices, and their input from the
//! host, are served by the thread of vCPU 0.

mod bars;
mod builder;
mod device;
pub mod inputs;
mod layout;
mod pci;
pub mod ranges;
mod remote;
mod window;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use devices::apic::{Apics, InterruptMessage, VcpuSet};
use devices::bus::{BarMap, DeviceId, MmioMap, PortMap};
use devices::capability::{Platform, PowerEvent, Width};
use devices::pm::TimerWidth;
use devices::router::Router;
use spin::Mutex;

use crate::clock::Clock;

pub use builder::{BoardError, Builder, HostInput, Parts, Signal};
use device::BoardDevice;
pub use layout::{BoardConfig, lay_out};
pub use remote::{Place, place};

/// How wide the PM timer is, as the device and the FADT have it.
pub const TIMER_WIDTH: TimerWidth = TimerWidth::Bits32;

/// No timer wants anything.
const NEVER: u64 = u64::MAX;

/// A device and its next deadline.
struct Slot {
    device: Mutex<Box<dyn BoardDevice>>,
    is_timed: bool,
    deadline_ns: AtomicU64,
}

/// The board.
pub struct Board {
    /// Guest time.
    pub clock: Clock,
    /// The local APICs' shared parts.
    pub apics: Arc<Apics>,
    ports: PortMap,
    mmio: MmioMap,
    /// What is at addresses that `mmio` does not have.
    bars: BarMap,
    /// The functions of the PCI bus, by device number times 8 plus function number.
    functions: Vec<Option<DeviceId>>,
    slots: Vec<Slot>,
    /// Those of them that have timers.
    timed: Vec<DeviceId>,
    /// Those of them that have input from the host.
    inputs: Vec<HostInput>,
    router: Arc<Mutex<Router>>,
    /// The earliest of the slots' deadlines.
    deadline_ns: AtomicU64,
    /// Held while that is found anew: two threads that did it at once could forget each other's.
    deadline_lock: Mutex<()>,
    /// 0 for nothing, else a [`PowerEvent`] and one.
    power: AtomicU32,
}

/// What a device reaches of the board during one access by a vCPU's thread.
pub struct BoardAccess<'a> {
    board: &'a Board,
    kicks: Option<VcpuSet>,
}

impl Platform for BoardAccess<'_> {
    fn now_ns(&self) -> u64 {
        self.board.clock.now_ns()
    }

    fn set_line(&mut self, line: u8, level: bool) {
        // A device's lock first and the router's inside it, always: the router calls no device, so no two
        // threads wait for each other.
        let mut router = self.board.router.lock();
        router.set_line(line, level);
        self.take_kicks(&mut router);
    }

    fn power(&mut self, event: PowerEvent) {
        let code = match event {
            PowerEvent::Off => 1,
            PowerEvent::Reset => 2,
        };
        self.board.power.store(code, Ordering::Release);
        // The thread that is here looks at it before it enters its guest again.
        self.kicks.get_or_insert_default();
    }
}

#[cold]
fn power_event_of(code: u32) -> PowerEvent {
    if code == 1 { PowerEvent::Off } else { PowerEvent::Reset }
}

impl BoardAccess<'_> {
    /// A vCPU must look at what was posted to it.
    pub fn kick(&mut self, vcpu: usize) {
        devices::apic::Kick::kick(self.kicks.get_or_insert_default(), vcpu);
    }

    /// The vCPUs that must look at what was posted to them, if there are any.
    #[inline(always)]
    pub fn kicks(&self) -> Option<&VcpuSet> {
        self.kicks.as_ref()
    }

    /// A message-signalled interrupt of a device's.
    fn send_msi(&mut self, address: u64, data: u32) {
        // The guest chooses both: a message that leads to no local APIC goes nowhere, and never into memory.
        if let Some(message) = InterruptMessage::from_msi(address, data) {
            self.board.apics.deliver(&message, self.kicks.get_or_insert_default());
        }
    }

    /// The interrupt pin of a PCI function.
    fn set_intx(&mut self, line: u8, function: u8, level: bool) {
        // Inside the function's lock, as in `set_line`.
        let mut router = self.board.router.lock();
        router.set_intx(line, function, level);
        self.take_kicks(&mut router);
    }

    fn take_kicks(&mut self, router: &mut Router) {
        for vcpu in router.take_kicks().iter() {
            self.kick(vcpu);
        }
    }
}

impl Board {
    /// A board of these parts. `router` is the one that is among them.
    pub fn new(parts: Parts, clock: Clock, apics: Arc<Apics>, router: Arc<Mutex<Router>>) -> Self {
        let slot = |(device, id): (Box<dyn BoardDevice>, u16)| Slot {
            // Kept beside the device: most accesses are to those without a timer, and pay one test for it.
            is_timed: parts.timed.contains(&DeviceId(id)),
            device: Mutex::new(device),
            deadline_ns: AtomicU64::new(NEVER),
        };
        Self {
            clock,
            apics,
            ports: parts.ports,
            mmio: parts.mmio,
            bars: parts.bars,
            functions: parts.functions,
            slots: parts.devices.into_iter().zip(0..).map(slot).collect(),
            // Apart from the others: whenever one deadline changes, those of all timers are compared.
            timed: parts.timed.clone(),
            inputs: parts.inputs,
            router,
            deadline_ns: AtomicU64::new(NEVER),
            deadline_lock: Mutex::new(()),
            power: AtomicU32::new(0),
        }
    }

    /// What an access of a vCPU's thread takes.
    pub fn access(&self) -> BoardAccess<'_> {
        BoardAccess { board: self, kicks: None }
    }

    /// Calls a device, and takes over its new deadline.
    #[inline(always)]
    fn with<R>(
        &self,
        id: DeviceId,
        default: R,
        access: &mut BoardAccess<'_>,
        call: impl FnOnce(&mut dyn BoardDevice, &mut BoardAccess<'_>) -> R,
    ) -> R {
        let Some(slot) = self.slots.get(usize::from(id.0)) else { return default };
        let mut device = slot.device.lock();
        let result = call(&mut **device, access);
        // Under the device's lock: else two vCPUs could store their deadlines in the other order.
        if slot.is_timed {
            self.update_deadline(slot, &**device, access);
        }
        result
    }

    /// A device with a timer was called.
    fn update_deadline(&self, slot: &Slot, device: &dyn BoardDevice, access: &mut BoardAccess<'_>) {
        let deadline = device.deadline_ns().unwrap_or(NEVER);
        // Written under the device's lock only, which is held here.
        if deadline != slot.deadline_ns.load(Ordering::Relaxed) {
            slot.deadline_ns.store(deadline, Ordering::SeqCst);
            self.deadline_changed(access);
        }
    }

    /// The slots with timers.
    fn timed(&self) -> impl Iterator<Item = (DeviceId, &Slot)> {
        self.timed.iter().filter_map(|id| Some((*id, self.slots.get(usize::from(id.0))?)))
    }

    /// Finds the earliest deadline anew; vCPU 0, which serves it, must look.
    #[cold]
    fn deadline_changed(&self, access: &mut BoardAccess<'_>) {
        let _guard = self.deadline_lock.lock();
        let earliest = self.timed().map(|(_, s)| s.deadline_ns.load(Ordering::SeqCst)).min().unwrap_or(NEVER);
        // vCPU 0 has the old one in its run page: only a change need take it out of its guest.
        if self.deadline_ns.swap(earliest, Ordering::SeqCst) != earliest {
            access.kick(0);
        }
    }

    /// IN.
    #[inline(always)]
    pub fn port_read(&self, port: u16, width: Width, access: &mut BoardAccess<'_>) -> u32 {
        match self.ports.sole_owner(port, width) {
            Some(id) => self.read_port_of(id, port, width, access),
            None => self.port_read_split(port, width, access),
        }
    }

    #[inline(always)]
    fn read_port_of(&self, id: DeviceId, port: u16, width: Width, access: &mut BoardAccess<'_>) -> u32 {
        self.with(id, width.mask() as u32, access, |device, access| device.port_read(port, width, access))
    }

    #[cold]
    fn port_read_split(&self, port: u16, width: Width, access: &mut BoardAccess<'_>) -> u32 {
        self.ports.read(port, width, |id, port, width| self.read_port_of(id, port, width, access))
    }

    /// OUT.
    #[inline(always)]
    pub fn port_write(&self, port: u16, width: Width, value: u32, access: &mut BoardAccess<'_>) {
        match self.ports.sole_owner(port, width) {
            Some(id) => self.write_port_of(id, port, width, value, access),
            None => self.port_write_split(port, width, value, access),
        }
    }

    #[inline(always)]
    fn write_port_of(&self, id: DeviceId, port: u16, width: Width, value: u32, access: &mut BoardAccess<'_>) {
        self.with(id, (), access, |device, access| device.port_write(port, width, value, access));
    }

    #[cold]
    fn port_write_split(&self, port: u16, width: Width, value: u32, access: &mut BoardAccess<'_>) {
        self.ports.write(port, width, value, |id, port, width, value| {
            self.write_port_of(id, port, width, value, access);
        });
    }

    /// A load from memory that is not RAM.
    #[inline(always)]
    pub fn mmio_read(&self, gpa: u64, width: Width, access: &mut BoardAccess<'_>) -> u64 {
        match self.mmio.find(gpa) {
            Some(hit) if hit.remaining >= width.bytes() => {
                self.load_from(hit.device, hit.offset, width, access)
            }
            // Fixed devices first: a BAR that the guest moves over one stays unseen, as behind a chipset.
            None => self.read_outside(gpa, width, access),
            // It begins in one device and ends in another or in nothing: each gets its part, the rest is
            // absent.
            Some(_) => self.mmio_read_split(gpa, width, access),
        }
    }

    #[inline(always)]
    fn load_from(&self, id: DeviceId, offset: u64, width: Width, access: &mut BoardAccess<'_>) -> u64 {
        self.with(id, width.mask(), access, |device, access| device.mmio_read(offset, width, access))
    }

    #[cold]
    fn mmio_read_split(&self, gpa: u64, width: Width, access: &mut BoardAccess<'_>) -> u64 {
        self.mmio.read(gpa, width, |id, offset, width| self.load_from(id, offset, width, access))
    }

    /// A store to memory that is not RAM.
    #[inline(always)]
    pub fn mmio_write(&self, gpa: u64, width: Width, value: u64, access: &mut BoardAccess<'_>) {
        match self.mmio.find(gpa) {
            Some(hit) if hit.remaining >= width.bytes() => {
                self.store_to(hit.device, hit.offset, width, value, access);
            }
            None => self.write_outside(gpa, width, value, access),
            Some(_) => self.mmio_write_split(gpa, width, value, access),
        }
    }

    #[inline(always)]
    fn store_to(&self, id: DeviceId, offset: u64, width: Width, value: u64, access: &mut BoardAccess<'_>) {
        self.with(id, (), access, |device, access| device.mmio_write(offset, width, value, access));
    }

    #[cold]
    fn mmio_write_split(&self, gpa: u64, width: Width, value: u64, access: &mut BoardAccess<'_>) {
        self.mmio.write(gpa, width, value, |id, offset, width, value| {
            self.store_to(id, offset, width, value, access)
        });
    }

    /// When a device's timer wants [`Self::expire`]; `u64::MAX` for never.
    #[inline]
    pub fn deadline_ns(&self) -> u64 {
        self.deadline_ns.load(Ordering::SeqCst)
    }

    /// Serves the timers that are due.
    pub fn expire(&self, access: &mut BoardAccess<'_>) {
        let now = self.clock.now_ns();
        for (id, slot) in self.timed() {
            // A look without the lock: a device that is called looks at the time once more.
            if slot.deadline_ns.load(Ordering::Relaxed) <= now {
                self.with(id, (), access, |device, access| device.expire(access));
            }
        }
    }

    /// A local APIC ended a level-triggered interrupt.
    pub fn end_of_interrupt(&self, vector: u8, access: &mut BoardAccess<'_>) {
        let mut router = self.router.lock();
        router.end_of_interrupt(vector);
        access.take_kicks(&mut router);
    }

    /// The PIC's vector.
    pub fn acknowledge_pic(&self, access: &mut BoardAccess<'_>) -> u8 {
        let mut router = self.router.lock();
        // It may lower the PIC's request, or raise it again for the next one: the vCPUs that are to look are
        // told at once.
        let vector = router.acknowledge_pic();
        access.take_kicks(&mut router);
        vector
    }

    /// The devices' names, by number.
    pub fn names(&self) -> Vec<&'static str> {
        self.slots.iter().map(|slot| slot.device.lock().claims().name).collect()
    }

    /// The number of the device that owns a port.
    pub fn owner_of_port(&self, port: u16) -> Option<usize> {
        self.ports.sole_owner(port, Width::Byte).map(|id| usize::from(id.0))
    }

    /// The number of the device that owns the first address that anybody owns in a page.
    pub fn owner_of_page(&self, page: u64) -> Option<usize> {
        (page..page.saturating_add(4096))
            .step_by(8)
            .find_map(|gpa| self.mmio.find(gpa))
            .map(|hit| usize::from(hit.device.0))
    }

    /// Whether the guest has asked for the machine's end.
    pub fn power_event(&self) -> Option<PowerEvent> {
        match self.power.load(Ordering::Acquire) {
            0 => None,
            code => Some(power_event_of(code)),
        }
    }

    /// What signals input, in the order of the bits that [`Self::input`] takes.
    pub fn signals(&self) -> impl Iterator<Item = Option<Signal>> + '_ {
        self.inputs.iter().map(|input| input.signal)
    }

    /// What the table of exits says of the devices. One that is being called may hold its lock for long, and
    /// is left out.
    pub fn reports(&self) -> Vec<String> {
        self.slots.iter().filter_map(|slot| slot.device.try_lock()?.report()).collect()
    }

    /// The host has signalled input for the devices whose bits are set.
    pub fn input(&self, bits: u32, access: &mut BoardAccess<'_>) {
        for (bit, input) in self.inputs.iter().enumerate() {
            if bits >> bit & 1 != 0 {
                self.with(input.device, (), access, |device, access| device.input(access));
            }
        }
    }
}

#[cfg(test)]
mod tests;
