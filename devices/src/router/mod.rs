//! Interrupt lines to PIC and I/O APIC, and from there to the local APICs.
//!
//! Line n is GSI n. Lines 0 to 15 reach the PIC's input n as well, but for line 0, which is the I/O APIC's
//! pin 2, and line 2, which is no input of the PIC. The PIC's output is LINT0 of vCPU 0 and pin 0 of the I/O
//! APIC.
//!
//! One lock around the router is all the locking there is: no local APIC's access needs it but the EOI of a
//! level-triggered vector. Whoever called it takes the kicks out of it by [`Router::take_kicks`] and does
//! them.

use crate::acpi_entry::{AcpiEntry, Resource};
use crate::apic::{Apics, InterruptMessage, Kick, VcpuSet};
use crate::bus::{read_bytes, write_bytes};
use crate::capability::{
    Device, Missing, MmioDevice, MmioRange, Platform, PortDevice, PortRange, Present, Width,
};
use crate::ioapic::{IOAPIC_BASE, IOAPIC_BYTES, IoApic, MessageSink};
use crate::pci::spec;
use crate::pic::PicPair;
use alloc::sync::Arc;
use alloc::vec::Vec;

#[cfg(test)]
mod tests;

/// The PIC's ports: master, slave, edge/level control.
const PIC_PORTS: [PortRange; 3] = [
    PortRange { first: 0x20, count: 2 },
    PortRange { first: 0xa0, count: 2 },
    PortRange { first: 0x4d0, count: 2 },
];

/// PIC, I/O APIC and the way to the local APICs. The ports are the PIC's, the memory is the I/O APIC's.
#[derive(Debug)]
pub struct Router {
    apics: Arc<Apics>,
    pic: PicPair,
    ioapic: IoApic,
    /// Which PCI functions, by number, hold the line of each pin.
    holders: [u64; spec::INTX_LINES as usize],
    kicks: VcpuSet,
}

struct Sink<'a> {
    apics: &'a Apics,
    kicks: &'a mut VcpuSet,
}

impl MessageSink for Sink<'_> {
    fn deliver(&mut self, message: &InterruptMessage) -> bool {
        self.apics.deliver(message, self.kicks)
    }
}

impl Router {
    /// A router to these local APICs, all lines low, all pins masked.
    pub fn new(apics: Arc<Apics>) -> Self {
        Self {
            apics,
            pic: PicPair::default(),
            ioapic: IoApic::default(),
            holders: Default::default(),
            kicks: VcpuSet::default(),
        }
    }

    /// Sets the I/O APIC's ID (0 to 15), as firmware does, to what the MADT says.
    pub fn set_ioapic_id(&mut self, id: u8) {
        self.ioapic.set_id(id);
    }

    fn with_ioapic<T>(&mut self, call: impl FnOnce(&mut IoApic, &mut Sink<'_>) -> T) -> T {
        let mut sink = Sink { apics: &self.apics, kicks: &mut self.kicks };
        call(&mut self.ioapic, &mut sink)
    }

    /// Drives a line. Lines there are none of are ignored.
    pub fn set_line(&mut self, line: u8, level: bool) {
        // Before the I/O APIC: pin 0 is the PIC's output, and follows from it.
        if line < 16 {
            self.pic.set_irq(line, level);
            self.update_pic_output();
        }
        // The PIT is at input 2, as the MADT says; input 0 is the PIC's output.
        let pin = if line == 0 { 2 } else { line };
        self.with_ioapic(|ioapic, sink| ioapic.set_pin(pin, level, sink));
    }

    /// Drives the interrupt pin of the PCI function that has a number (0 to 63). Pins share lines: one is
    /// high as long as any of them is.
    pub fn set_intx(&mut self, line: u8, function: u8, level: bool) {
        let index = usize::from(line.wrapping_sub(spec::INTX_FIRST_LINE));
        let Some(holders) = self.holders.get_mut(index) else { return };
        // A number beyond 63 holds nothing, and cannot disturb the others.
        let bit = 1u64.checked_shl(function.into()).unwrap_or(0);
        *holders = if level { *holders | bit } else { *holders & !bit };
        let level = *holders != 0;
        self.set_line(line, level);
    }

    fn update_pic_output(&mut self) {
        let output = self.pic.output();
        // The PIC is wired to the bootstrap processor alone.
        if self.apics.get(0).is_some_and(|apic| apic.set_lint0(output)) {
            self.kicks.kick(0);
        }
        self.with_ioapic(|ioapic, sink| ioapic.set_pin(0, output, sink));
    }

    /// A local APIC ended a level-triggered interrupt.
    pub fn end_of_interrupt(&mut self, vector: u8) {
        self.with_ioapic(|ioapic, sink| ioapic.end_of_interrupt(vector, sink));
    }

    /// The processor takes the PIC's interrupt: gives its vector.
    pub fn acknowledge_pic(&mut self) -> u8 {
        let vector = self.pic.acknowledge();
        self.update_pic_output();
        vector
    }

    /// A device's MSI write. Returns whether a local APIC took it. Needs no router where the caller has the
    /// [`Apics`].
    pub fn send_msi(&mut self, address: u64, data: u32) -> bool {
        InterruptMessage::from_msi(address, data)
            .is_some_and(|message| self.apics.deliver(&message, &mut self.kicks))
    }

    /// The vCPUs that must be kicked for what was done since the last call.
    pub fn take_kicks(&mut self) -> VcpuSet {
        core::mem::take(&mut self.kicks)
    }
}

impl Device for Router {
    const NAME: &'static str = "interrupt controllers";
    type Ports = Present;
    type Mmio = Present;
    type Timer = Missing;
    type Lines = Missing;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        AcpiEntry::isa(b"PIC_", b"PNP0000", &PIC_PORTS.map(Resource::Ports))
    }
}

impl PortDevice for Router {
    fn ports(&self) -> &[PortRange] {
        &PIC_PORTS
    }

    fn port_read(&mut self, port: u16, width: Width, _: &mut dyn Platform) -> u32 {
        let value = read_bytes(port, width, |port| self.pic.read(port));
        // A poll acknowledges.
        self.update_pic_output();
        value
    }

    fn port_write(&mut self, port: u16, width: Width, value: u32, _: &mut dyn Platform) {
        write_bytes(port, width, value, |port, byte| self.pic.write(port, byte));
        self.update_pic_output();
    }
}

impl MmioDevice for Router {
    fn ranges(&self) -> &[MmioRange] {
        &[MmioRange { gpa: IOAPIC_BASE, bytes: IOAPIC_BYTES }]
    }

    fn mmio_read(&mut self, offset: u64, _: Width, _: &mut dyn Platform) -> u64 {
        u64::from(self.ioapic.read(offset))
    }

    fn mmio_write(&mut self, offset: u64, _: Width, value: u64, _: &mut dyn Platform) {
        self.with_ioapic(|ioapic, sink| ioapic.write(offset, value as u32, sink));
    }
}
