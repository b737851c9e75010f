//! The controller behind its registers.

use devices::guest_memory::GuestMemory;
use devices::network::Link;

use crate::interrupts;
use crate::phy;
use crate::receive;
use crate::registers::Registers;
use crate::spec::{CTRL_LINK_UP, CTRL_PHY_RESET, CTRL_RESET, EECD_FIXED, cause, register};
use crate::spec::{STATUS_FIXED, STATUS_LINK_UP};
use crate::transmit::Transmit;

/// Registers that can't be written, by offset.
const READ_ONLY: [u64; 4] = [register::STATUS, register::FWSM, register::EERD, register::MDIC];

/// A controller at the end of a link.
pub struct Nic<L, M> {
    // Configuration.
    link: L,
    memory: M,
    address: [u8; 6],
    // Volatile state.
    pub(crate) registers: Registers,
    transmit: Transmit,
}

impl<L: Link, M: GuestMemory> Nic<L, M> {
    /// A controller with this MAC address.
    pub fn new(link: L, memory: M, address: [u8; 6]) -> Self {
        let mut nic =
            Self { link, memory, address, registers: Registers::default(), transmit: Transmit::default() };
        nic.reset();
        nic
    }

    /// The other end.
    pub fn link(&self) -> &L {
        &self.link
    }

    /// All is as after power-on; the address is read from the NVM.
    pub fn reset(&mut self) {
        self.registers = Registers::default();
        self.transmit.reset();
        let [a, b, c, d, e, f] = self.address;
        self.registers.set(register::RAL, u32::from_le_bytes([a, b, c, d]));
        self.registers.set(register::RAL + 4, u32::from_le_bytes([e, f, 0, 0x80]));
        self.registers.set(register::CTRL, CTRL_LINK_UP | 1 | 1 << 3);
    }

    /// A load of an aligned dword.
    pub fn read(&mut self, offset: u64, has_messages: bool) -> u32 {
        match offset {
            register::STATUS => STATUS_FIXED | if self.link.is_up() { STATUS_LINK_UP } else { 0 },
            register::EECD => EECD_FIXED | self.registers.get(offset) & 0x40,
            register::ICR => interrupts::read_causes(&mut self.registers, has_messages),
            // Write-only.
            register::ICS | register::IMC => 0,
            offset if register::STATISTICS.contains(&offset) => {
                let value = self.registers.get(offset);
                self.registers.set(offset, 0);
                value
            }
            _ => self.registers.get(offset),
        }
    }

    /// A store of an aligned dword.
    pub fn write(&mut self, offset: u64, value: u32) {
        match offset {
            register::CTRL if value & CTRL_RESET != 0 => self.reset(),
            register::CTRL => self.registers.set(offset, value & !(CTRL_RESET | CTRL_PHY_RESET)),
            register::EERD => self.registers.set(offset, phy::read_nvm(self.address, value)),
            register::MDIC => {
                let result = phy::access(value, self.link.is_up());
                self.registers.set(offset, result);
                // Interrupt when done, if it is asked for.
                if value >> 29 & 1 != 0 {
                    interrupts::raise(&mut self.registers, 1 << 9);
                }
            }
            register::ICR => {
                self.registers.set(offset, self.registers.get(offset) & !value);
            }
            register::ICS => interrupts::raise(&mut self.registers, value),
            register::IMS => self.registers.set(offset, self.registers.get(offset) | value),
            register::IMC => {
                self.registers.set(register::IMS, self.registers.get(register::IMS) & !value);
            }
            offset if READ_ONLY.contains(&offset) => {}
            _ => self.registers.set(offset, value),
        }
    }

    /// The other end has signalled.
    pub fn attend(&mut self) {
        if self.link.attend() {
            interrupts::raise(&mut self.registers, cause::LSC | cause::OTHER);
        }
    }

    /// Sends and receives what there is.
    pub fn run(&mut self) {
        let sent = self.transmit.run(&mut self.registers, &self.memory, &mut self.link);
        let received = receive::run(&mut self.registers, &self.memory, &mut self.link);
        if let Ok((true, _)) = sent {
            interrupts::raise(&mut self.registers, cause::TXDW | cause::TXQE | cause::TXQ0);
        }
        if let Ok((true, _)) = received {
            interrupts::raise(&mut self.registers, cause::RXT0 | cause::RXQ0);
        }
        let is_all = [sent, received].iter().all(|result| result.map_or(true, |(_, is_all)| is_all));
        self.link.finish(is_all);
    }
}
