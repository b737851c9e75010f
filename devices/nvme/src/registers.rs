//! The registers (NVM Express 1.4, 3.1).

use crate::spec::{CAPABILITIES, ENTRIES_MAX, PAGE_BYTES, VERSION, cc, csts, register};

/// What the driver has asked for with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing that goes beyond the register.
    Nothing,
    /// The controller is to begin.
    Enable,
    /// It is to be reset.
    Reset,
    /// It is to be shut down.
    Shutdown,
}

/// The registers that keep something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Registers {
    /// Interrupts by the pin that are masked.
    pub mask: u32,
    configuration: u32,
    /// CSTS.
    pub status: u32,
    admin_sizes: u32,
    admin_submission: u64,
    admin_completion: u64,
}

/// Where both admin queues are, and how many entries each has: submission, completion.
pub type AdminQueues = [(u64, u16); 2];

/// Puts a dword into one half of a register of eight bytes. Such a register is a page's address.
fn put_half(register: &mut u64, is_high: bool, value: u32) {
    let (keep, shift) = if is_high { (0xffff_ffff, 32) } else { (!0xffff_ffff, 0) };
    *register = (*register & keep | u64::from(value) << shift) & !(PAGE_BYTES - 1);
}

impl Registers {
    /// Whether the controller is enabled.
    pub fn is_enabled(&self) -> bool {
        self.configuration & cc::ENABLE != 0
    }

    /// Whether it carries out commands.
    pub fn is_ready(&self) -> bool {
        self.status & (csts::READY | csts::FATAL) == csts::READY
    }

    /// Whether I/O queues have entries of the sizes that there are.
    pub fn has_entry_sizes(&self) -> bool {
        self.configuration & cc::ENTRY_SIZES == cc::ENTRY_SIZES_VALID
    }

    /// The admin queues; `None` if the driver has chosen what is not offered.
    pub fn admin_queues(&self) -> Option<AdminQueues> {
        let (submission, completion) = (self.admin_sizes & 0xfff, self.admin_sizes >> 16 & 0xfff);
        let is_size = |size: u32| (1..u32::from(ENTRIES_MAX)).contains(&size);
        let is_valid = self.configuration & cc::CHOICES == 0 && is_size(submission) && is_size(completion);
        is_valid.then_some([
            (self.admin_submission, submission as u16 + 1),
            (self.admin_completion, completion as u16 + 1),
        ])
    }

    /// What a reset of the controller leaves: the admin queues' registers (7.3.2).
    pub fn reset(&mut self) {
        *self = Self { configuration: self.configuration, mask: 0, status: 0, ..*self };
    }

    /// A load of an aligned dword.
    pub fn read(&self, offset: u64) -> u32 {
        let half = |value: u64, from: u64| (value >> (8 * (offset - from))) as u32;
        match offset {
            0..8 => half(CAPABILITIES, register::CAP),
            register::VS => VERSION,
            register::INTMS | register::INTMC => self.mask,
            register::CC => self.configuration,
            register::CSTS => self.status,
            register::AQA => self.admin_sizes,
            0x28..0x30 => half(self.admin_submission, register::ASQ),
            0x30..0x38 => half(self.admin_completion, register::ACQ),
            _ => 0,
        }
    }

    /// A store of an aligned dword.
    pub fn write(&mut self, offset: u64, value: u32) -> Wish {
        // While the controller is enabled, the admin queues stay where they are (3.1.8 to 3.1.10).
        let is_free = !self.is_enabled();
        match offset {
            register::INTMS => self.mask |= value,
            register::INTMC => self.mask &= !value,
            register::CC => return self.configure(value & cc::KEPT),
            register::AQA if is_free => self.admin_sizes = value & 0x0fff_0fff,
            0x28..0x30 if is_free => put_half(&mut self.admin_submission, offset & 4 != 0, value),
            0x30..0x38 if is_free => put_half(&mut self.admin_completion, offset & 4 != 0, value),
            _ => {}
        }
        Wish::Nothing
    }

    fn configure(&mut self, value: u32) -> Wish {
        let before = core::mem::replace(&mut self.configuration, value);
        match (before & cc::ENABLE != 0, value & cc::ENABLE != 0) {
            (false, true) => Wish::Enable,
            (true, false) => Wish::Reset,
            // What was chosen when the controller was enabled holds until it is reset.
            (true, true) => {
                self.configuration = value & !cc::CHOICES | before & cc::CHOICES;
                let is_new = value & cc::SHUTDOWN != 0 && before & cc::SHUTDOWN == 0;
                if is_new { Wish::Shutdown } else { Wish::Nothing }
            }
            (false, false) => Wish::Nothing,
        }
    }
}

#[cfg(test)]
mod tests;
