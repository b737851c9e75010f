//! What a caller of a TPM computes itself (part 1, 11.4 and 19.6): HMACs, session keys, encrypted parameters.

use tpm2_engine::crypto::Hash;
use tpm2_engine::crypto::{Curve, Point};
use tpm2_engine::{Crypto, RustCrypto};

use crate::wire::sized;

/// How a session encrypts parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// It does not.
    None,
    /// AES-128-CFB.
    Aes128,
    /// XOR obfuscation.
    Xor,
}

impl Cipher {
    /// TPMT_SYM_DEF.
    pub const fn definition(self) -> &'static [u8] {
        match self {
            Cipher::None => &[0, 0x10],
            Cipher::Aes128 => &[0, 6, 0, 0x80, 0, 0x43],
            Cipher::Xor => &[0, 0x0a, 0, 0x0b],
        }
    }
}

/// A digest.
pub fn digest(hash: Hash, parts: &[&[u8]]) -> Vec<u8> {
    RustCrypto.digest(hash, parts)
}

/// A HMAC.
pub fn hmac(hash: Hash, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    RustCrypto.hmac(hash, key, parts)
}

/// KDFa (part 1, 11.4.9.2), whole bytes of it.
pub fn kdfa(hash: Hash, key: &[u8], label: &str, contexts: [&[u8]; 2], bytes: usize) -> Vec<u8> {
    let bits = (bytes as u32 * 8).to_be_bytes();
    let blocks = (1u32..).flat_map(|counter| {
        let parts: [&[u8]; 6] =
            [&counter.to_be_bytes(), label.as_bytes(), &[0], contexts[0], contexts[1], &bits];
        hmac(hash, key, &parts)
    });
    blocks.take(bytes).collect()
}

/// En- or decrypts a parameter. The nonces are the newer and the older one.
pub fn crypt(
    cipher: Cipher,
    hash: Hash,
    key: &[u8],
    nonces: [&[u8]; 2],
    data: &mut [u8],
    is_decryption: bool,
) {
    match cipher {
        Cipher::None => {}
        Cipher::Xor => {
            let mask = kdfa(hash, key, "XOR", nonces, data.len());
            data.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        }
        Cipher::Aes128 => {
            let both = kdfa(hash, key, "CFB", nonces, 32);
            let (key, iv) = both.split_at(16);
            let Some(aes) = RustCrypto.aes(key) else { return };
            let mut register = [0; 16];
            register.copy_from_slice(iv);
            for chunk in data.chunks_mut(16) {
                aes.encrypt(&mut register);
                for (byte, key) in chunk.iter_mut().zip(&mut register) {
                    let before = *byte;
                    *byte ^= *key;
                    *key = if is_decryption { before } else { *byte };
                }
            }
        }
    }
}

/// A salt for a P-256 key (part 1, C.6.1): what is sent, and the salt. None if the point is no key's.
pub fn salt(point: &Point, hash: Hash, private: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let ephemeral = RustCrypto.ecc_multiply(Curve::P256, None, private)?;
    let shared = RustCrypto.ecc_multiply(Curve::P256, Some(point), private)?;
    let sent = [sized(&ephemeral.x), sized(&ephemeral.y)].concat();
    // KDFe with one block, as a digest is as long as a salt.
    let parts: [&[u8]; 5] = [&[0, 0, 0, 1], &shared.x, b"SECRET\0", &ephemeral.x, &point.x];
    Some((sent, digest(hash, &parts)))
}
