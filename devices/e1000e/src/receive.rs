//! Receive descriptors, legacy and extended, and which frames are for the guest.

use devices::guest_memory::{GuestMemory, NotMemory};
use devices::network::{FRAME_MAX, Link};

use crate::registers::Registers;
use crate::ring::{AT_ONCE, Ring};
use crate::spec::register;

/// RCTL: enabled; all unicast, all multicast, broadcast accepted; buffer sizes; the CRC is stripped.
mod control {
    pub const ENABLED: u32 = 1 << 1;
    pub const UNICAST: u32 = 1 << 3;
    pub const MULTICAST: u32 = 1 << 4;
    pub const BROADCAST: u32 = 1 << 15;
    pub const EXTENDED_SIZE: u32 = 1 << 25;
    pub const STRIP: u32 = 1 << 26;
}
/// RFCTL: descriptors are extended ones.
const EXTENDED: u32 = 1 << 15;
/// Status: done, end of packet.
const DONE: u32 = 3;
/// The shortest frame, without its CRC.
const FRAME_MIN: usize = 60;

/// Whether a frame is for the guest (datasheet, receive packet filtering).
pub fn is_wanted(registers: &Registers, frame: &[u8]) -> bool {
    let Some(address) = frame.first_chunk::<6>() else { return false };
    let control = registers.get(register::RCTL);
    let has = |bit: u32| control & bit != 0;
    if *address == [0xff; 6] {
        return has(control::BROADCAST) || has(control::MULTICAST);
    }
    let [a, b, c, d, e, f] = *address;
    if has(if a & 1 != 0 { control::MULTICAST } else { control::UNICAST }) {
        return true;
    }
    let (low, high) = (u32::from_le_bytes([a, b, c, d]), u32::from(e) | u32::from(f) << 8 | 1 << 31);
    let is_own = (0..16).any(|index| {
        let at = register::RAL + 8 * index;
        registers.get(at) == low && registers.get(at + 4) & 0x8000_ffff == high
    });
    // Twelve bits of a multicast address, at a place that RCTL chooses, name a bit of the table.
    let shift = [4, 3, 2, 0].get((control >> 12 & 3) as usize).copied().unwrap_or(4);
    let bit = (u32::from(e) | u32::from(f) << 8) >> shift & 0xfff;
    let in_table = registers.get(register::MTA + 4 * u64::from(bit >> 5)) >> (bit & 31) & 1 != 0;
    is_own || a & 1 != 0 && in_table
}

/// Bytes of a buffer.
fn buffer_bytes(control: u32) -> usize {
    let size = control >> 16 & 3;
    match control & control::EXTENDED_SIZE {
        0 => 2048 >> size,
        // 0 is reserved there.
        _ => 32768 >> size.max(1),
    }
}

/// Gives the guest what the link has, while there are descriptors. Returns whether any was given, and whether
/// that was all.
///
/// # Errors
/// When ring or buffers are not memory.
pub fn run(
    registers: &mut Registers,
    memory: &impl GuestMemory,
    link: &mut impl Link,
) -> Result<(bool, bool), NotMemory> {
    let ring = Ring(register::RECEIVE);
    let control = registers.get(register::RCTL);
    let mut is_any = false;
    if control & control::ENABLED == 0 {
        return Ok((false, true));
    }
    let mut frame = [0; FRAME_MAX + 4];
    for _ in 0..AT_ONCE {
        let Some(at) = ring.next(registers).filter(|_| link.has_frame()) else { return Ok((is_any, true)) };
        let room = frame.first_chunk_mut::<FRAME_MAX>();
        let bytes = room.map_or(0, |room| link.receive(room)).min(FRAME_MAX);
        if !is_wanted(registers, frame.get(..bytes).unwrap_or_default()) {
            continue;
        }
        // Short frames are filled up; a CRC that is not stripped is not looked at by anybody.
        frame.get_mut(bytes..).unwrap_or_default().fill(0);
        let crc = if control & control::STRIP == 0 { 4 } else { 0 };
        let whole = frame.get(..bytes.max(FRAME_MIN) + crc).unwrap_or_default();
        // A frame that is longer than a buffer is lost: drivers of such frames make them large enough.
        if whole.len() <= buffer_bytes(control) {
            let is_extended = registers.get(register::RFCTL) & EXTENDED != 0;
            deliver(memory, at, whole, is_extended)?;
            ring.advance(registers);
            registers.count(register::GPRC, 1);
            is_any = true;
        }
    }
    Ok((is_any, false))
}

/// Writes a frame to its buffer, and then the descriptor back.
fn deliver(memory: &impl GuestMemory, at: u64, frame: &[u8], is_extended: bool) -> Result<(), NotMemory> {
    let mut buffer = [0; 8];
    memory.read(at, &mut buffer)?;
    memory.write(u64::from_le_bytes(buffer), frame)?;
    let bytes = frame.len() as u64;
    if is_extended {
        // RSS type and hash; then status and error, with the length behind; the status last.
        memory.write(at, &[0; 8])?;
        memory.write(at.wrapping_add(12), &(bytes as u32).to_le_bytes())?;
        return memory.write(at.wrapping_add(8), &DONE.to_le_bytes());
    }
    memory.write(at.wrapping_add(8), &(bytes as u32).to_le_bytes())?;
    memory.write(at.wrapping_add(12), &DONE.to_le_bytes())
}
