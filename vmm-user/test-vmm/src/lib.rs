//! Devices for measurements and tests, and two virtual machine monitors that have them, over the same library
//! as the VMM of an ordinary image.
//!
//! `test-vmm` is that VMM and more devices. `step-vmm` can besides switch off what a VMM does to be quick; it
//! is a program of its own since a second loop around the handling of exits would change the code that is
//! measured. What they add is asked for in `init.conf`:
//!
//! | line | what | by |
//! |---|---|---|
//! | `set bench-devices yes` | the exit benchmark's device ([`bench`]) | both |
//! | `device egg-timer inside` | the device of docs/add-a-device.md | both |
//! | `set extra-devices N` | so many more devices, to compare | both |
//! | `set memory-device yes` | a device that behaves like memory ([`memory`]) | both |
//! | `set caches no` | at each exit, forgets what is remembered of the guest's code and pages | `step-vmm` |
//! | `set batches no` | executes operations at once instead of with the next run | `step-vmm` |
#![no_std]

extern crate alloc;

pub mod bench;
pub mod faults;
pub mod killer;
pub mod memory;
pub mod named_memory;

use devices::egg_timer::EggTimer;
use runtime::Start;
use vmm::Builder;
use vmm::board::{Place, place};

/// The interrupt line of the egg timer.
pub const EGG_LINE: u8 = 10;

/// Puts the devices on the board that the configuration asks for.
pub fn add_devices(start: &Start, board: &mut Builder) {
    if place(start, "egg-timer") == Place::Inside {
        board.add(EggTimer::new(EGG_LINE));
    }
    if start.setting("bench-devices") == Some("yes") {
        board.add(bench::BenchDevice);
    }
    if start.setting("memory-device") == Some("yes") {
        board.add(memory::MemoryDevice::default());
    }
    let extra = start.setting("extra-devices").and_then(|number| number.parse().ok()).unwrap_or(0);
    for number in 0..u16::min(extra, bench::EXTRA_MAX) {
        board.add(bench::ExtraDevice::new(number));
    }
}
