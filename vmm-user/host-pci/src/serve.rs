//! Gives functions to drivers that ask.

use alloc::vec::Vec;

use runtime::abi::message::Message;
use runtime::abi::operation::{Handle, PciBars, PciClaim, PciRead};
use runtime::abi::status::Status;
use runtime::channel::{Endpoint, Received};
use runtime::{call, process};

use crate::places::{self, WINDOW};
use crate::scan::{self, Bus, Wanted};

/// How far the next attempt is from one whose places were another function's, and how many there are.
const STEP: u32 = 0x10_0000;
const ATTEMPTS: u32 = 64;

/// The bus behind a handle.
pub struct KernelBus(pub Handle);

impl Bus for KernelBus {
    fn read(&self, function: u32, offset: u32) -> u32 {
        let read = PciRead { function, offset, value: 0, reserved: 0 };
        // All ones, as the bus itself gives them where nobody is.
        call(self.0, read).map_or(u32::MAX, |read| read.value)
    }

    fn sizes(&self, function: u32) -> Option<[u32; 6]> {
        let bars = call(self.0, PciBars { function, ..PciBars::default() }).ok()?;
        Some([bars.bytes0, bars.bytes1, bars.bytes2, bars.bytes3, bars.bytes4, bars.bytes5])
    }
}

/// Claims a function, wherever there is room for it.
fn claim(pci: Handle, wanted: Wanted) -> Result<Handle, Status> {
    let bus = KernelBus(pci);
    let function = wanted.find(&bus).ok_or(Status::NotFound)?;
    // The kernel says why not.
    let sizes = call(pci, PciBars { function, ..PciBars::default() })?;
    let sizes = [sizes.bytes0, sizes.bytes1, sizes.bytes2, sizes.bytes3, sizes.bytes4, sizes.bytes5];
    // Nobody but this process sees to it that a BAR does not lie on that of a function which nobody has
    // claimed: the kernel knows the claimed ones alone.
    let taken: Vec<_> = scan::decoded(&bus).collect();
    for attempt in 0..ATTEMPTS {
        let from = WINDOW.start + attempt * STEP;
        let [bar0, bar1, bar2, bar3, bar4, bar5] =
            places::choose(from, sizes, &taken).ok_or(Status::Exhausted)?;
        match call(pci, PciClaim { function, handle: 0, bar0, bar1, bar2, bar3, bar4, bar5 }) {
            // A function that was claimed is there: of its BARs only the kernel knows, so the next place is
            // tried.
            Err(Status::Overlap) => {}
            claimed => return claimed.map(|claimed| claimed.handle),
        }
    }
    Err(Status::Exhausted)
}

/// Serves a channel until that fails.
pub fn serve(pci: Handle, endpoint: Endpoint, wanted: Wanted) {
    let mut message = Message { deadline_tsc: u64::MAX, ..Message::default() };
    let mut received = endpoint.receive(&mut message);
    loop {
        received = match received {
            Ok(Received::Call) => {
                let claimed = claim(pci, wanted);
                message = Message::default();
                match claimed {
                    Ok(function) => message.handles[0] = function,
                    Err(status) => {
                        log::warn!("{wanted:x?} cannot be given: {status}");
                        // Without the sign in the upper half: the driver reads 32 bits.
                        message.words[0] = status as i32 as u32 as u64;
                    }
                }
                // The driver alone is to keep it: so this does not wait before its handle is closed.
                let next = endpoint.reply_and_receive(&mut message);
                if let Ok(function) = claimed
                    && let Err(status) = process::close(function)
                {
                    log::error!("a function that was given away: {status}");
                }
                next
            }
            // A reply goes out without waiting, above: that nothing else came is what most calls end with.
            Ok(Received::Notification) | Err(Status::TimedOut) => {
                message.deadline_tsc = u64::MAX;
                endpoint.receive(&mut message)
            }
            Err(status) => {
                log::error!("a channel cannot be served: {status}");
                return;
            }
        };
    }
}
