//! vCPUs at VMPL0, of which one runs at a time: this process has one thread, which a vCPU has until it waits,
//! or for a slice of time while others could run.
//!
//! The first starts with the launch. The others do when the guest asks for it (GHCB, 4.1.9), with a VMSA that
//! it has made, which is a page of its memory and in use until the guest takes it back.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;

use plinth_snp_abi::ghcb::event::{ApCreation, ApOperation};
use plinth_snp_abi::vmsa::SevFeatures;
use plinth_snp_model::ghcb::Vmgexit;
use runtime::syscall;

use crate::exits::Simulator;
use crate::host::CONFIGURATION;
use crate::local::Local;
use crate::vcpu::Vcpu;

/// After so many ticks of the TSC it is another vCPU's turn.
const SLICE_TICKS: u64 = 4_000_000;

/// A vCPU that does not run now.
struct Other {
    vcpu: Vcpu,
    local: Local,
    vmgexit: Vmgexit,
    features: SevFeatures,
    state: State,
}

/// What is known of a vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// It has been started, and not been stopped.
    is_started: bool,
    /// The VMSA that it was started with, if that is a page of the guest's.
    vmsa: Option<u64>,
}

/// All vCPUs but what the simulator has of the one that runs.
pub struct Processors {
    current: State,
    others: VecDeque<Other>,
    slice_tsc: u64,
}

impl Processors {
    /// The first vCPU alone, which is started.
    pub fn one() -> Self {
        let current = State { is_started: true, vmsa: None };
        Self { current, others: VecDeque::new(), slice_tsc: u64::MAX }
    }

    /// Until when the one that runs may go on.
    pub fn slice_tsc(&self) -> u64 {
        self.slice_tsc
    }

    /// Whether another one runs, or waits for an interrupt.
    pub fn others_live(&self) -> bool {
        self.others.iter().any(|other| other.state.is_started)
    }
}

impl Simulator {
    /// A machine with more vCPUs, which wait to be started.
    #[must_use]
    pub fn with_processors(mut self, others: Vec<(Vcpu, Local)>) -> Self {
        let other = |(vcpu, local)| Other {
            vcpu,
            local,
            vmgexit: Vmgexit::new(CONFIGURATION),
            features: SevFeatures::empty(),
            state: State::default(),
        };
        self.processors.others = others.into_iter().map(other).collect();
        // From the start on there are turns, if there is anybody to take them.
        if !self.processors.others.is_empty() {
            self.processors.slice_tsc = 0;
        }
        self
    }

    /// Has the vCPU run whose turn it is. While a VMPL below VMPL0 runs it is nobody else's.
    pub(crate) fn take_turns(&mut self) {
        if self.processors.others.is_empty() || self.machine.levels().vmpl() > 0 {
            return;
        }
        let now = syscall::tsc();
        if now < self.processors.slice_tsc && self.can_run(now) {
            return;
        }
        for _ in 0..=self.processors.others.len() {
            self.rotate();
            if self.can_run(now) {
                self.processors.slice_tsc = now.saturating_add(SLICE_TICKS);
                return;
            }
        }
        // All wait. The first one does so for all, as devices' signals are its work; it looks at the others'
        // timers again and again.
        while self.local.index() != 0 {
            self.rotate();
        }
        self.processors.slice_tsc = now.saturating_add(SLICE_TICKS);
    }

    fn can_run(&mut self, now: u64) -> bool {
        self.processors.current.is_started && self.local.can_run(&self.services.pc.board, now)
    }

    /// The next one takes the place of the one that runs.
    fn rotate(&mut self) {
        let Some(next) = self.processors.others.pop_front() else { return };
        let other = Other {
            vcpu: mem::replace(&mut self.vcpu, next.vcpu),
            local: mem::replace(&mut self.local, next.local),
            vmgexit: mem::replace(&mut self.vmgexit, next.vmgexit),
            features: mem::replace(&mut self.features, next.features),
            state: mem::replace(&mut self.processors.current, next.state),
        };
        self.processors.others.push_back(other);
    }

    /// Carries out what a guest has asked for of its other vCPUs.
    pub(crate) fn create_processors(&mut self) {
        for (creation, gpa) in mem::take(&mut self.services.creations) {
            self.create_processor(creation, gpa);
        }
    }

    fn create_processor(&mut self, ApCreation { operation, apic_id, .. }: ApCreation, gpa: u64) {
        let is_it = |other: &&mut Other| other.local.index() == apic_id as usize;
        let Some(other) = self.processors.others.iter_mut().find(is_it) else { return };
        if let Some(before) = mem::take(&mut other.state).vmsa {
            self.machine.leave_first(before);
        }
        log::debug!("vCPU {apic_id}: {operation:?}, {gpa:#x}");
        if operation != ApOperation::Create {
            return;
        }
        match self.machine.enter_first(gpa) {
            Ok(vmsa) => {
                other.features = vmsa.features();
                other.local.start(&mut other.vcpu);
                other.vcpu.load(&vmsa);
                other.state = State { is_started: true, vmsa: Some(gpa) };
            }
            // VMRUN refuses it: the host leaves the vCPU as it is.
            Err(refused) => log::warn!("the VMSA of vCPU {apic_id} at {gpa:#x} is refused: {refused:?}"),
        }
    }
}
