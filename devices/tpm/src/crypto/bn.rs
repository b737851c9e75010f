//! The curve BN P-256 (TCG Algorithm Registry, TPM_ECC_BN_P256; ISO/IEC 15946-5): y^2 = x^3 + 3 over a prime
//! field, of prime order. RustCrypto has no crate for it.
//!
//! Points are added by formulas without exceptions, and multiplied by a ladder that does the same for each
//! bit. The numbers are `crypto-bigint`'s in Montgomery's form, whose operations take constant time.

use alloc::vec::Vec;

use crypto_bigint::modular::ConstMontyForm;
use crypto_bigint::{Choice, CtAssign, U256, const_monty_params};
use zeroize::{Zeroize, Zeroizing};

use super::{EccSignature, Point};

const_monty_params!(
    Prime,
    U256,
    "fffffffffffcf0cd46e5f25eee71a49f0cdc65fb12980a82d3292ddbaed33013",
    "The field's prime."
);
const_monty_params!(
    Order,
    U256,
    "fffffffffffcf0cd46e5f25eee71a49e0cdc65fb1299921af62d536cd10b500d",
    "The order of the curve."
);

/// Bytes of a number.
const SIZE: usize = 32;

type Field = ConstMontyForm<Prime, { U256::LIMBS }>;
type Scalar = ConstMontyForm<Order, { U256::LIMBS }>;

/// Three times the curve's constant.
const B3: Field = Field::new(&U256::from_u8(9));

/// A point in homogeneous coordinates: x/z and y/z.
#[derive(Clone, Copy)]
struct Projective {
    x: Field,
    y: Field,
    z: Field,
}

impl Zeroize for Projective {
    fn zeroize(&mut self) {
        self.x.zeroize();
        self.y.zeroize();
        self.z.zeroize();
    }
}

impl Projective {
    const INFINITY: Projective = Projective { x: Field::ZERO, y: Field::ONE, z: Field::ZERO };

    /// (1, 2), which generates all points.
    const GENERATOR: Projective =
        Projective { x: Field::ONE, y: Field::new(&U256::from_u8(2)), z: Field::ONE };

    /// A point of the curve from outside.
    fn new(point: &Point) -> Option<Self> {
        let (x, y) = (Field::new(&number(&point.x, &Prime)?), Field::new(&number(&point.y, &Prime)?));
        let three = Field::new(&U256::from_u8(3));
        let is_on_curve = y.square() == x.square().mul(&x).add(&three);
        // A point off it lies on another curve, perhaps a weak one, and would give the scalar away.
        is_on_curve.then_some(Projective { x, y, z: Field::ONE })
    }

    /// The coordinates; none at infinity.
    fn to_point(self) -> Option<Point> {
        // None where z is zero, which it is at infinity alone.
        let inverse = self.z.invert().into_option()?;
        let coordinate = |of: Field| bytes(&of.mul(&inverse).retrieve());
        Some(Point { x: coordinate(self.x), y: coordinate(self.y) })
    }

    /// The sum of any two points (Renes, Costello and Batina, "Complete addition formulas for prime order
    /// elliptic curves", algorithm 7).
    fn add(&self, other: &Self) -> Self {
        let (xx, yy, zz) = (self.x.mul(&other.x), self.y.mul(&other.y), self.z.mul(&other.z));
        let cross = |a: &Field, b: &Field, c: &Field, d: &Field, square: &Field, other: &Field| {
            a.add(b).mul(&c.add(d)).sub(&square.add(other))
        };
        let xy = cross(&self.x, &self.y, &other.x, &other.y, &xx, &yy);
        let yz = cross(&self.y, &self.z, &other.y, &other.z, &yy, &zz);
        let xz = cross(&self.x, &self.z, &other.x, &other.z, &xx, &zz);
        let (xx3, zz, xz) = (xx.double().add(&xx), B3.mul(&zz), B3.mul(&xz));
        let (sum, difference) = (yy.add(&zz), yy.sub(&zz));
        Projective {
            x: xy.mul(&difference).sub(&yz.mul(&xz)),
            y: sum.mul(&difference).add(&xx3.mul(&xz)),
            z: sum.mul(&yz).add(&xx3.mul(&xy)),
        }
    }

    /// Sets this to `other` if that is chosen, in the same time as if not.
    fn assign(&mut self, other: &Self, choice: Choice) {
        self.x.ct_assign(&other.x, choice);
        self.y.ct_assign(&other.y, choice);
        self.z.ct_assign(&other.z, choice);
    }

