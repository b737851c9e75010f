//! Modes of AES (part 1, 11.4.5; ISO/IEC 10116). Each leaves the chaining value for a next call in `iv`.

use super::BlockCipher;
use crate::constants::alg;
use crate::rc::{Rc, Result};

const BLOCK: usize = 16;

fn xor(target: &mut [u8], mask: &[u8]) {
    target.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}

/// Cipher feedback with full blocks: the mode in which everything of the TPM's own is encrypted.
pub(crate) fn cfb(cipher: &dyn BlockCipher, iv: &mut [u8; BLOCK], data: &mut [u8], is_decryption: bool) {
    for chunk in data.chunks_mut(BLOCK) {
        // The chaining value is ciphertext, which is what comes in or what goes out; zeros fill the last,
        // short block.
        let mut next = [0; BLOCK];
        cipher.encrypt(iv);
        if is_decryption {
            next.iter_mut().zip(chunk.iter()).for_each(|(next, byte)| *next = *byte);
        }
        xor(chunk, iv);
        if !is_decryption {
            next.iter_mut().zip(chunk.iter()).for_each(|(next, byte)| *next = *byte);
        }
        *iv = next;
    }
}

fn counter(cipher: &dyn BlockCipher, iv: &mut [u8; BLOCK], data: &mut [u8]) {
    for chunk in data.chunks_mut(BLOCK) {
        let mut mask = *iv;
        cipher.encrypt(&mut mask);
        xor(chunk, &mask);
        // All of the block is the counter.
        *iv = u128::from_be_bytes(*iv).wrapping_add(1).to_be_bytes();
    }
}

fn output_feedback(cipher: &dyn BlockCipher, iv: &mut [u8; BLOCK], data: &mut [u8]) {
    for chunk in data.chunks_mut(BLOCK) {
        cipher.encrypt(iv);
        // The stream does not depend on the data, so both directions are the same.
        xor(chunk, iv);
    }
}

fn chaining(cipher: &dyn BlockCipher, iv: &mut [u8; BLOCK], data: &mut [u8], is_decryption: bool) {
    for block in data.as_chunks_mut::<BLOCK>().0 {
        if is_decryption {
            // Kept, as the block is decrypted in its place.
            let next = *block;
            cipher.decrypt(block);
            xor(block, iv);
            *iv = next;
        } else {
            xor(block, iv);
            cipher.encrypt(block);
            *iv = *block;
        }
    }
}

fn code_book(cipher: &dyn BlockCipher, data: &mut [u8], is_decryption: bool) {
    for block in data.as_chunks_mut::<BLOCK>().0 {
        if is_decryption { cipher.decrypt(block) } else { cipher.encrypt(block) }
    }
}

/// En- or decrypts in a mode by its TPM_ALG_ID.
pub(crate) fn cipher_mode(
    cipher: &dyn BlockCipher,
    mode: u16,
    iv: &mut [u8; BLOCK],
    data: &mut [u8],
    is_decryption: bool,
) -> Result<()> {
    // CBC and ECB can't end within a block, and the TPM adds no padding.
    let is_whole = data.len().is_multiple_of(BLOCK);
    match mode {
        alg::CFB => cfb(cipher, iv, data, is_decryption),
        alg::CTR => counter(cipher, iv, data),
        alg::OFB => output_feedback(cipher, iv, data),
        alg::CBC if is_whole => chaining(cipher, iv, data, is_decryption),
        alg::ECB if is_whole => code_book(cipher, data, is_decryption),
        alg::CBC | alg::ECB => return Err(Rc::SIZE),
        _ => return Err(Rc::MODE),
    }
    Ok(())
}
