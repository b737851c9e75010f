//! The chain of the simulated firmware: root (ARK), intermediate (ASK) and chip key (VCEK), as X.509
//! certificates in DER (RFC 5280; extensions of the VCEK: AMD 57230), and the table that a host hands them
//! out in (GHCB, 4.1.8.1).
//!
//! All keys are of P-384; AMD's own root and intermediate are RSA, so a tool that insists on that does not
//! take these, nor one that knows AMD's root.

use alloc::vec::Vec;

use plinth_snp_abi::report::CertificateEntry;
use zerocopy::IntoBytes;

use super::{Platform, keys};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const IA5_STRING: u8 = 0x16;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// TRUE.
const CRITICAL: [u8; 3] = [0x01, 0x01, 0xff];

const EC_PUBLIC_KEY: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const SECP384R1: [u8; 5] = [0x2b, 0x81, 0x04, 0x00, 0x22];
const ECDSA_WITH_SHA384: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 0x13];
/// 1.3.6.1.4.1.3704.1, AMD's arc for the VCEK's extensions.
const AMD: [u8; 8] = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x01];

/// GUIDs of the table's entries, as UEFI lays them out.
const ARK_GUID: [u8; 16] =
    [0xa4, 0x06, 0xb4, 0xc0, 0x03, 0xa8, 0x52, 0x49, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae];
const ASK_GUID: [u8; 16] =
    [0x79, 0xb3, 0xb7, 0x4a, 0xac, 0xbb, 0xe4, 0x4f, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82];
const VCEK_GUID: [u8; 16] =
    [0x8d, 0x75, 0xda, 0x63, 0x64, 0xe6, 0x64, 0x45, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd];

/// A value of DER: tag, length, contents.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = Vec::from([tag]);
    match length {
        0..0x80 => bytes.push(length as u8),
        0x80..0x100 => bytes.extend([0x81, length as u8]),
        // Nothing here is longer than 64 KiB.
        _ => bytes.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

/// A number that is not negative, from its big-endian bytes.
fn integer(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let digits = number.get(start..).unwrap_or_default();
    let needs_zero = digits.first().is_none_or(|byte| byte & 0x80 != 0);
    der(INTEGER, &[if needs_zero { &[0] } else { &[] }, digits])
}

fn name(common_name: &str) -> Vec<u8> {
    let pair = der(SEQUENCE, &[&der(OBJECT, &[&COMMON_NAME]), &der(UTF8_STRING, &[common_name.as_bytes()])]);
    der(SEQUENCE, &[&der(SET, &[&pair])])
}

fn extension(object: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &CRITICAL } else { &[] };
    der(SEQUENCE, &[&der(OBJECT, &[object]), critical, &der(OCTET_STRING, &[value])])
}

/// An extension below AMD's arc.
fn of_amd(arc: &[u8], value: &[u8]) -> Vec<u8> {
    let object: Vec<u8> = AMD.iter().chain(arc).copied().collect();
    extension(&object, false, value)
}

/// The extension that says who may sign others.
fn authority() -> Vec<u8> {
    extension(&BASIC_CONSTRAINTS, true, &der(SEQUENCE, &[&CRITICAL]))
}

fn public_key(key: &keys::SigningKey) -> Vec<u8> {
    let algorithm = der(SEQUENCE, &[&der(OBJECT, &[&EC_PUBLIC_KEY]), &der(OBJECT, &[&SECP384R1])]);
    let (x, y) = keys::public(key);
    // No unused bits; a point that is not compressed.
    der(SEQUENCE, &[&algorithm, &der(BIT_STRING, &[&[0, 4], &x, &y])])
}

/// Who is certified, and by whom.
struct Certified<'a> {
    serial: u8,
    subject: &'a str,
    key: &'a keys::SigningKey,
    issuer: &'a str,
    by: &'a keys::SigningKey,
    extensions: &'a [u8],
}

