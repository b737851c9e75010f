//! Who a message is for (SDM, "Determining IPI Destination"), and its delivery.

use super::message::{DeliveryMode, InterruptMessage};
use super::shared::{ApicShared, Apics};
use super::{Kick, spec};
use core::sync::atomic::Ordering;

/// What decides whether a local APIC takes a message, published by its owner as one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Routing {
    /// Bits 7:0 the logical ID in xAPIC mode; the whole LDR in x2APIC mode.
    pub logical_id: u32,
    /// Globally enabled: takes messages at all.
    pub enabled: bool,
    pub x2apic: bool,
    /// Software enabled: takes vectors.
    pub accepts_vectors: bool,
    /// The cluster model of DFR; xAPIC mode only.
    pub cluster: bool,
}

impl Routing {
    pub fn to_bits(self) -> u64 {
        u64::from(self.logical_id)
            | u64::from(self.enabled) << 32
            | u64::from(self.x2apic) << 33
            | u64::from(self.accepts_vectors) << 34
            | u64::from(self.cluster) << 35
    }

    pub fn from_bits(bits: u64) -> Self {
        let flag = |bit: u32| bits >> bit & 1 != 0;
        // One word, so that who routes sees all of it as it was at one time.
        Self {
            logical_id: bits as u32,
            enabled: flag(32),
            x2apic: flag(33),
            accepts_vectors: flag(34),
            cluster: flag(35),
        }
    }

    /// Whether a logical destination names this APIC.
    fn matches_logical(&self, destination: u32) -> bool {
        if destination == InterruptMessage::BROADCAST {
            return true;
        }
        // Cluster in the upper half, one bit for each APIC of it in the lower; there is no other model (SDM
        // 3, logical destination mode in x2APIC mode).
        if self.x2apic {
            return destination >> 16 == self.logical_id >> 16 && destination & self.logical_id & 0xffff != 0;
        }
        // An xAPIC has eight bits of it, and cannot be named by more.
        if destination > 0xff {
            return false;
        }
        // Four bits name the cluster and four its members; the flat model has a bit for each of eight APICs.
        if self.cluster {
            destination >> 4 == self.logical_id >> 4 && destination & self.logical_id & 0xf != 0
        } else {
            destination & self.logical_id != 0
        }
    }
}

/// A message being delivered.
struct Delivery<'a> {
    apics: &'a Apics,
    message: &'a InterruptMessage,
    sender: Option<usize>,
    kicks: &'a mut dyn Kick,
}

