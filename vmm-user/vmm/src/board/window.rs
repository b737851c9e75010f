//! What firmware does with PCI functions: gives their BARs addresses, and says where their pins lead.

use devices::capability::Width;
use devices::pci::{Bar, PciFunction, spec};

/// The window for BARs, and how much of it is taken.
pub struct Window {
    next: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { next: spec::WINDOW_GPA.into() }
    }
}

impl Window {
    /// Gives each BAR of a function an address, and has it decoded if all of them have one; the guest may
    /// change that. A function without pin has no line.
    pub fn set_up(&mut self, function: &mut dyn PciFunction, line: u8) {
        let space = function.space_mut();
        let (mut placed, mut bars) = (0, 0);
        let all: [Option<(u8, Bar)>; 6] = {
            let mut each = space.bars();
            core::array::from_fn(|_| each.next())
        };
        for (index, bar) in all.into_iter().flatten() {
            bars += 1;
            if let Some(address) = self.take(bar.bytes) {
                space.place_bar(index, address);
                placed += 1;
            }
        }
        // A BAR without an address would be decoded at 0.
        if bars > 0 && placed == bars {
            let command = space.read(spec::COMMAND, Width::Word) as u16 | spec::COMMAND_MEMORY;
            space.write(spec::COMMAND, Width::Word, command.into());
        }
        // What firmware would write: a guest that does not read the tables' routing finds the line here.
        if space.read(spec::INTERRUPT_PIN, Width::Byte) != 0 {
            space.write(spec::INTERRUPT_LINE, Width::Byte, line.into());
        }
    }

    fn take(&mut self, bytes: u64) -> Option<u64> {
        // A BAR has no address bits below its size (PCI local bus specification 3.0, 6.2.5.1).
        let address = self.next.checked_next_multiple_of(bytes)?;
        let end = address.checked_add(bytes)?;
        (end <= u64::from(spec::WINDOW_LAST_GPA) + 1).then(|| {
            self.next = end;
            address
        })
    }
}
