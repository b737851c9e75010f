//! Symmetric primitives (part 3, chapter 15).

use alloc::vec::Vec;

use crate::constants::{alg, handle, limit, object};
use crate::crypto::{Hash, cipher_mode};
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::object::Object;
use crate::object::sequence::is_foreign;
use crate::rc::{Rc, Result};
use crate::structures::public::Parameters;
use crate::structures::scheme::{Symmetric, read_mode};
use crate::wire::Reader;

const BLOCK: usize = 16;

/// TPMI_RH_HIERARCHY+ as a parameter.
pub(crate) fn read_hierarchy(r: &mut Reader) -> Result<u32> {
    let known = [handle::OWNER, handle::ENDORSEMENT, handle::PLATFORM, handle::NULL];
    Some(r.u32()?).filter(|hierarchy| known.contains(hierarchy)).ok_or(Rc::VALUE)
}

/// TPM2_Hash.
pub(crate) fn hash(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let data = call.read(|r| r.sized(limit::BUFFER))?;
    let hash = call.read(Hash::read)?;
    let hierarchy = call.read(read_hierarchy)?;
    call.end()?;
    let digest = tpm.digest(hash, &[data]);
    let ticket = tpm.hash_ticket(hierarchy, hash, &digest, is_foreign(data))?;
    call.out.sized(&digest);
    ticket.write(&mut call.out);
    Ok(())
}

/// The key and hash algorithm of a HMAC command.
pub(crate) fn hmac_key(tpm: &Tpm, call: &Call, given: Option<Hash>, number: usize) -> Result<(Object, Hash)> {
    let key = tpm.object(call.handle(0)).map_err(|_| Rc::TYPE.handle(1))?;
    let Parameters::KeyedHash { scheme } = key.public.parameters else {
        return Err(Rc::TYPE.handle(1));
    };
    if key.has(object::RESTRICTED) {
        // A restricted key needs a ticket for what it signs, and this command takes none.
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    if !key.has(object::SIGN) {
        return Err(Rc::KEY.handle(1));
    }
    // The key's own algorithm counts; only a key without one lets the caller choose.
    let hash = scheme.hash.or(given).ok_or(Rc::VALUE.parameter(number))?;
    if given.is_some_and(|given| given != hash) {
        return Err(Rc::VALUE.parameter(number));
    }
    Ok((key.clone(), hash))
}

/// TPM2_HMAC.
pub(crate) fn hmac(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let data = call.read(|r| r.sized(limit::BUFFER))?;
    let given = call.read(Hash::read_or_null)?;
    call.end()?;
    let (key, hash) = hmac_key(tpm, call, given, 2)?;
    call.out.sized(&tpm.crypto.hmac(hash, &key.secret()?.data, &[data]));
    Ok(())
}

/// What both commands for encryption are given.
struct Request {
    is_decryption: bool,
    mode: u16,
    iv: Vec<u8>,
    data: Vec<u8>,
    /// The numbers of the parameters mode, IV and data.
    numbers: [usize; 3],
}

/// TPM2_EncryptDecrypt.
pub(crate) fn encrypt_decrypt(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let request = Request {
        is_decryption: call.read(|r| r.yes_no())?,
        mode: call.read(read_mode)?,
        iv: call.read(|r| r.bytes(BLOCK))?,
        data: call.read(|r| r.bytes(limit::BUFFER))?,
        numbers: [2, 3, 4],
    };
    crypt(tpm, call, request)
}

/// TPM2_EncryptDecrypt2: the data come first, so that they can be encrypted by a session.
pub(crate) fn encrypt_decrypt_2(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let data = call.read(|r| r.bytes(limit::BUFFER))?;
    let request = Request {
        is_decryption: call.read(|r| r.yes_no())?,
        mode: call.read(read_mode)?,
        iv: call.read(|r| r.bytes(BLOCK))?,
        data,
        numbers: [3, 4, 1],
    };
    crypt(tpm, call, request)
}

fn crypt(tpm: &Tpm, call: &mut Call, request: Request) -> Result<()> {
    call.end()?;
    let Request { is_decryption, mode, iv, mut data, numbers } = request;
    let [mode_number, iv_number, data_number] = numbers;
    let key = tpm.object(call.handle(0)).map_err(|_| Rc::KEY.handle(1))?;
    let Parameters::SymCipher { symmetric: Symmetric::Aes { mode: own, .. } } = key.public.parameters else {
        return Err(Rc::KEY.handle(1));
    };
    // For a symmetric key `sign` means encryption (part 2, 8.3).
    let needed = if is_decryption { object::DECRYPT } else { object::SIGN };
    if key.has(object::RESTRICTED) || !key.has(needed) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    // A key's mode is a part of what it was made for; only one without leaves the choice.
    let chosen = if own == alg::NULL { mode } else { own };
    if chosen == alg::NULL || (mode != alg::NULL && mode != chosen) {
        return Err(Rc::MODE.parameter(mode_number));
    }
    let has_iv = chosen != alg::ECB;
    // ECB alone has no chaining value; a short one would be filled up with zeros that nobody chose.
    if iv.len() != if has_iv { BLOCK } else { 0 } {
        return Err(Rc::SIZE.parameter(iv_number));
    }
    let mut block = [0; BLOCK];
    block.iter_mut().zip(&iv).for_each(|(block, iv)| *block = *iv);
    let cipher = tpm.crypto.aes(&key.secret()?.data).ok_or(Rc::KEY.handle(1))?;
    cipher_mode(&*cipher, chosen, &mut block, &mut data, is_decryption)
        .map_err(|rc| rc.parameter(data_number))?;
    // The chaining value behind the last block, with which the caller can go on.
    call.out.sized(&data).sized(if has_iv { &block } else { &[] });
    Ok(())
}
