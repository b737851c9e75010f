//! What an emulated instruction reaches: the vCPU's own parts, the guest's memory, and the devices.

use decoder::PortRequest;
use devices::capability::Width;

use super::emulator::{Emulator, Surroundings};
use super::registers::{Registers, SystemCalls};
use super::{Bus, Vcpu};
use crate::guest_memory::GuestRam;

impl Surroundings for Vcpu {
    type Kernel = SystemCalls;

    #[inline(always)]
    fn parts(&self) -> (&Registers, &Emulator) {
        (&self.registers, &self.emulator)
    }

    #[inline(always)]
    fn registers(&mut self) -> &mut Registers {
        &mut self.registers
    }

    #[inline(always)]
    fn emulator(&mut self) -> &mut Emulator {
        &mut self.emulator
    }

    #[inline(always)]
    fn ram(&self) -> &GuestRam {
        &self.shared.ram
    }

    #[inline]
    fn device_read(&mut self, gpa: u64, width: Width) -> u64 {
        let board = &self.shared.board;
        let mut access = board.access();
        if let Some(offset) = self.events.lapic_offset(gpa) {
            // Reading kicks nobody.
            return self.events.lapic.mmio_read(offset, width, &Bus { board, access: &mut access });
        }
        let value = board.mmio_read(gpa, width, &mut access);
        self.finish(&access);
        value
    }

    #[inline]
    fn device_write(&mut self, gpa: u64, width: Width, value: u64) {
        let board = &self.shared.board;
        let mut access = board.access();
        // Before the board: the page may lie over a device's, and belongs to this vCPU alone.
        match self.events.lapic_offset(gpa) {
            Some(offset) => {
                self.events.lapic.mmio_write(offset, width, value, &mut Bus { board, access: &mut access });
                self.events.lapic_written(&mut self.registers);
            }
            None => board.mmio_write(gpa, width, value, &mut access),
        }
        self.finish(&access);
    }

    fn checked_port(&self) -> Option<PortRequest> {
        self.checked_port()
    }

    fn port_in(&mut self, port: u16, width: Width) -> u32 {
        self.port_in(port, width)
    }

    fn port_out(&mut self, port: u16, width: Width, value: u32) {
        self.port_out(port, width, value);
    }
}
