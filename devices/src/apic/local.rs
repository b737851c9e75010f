//! The private part of a local APIC: what it is made of, its life cycle, and its local interrupt sources.

use super::routing::{Routing, dfr_is_cluster, x2apic_ldr};
use super::shared::{ApicShared, Apics, MAX_NMIS};
use super::timer::{Mode, Timer};
use super::vectors::Vectors;
use super::{ApicBus, DeliveryMode, spec};
use alloc::sync::Arc;

/// What a local APIC is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalApicConfig {
    /// Width of a guest-physical address in bits: IA32_APIC_BASE has no more.
    pub physical_address_bits: u8,
    /// The guest TSC's frequency in Hz if CPUID offers TSC-deadline mode, else `None`.
    pub tsc_deadline_hz: Option<u64>,
}

/// LVT entries in the order of [`LocalApic::lvt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Lvt {
    Cmci,
    Timer,
    Thermal,
    Performance,
    Lint0,
    Lint1,
    Error,
}

/// A local APIC, owned by the thread of its vCPU.
#[derive(Debug)]
pub struct LocalApic {
    // Configuration.
    pub(super) config: LocalApicConfig,
    pub(super) vcpu: usize,
    pub(super) id: u32,
    // Glue.
    pub(super) apics: Arc<Apics>,
    // Volatile state.
    pub(super) base: u64,
    /// Where the register page is; [`spec::NO_PAGE`] unless in xAPIC mode.
    pub(super) page: u64,
    pub(super) tpr: u32,
    pub(super) ldr: u32,
    pub(super) dfr: u32,
    pub(super) svr: u32,
    pub(super) isr: Vectors,
    pub(super) tmr: Vectors,
    pub(super) irr: Vectors,
    pub(super) esr: u32,
    pub(super) esr_pending: u32,
    pub(super) icr: u64,
    pub(super) lvt: [u32; 7],
    pub(super) timer: Timer,
    /// What the guest's TSC is ahead of the host's, modulo 2^64. INIT leaves both as they are.
    tsc_offset: u64,
    /// NMIs that wait, at most [`MAX_NMIS`](super::shared::MAX_NMIS).
    pub(super) nmis: u8,
    pub(super) extint: bool,
    pub(super) init: bool,
    pub(super) sipi: Option<u8>,
    pub(super) waits_for_sipi: bool,
    /// Something was written that decides about interrupts or deadlines, since [`Self::attend`].
    pub(super) changed: bool,
}

impl LocalApic {
    /// The local APIC of vCPU number `vcpu` of `apics` as after power-on. vCPU 0 is the bootstrap processor,
    /// the others wait for a start-up IPI. `None` if there is no such vCPU.
    pub fn new(apics: Arc<Apics>, vcpu: usize, config: LocalApicConfig) -> Option<Self> {
        let id = apics.get(vcpu)?.id();
        let mut apic = Self {
            config,
            vcpu,
            id,
            apics,
            base: spec::DEFAULT_BASE | spec::BASE_ENABLE | if vcpu == 0 { spec::BASE_BSP } else { 0 },
            // In step with `base`, from which it follows.
            page: spec::DEFAULT_BASE,
            tpr: 0,
            ldr: 0,
            // The state after reset (SDM 3, local APIC state after power-up): nothing is accepted until
            // software enables it.
            dfr: u32::MAX,
            svr: 0xff,
            isr: Vectors::default(),
            tmr: Vectors::default(),
            irr: Vectors::default(),
            esr: 0,
            esr_pending: 0,
            icr: 0,
            lvt: [spec::LVT_MASKED; 7],
            timer: Timer::default(),
            tsc_offset: 0,
            nmis: 0,
            extint: false,
            init: false,
            sipi: None,
            // The bootstrap processor runs at once.
            waits_for_sipi: vcpu != 0,
            changed: true,
        };
        apic.publish();
        Some(apic)
    }

    /// The shared part. It exists: `new` looked it up.
    #[inline]
    pub(super) fn shared(&self) -> Option<&ApicShared> {
        self.apics.get(self.vcpu)
    }

    /// The shared parts of all.
    pub fn apics(&self) -> &Arc<Apics> {
        &self.apics
    }

    /// Whether it is in x2APIC mode.
    #[inline]
    pub fn is_x2apic(&self) -> bool {
        self.base & spec::BASE_EXTD != 0
    }

    /// Whether it is switched on in its base register.
    #[inline]
    pub fn is_globally_enabled(&self) -> bool {
        self.base & spec::BASE_ENABLE != 0
    }

    pub(super) fn is_software_enabled(&self) -> bool {
        self.svr & spec::SVR_ENABLE != 0
    }

    /// The logical destination register as the mode shows it.
    pub(super) fn logical_destination(&self) -> u32 {
        if self.is_x2apic() { x2apic_ldr(self.id) } else { self.ldr }
    }

