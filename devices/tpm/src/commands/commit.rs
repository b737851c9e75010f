//! Commands in two phases: TPM2_Commit, TPM2_EC_Ephemeral and TPM2_ZGen_2Phase (part 3, 14.7, 19.2 and 19.3).

use alloc::vec::Vec;

use crate::commitment::is_split;
use crate::constants::{alg, limit, object};
use crate::crypto::ecc::{MAX_COORDINATE, from_hex, parameters};
use crate::crypto::{Curve, Point};
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::object::Object;
use crate::rc::{Rc, Result};

/// The point whose x-coordinate is the digest of `s2` modulo the field's prime; none of empty parts.
fn hashed_point(tpm: &Tpm, key: &Object, curve: Curve, s2: &[u8], y2: Vec<u8>) -> Result<Option<Point>> {
    // The two are one point: x comes from the first, y is the second.
    if s2.is_empty() != y2.is_empty() {
        return Err(Rc::SIZE.parameter(3));
    }
    if s2.is_empty() {
        return Ok(None);
    }
    let hash = key.public.name_alg.ok_or(Rc::HASH.handle(1))?;
    let prime = from_hex(parameters(curve)[0]);
    let x = tpm.crypto.remainder(&prime, &tpm.digest(hash, &[s2])).ok_or(Rc::NO_RESULT)?;
    let point = Point { x: x.to_vec(), y: y2 };
    // The caller gives only y, so that this shows whether there is such a point at all.
    if tpm.crypto.ecc_is_on_curve(curve, &point) { Ok(Some(point)) } else { Err(Rc::ECC_POINT.parameter(2)) }
}

/// TPM2_Commit: with d the private key and r a scalar that is kept, K = d * P2, L = r * P2, E = r * P1, where
/// the generator stands for P1 if there is neither.
pub(crate) fn commit(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let p1 = call.read(|r| r.inside(Point::read))?;
    let s2 = call.read(|r| r.bytes(limit::SENSITIVE_DATA))?;
    let y2 = call.read(|r| r.bytes(MAX_COORDINATE))?;
    call.end()?;
    let key = tpm.object(call.handle(0)).map_err(|_| Rc::KEY.handle(1))?.clone();
    let (curve, _) = key.public.point().ok_or(Rc::KEY.handle(1))?;
    // K is the private part times a point of the caller's choice, which a key of another scheme does not give
    // out.
    if !is_split(&key) || !key.has(object::SIGN) {
        return Err(Rc::SCHEME.handle(1));
    }
    let p2 = hashed_point(tpm, &key, curve, &s2, y2)?;
    let p1 = (!p1.x.is_empty() || !p1.y.is_empty()).then_some(p1);
    // As in `recover_secret`: a point of a weaker curve would give the scalar away.
    if p1.as_ref().is_some_and(|point| !tpm.crypto.ecc_is_on_curve(curve, point)) {
        return Err(Rc::ECC_POINT.parameter(1));
    }
    let private = &key.secret().map_err(|_| Rc::KEY.handle(1))?.data;
    let scalar = tpm.next_commitment(curve, &key.name)?;
    let times = |point, scalar| tpm.crypto.ecc_multiply(curve, point, scalar).ok_or(Rc::NO_RESULT);
    let (mut k, mut l, mut e) = (Point::default(), Point::default(), Point::default());
    if let Some(point) = &p2 {
        (k, l) = (times(Some(point), private)?, times(Some(point), &scalar)?);
    }
    // Without any point the generator is taken.
    if p1.is_some() || p2.is_none() {
        e = times(p1.as_ref(), &scalar)?;
    }
    // Last, so that a command that fails uses up no number.
    let number = tpm.make_commitment();
    call.out.inside(|w| k.write(w)).inside(|w| l.write(w)).inside(|w| e.write(w)).u16(number);
    Ok(())
}

/// TPM2_EC_Ephemeral: a key that lasts until it is used once.
pub(crate) fn ec_ephemeral(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let curve = call.read(Curve::read)?;
    call.end()?;
    // Under no key's name: which key it is used with is decided later.
    let scalar = tpm.next_commitment(curve, &[])?;
    let point = tpm.crypto.ecc_multiply(curve, None, &scalar).ok_or(Rc::NO_RESULT)?;
    let number = tpm.make_commitment();
    call.out.inside(|w| point.write(w)).u16(number);
    Ok(())
}

/// TPMI_ECC_KEY_EXCHANGE, of which there is ECDH, or TPM_ALG_NULL.
fn read_exchange(call: &mut Call) -> Result<u16> {
    call.read(|r| match r.u16()? {
        id @ (alg::ECDH | alg::NULL) => Ok(id),
        _ => Err(Rc::SCHEME),
    })
}

/// TPM2_ZGen_2Phase: the products of the other side's points with the key and with an ephemeral key.
pub(crate) fn z_gen_2_phase(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let points = [call.read(|r| r.inside(Point::read))?, call.read(|r| r.inside(Point::read))?];
    let scheme = read_exchange(call)?;
    let number = call.read(|r| r.u16())?;
    call.end()?;
    let key = tpm.object(call.handle(0)).map_err(|_| Rc::KEY.handle(1))?.clone();
    let (curve, _) = key.public.point().ok_or(Rc::KEY.handle(1))?;
    if key.has(object::RESTRICTED) || !key.has(object::DECRYPT) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    let own = key.public.parameters.scheme().id;
    let chosen = if own == alg::NULL { scheme } else { own };
    if chosen != alg::ECDH || !(scheme == chosen || scheme == alg::NULL) {
        return Err(Rc::SCHEME.parameter(3));
    }
    // Both, as each is multiplied by a secret.
    for (at, point) in (1..).zip(&points) {
        if !tpm.crypto.ecc_is_on_curve(curve, point) {
            return Err(Rc::ECC_POINT.parameter(at));
        }
    }
    let ephemeral = tpm.open_commitment(curve, &[], number).ok_or(Rc::VALUE.parameter(4))?;
    let private = &key.secret()?.data;
    let times = |point, scalar| tpm.crypto.ecc_multiply(curve, Some(point), scalar).ok_or(Rc::NO_RESULT);
    let [static_point, ephemeral_point] = &points;
    let (z1, z2) = (times(static_point, private)?, times(ephemeral_point, &ephemeral)?);
    // Once only: an ephemeral key of two exchanges would be none.
    tpm.end_commitment(number);
    call.out.inside(|w| z1.write(w)).inside(|w| z2.write(w));
    Ok(())
}
