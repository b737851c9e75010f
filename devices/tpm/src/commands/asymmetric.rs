//! Asymmetric primitives and signatures (part 3, chapters 14 and 20).

use alloc::vec;

use crate::constants::{alg, limit, object, st};
use crate::crypto::ecc::{from_hex, parameters};
use crate::crypto::{Curve, Hash, Point, padding};
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::object::{Object, can_sign};
use crate::rc::{Rc, Result};
use crate::secret::Secret;
use crate::structures::scheme::Scheme;
use crate::structures::signature::Signature;
use crate::structures::ticket::Ticket;
use crate::wire::Reader;

/// The scheme by which a key signs: its own, or the caller's where it has none.
pub(crate) fn signing_scheme(key: &Object, given: Scheme) -> Result<Scheme> {
    let own = key.public.parameters.scheme();
    // Which commitment an ECDAA signature is by, only the caller can say.
    let is_split = own.id == alg::ECDAA;
    let chosen = if own.is_null() || is_split { given } else { own };
    let is_other = if is_split {
        (given.id, given.hash) != (own.id, own.hash)
    } else {
        !given.is_null() && given != chosen
    };
    if is_other || !Scheme::is_of(chosen.id, key.public.kind()) || !chosen.signs() {
        return Err(Rc::SCHEME);
    }
    Ok(chosen)
}

/// TPM2_Sign.
pub(crate) fn sign(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let digest = call.read(|r| r.bytes(limit::DIGEST))?;
    let scheme = call.read(Scheme::read_signing)?;
    let ticket = call.read(|r| Ticket::read(r, &[st::HASHCHECK]))?;
    call.end()?;
    let key = tpm.object(call.handle(0)).map_err(|_| Rc::KEY.handle(1))?.clone();
    // A symmetric cipher has the same bit, where it means encryption.
    if !key.has(object::SIGN) || !can_sign(key.public.kind()) {
        return Err(Rc::KEY.handle(1));
    }
    let scheme = signing_scheme(&key, scheme).map_err(|rc| rc.parameter(2))?;
    let hash = scheme.hash.ok_or(Rc::SCHEME.parameter(2))?;
    // A ticket that is there must be right, also where none is needed.
    if key.has(object::RESTRICTED) || !ticket.digest.is_empty() {
        // A restricted key signs only what was hashed here and does not begin as a structure of the TPM's
        // own: else a caller could have a quote signed that no TPM has made (part 3, 20.2).
        let parts: [&[u8]; 2] = [&hash.id().to_be_bytes(), &digest];
        if ticket.is_null() || !tpm.is_ticket(&ticket, &parts) {
            return Err(Rc::TICKET.parameter(3));
        }
    }
    if digest.len() != hash.size() {
        return Err(Rc::SIZE.parameter(1));
    }
    tpm.sign(&key, scheme, &digest)?.write(&mut call.out);
    Ok(())
}

/// TPM2_VerifySignature.
pub(crate) fn verify_signature(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let digest = call.read(|r| r.bytes(limit::DIGEST))?;
    let signature = call.read(Signature::read)?;
    call.end()?;
    let key = tpm.object(call.handle(0)).map_err(|_| Rc::ATTRIBUTES.handle(1))?;
    if !key.has(object::SIGN) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    // A HMAC is verified with the secret itself.
    if key.public.kind() == alg::KEYEDHASH && key.sensitive.is_none() {
        return Err(Rc::HANDLE.parameter(2));
    }
    if !tpm.verify(key, &digest, &signature).map_err(|rc| rc.parameter(2))? {
        return Err(Rc::SIGNATURE.parameter(2));
    }
    // A ticket says whose signature it was: without a name there is nothing to say.
    let ticket = if key.public.name_alg.is_none() {
        Ticket::null(st::VERIFIED)
    } else {
        tpm.ticket_or_null(st::VERIFIED, key.hierarchy, &[&digest, &key.name])?
    };
    ticket.write(&mut call.out);
    Ok(())
}