    /// Tells the others what they need to know to find this APIC.
    pub(super) fn publish(&mut self) {
        let x2apic = self.is_x2apic();
        let routing = Routing {
            logical_id: if x2apic { x2apic_ldr(self.id) } else { self.ldr >> 24 },
            enabled: self.is_globally_enabled(),
            x2apic,
            accepts_vectors: self.is_globally_enabled() && self.is_software_enabled(),
            cluster: dfr_is_cluster(self.dfr),
        };
        self.apics.publish(self.vcpu, routing);
        // Both words, as TPR is reset together with the rest.
        self.publish_priority();
    }

    /// Registers as after INIT or after being globally disabled. The ID stays.
    pub(super) fn reset_registers(&mut self) {
        self.tpr = 0;
        self.ldr = 0;
        self.dfr = u32::MAX;
        self.svr = 0xff;
        (self.isr, self.tmr, self.irr) = Default::default();
        (self.esr, self.esr_pending, self.icr) = (0, 0, 0);
        self.lvt = [spec::LVT_MASKED; 7];
        self.timer = Timer::default();
        self.publish();
    }

    /// What firmware leaves behind for an operating system that uses the PIC: enabled by software, the PIC
    /// through LINT0, NMI through LINT1 (MP specification, "Virtual Wire Mode"). For the bootstrap processor
    /// of a VM that has no firmware.
    pub fn enter_virtual_wire(&mut self) {
        self.svr = 0xff | spec::SVR_ENABLE;
        self.lvt[Lvt::Lint0 as usize] = 0x700;
        self.lvt[Lvt::Lint1 as usize] = 0x400;
        self.publish();
    }

    /// A local interrupt source fires.
    pub(super) fn raise_lvt(&mut self, entry: Lvt) {
        let lvt = self.lvt[entry as usize];
        if lvt & spec::LVT_MASKED != 0 || !self.is_globally_enabled() {
            return;
        }
        match DeliveryMode::from_bits(lvt >> 8) {
            Some(DeliveryMode::Fixed) => self.request(lvt as u8),
            Some(DeliveryMode::Nmi) => self.nmis = (self.nmis + 1).min(MAX_NMIS),
            // At once: the owner itself is here, so nothing has to be posted.
            Some(DeliveryMode::Init) => self.accept_init(),
            // ExtINT is a level, looked at when the processor can take it. The rest is reserved here, or SMI.
            _ => {}
        }
    }

    /// Records an error for ESR and raises the error interrupt.
    pub(super) fn error(&mut self, bit: u32) {
        self.esr_pending |= bit;
        let lvt = self.lvt[Lvt::Error as usize];
        // An illegal vector in the error entry itself is an error that cannot be reported.
        if lvt & spec::LVT_MASKED == 0 && lvt as u8 >= spec::FIRST_VECTOR {
            self.request(lvt as u8);
        }
    }

    /// When [`Self::expire`] wants to be called next, in guest nanoseconds.
    #[inline]
    pub fn deadline_ns(&self) -> Option<u64> {
        // A masked timer interrupts nobody: it is brought up to date when somebody looks at it.
        if self.lvt[Lvt::Timer as usize] & spec::LVT_MASKED != 0 { None } else { self.timer.deadline_ns() }
    }

    /// Lets the timer catch up with the time; at the deadline, or before or after it.
    pub fn expire(&mut self, bus: &dyn ApicBus) {
        let now_ns = bus.now_ns();
        if self.timer.mode == Mode::TscDeadline
            && let Some(hz) = self.config.tsc_deadline_hz
            && self.timer.tsc_deadline > self.guest_tsc(bus)
        {
            // Rounding brought us here early.
            self.timer.arm_tsc(self.timer.tsc_deadline, self.guest_tsc(bus), hz, now_ns);
            return;
        }
        self.advance_timer(now_ns);
    }

    /// The guest's time-stamp counter.
    pub(super) fn guest_tsc(&self, bus: &dyn ApicBus) -> u64 {
        bus.host_tsc().wrapping_add(self.tsc_offset)
    }

    /// What the guest's TSC is ahead of the host's, modulo 2^64.
    pub fn tsc_offset(&self) -> u64 {
        self.tsc_offset
    }

    /// Moves the guest's TSC against the host's: a deadline that waits is reached sooner or later by it.
    pub fn set_tsc_offset(&mut self, offset: u64, bus: &dyn ApicBus) {
        self.expire(bus);
        self.tsc_offset = offset;
        if let Some(hz) = self.config.tsc_deadline_hz {
            self.timer.arm_tsc(self.timer.tsc_deadline, self.guest_tsc(bus), hz, bus.now_ns());
            self.changed = true;
        }
    }

    pub(super) fn advance_timer(&mut self, now_ns: u64) {
        if self.timer.advance(now_ns) {
            self.raise_lvt(Lvt::Timer);
        }
    }
}
