//! The NVM and the PHY, as far as a driver looks at them.

/// Words of the NVM.
const WORDS: u16 = 64;
/// What all of them, the checksum among them, add up to.
const SUM: u16 = 0xbaba;
/// MDIC: a read, a write, ready.
const READ: u32 = 2 << 26;
const READY: u32 = 1 << 28;

/// A word of the NVM: the MAC address, and a checksum.
pub fn nvm_word(address: [u8; 6], index: u16) -> u16 {
    let plain = |index: u16| match index {
        0..3 => {
            let at = 2 * usize::from(index);
            let byte = |at: usize| address.get(at).copied().unwrap_or(0);
            u16::from_le_bytes([byte(at), byte(at + 1)])
        }
        // Initialisation control: valid signature; subsystem, device and vendor.
        0x0a => 0x4000,
        0x0b => 0,
        0x0c => 0x8086,
        0x0d => 0x10d3,
        0x0e => 0x8086,
        // The words of the boot agent's are valid: no compatibility word complains.
        _ => 0,
    };
    match index {
        0..0x3f => plain(index),
        0x3f => SUM.wrapping_sub((0..WORDS - 1).fold(0, |sum: u16, index| sum.wrapping_add(plain(index)))),
        _ => 0,
    }
}

/// What EERD reads as after a read was begun: bits 2 to 15 name the word, bit 1 says that it is done.
pub fn read_nvm(address: [u8; 6], value: u32) -> u32 {
    if value & 1 == 0 {
        return value;
    }
    let index = (value >> 2) as u16 & 0x3fff;
    u32::from(nvm_word(address, index)) << 16 | u32::from(index) << 2 | 2
}

/// What MDIC reads as after an access. Writes are dropped: nothing depends on them.
pub fn access(value: u32, is_up: bool) -> u32 {
    let data = match (value & READ != 0, value >> 16 & 0x1f) {
        (true, 0) => 0x1140,
        // Status: capabilities; autonegotiation complete and link up.
        (true, 1) => 0x7949 | if is_up { 0x24 } else { 0 },
        // The BM PHY of the 82574.
        (true, 2) => 0x0141,
        (true, 3) => 0x0cb1,
        (true, 4) => 0x0de1,
        (true, 5) => 0x45e1,
        (true, 9) => 0x0300,
        (true, 10) => 0x3c00,
        // Specific status: 1000 Mb/s, full duplex, resolved, link up.
        (true, 17) => 0xac08 | if is_up { 0x400 } else { 0 },
        (true, _) => 0,
        (false, _) => value as u16,
    };
    value & 0x0fff_0000 | u32::from(data) | READY
}