    /// A multiple of the point.
    fn multiply(&self, scalar: &Scalar) -> Self {
        let scalar = Zeroizing::new(scalar.retrieve().to_be_bytes());
        let mut product = Projective::INFINITY;
        for byte in scalar.as_ref() {
            for bit in (0..8).rev() {
                // The formulas are good for doubling and for infinity too, so that nothing is decided here.
                product = product.add(&product);
                // Added each time and taken or not: neither time nor memory tells the bit.
                let mut sum = product.add(self);
                product.assign(&sum, Choice::from_u8_lsb(byte >> bit));
                sum.zeroize();
            }
        }
        product
    }
}

/// A number below a modulus from big-endian bytes, zeros before it left out or not.
fn number<M>(bytes: &[u8], _: &M) -> Option<U256>
where
    M: crypto_bigint::modular::ConstMontyParams<{ U256::LIMBS }>,
{
    // Callers give numbers with zeros in front or without.
    let bytes = bytes.get(bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len())..)?;
    let mut padded = Zeroizing::new([0; SIZE]);
    padded.get_mut(SIZE.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    let number = U256::from_be_slice(&*padded);
    // Not reduced: that would be another number than the caller's.
    (number < *M::PARAMS.modulus().as_ref()).then_some(number)
}

fn bytes(number: &U256) -> Vec<u8> {
    number.to_be_bytes().as_ref().to_vec()
}

/// A scalar below the order.
fn scalar(bytes: &[u8]) -> Option<Zeroizing<Scalar>> {
    let number = Zeroizing::new(number(bytes, &Order)?);
    Some(Zeroizing::new(Scalar::new(&number)))
}

/// A scalar that is not zero.
fn nonzero(bytes: &[u8]) -> Option<Zeroizing<Scalar>> {
    scalar(bytes).filter(|scalar| **scalar != Scalar::ZERO)
}

/// See [`super::Crypto::ecc_multiply`].
pub(super) fn multiply(point: Option<&Point>, bytes: &[u8]) -> Option<Point> {
    let point = point.map_or(Some(Projective::GENERATOR), Projective::new)?;
    // Zero times anything is at infinity, which has no coordinates to return.
    let mut product = point.multiply(&*nonzero(bytes)?);
    let result = product.to_point();
    product.zeroize();
    result
}

/// See [`super::Crypto::ecc_add`].
pub(super) fn add(one: &Point, other: &Point) -> Option<Point> {
    Projective::new(one)?.add(&Projective::new(other)?).to_point()
}

/// See [`super::Crypto::ecc_is_on_curve`].
pub(super) fn is_on_curve(point: &Point) -> bool {
    Projective::new(point).is_some()
}

/// See [`super::Crypto::ecc_multiply_add`].
pub(super) fn multiply_add(a: &[u8], b: &[u8], c: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let sum = Zeroizing::new(scalar(a)?.mul(&*scalar(b)?).add(&*scalar(c)?));
    Some(Zeroizing::new(bytes(&sum.retrieve())))
}

/// The leftmost bytes of a digest as a scalar. The order fills its bytes, so that no bits are cut off.
fn leftmost(digest: &[u8]) -> Scalar {
    // ECDSA takes as many bits as the order has, from the left.
    let cut = digest.get(..SIZE).unwrap_or(digest);
    let mut padded = [0; SIZE];
    padded.iter_mut().rev().zip(cut.iter().rev()).for_each(|(to, from)| *to = *from);
    // The multiplication into Montgomery's form reduces.
    Scalar::new(&U256::from_be_slice(&padded))
}

/// See [`super::Crypto::ecdsa_sign`].
pub(super) fn sign(key: &[u8], nonce: &[u8], digest: &[u8]) -> Option<EccSignature> {
    let (key, nonce) = (nonzero(key)?, nonzero(nonce)?);
    let commitment = Projective::GENERATOR.multiply(&nonce).to_point()?;
    // A coordinate may be above the order; this reduces it.
    let r = Scalar::new(&U256::from_be_slice(&commitment.x));
    let inverse = Zeroizing::new(nonce.invert().into_option()?);
    let sum = Zeroizing::new(leftmost(digest).add(&r.mul(&key)));
    let s = inverse.mul(&sum);
    // Such a signature is thrown away; the caller draws another nonce.
    let is_useful = r != Scalar::ZERO && s != Scalar::ZERO;
    is_useful.then(|| EccSignature { r: bytes(&r.retrieve()), s: bytes(&s.retrieve()) })
}

