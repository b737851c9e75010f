//! The PCI transport (virtio 1.2, 4.1): a PCI function around a virtio device.
//!
//! One BAR has all of it: common configuration, interrupt status, the device's configuration, notifications,
//! and the MSI-X table. A notification is served in the call that it comes with, so that a device is done
//! when the access is.

mod common;
mod function;
pub mod spec;
mod window;

use alloc::vec::Vec;

use devices::capability::Width;
use devices::guest_memory::GuestMemory;
use devices::pci::config::Identity;
use devices::pci::msix::Place;
use devices::pci::{Bar, BarKind, ConfigSpace, Interrupts, PciPlatform, spec as pci};

use crate::device::{Queues, VirtioDevice};
use crate::queue::{Format, Queue, RingError};
use spec::{feature, status};

/// Which rings a device offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rings {
    /// Split ones.
    Split,
    /// Packed ones too.
    Packed,
}

/// What driver and device have told each other.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    status: u8,
    device_feature_select: u32,
    driver_feature_select: u32,
    driver_features: u64,
    config_vector: u16,
    queue_select: u16,
    isr: u8,
}

/// A virtio device on the PCI bus, in a guest whose memory is an `M`.
pub struct VirtioPci<D, M> {
    // Configuration.
    device: D,
    memory: M,
    rings: Rings,
    // Glue.
    space: ConfigSpace,
    interrupts: Interrupts,
    /// Where the window's capability is in configuration space.
    window_at: Option<u16>,
    // Volatile state.
    state: State,
    queues: Vec<Queue>,
    /// Their vectors.
    vectors: Vec<u16>,
    /// How often the configuration has changed.
    generation: u8,
    /// Why the device could not go on, the last time.
    last_error: Option<RingError>,
}

impl State {
    const RESET: Self = Self {
        status: 0,
        device_feature_select: 0,
        driver_feature_select: 0,
        driver_features: 0,
        config_vector: spec::NO_VECTOR,
        queue_select: 0,
        isr: 0,
    };
}

/// A capability that says where a part of the BAR is.
fn part(kind: u8, offset: u64, more: &[u8]) -> Vec<u8> {
    let mut body = Vec::from([16 + more.len() as u8, kind, spec::BAR, 0, 0, 0]);
    body.extend_from_slice(&(offset as u32).to_le_bytes());
    body.extend_from_slice(&(spec::PART_BYTES as u32).to_le_bytes());
    body.extend_from_slice(more);
    body
}

impl<D: VirtioDevice, M: GuestMemory> VirtioPci<D, M> {
    /// The function of a device.
    pub fn new(device: D, memory: M, rings: Rings) -> Self {
        let identity = Identity {
            vendor: spec::VENDOR,
            device: spec::DEVICE_BASE + D::ID,
            revision: spec::REVISION,
            class: D::CLASS,
            subsystem_vendor: spec::VENDOR,
            subsystem: spec::SUBSYSTEM,
        };
        let bar = Bar { kind: BarKind::Memory64, bytes: spec::BAR_BYTES };
        let mut space = ConfigSpace::new(&identity).with_bar(spec::BAR, bar);
        // No more than `Queues::touched` has bits for.
        let queues = device.queues().min(spec::QUEUES_MAX);
        let place = |offset: u64| Place { bar: spec::BAR, offset: offset as u32 };
        // One more, for changes of the configuration.
        let interrupts = Interrupts::add(&mut space, queues + 1, place(spec::TABLE), place(spec::PENDING));
        let window_at = add_capabilities(&mut space);
        let size = device.queue_size();
        Self {
            device,
            memory,
            rings,
            space,
            interrupts,
            window_at,
            state: State::RESET,
            queues: (0..queues).map(|_| Queue::new(size)).collect(),
            vectors: (0..queues).map(|_| spec::NO_VECTOR).collect(),
            generation: 0,
            last_error: None,
        }
    }

    /// The device.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// The device, to change what is behind it.
    #[cfg(test)]
    pub(crate) fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// Why the device could not go on, the last time that it could not.
    pub fn last_error(&self) -> Option<RingError> {
        self.last_error
    }

    /// All features that are offered.
    fn features(&self) -> u64 {
        let rings = match self.rings {
            Rings::Split => 0,
            Rings::Packed => feature::PACKED,
        };
        // Always with VERSION_1: there is no legacy interface beside this one.
        self.device.features() | feature::VERSION_1 | feature::INDIRECT | feature::EVENT_INDEX | rings
    }

    fn format(&self) -> Format {
        // By what the driver has accepted: what is offered alone changes nothing.
        let has = |feature| self.state.driver_features & feature != 0;
        Format {
            packed: has(feature::PACKED),
            indirect: has(feature::INDIRECT),
            event_index: has(feature::EVENT_INDEX),
        }
    }

    fn has_status(&self, bit: u8) -> bool {
        self.state.status & bit != 0
    }

    fn reset(&mut self, platform: &mut dyn PciPlatform) {
        self.state = State::RESET;
        // Under the lock that accesses take: once the driver reads the status as 0, nothing of before writes
        // its memory (2.4.1).
        self.device.reset();
        self.queues.iter_mut().for_each(Queue::reset);
        self.vectors.fill(spec::NO_VECTOR);
        self.update_pin(platform);
    }

