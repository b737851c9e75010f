//! The local APIC, in xAPIC and in x2APIC mode, and what travels between local APICs.
//!
//! Vocabulary: the *owner* of a [`LocalApic`] is the thread of its vCPU, and nobody else ever touches it, so
//! no register access takes a lock. What others may do to it (post a vector, an NMI, INIT, SIPI; ask where it
//! is to be found) goes through its [`ApicShared`], which holds atomics only. All of a VM's shared parts
//! together are its [`Apics`], in vCPU order. A *kick* makes a vCPU leave its guest or its sleep, and look at
//! what was posted.
//!
//! Invariants: a vector posted is in exactly one of the shared IRR and the private one; a poster is told to
//! kick exactly when the target had nothing posted that it has not yet seen. The owner calls
//! [`LocalApic::pending_interrupt`] or [`LocalApic::sync`] before each entry into the guest, and a kick that
//! arrives after that must make the entry return at once.
//!
//! A vCPU's thread, in each round before it enters the guest:
//! 1. [`LocalApic::set_cr8`] with what the guest left in CR8, and [`LocalApic::expire`] if the deadline is
//!    over;
//! 2. [`LocalApic::pending_interrupt`], which takes in what was posted; then [`LocalApic::take_startup`],
//!    [`LocalApic::take_nmi`] and [`LocalApic::extint_pending`], which look at what was taken in;
//! 3. a vector that the guest can take is injected and [`LocalApic::acknowledge`]d; for one that it cannot, a
//!    window is opened with the priority of [`LocalApic::interrupt_above_service`];
//! 4. the guest's CR8 becomes [`LocalApic::tpr`] / 16, and a timer is set for [`LocalApic::deadline_ns`].
//!
//! Sources: Intel SDM volume 3, chapter "Advanced Programmable Interrupt Controller"; AMD APM volume 2,
//! chapter 16.

mod base;
mod icr;
mod inbox;
mod local;
mod message;
mod priority;
mod registers;
mod routing;
mod shared;
pub mod spec;
mod timer;
mod vcpu_set;
mod vectors;
mod x2apic;
mod xapic;

#[cfg(test)]
mod tests;

pub use inbox::Startup;
pub use local::{LocalApic, LocalApicConfig};
pub use message::{DeliveryMode, InterruptMessage};
pub use shared::{ApicShared, Apics, MAX_VCPUS, TooManyVcpus};
pub use timer::{APIC_TIMER_HZ, APIC_TIMER_TICK_NS};
pub use vcpu_set::VcpuSet;

/// The access raises #GP(0) in the guest and has had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneralProtection;

/// Told which vCPUs must look at what was posted to them.
pub trait Kick {
    /// vCPU number `vcpu` (its position in [`Apics`]) has new work and may be in its guest or asleep.
    fn kick(&mut self, vcpu: usize);
}

/// What a local APIC may use of its surroundings during one access.
pub trait ApicBus: Kick {
    /// Guest time in nanoseconds; the same clock as `Platform::now_ns`. Asked for by timer registers only.
    fn now_ns(&self) -> u64;
    /// The time-stamp counter that the guest's is an offset from. Asked for only when TSC-deadline mode is
    /// configured and in use.
    fn host_tsc(&self) -> u64;
    /// The EOI of a level-triggered vector, which the I/O APIC waits for.
    fn end_of_interrupt(&mut self, vector: u8);
}
