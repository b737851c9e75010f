//! The two functions every q35 has: the memory controller hub at 00:00.0 and the ICH9 LPC bridge at 00:1f.0.
//!
//! They are there to be found: Linux checks for a host bridge before it trusts configuration mechanism #1,
//! firmware and Windows look for the LPC bridge. Their registers are as firmware would have left them.

use super::{
    PciFunction, PciPlatform,
    config::{ConfigSpace, Identity},
    spec,
};
use crate::{capability::Width, pm};

/// Device and function number of the host bridge.
pub const HOST_BRIDGE_DEVFN: u8 = 0x00;
/// Device and function number of the LPC bridge.
pub const LPC_DEVFN: u8 = 0x1f << 3;

/// A function that is configuration space and nothing else.
#[derive(Clone, Debug)]
pub struct PlainFunction {
    name: &'static str,
    space: ConfigSpace,
}

impl PlainFunction {
    /// A function with this configuration space.
    pub fn new(name: &'static str, space: ConfigSpace) -> Self {
        Self { name, space }
    }
}

impl PciFunction for PlainFunction {
    fn name(&self) -> &'static str {
        self.name
    }

    fn space(&self) -> &ConfigSpace {
        &self.space
    }

    fn space_mut(&mut self) -> &mut ConfigSpace {
        &mut self.space
    }

    fn config_write(&mut self, offset: u16, width: Width, value: u32, _: &mut dyn PciPlatform) {
        self.space.write(offset, width, value);
    }

    /// Reads 0 where a BAR is, and keeps nothing.
    fn bar_read(&mut self, _: u8, _: u64, _: Width, _: &mut dyn PciPlatform) -> u64 {
        0
    }

    fn bar_write(&mut self, _: u8, _: u64, _: Width, _: u64, _: &mut dyn PciPlatform) {}
}

/// Intel 82Q35-like MCH: 8086:29c0. PCIEXBAR (60h) says where ECAM is and cannot be moved.
pub fn host_bridge() -> PlainFunction {
    let mut space = ConfigSpace::new(&identity(0x29c0, 0x06_0000));
    space.set(0x60, &(spec::ECAM_GPA | 1).to_le_bytes());
    // PAM0 to PAM6 and SMRAM: firmware writes them; all of C0000h to FFFFFh is RAM whatever they say.
    space.allow(0x90, &[0x30, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33]);
    space.allow(0x9d, &[0x7f]);
    PlainFunction::new("PCI host bridge", space)
}

/// Intel ICH9 LPC bridge: 8086:2918. PMBASE (40h) and ACPI_CNTL (44h) say where the power management block
/// is.
pub fn lpc_bridge() -> PlainFunction {
    let mut space = ConfigSpace::new(&identity(0x2918, 0x06_0100));
    space.set(0x40, &(u32::from(pm::spec::PM1A_EVENT) | 1).to_le_bytes());
    // ACPI_EN, SCI on IRQ 9.
    space.set(0x44, &[0x80]);
    // PIRQA to PIRQH: not routed to ISA interrupts.
    space.set(0x60, &[0x80; 4]);
    space.set(0x68, &[0x80; 4]);
    space.allow(0x60, &[0x8f; 4]);
    space.allow(0x68, &[0x8f; 4]);
    PlainFunction::new("LPC bridge", space)
}

fn identity(device: u16, class: u32) -> Identity {
    Identity { vendor: 0x8086, device, revision: 2, class, subsystem_vendor: 0, subsystem: 0 }
}
