//! Paddings of RSA (RFC 8017): PKCS #1 v1.5, PSS and OAEP, for digests that are given.

use alloc::vec;
use alloc::vec::Vec;

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use super::kdf::mgf1;
use super::{Crypto, Hash};
use crate::secret::same;

/// EMSA-PKCS1-v1_5.
pub(crate) fn ssa(hash: Hash, digest: &[u8], size: usize) -> Option<Vec<u8>> {
    let info = hash.digest_info();
    // Eight bytes of filling at least (RFC 8017, 9.2).
    let filling = size.checked_sub(3 + info.len() + digest.len()).filter(|filling| *filling >= 8)?;
    Some([&[0, 1][..], &vec![0xff; filling], &[0], info, digest].concat())
}

/// EMSA-PSS with a salt that is given, for a modulus of `size` bytes whose highest bit is set.
pub(crate) fn pss(
    crypto: &dyn Crypto,
    hash: Hash,
    digest: &[u8],
    salt: &[u8],
    size: usize,
) -> Option<Vec<u8>> {
    let filling = size.checked_sub(hash.size() + salt.len() + 2)?;
    let tag = crypto.digest(hash, &[&[0; 8], digest, salt]);
    let mut block = [&vec![0; filling][..], &[1], salt].concat();
    mgf1(crypto, hash, &tag, &mut block);
    // One bit less than the modulus, so that the block is below it (RFC 8017, 9.1.1).
    *block.first_mut()? &= 0x7f;
    block.extend(tag);
    block.push(0xbc);
    Some(block)
}

/// The longest salt that a modulus has room for, which is what a TPM signs with.
pub(crate) fn pss_salt_size(hash: Hash, size: usize) -> Option<usize> {
    size.checked_sub(hash.size() + 2)
}

/// Whether a block is a PSS of a digest, with a salt of any length.
pub(crate) fn is_pss(crypto: &dyn Crypto, hash: Hash, digest: &[u8], block: &[u8]) -> bool {
    let Some((body, &[0xbc])) = block.split_last_chunk() else { return false };
    let Some(at) = body.len().checked_sub(hash.size()) else { return false };
    let (masked, tag) = body.split_at(at);
    let mut data = masked.to_vec();
    mgf1(crypto, hash, tag, &mut data);
    match (masked.first(), data.first_mut()) {
        // Signing clears this bit, so that a block that has it set is none.
        (Some(first), Some(byte)) if first & 0x80 == 0 => *byte &= 0x7f,
        _ => return false,
    }
    // Not in constant time, as nothing of a signature is secret.
    let Some(one) = data.iter().position(|byte| *byte != 0) else { return false };
    let salt = data.get(one + 1..).unwrap_or_default();
    data.get(one) == Some(&1) && same(&crypto.digest(hash, &[&[0; 8], digest, salt]), tag)
}

/// EME-OAEP. `label` includes its terminating zero.
pub(crate) fn oaep(
    crypto: &dyn Crypto,
    hash: Hash,
    message: &[u8],
    label: &[u8],
    seed: &[u8],
    size: usize,
) -> Option<Vec<u8>> {
    let filling = size.checked_sub(message.len() + 2 * hash.size() + 2)?;
    let label = crypto.digest(hash, &[label]);
    let mut data = [&label[..], &vec![0; filling], &[1], message].concat();
    let mut seed = seed.to_vec();
    mgf1(crypto, hash, &seed, &mut data);
    mgf1(crypto, hash, &data, &mut seed);
    // The zero in front keeps the number below the modulus.
    Some([&[0], &seed[..], &data].concat())
}

/// The message in a block of OAEP. Where it is wrong takes no part in the time.
pub(crate) fn open_oaep(
    crypto: &dyn Crypto,
    hash: Hash,
    block: &[u8],
    label: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let (first, rest) = block.split_first()?;
    let (seed, data) = rest.split_at_checked(hash.size())?;
    let (mut seed, mut data) = (Zeroizing::new(seed.to_vec()), Zeroizing::new(data.to_vec()));
    mgf1(crypto, hash, &data, &mut seed);
    mgf1(crypto, hash, &seed, &mut data);
    let (found, body) = data.split_at_checked(hash.size())?;
    let mut is_good = first.ct_eq(&0) & crypto.digest(hash, &[label]).ct_eq(found);
    let (mut start, mut is_found) = (0u32, Choice::from(0));
    for (at, byte) in (0u32..).zip(body) {
        let is_one = byte.ct_eq(&1) & !is_found;
        // Zeros alone may stand before the one.
        is_good &= is_found | is_one | byte.ct_eq(&0);
        start.conditional_assign(&(at + 1), is_one);
        is_found |= is_one;
    }
    // If none was found, `start` is zero: the slice is good in any case, and nothing is decided yet.
    let message = body.get(start as usize..)?;
    bool::from(is_good & is_found).then(|| Zeroizing::new(message.to_vec()))
}

/// RSAES-PKCS1-v1_5, with random bytes from `filling`, of which those that are zero become one.
pub(crate) fn es(message: &[u8], filling: &[u8], size: usize) -> Option<Vec<u8>> {
    let count = size.checked_sub(message.len() + 3).filter(|count| *count >= 8)?;
    // A zero would end the filling too early.
    let filling = filling.get(..count)?.iter().map(|byte| (*byte).max(1));
    Some([&[0, 2][..], &filling.collect::<Vec<_>>(), &[0], message].concat())
}

/// The message in a block of RSAES-PKCS1-v1_5.
pub(crate) fn open_es(block: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (head, body) = block.split_at_checked(2)?;
    let (mut start, mut is_found) = (0u32, Choice::from(0));
    for (at, byte) in (0u32..).zip(body) {
        let is_zero = byte.ct_eq(&0) & !is_found;
        start.conditional_assign(&(at + 1), is_zero);
        is_found |= is_zero;
    }
    let message = body.get(start as usize..)?;
    // No branch on where the block is wrong: the difference would be Bleichenbacher's oracle. `start` is
    // after the zero, so beyond 8 there are eight bytes of filling (RFC 8017, 7.2.2).
    let is_good = head.ct_eq(&[0, 2]) & is_found & Choice::from(u8::from(start > 8));
    bool::from(is_good).then(|| Zeroizing::new(message.to_vec()))
}
