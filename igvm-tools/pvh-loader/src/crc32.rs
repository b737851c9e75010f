//! CRC-32 as IGVM's fixed header uses it: IEEE 802.3, reflected, initial value and final XOR all ones.

const POLYNOMIAL: u32 = 0xedb8_8320;

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 != 0 { (value >> 1) ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

/// The checksum of several pieces, as if they were one.
pub fn checksum(pieces: &[&[u8]]) -> u32 {
    let mut value = !0u32;
    for byte in pieces.iter().copied().flatten() {
        // A byte, so that the index is always in the table.
        let index = (value as u8 ^ byte) as usize;
        value = (value >> 8) ^ TABLE[index];
    }
    !value
}

#[cfg(test)]
mod tests {
    use super::checksum;

    #[test]
    fn known_values() {
        // The check value of the catalogue of CRCs, and the ends.
        let cases: [(&[&[u8]], u32); 4] = [
            (&[b"123456789"], 0xcbf4_3926),
            (&[b"1234", b"", b"56789"], 0xcbf4_3926),
            (&[], 0),
            (&[b"\0"], 0xd202_ef8d),
        ];
        for (pieces, expected) in cases {
            assert_eq!(checksum(pieces), expected);
        }
    }
}