/// The RSA key of a command that en- or decrypts, and the scheme for it.
fn rsa_key(tpm: &Tpm, call: &Call, given: Scheme, label: &[u8], forbidden: u32) -> Result<(Object, Scheme)> {
    let key = tpm.object(call.handle(0)).map_err(|_| Rc::KEY.handle(1))?.clone();
    if key.public.kind() != alg::RSA {
        return Err(Rc::KEY.handle(1));
    }
    if !key.has(object::DECRYPT) || key.public.attributes & forbidden != 0 {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    check_label(label)?;
    let own = key.public.parameters.scheme();
    // What a key was made for its maker has said; only one without a scheme leaves the choice.
    let scheme = if own.is_null() { given } else { own };
    // A scheme that the key has can be named again, but not replaced.
    let is_other = !own.is_null() && !given.is_null() && given != own;
    if is_other || !(scheme.is_null() || scheme.decrypts()) {
        return Err(Rc::SCHEME.parameter(2));
    }
    Ok((key, scheme))
}

/// TPMT_RSA_DECRYPT.
fn read_rsa_scheme(r: &mut Reader) -> Result<Scheme> {
    let scheme = Scheme::read(r, alg::RSA)?;
    if scheme.is_null() || scheme.decrypts() { Ok(scheme) } else { Err(Rc::VALUE) }
}

/// A label is a text with its final zero; an empty one is none.
fn check_label(label: &[u8]) -> Result<()> {
    if label.last().is_none_or(|last| *last == 0) { Ok(()) } else { Err(Rc::VALUE.parameter(3)) }
}

/// TPM2_RSA_Encrypt.
pub(crate) fn rsa_encrypt(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let message = call.read(|r| r.bytes(limit::RSA_BYTES))?;
    let scheme = call.read(read_rsa_scheme)?;
    let label = call.read(|r| r.bytes(limit::DIGEST + 2))?;
    call.end()?;
    let (key, scheme) = rsa_key(tpm, call, scheme, &label, 0)?;
    let size = key.public.bytes().len();
    let too_long = Rc::VALUE.parameter(1);
    let encrypted = match scheme.id {
        alg::OAEP => {
            let hash = scheme.hash.ok_or(Rc::SCHEME)?;
            tpm.oaep_encrypt(&key, hash, &message, &label)
        }
        alg::RSAES => {
            // More than is needed: `padding::es` takes what the message leaves room for.
            let filling = tpm.random(size);
            let block = padding::es(&message, &filling, size).ok_or(too_long)?;
            tpm.rsa_public(&key, &block)
        }
        _ => {
            // Without a padding the message is the number itself.
            let missing = size.checked_sub(message.len()).ok_or(too_long)?;
            tpm.rsa_public(&key, &[vec![0; missing], message].concat())
        }
    };
    call.out.sized(&encrypted.map_err(|rc| rc.parameter(1))?);
    Ok(())
}

/// TPM2_RSA_Decrypt.
pub(crate) fn rsa_decrypt(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let block = call.read(|r| r.bytes(limit::RSA_BYTES))?;
    let scheme = call.read(read_rsa_scheme)?;
    let label = call.read(|r| r.bytes(limit::DIGEST + 2))?;
    call.end()?;
    // A storage key decrypts seeds and salts, which the TPM never shows.
    let (key, scheme) = rsa_key(tpm, call, scheme, &label, object::RESTRICTED)?;
    if block.len() != key.public.bytes().len() {
        return Err(Rc::SIZE.parameter(1));
    }
    let message = match scheme.id {
        alg::OAEP => tpm.oaep_decrypt(&key, scheme.hash.ok_or(Rc::SCHEME)?, &block, &label),
        alg::RSAES => tpm.rsa_private(&key, &block).and_then(|block| {
            padding::open_es(&block).map(|message| Secret::copy(&message)).ok_or(Rc::VALUE)
        }),
        _ => tpm.rsa_private(&key, &block),
    };
    call.out.sized(&message.map_err(|rc| rc.parameter(1))?);
    Ok(())
}

fn ecc_key(tpm: &Tpm, call: &Call) -> Result<(Object, Curve, Point)> {
    let wrong = Rc::KEY.handle(1);
    let key = tpm.object(call.handle(0)).map_err(|_| wrong)?;
    let (curve, point) = key.public.point().ok_or(wrong)?;
    Ok((key.clone(), curve, point.clone()))
}

/// TPM2_ECDH_KeyGen.
pub(crate) fn ecdh_key_gen(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    let (_, curve, point) = ecc_key(tpm, call)?;
    // For this exchange alone: the private part is forgotten at the end.
    let (ephemeral, private) = tpm.new_ecc_key(curve)?;
    let shared = tpm.crypto.ecc_multiply(curve, Some(&point), &private).ok_or(Rc::NO_RESULT)?;
    call.out.inside(|w| shared.write(w)).inside(|w| ephemeral.write(w));
    Ok(())
}

/// TPM2_ECDH_ZGen.
pub(crate) fn ecdh_z_gen(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let given = call.read(|r| r.inside(Point::read))?;
    call.end()?;
    let (key, curve, _) = ecc_key(tpm, call)?;
    if key.has(object::RESTRICTED) || !key.has(object::DECRYPT) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    let scheme = key.public.parameters.scheme();
    if !scheme.is_null() && scheme.id != alg::ECDH {
        return Err(Rc::SCHEME.handle(1));
    }
    // See `recover_secret`: a point of a weaker curve would give the key away.
    if !tpm.crypto.ecc_is_on_curve(curve, &given) {
        return Err(Rc::ECC_POINT.parameter(1));
    }
    let shared = tpm.crypto.ecc_multiply(curve, Some(&given), &key.secret()?.data).ok_or(Rc::NO_RESULT)?;
    call.out.inside(|w| shared.write(w));
    Ok(())
}

/// TPM2_ECC_Parameters.
pub(crate) fn ecc_parameters(_tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let curve = call.read(Curve::read)?;
    call.end()?;
    call.out.u16(curve.id()).u16(curve.size() as u16 * 8);
    match curve {
        Curve::P256 => call.out.u16(alg::KDF1_SP800_56A).u16(Hash::Sha256.id()),
        Curve::P384 => call.out.u16(alg::KDF1_SP800_56A).u16(Hash::Sha384.id()),
        Curve::BnP256 => call.out.u16(alg::NULL),
    };
    // No curve here wants a certain scheme for signing.
    call.out.u16(alg::NULL);
    for number in parameters(curve) {
        call.out.sized(&from_hex(number));
    }
    // The cofactor.
    call.out.sized(&[1]);
    Ok(())
}
