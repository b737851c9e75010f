//! Boils an egg with the device of docs/add-a-device.md.
#![forbid(unsafe_code)]

use devices::bus::{ClaimError, DeviceId, PortClaim, PortMap};
use devices::capability::{Platform, PortDevice, PowerEvent, TimedDevice, Width};
use devices::egg_timer::{COUNT, EggTimer, STATUS};

const NS_PER_MS: u64 = 1_000_000;

/// Stands in for the board: a clock to set and one line to look at.
#[derive(Default)]
struct Desk {
    now_ns: u64,
    line: Option<(u8, bool)>,
}

impl Platform for Desk {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn set_line(&mut self, line: u8, level: bool) {
        self.line = Some((line, level));
    }

    fn power(&mut self, _: PowerEvent) {}
}

/// Boils an egg for three minutes, the way a guest would: through the map of ports.
fn main() -> Result<(), ClaimError> {
    let (mut timer, mut desk) = (EggTimer::new(10), Desk::default());
    let claims: Vec<PortClaim> = PortClaim::each(DeviceId(0), timer.ports()).collect();
    let map = PortMap::new(&claims)?;
    map.write(COUNT, Width::Dword, 180_000, |_, p, w, v| timer.port_write(p, w, v, &mut desk));
    desk.now_ns = timer.deadline_ns().unwrap_or(0);
    timer.expire(&mut desk);
    let status = map.read(STATUS, Width::Byte, |_, p, w| timer.port_read(p, w, &mut desk));
    println!("status {status:#x} after {} ms, line {:?}", desk.now_ns / NS_PER_MS, desk.line);
    Ok(())
}
