//! The local APIC as a guest and as other vCPUs see it.

mod base;
mod ipi;
mod posted;
mod priority;
mod registers;
mod sets;
mod threads;
mod timer;

use super::{ApicBus, Apics, GeneralProtection, Kick, LocalApic, LocalApicConfig, VcpuSet, spec};
use crate::capability::Width;
use alloc::sync::Arc;
use alloc::vec::Vec;

const CONFIG: LocalApicConfig = LocalApicConfig { physical_address_bits: 40, tsc_deadline_hz: None };

/// Surroundings that remember.
#[derive(Default)]
struct Bus {
    now_ns: u64,
    tsc: u64,
    kicks: VcpuSet,
    ended: Vec<u8>,
}

impl Kick for Bus {
    fn kick(&mut self, vcpu: usize) {
        self.kicks.kick(vcpu);
    }
}

impl ApicBus for Bus {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn host_tsc(&self) -> u64 {
        self.tsc
    }

    fn end_of_interrupt(&mut self, vector: u8) {
        self.ended.push(vector);
    }
}

/// A VM's local APICs, all driven by one thread.
struct Machine {
    bus: Bus,
    apics: Arc<Apics>,
    local: Vec<LocalApic>,
}

impl Machine {
    /// `count` vCPUs with the IDs 0, 1, ..., in xAPIC mode and enabled by software.
    fn xapic(count: u32) -> Self {
        let mut machine = Self::reset(count, CONFIG);
        for vcpu in 0..machine.local.len() {
            machine.store(vcpu, spec::SVR, 0x1ff);
        }
        machine
    }

    /// The same in x2APIC mode.
    fn x2apic(count: u32) -> Self {
        let mut machine = Self::xapic(count);
        for local in &mut machine.local {
            local.set_base(local.base() | spec::BASE_EXTD).unwrap();
        }
        machine
    }

    /// As after power-on.
    fn reset(count: u32, config: LocalApicConfig) -> Self {
        let ids: Vec<u32> = (0..count).collect();
        let apics = Arc::new(Apics::new(&ids).unwrap());
        let local = (0..ids.len()).map(|vcpu| LocalApic::new(apics.clone(), vcpu, config).unwrap()).collect();
        Self { bus: Bus::default(), apics, local }
    }

    fn store(&mut self, vcpu: usize, register: u32, value: u32) {
        let offset = u64::from(register) * 16;
        self.local[vcpu].mmio_write(offset, Width::Dword, value.into(), &mut self.bus);
    }

    fn load(&mut self, vcpu: usize, register: u32) -> u32 {
        self.local[vcpu].mmio_read(u64::from(register) * 16, Width::Dword, &self.bus) as u32
    }

    fn wrmsr(&mut self, vcpu: usize, register: u32, value: u64) -> Result<(), GeneralProtection> {
        self.local[vcpu].write_msr(0x800 + register, value, &mut self.bus)
    }

    fn rdmsr(&mut self, vcpu: usize, register: u32) -> Result<u64, GeneralProtection> {
        self.local[vcpu].read_msr(0x800 + register, &self.bus)
    }

    /// Sends an IPI in xAPIC mode.
    fn xapic_ipi(&mut self, vcpu: usize, destination: u8, low: u32) {
        self.store(vcpu, spec::ICR_HIGH, u32::from(destination) << 24);
        self.store(vcpu, spec::ICR, low);
    }

    /// The vCPUs kicked since the last call.
    fn kicked(&mut self) -> Vec<usize> {
        core::mem::take(&mut self.bus.kicks).iter().collect()
    }

    /// What each vCPU would take next.
    fn pending(&mut self) -> Vec<Option<u8>> {
        self.local.iter_mut().map(LocalApic::pending_interrupt).collect()
    }
}