    /// The device works: the driver is ready, the device has not given up, and it may reach memory.
    fn is_running(&self) -> bool {
        let command = self.space.read(pci::COMMAND, Width::Word) as u16;
        let running = status::DRIVER_OK | status::FEATURES_OK;
        self.state.status & (running | status::NEEDS_RESET) == running
            // A function that is no bus master may not reach memory (PCI local bus specification 3.0, 6.2.2).
            && command & pci::COMMAND_BUS_MASTER != 0
    }

    /// The driver says that there is something in a queue.
    fn notify(&mut self, queue: u16, platform: &mut dyn PciPlatform) {
        // Before DRIVER_OK nothing may be taken from a queue (2.1.2).
        if !self.is_running() || !self.queues.get(usize::from(queue)).is_some_and(Queue::is_enabled) {
            return;
        }
        // In the exit that notified: what takes longer than a copy in memory, a device hands to others.
        self.serve(platform, |device, queues| device.notified(queue, queues));
    }

    /// What is behind the device has something for it.
    fn take_input(&mut self, platform: &mut dyn PciPlatform) {
        // While it may not reach memory, what there is waits; a reset drops it.
        if self.is_running() {
            self.serve(platform, |device, queues| device.input(queues));
        }
    }

    /// Calls the device, and tells the driver what it has given back.
    fn serve(
        &mut self,
        platform: &mut dyn PciPlatform,
        call: impl FnOnce(&mut D, &mut Queues<'_, M>) -> Result<(), RingError>,
    ) {
        let mut queues = Queues::new(&mut self.queues, &self.memory);
        let mut result = call(&mut self.device, &mut queues);
        // What was given back before an error is the driver's: it gets the interrupt for that even so.
        let touched = queues.touched();
        for index in (0..self.queues.len()).filter(|index| touched >> index & 1 != 0) {
            match self.queues.get_mut(index).map(|queue| queue.wants_interrupt(&self.memory)) {
                Some(Ok(true)) => self.signal_queue(index, platform),
                // The first error is the one that is told.
                Some(Err(error)) => result = result.and(Err(error)),
                _ => {}
            }
        }
        if let Err(error) = result {
            self.give_up(error, platform);
        }
    }

    /// The device's configuration is another one; a driver that reads it meanwhile sees that, and one that is
    /// ready hears of it (4.1.4.3.1, 2.1.2).
    fn config_changed(&mut self, platform: &mut dyn PciPlatform) {
        self.generation = self.generation.wrapping_add(1);
        if self.has_status(status::DRIVER_OK) {
            self.signal(self.state.config_vector, spec::ISR_CONFIG, platform);
        }
    }

    /// The device can't go on; the driver hears of it.
    fn give_up(&mut self, error: RingError, platform: &mut dyn PciPlatform) {
        self.last_error = Some(error);
        // From here on nothing of the driver's memory is touched until it resets the device (`is_running`).
        self.state.status |= status::NEEDS_RESET;
        // Before DRIVER_OK no notification is sent (2.1.2).
        if self.has_status(status::DRIVER_OK) {
            // As a change of the configuration, which is how a driver is told to look at the status (2.1.2).
            self.signal(self.state.config_vector, spec::ISR_CONFIG, platform);
        }
    }

    fn signal_queue(&mut self, index: usize, platform: &mut dyn PciPlatform) {
        let vector = self.vectors.get(index).copied().unwrap_or(spec::NO_VECTOR);
        self.signal(vector, spec::ISR_QUEUE, platform);
    }

    /// By message, or by the pin and a bit of the interrupt status.
    fn signal(&mut self, vector: u16, isr: u8, platform: &mut dyn PciPlatform) {
        if self.interrupts.are_messages() {
            return self.interrupts.signal(vector, &self.space, platform);
        }
        // The pin may be shared, so that the driver asks here whether it was this device.
        self.state.isr |= isr;
        self.update_pin(platform);
    }

    fn update_pin(&mut self, platform: &mut dyn PciPlatform) {
        self.interrupts.set_pin(self.state.isr != 0, &mut self.space, platform);
    }
}

/// Where the parts of the BAR are, and the window to it. Returns where the window's capability is.
fn add_capabilities(space: &mut ConfigSpace) -> Option<u16> {
    use spec::capability::{COMMON, DEVICE, ISR, NOTIFY, WINDOW};
    use spec::capability::{WINDOW_BAR, WINDOW_LENGTH, WINDOW_OFFSET};
    space.add_capability(spec::CAPABILITY, &part(COMMON, spec::COMMON, &[]))?;
    space.add_capability(spec::CAPABILITY, &part(ISR, spec::ISR, &[]))?;
    space.add_capability(spec::CAPABILITY, &part(DEVICE, spec::DEVICE, &[]))?;
    let notify = part(NOTIFY, spec::NOTIFY, &spec::NOTIFY_BYTES.to_le_bytes());
    space.add_capability(spec::CAPABILITY, &notify)?;
    let at = space.add_capability(spec::CAPABILITY, &part(WINDOW, 0, &[0; 4]))?;
    // No width yet: the window leads nowhere until the driver has written one.
    space.set(at + WINDOW_LENGTH, &[0; 4]);
    space.allow(at + WINDOW_BAR, &[0xff]);
    space.allow(at + WINDOW_OFFSET, &[0xff; 4]);
    space.allow(at + WINDOW_LENGTH, &[0xff; 4]);
    Some(at)
}

#[cfg(test)]
mod tests;
