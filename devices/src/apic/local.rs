//! The private part of a local APIC: interrupt acceptance, priorities, and life cycle.

use super::routing::{Routing, dfr_is_cluster, x2apic_ldr};
use super::shared::{ApicShared, Apics, Posted, posted};
use super::timer::{Mode, Timer};
use super::vectors::Vectors;
use super::{ApicBus, DeliveryMode, spec};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

/// What a local APIC is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalApicConfig {
    /// Width of a guest-physical address in bits: IA32_APIC_BASE has no more.
    pub physical_address_bits: u8,
    /// The guest TSC's frequency in Hz if CPUID offers TSC-deadline mode, else `None`.
    pub tsc_deadline_hz: Option<u64>,
}

/// What the processor itself, not its local APIC, has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Startup {
    /// INIT: all registers as after INIT. The bootstrap processor goes on at the reset vector, another one waits.
    Init,
    /// Start-up IPI after INIT: real mode at page `vector`, that is CS:IP = `vector` × 100h : 0.
    Sipi {
        /// The page number of the start address.
        vector: u8,
    },
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
    nmi: bool,
    extint: bool,
    init: bool,
    sipi: Option<u8>,
    waits_for_sipi: bool,
}

impl LocalApic {
    /// The local APIC of vCPU number `vcpu` of `apics` as after power-on. vCPU 0 is the bootstrap processor, the
    /// others wait for a start-up IPI. `None` if there is no such vCPU.
    pub fn new(apics: Arc<Apics>, vcpu: usize, config: LocalApicConfig) -> Option<Self> {
        let id = apics.get(vcpu)?.id();
        let mut apic = Self {
            config,
            vcpu,
            id,
            apics,
            base: spec::DEFAULT_BASE | spec::BASE_ENABLE | if vcpu == 0 { spec::BASE_BSP } else { 0 },
            tpr: 0,
            ldr: 0,
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
            nmi: false,
            extint: false,
            init: false,
            sipi: None,
            waits_for_sipi: vcpu != 0,
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

    pub(super) fn is_globally_enabled(&self) -> bool {
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
        self.publish_priority();
    }

    #[inline]
    fn publish_priority(&self) {
        if let Some(shared) = self.shared() {
            shared.priority.store(self.tpr as u8, Ordering::Relaxed);
        }
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

    /// What firmware leaves behind for an operating system that uses the PIC: enabled by software, the PIC through
    /// LINT0, NMI through LINT1 (MP specification, "Virtual Wire Mode"). For the bootstrap processor of a VM that has
    /// no firmware.
    pub fn enter_virtual_wire(&mut self) {
        self.svr = 0xff | spec::SVR_ENABLE;
        self.lvt[Lvt::Lint0 as usize] = 0x700;
        self.lvt[Lvt::Lint1 as usize] = 0x400;
        self.publish();
    }

    /// The task priority register.
    #[inline]
    pub fn tpr(&self) -> u8 {
        self.tpr as u8
    }

    /// Sets the task priority register.
    #[inline]
    pub fn set_tpr(&mut self, tpr: u8) {
        self.tpr = u32::from(tpr);
        self.publish_priority();
    }

    /// Takes over what the guest left in CR8 (V_TPR): TPR bits 7:4, which clears bits 3:0 if they differ.
    #[inline]
    pub fn set_cr8(&mut self, cr8: u8) {
        if self.tpr >> 4 != u32::from(cr8 & 0xf) {
            self.set_tpr(cr8 << 4);
        }
    }

    /// The processor priority: the higher class of task priority and the highest vector in service.
    #[inline]
    pub(super) fn ppr(&self) -> u32 {
        let in_service = self.isr.highest().map_or(0, u32::from);
        if self.tpr >> 4 >= in_service >> 4 { self.tpr } else { in_service & 0xf0 }
    }

    /// Takes in what other threads posted. [`Self::pending_interrupt`] does so, too.
    #[inline]
    pub fn sync(&mut self) {
        if self.shared().is_some_and(ApicShared::has_posted) {
            self.take_posted();
        }
    }

    #[cold]
    fn take_posted(&mut self) {
        let Some(Posted { flags, vectors, level, sipi_vector }) = self.shared().map(ApicShared::take_posted)
        else {
            return;
        };
        for (word, (vectors, level)) in vectors.into_iter().zip(level).enumerate() {
            self.irr.set_word(word, self.irr.word(word as u32) | vectors);
            self.tmr.set_word(word, self.tmr.word(word as u32) & !vectors | level & vectors);
        }
        self.nmi |= flags & posted::NMI != 0;
        self.extint |= flags & posted::EXTINT != 0;
        if flags & posted::LINT0 != 0 {
            self.raise_lvt(Lvt::Lint0);
        }
        if flags & posted::LINT1 != 0 {
            self.raise_lvt(Lvt::Lint1);
        }
        if flags & posted::ILLEGAL_VECTOR != 0 {
            self.error(spec::ESR_RECEIVE_ILLEGAL);
        }
        if flags & posted::INIT != 0 {
            self.accept_init();
        }
        if flags & posted::SIPI != 0 && self.waits_for_sipi {
            self.waits_for_sipi = false;
            self.sipi = Some(sipi_vector);
        }
    }

    fn accept_init(&mut self) {
        self.reset_registers();
        self.nmi = false;
        self.extint = false;
        self.sipi = None;
        self.init = true;
        self.waits_for_sipi = self.vcpu != 0;
    }

    /// Whether the processor is stopped until a start-up IPI.
    pub fn waits_for_sipi(&self) -> bool {
        self.waits_for_sipi
    }

    /// Takes INIT or a start-up IPI, oldest first, of those that [`Self::sync`] took in.
    #[inline]
    pub fn take_startup(&mut self) -> Option<Startup> {
        if core::mem::take(&mut self.init) {
            return Some(Startup::Init);
        }
        self.sipi.take().map(|vector| Startup::Sipi { vector })
    }

    /// Whether an NMI waits to be injected.
    #[inline]
    pub fn nmi_pending(&self) -> bool {
        self.nmi
    }

    /// Takes the NMI that waits.
    #[inline]
    pub fn take_nmi(&mut self) -> bool {
        core::mem::take(&mut self.nmi)
    }

    /// Whether the PIC's interrupt gets through to this processor: then its vector is the PIC's to give, by its
    /// `acknowledge`, and [`Self::acknowledge_extint`] is called as well.
    #[inline]
    pub fn extint_pending(&self) -> bool {
        self.extint || (self.takes_lint0_extint() && self.shared().is_some_and(ApicShared::lint0))
    }

    /// The PIC's interrupt was taken.
    pub fn acknowledge_extint(&mut self) {
        self.extint = false;
    }

    fn takes_lint0_extint(&self) -> bool {
        const EXTINT: u32 = 7 << 8;
        if !self.is_globally_enabled() {
            // LINT0 is the processor's INTR pin then (SDM, "Local APIC Status and Location").
            return self.vcpu == 0;
        }
        self.vcpu == 0 && self.lvt[Lvt::Lint0 as usize] & (spec::LVT_MASKED | spec::LVT_MODE) == EXTINT
    }

    /// The highest requested vector that the processor priority lets through, after taking in what was posted.
    #[inline]
    pub fn pending_interrupt(&mut self) -> Option<u8> {
        self.sync();
        let vector = self.irr.highest()?;
        (u32::from(vector) >> 4 > self.ppr() >> 4).then_some(vector)
    }

    /// The highest requested vector that would get through were TPR 0: what an interrupt window is opened for, as
    /// the guest may lower CR8 without an exit. Call after [`Self::pending_interrupt`].
    #[inline]
    pub fn interrupt_above_service(&self) -> Option<u8> {
        let vector = self.irr.highest()?;
        (vector >> 4 > self.isr.highest().unwrap_or(0) >> 4).then_some(vector)
    }

    /// The processor takes `vector`: it goes from requested to in service.
    #[inline]
    pub fn acknowledge(&mut self, vector: u8) {
        self.irr.remove(vector);
        self.isr.insert(vector);
    }

    /// Requests an edge-triggered vector of this APIC's own.
    #[inline]
    pub(super) fn request(&mut self, vector: u8) {
        if vector < spec::FIRST_VECTOR {
            self.error(spec::ESR_RECEIVE_ILLEGAL);
            return;
        }
        self.tmr.remove(vector);
        self.irr.insert(vector);
    }

    /// A local interrupt source fires.
    pub(super) fn raise_lvt(&mut self, entry: Lvt) {
        let lvt = self.lvt[entry as usize];
        if lvt & spec::LVT_MASKED != 0 || !self.is_globally_enabled() {
            return;
        }
        match DeliveryMode::from_bits(lvt >> 8) {
            Some(DeliveryMode::Fixed) => self.request(lvt as u8),
            Some(DeliveryMode::Nmi) => self.nmi = true,
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

    /// The EOI register was written: the highest vector in service is done.
    #[inline]
    pub(super) fn end_of_interrupt(&mut self, bus: &mut dyn ApicBus) {
        let Some(vector) = self.isr.highest() else { return };
        self.isr.remove(vector);
        if self.tmr.contains(vector) && self.svr & spec::SVR_SUPPRESS_EOI == 0 {
            bus.end_of_interrupt(vector);
        }
    }

    /// When [`Self::expire`] wants to be called next, in guest nanoseconds.
    #[inline]
    pub fn deadline_ns(&self) -> Option<u64> {
        if self.lvt[Lvt::Timer as usize] & spec::LVT_MASKED != 0 { None } else { self.timer.deadline_ns() }
    }

    /// Lets the timer catch up with the time; at the deadline, or before or after it.
    pub fn expire(&mut self, bus: &dyn ApicBus) {
        let now_ns = bus.now_ns();
        if self.timer.mode == Mode::TscDeadline
            && let Some(hz) = self.config.tsc_deadline_hz
            && self.timer.tsc_deadline > bus.guest_tsc()
        {
            // The guest set its TSC back since, or rounding brought us here early.
            self.timer.arm_tsc(self.timer.tsc_deadline, bus.guest_tsc(), hz, now_ns);
            return;
        }
        self.advance_timer(now_ns);
    }

    pub(super) fn advance_timer(&mut self, now_ns: u64) {
        if self.timer.advance(now_ns) {
            self.raise_lvt(Lvt::Timer);
        }
    }
}