impl Certified<'_> {
    fn certificate(&self) -> Vec<u8> {
        let algorithm = der(SEQUENCE, &[&der(OBJECT, &[&ECDSA_WITH_SHA384])]);
        let time = |text: &str| der(GENERALIZED_TIME, &[text.as_bytes()]);
        // A simulator has no calendar: from the Unix epoch to the end of time (RFC 5280, 4.1.2.5).
        let validity = der(SEQUENCE, &[&time("19700101000000Z"), &time("99991231235959Z")]);
        let signed = der(
            SEQUENCE,
            &[
                &der(VERSION, &[&integer(&[2])]),
                &integer(&[self.serial]),
                &algorithm,
                &name(self.issuer),
                &validity,
                &name(self.subject),
                &public_key(self.key),
                &der(EXTENSIONS, &[&der(SEQUENCE, &[self.extensions])]),
            ],
        );
        let (r, s) = keys::sign(self.by, &signed).to_p384().unwrap_or(([0; 48], [0; 48]));
        let signature = der(SEQUENCE, &[&integer(&r), &integer(&s)]);
        der(SEQUENCE, &[&signed, &algorithm, &der(BIT_STRING, &[&[0], &signature])])
    }
}

/// The certificates of a platform, each in DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The root, signed by itself.
    pub ark: Vec<u8>,
    /// The intermediate, signed by the root.
    pub ask: Vec<u8>,
    /// The key that signs reports, signed by the intermediate.
    pub vcek: Vec<u8>,
}

impl Platform {
    /// The extensions of the VCEK: the TCB that it is derived from, and the chip.
    fn vcek_extensions(&self) -> Vec<u8> {
        let number = |arc: &[u8], value: u8| of_amd(arc, &integer(&[value]));
        let tcb = &self.tcb;
        [
            number(&[1], 0),
            of_amd(&[2], &der(IA5_STRING, &[b"Milan-B0"])),
            number(&[3, 1], tcb.boot_loader),
            number(&[3, 2], tcb.tee),
            number(&[3, 3], tcb.snp),
            number(&[3, 4], 0),
            number(&[3, 5], 0),
            number(&[3, 6], 0),
            number(&[3, 7], 0),
            number(&[3, 8], tcb.microcode),
            of_amd(&[4], &self.chip_id),
        ]
        .concat()
    }

    /// The certificates.
    #[must_use]
    pub fn chain(&self) -> Chain {
        const ARK: &str = "ARK-Plinth-Simulator";
        const ASK: &str = "SEV-Plinth-Simulator";
        let root = keys::signing_key(&self.seed, &[b"ark"]);
        let intermediate = keys::signing_key(&self.seed, &[b"ask"]);
        let chip = self.signing_key();
        let authority = authority();
        let ark =
            Certified { serial: 1, subject: ARK, key: &root, issuer: ARK, by: &root, extensions: &authority };
        let ask = Certified { serial: 2, subject: ASK, key: &intermediate, ..ark };
        let vcek = Certified {
            serial: 3,
            subject: "SEV-VCEK",
            key: &chip,
            issuer: ASK,
            by: &intermediate,
            extensions: &self.vcek_extensions(),
        };
        Chain { ark: ark.certificate(), ask: ask.certificate(), vcek: vcek.certificate() }
    }
}

impl Chain {
    /// What a host copies to a guest's pages with an extended guest request.
    #[must_use]
    pub fn table(&self) -> Vec<u8> {
        let all = [(VCEK_GUID, &self.vcek), (ASK_GUID, &self.ask), (ARK_GUID, &self.ark)];
        // An entry of zeros ends the table.
        let mut offset = (all.len() + 1) * size_of::<CertificateEntry>();
        let mut table = Vec::new();
        for (guid, certificate) in all {
            let length = certificate.len() as u32;
            let entry = CertificateEntry { guid, offset: offset as u32, length };
            table.extend_from_slice(entry.as_bytes());
            offset += certificate.len();
        }
        table.extend_from_slice(CertificateEntry::default().as_bytes());
        all.iter().for_each(|(_, certificate)| table.extend_from_slice(certificate));
        table
    }
}
