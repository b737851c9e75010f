//! Curves and points.

use alloc::vec::Vec;

use crate::rc::{Rc, Result};
use crate::wire::{Reader, Writer};

/// A curve of the TPM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// BN P-256, for ECDAA.
    BnP256,
}

impl Curve {
    /// All of them.
    pub const ALL: [Curve; 3] = [Curve::P256, Curve::P384, Curve::BnP256];

    /// TPM_ECC_CURVE.
    #[must_use]
    pub const fn id(self) -> u16 {
        match self {
            Curve::P256 => 3,
            Curve::P384 => 4,
            Curve::BnP256 => 0x10,
        }
    }

    /// Bytes of a coordinate and of a scalar.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Curve::P256 | Curve::BnP256 => 32,
            Curve::P384 => 48,
        }
    }

    /// TPMI_ECC_CURVE.
    pub(crate) fn read(r: &mut Reader) -> Result<Curve> {
        let id = r.u16()?;
        Curve::ALL.into_iter().find(|curve| curve.id() == id).ok_or(Rc::CURVE)
    }
}

/// A point by its affine coordinates, big-endian.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// The x-coordinate.
    pub x: Vec<u8>,
    /// The y-coordinate.
    pub y: Vec<u8>,
}

/// The longest coordinate of any curve here.
pub(crate) const MAX_COORDINATE: usize = 48;

impl Point {
    /// TPMS_ECC_POINT.
    pub(crate) fn read(r: &mut Reader) -> Result<Point> {
        Ok(Point { x: r.bytes(MAX_COORDINATE)?, y: r.bytes(MAX_COORDINATE)? })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.sized(&self.x).sized(&self.y);
    }
}

/// The numbers of a curve, for TPM2_ECC_Parameters, each in hexadecimal: p, a, b, x and y of the generator,
/// and the order. Their cofactor is 1. (SEC 2, 2.4.2 and 2.5.1; TCG
/// Algorithm Registry, TPM_ECC_BN_P256.)
pub(crate) const fn parameters(curve: Curve) -> [&'static str; 6] {
    match curve {
        Curve::P256 => [
            "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
            "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc",
            "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
            "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
            "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
            "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        ],
        Curve::P384 => [
            concat!(
                "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe",
                "ffffffff0000000000000000ffffffff"
            ),
            concat!(
                "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe",
                "ffffffff0000000000000000fffffffc"
            ),
            concat!(
                "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875a",
                "c656398d8a2ed19d2a85c8edd3ec2aef"
            ),
            concat!(
                "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a38",
                "5502f25dbf55296c3a545e3872760ab7"
            ),
            concat!(
                "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c0",
                "0a60b1ce1d7e819d7a431d7c90ea0e5f"
            ),
            concat!(
                "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf",
                "581a0db248b0a77aecec196accc52973"
            ),
        ],
        Curve::BnP256 => [
            "fffffffffffcf0cd46e5f25eee71a49f0cdc65fb12980a82d3292ddbaed33013",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000003",
            "0000000000000000000000000000000000000000000000000000000000000001",
            "0000000000000000000000000000000000000000000000000000000000000002",
            "fffffffffffcf0cd46e5f25eee71a49e0cdc65fb1299921af62d536cd10b500d",
        ],
    }
}

/// The bytes of hexadecimal digits; what is none counts as zero.
pub(crate) fn from_hex(digits: &str) -> Vec<u8> {
    let value = |digit: &u8| char::from(*digit).to_digit(16).unwrap_or(0) as u8;
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| pair.iter().fold(0, |byte, digit| (byte << 4) | value(digit))).collect()
}
