//! XTS-AES-256 of sectors (IEEE 1619-2018, 5). A sector has whole blocks, so no ciphertext is stolen.
//!
//! The cipher is given all blocks of a sector at once, and the tweaks of four sectors: without instructions
//! for it, it does four blocks in the time of one. That is why this is not the crate `xts-mode`, which the
//! tests compare it with.

use aes::Aes256;
use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit, consts::U16};
use devices::disk::SECTOR_BYTES;

use crate::{KEY_BYTES, KeyError};

/// Sectors whose tweaks are made together.
const TOGETHER: usize = 4;
/// Bytes of a sector.
const SECTOR: usize = SECTOR_BYTES as usize;

type Block = Array<u8, U16>;

/// The cipher with both keys, which are wiped when it is dropped.
pub struct Xts {
    data: Aes256,
    tweak: Aes256,
}

/// Multiplies by x in the field of 2^128 elements (5.2): x^128 is x^7 + x^2 + x + 1.
fn double(tweak: u128) -> u128 {
    // Without a branch, as the tweak is a secret.
    (tweak << 1) ^ ((tweak >> 127) * 0x87)
}

/// Exclusive or, block by block, with the tweaks of the blocks' places.
fn mask(blocks: &mut [Block], mut tweak: u128) {
    for block in blocks {
        *block = Array((u128::from_le_bytes(block.0) ^ tweak).to_le_bytes());
        tweak = double(tweak);
    }
}

impl Xts {
    /// The cipher of a key: the data's, then the tweaks'.
    ///
    /// # Errors
    /// When the bytes are no key.
    pub fn new(key: &[u8]) -> Result<Self, KeyError> {
        let key: &[u8; KEY_BYTES] = key.try_into().map_err(|_| KeyError::Length(key.len()))?;
        let (data, tweak) = key.split_at(KEY_BYTES / 2);
        // Not in constant time: such a key is refused, and of another one this says next to nothing.
        if data == tweak {
            return Err(KeyError::Halves);
        }
        let cipher = |half| Aes256::new_from_slice(half).map_err(|_| KeyError::Length(key.len()));
        Ok(Self { data: cipher(data)?, tweak: cipher(tweak)? })
    }

    /// Encrypts sectors in place, the first of which has that number. Bytes behind the last whole sector stay
    /// as they are.
    pub fn encrypt(&self, first: u64, sectors: &mut [u8]) {
        self.for_each(first, sectors, |data, blocks| data.encrypt_blocks(blocks));
    }

    /// Decrypts them.
    pub fn decrypt(&self, first: u64, sectors: &mut [u8]) {
        self.for_each(first, sectors, |data, blocks| data.decrypt_blocks(blocks));
    }

    fn for_each(&self, first: u64, sectors: &mut [u8], cipher: impl Fn(&Aes256, &mut [Block])) {
        // 128 bits: the numbers of a disk's last sectors are followed by none of 64.
        let mut number = u128::from(first);
        for some in sectors.chunks_mut(TOGETHER * SECTOR) {
            let tweaks = self.tweaks(number);
            number += TOGETHER as u128;
            for (sector, tweak) in some.chunks_exact_mut(SECTOR).zip(tweaks) {
                let (blocks, _) = Block::slice_as_chunks_mut(sector);
                mask(blocks, tweak);
                cipher(&self.data, blocks);
                mask(blocks, tweak);
            }
        }
    }

    /// The tweaks of the first blocks of sectors, from that one on.
    fn tweaks(&self, first: u128) -> [u128; TOGETHER] {
        let mut tweaks: [Block; TOGETHER] =
            core::array::from_fn(|index| Array((first + index as u128).to_le_bytes()));
        self.tweak.encrypt_blocks(&mut tweaks);
        tweaks.map(|tweak| u128::from_le_bytes(tweak.0))
    }
}