impl Delivery<'_> {
    fn takes(&self, apic: &ApicShared, routing: Routing) -> bool {
        // NMI, INIT and the like reach an APIC that software has disabled; what is fixed or lowest-priority
        // does not.
        let needs_software_enable =
            matches!(self.message.delivery, DeliveryMode::Fixed | DeliveryMode::LowestPriority);
        let InterruptMessage { destination, logical, .. } = *self.message;
        routing.enabled
            && (routing.accepts_vectors || !needs_software_enable)
            && if logical {
                routing.matches_logical(destination)
            } else {
                destination == InterruptMessage::BROADCAST || destination == apic.id()
            }
    }

    fn post(&mut self, vcpu: usize, apic: &ApicShared) {
        let vector = self.message.vector;
        let kick = match self.message.delivery {
            DeliveryMode::Fixed | DeliveryMode::LowestPriority => {
                apic.post_vector(vector, self.message.level)
            }
            DeliveryMode::Nmi => apic.post_nmi(),
            DeliveryMode::Init => apic.post_init(),
            DeliveryMode::Startup => apic.post_sipi(vector),
            DeliveryMode::ExtInt => apic.post_extint(),
            // There is no system management mode to enter.
            DeliveryMode::Smi => false,
        };
        // The sender looks at its own before it enters its guest again.
        if kick && self.sender != Some(vcpu) {
            self.kicks.kick(vcpu);
        }
    }

    /// Posts to all that take it, but for `excluded`. Returns whether any did.
    fn all(&mut self, excluded: Option<usize>) -> bool {
        let apics = self.apics;
        let mut taken = false;
        for (vcpu, apic) in apics.iter() {
            if Some(vcpu) != excluded && self.takes(apic, apic.routing()) {
                self.post(vcpu, apic);
                taken = true;
            }
        }
        taken
    }

    /// Posts to the one with the lowest task priority. Among equals the vector decides, which spreads
    /// interrupts without state that all would share.
    fn lowest(&mut self, excluded: Option<usize>) -> bool {
        let apics = self.apics;
        let takers = || {
            apics
                .iter()
                .filter(|(vcpu, apic)| Some(*vcpu) != excluded && self.takes(apic, apic.routing()))
                .map(|(vcpu, apic)| (vcpu, apic, apic.priority.load(Ordering::Relaxed) >> 4))
        };
        let Some(lowest) = takers().map(|(_, _, priority)| priority).min() else { return false };
        let equals = takers().filter(|taker| taker.2 == lowest).count();
        // By the vector: equals share the load, and an interrupt stays with one of them.
        let index = usize::from(self.message.vector) % equals.max(1);
        let taker = takers().filter(|taker| taker.2 == lowest).nth(index);
        // Where a priority changed between the passes, any taker is as right as another.
        let taker = taker.or_else(|| takers().next());
        taker.map(|(vcpu, apic, _)| self.post(vcpu, apic)).is_some()
    }

    fn run(mut self, excluded: Option<usize>) -> bool {
        if self.message.delivery == DeliveryMode::LowestPriority {
            return self.lowest(excluded);
        }
        if self.message.logical || self.message.destination == InterruptMessage::BROADCAST {
            return self.all(excluded);
        }
        // A physical destination names one APIC, as a rule the one at its own number.
        let apics = self.apics;
        let id = self.message.destination;
        let at_id = apics.get(id as usize).filter(|apic| apic.id() == id).map(|apic| (id as usize, apic));
        let named = at_id.or_else(|| apics.iter().find(|(_, apic)| apic.id() == id));
        let taker = named.filter(|(vcpu, apic)| Some(*vcpu) != excluded && self.takes(apic, apic.routing()));
        taker.map(|(vcpu, apic)| self.post(vcpu, apic)).is_some()
    }
}

impl Apics {
    /// Delivers a message from the I/O APIC or a device. Kicks whoever must be, and returns whether any local
    /// APIC took it. A thread that is itself a vCPU may leave out the kick of that one if it looks before it
    /// enters.
    pub fn deliver(&self, message: &InterruptMessage, kicks: &mut dyn Kick) -> bool {
        Delivery { apics: self, message, sender: None, kicks }.run(None)
    }

    /// Delivers an IPI of vCPU `sender`, which is never kicked, and with `exclude_sender` not among the
    /// takers.
    pub(super) fn deliver_ipi(
        &self,
        message: &InterruptMessage,
        sender: usize,
        exclude_sender: bool,
        kicks: &mut dyn Kick,
    ) -> bool {
        // Whom the shorthand leaves out is another matter than whom the kick leaves out.
        let excluded = exclude_sender.then_some(sender);
        Delivery { apics: self, message, sender: Some(sender), kicks }.run(excluded)
    }

    /// Publishes what the owner of `vcpu` decided about its routing.
    pub(super) fn publish(&self, vcpu: usize, routing: Routing) {
        if let Some(apic) = self.get(vcpu) {
            // With `Acquire` at the reader: who sees the new routing sees what was written before it.
            apic.routing.store(routing.to_bits(), Ordering::Release);
        }
    }
}

/// The LDR of x2APIC mode: the cluster and the bit within it, both from the ID.
pub(super) const fn x2apic_ldr(id: u32) -> u32 {
    (id >> 4) << 16 | 1 << (id & 0xf)
}

/// Whether DFR selects the cluster model.
pub(super) const fn dfr_is_cluster(dfr: u32) -> bool {
    dfr & !spec::DFR_ONES == 0
}
