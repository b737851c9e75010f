//! Who handles an exit, by name. The names are asked of the devices once: later a device's lock may be held
//! by a thread that waits for the one which asks.

use alloc::vec::Vec;

use runtime::abi::exit::reason;
use vmm::board::Board;

/// The page of the local APIC, at which every vCPU has its own; a guest that moves it is told `vmm`.
const LOCAL_APIC: u64 = 0xfee0_0000;

/// The names of the board's devices.
pub struct Names {
    board: &'static Board,
    devices: Vec<&'static str>,
}

impl Names {
    /// Asks the devices.
    pub fn of(board: &'static Board) -> Self {
        Self { board, devices: board.names() }
    }

    /// Who handles exits for a reason at a place.
    pub fn handler(&self, why: u32, place: Option<u64>) -> &'static str {
        let owner = match (why, place) {
            (reason::PORT, Some(port)) => u16::try_from(port).ok().and_then(|p| self.board.owner_of_port(p)),
            // Not the board's: each vCPU's own is at that page, and no lock is taken for it.
            (reason::MEMORY, Some(LOCAL_APIC)) => return "local APIC",
            (reason::MEMORY, Some(page)) => self.board.owner_of_page(page),
            _ => return "vmm",
        };
        owner.and_then(|device| self.devices.get(device)).copied().unwrap_or("nobody")
    }
}