/// See [`super::Crypto::ecdsa_verify`].
pub(super) fn verify(key: &Point, digest: &[u8], signature: &EccSignature) -> Option<bool> {
    // Zeros could verify for any digest and any key.
    let (r, s) = (nonzero(&signature.r)?, nonzero(&signature.s)?);
    let inverse = s.invert().into_option()?;
    let one = Projective::GENERATOR.multiply(&leftmost(digest).mul(&inverse));
    let other = Projective::new(key)?.multiply(&r.mul(&inverse));
    let commitment = one.add(&other).to_point()?;
    Some(Scalar::new(&U256::from_be_slice(&commitment.x)) == *r)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::ecc::{from_hex, parameters};
    use super::super::{Curve, Point};
    use super::{add, is_on_curve, multiply, multiply_add, sign, verify};

    fn point(x: &str, y: &str) -> Point {
        Point { x: from_hex(x), y: from_hex(y) }
    }

    /// Multiples of the generator, computed by affine formulas apart from this code.
    const MULTIPLES: [(&str, &str, &str); 3] = [
        (
            "0000000000000000000000000000000000000000000000000000000000000002",
            "cffffffffffd83a6c99ad4ed21bc55c13a7312dbff1b888a4b9175427e0b970e",
            "a3fffffffffe0a43816b4f44d0c0cd75e43d3154d7e966bbcf466160bbff4acc",
        ),
        (
            "0000000000000000000000000000000000000000000000000000000000000003",
            "ae89ad87273549cb1260db45f0d5237cc3c2de04b82f71b4ec89a53d952720c8",
            "df8f2bf23dde0a34762594bf7bb922ea4c001cac4b1c9b7ac5194e35d0071648",
        ),
        (
            "048d159e242af37bc00000000000000000000000000000000000000000fedcba",
            "174a795d2021c8cbc61b6753b6a90ea256c1cde0e5f543714a0471d62d6f164b",
            "43f4b024bf84cacfd5f407a4ccbbd3300b4858ac02749c77b247af2caea91662",
        ),
    ];

    #[test]
    fn multiples_of_the_generator_are_right() {
        for (scalar, x, y) in MULTIPLES {
            assert_eq!(multiply(None, &from_hex(scalar)), Some(point(x, y)));
        }
    }

    #[test]
    fn the_order_takes_every_point_to_infinity() {
        let [.., order] = parameters(Curve::BnP256);
        let mut less_one = from_hex(order);
        assert_eq!(multiply(None, &less_one), None, "not below the order");
        assert_eq!(multiply(None, &[0]), None);
        *less_one.last_mut().unwrap() -= 1;
        let opposite = multiply(None, &less_one).unwrap();
        let generator = multiply(None, &[1]).unwrap();
        assert_eq!(opposite.x, generator.x);
        assert_ne!(opposite.y, generator.y);
        assert_eq!(add(&generator, &opposite), None);
        assert_eq!(add(&generator, &generator), multiply(None, &[2]));
    }

    #[test]
    fn multiples_of_multiples_agree() {
        let (a, b) = ([0x5a; 31], [0xc3; 31]);
        let product = multiply_add(&a, &b, &[0]).unwrap();
        let one = multiply(Some(&multiply(None, &a).unwrap()), &b);
        assert_eq!(one, multiply(None, &product));
        let sum = multiply_add(&a, &[1], &b).unwrap();
        let parts = [a, b].map(|scalar| multiply(None, &scalar).unwrap());
        assert_eq!(add(&parts[0], &parts[1]), multiply(None, &sum));
    }

    #[test]
    fn points_off_the_curve_are_refused() {
        let good = point("01", "02");
        assert!(is_on_curve(&good));
        for bad in [point("01", "03"), point("00", "00"), Point::default()] {
            assert!(!is_on_curve(&bad));
            assert_eq!(multiply(Some(&bad), &[5]), None);
            assert_eq!(add(&bad, &good), None);
        }
        // The coordinate x is 1 again, but not below the prime.
        let [prime, ..] = parameters(Curve::BnP256);
        let mut high = from_hex(prime);
        *high.last_mut().unwrap() += 1;
        assert!(!is_on_curve(&Point { x: high, y: vec![2] }));
    }

    #[test]
    fn ecdsa_signatures_verify() {
        let (key, nonce, digest) = ([3; 32], [5; 32], [7; 64]);
        let public = multiply(None, &key).unwrap();
        let mut signature = sign(&key, &nonce, &digest).unwrap();
        assert_eq!(verify(&public, &digest, &signature), Some(true));
        assert_eq!(verify(&public, &digest[..31], &signature), Some(false));
        *signature.s.last_mut().unwrap() ^= 1;
        assert_eq!(verify(&public, &digest, &signature), Some(false));
        signature.s = vec![0; 32];
        assert_eq!(verify(&public, &digest, &signature), None);
        assert_eq!(sign(&key, &[0; 32], &digest), None);
    }
}
