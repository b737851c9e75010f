//! The launch digest, the CPUID page, the secrets page.

use std::format;
use std::string::String;

use zerocopy::{FromZeros, IntoBytes};

use crate::PAGE_BYTES;
use crate::cpuid_page::{CpuidEntry, CpuidPage};
use crate::id_block::{EcdsaPublicKey, EcdsaSignature, GuestPolicy};
use crate::launch::{LaunchDigest, PageType};
use crate::secrets::SecretsPage;
use crate::svsm::VTPM_SERVICE_GUID;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Digests that were computed by Python's hashlib over PAGE_INFO written out by hand.
#[test]
fn digests() {
    let mut digest = LaunchDigest::new();
    assert_eq!(digest.value(), [0; 48]);
    let mut page = [0; PAGE_BYTES];
    page[0] = 0xeb;
    digest.measure(PageType::Normal, 0xffff_f000, &page);
    assert_eq!(hex(&digest.value()), DIGESTS[0]);
    // What is not measured makes no difference.
    let before = digest;
    digest.measure(PageType::Secrets, 0x80_d000, &page);
    let mut other = before;
    other.extend(PageType::Secrets, 0x80_d000, [0; 48]);
    assert_eq!(digest, other);
    assert_eq!(hex(&digest.value()), DIGESTS[1]);
    digest.measure(PageType::Vmsa, 0xffff_ffff_f000, &page);
    assert_eq!(hex(&digest.value()), DIGESTS[2]);
    assert_eq!(LaunchDigest::resume(digest.value()), digest);
}

const DIGESTS: [&str; 3] = [
    "049e076a9653c2752e437021be1a1288f2dfdea48b2129da5884232ea6d01c3a94537126eb2b0b7e3d665a9815d05551",
    "1ee88981389335a4e52fb26319c57843d8b2bf3f42fed463ae3a9779dd9089cfd9682aed1bf7d7db6f02c4a904552315",
    "877506187fddc1dff2ee45c41da621c53b0a45c0ca92864e3a02d61bda6d7ce11fa5bcfeb69f29cd60451e503b4b99cb",
];

#[test]
fn page_types() {
    for code in 0..=u8::MAX {
        let page_type = PageType::from_code(code);
        assert_eq!(page_type.map(|page_type| page_type as u8), (1..=6).contains(&code).then_some(code));
        let is_measured = page_type.is_some_and(PageType::is_measured);
        assert_eq!(is_measured, [1, 2].contains(&code));
    }
}

#[test]
fn cpuid_pages() {
    let entry = CpuidEntry { eax_in: 7, ecx_in: 1, eax: 3, ..CpuidEntry::default() };
    let page = CpuidPage::new(&[entry; 64]).unwrap();
    assert_eq!(page.valid().unwrap(), [entry; 64]);
    assert_eq!(CpuidPage::new(&[entry; 65]), None);
    let mut lie = page;
    lie.count = 65;
    assert_eq!(lie.valid(), None);
    lie.count = u32::MAX;
    assert_eq!(lie.valid(), None);
    assert_eq!(page.as_bytes()[..0x14], [64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0]);
}

#[test]
fn keys_of_higher_vmpls_are_not_given() {
    let mut secrets = SecretsPage::zeroed();
    secrets.vmpck = [[1; 32], [2; 32], [3; 32], [4; 32]];
    for vmpl in 0..4 {
        let copy = secrets.for_vmpl(vmpl);
        for (number, key) in (0..).zip(copy.vmpck) {
            assert_eq!(key, [if number < vmpl { 0 } else { number + 1 }; 32], "{vmpl} {number}");
        }
    }
}

#[test]
fn policies() {
    assert_eq!(GuestPolicy::DEFAULT.bits(), 0x3_0000);
    let policy = GuestPolicy::from_bits_retain(0x3_0137);
    assert_eq!((policy.abi_major(), policy.abi_minor()), (1, 0x37));
    for (bits, is_well_formed) in [(0x3_0000, true), (0x1_0000, false), (0x402_0000, false), (0x2_0000, true)]
    {
        assert_eq!(GuestPolicy::from_bits_retain(bits).is_well_formed(), is_well_formed, "{bits:#x}");
    }
}

#[test]
fn numbers_of_keys() {
    let (mut x, mut y) = ([0; 48], [0; 48]);
    (x[47], y[0]) = (1, 2);
    let key = EcdsaPublicKey::p384(&x, &y);
    assert_eq!((key.curve, key.qx[0], key.qy[47], key.qy[48]), (2, 1, 2, 0));
    assert_eq!(key.to_p384(), Some((x, y)));
    let signature = EcdsaSignature::p384(&x, &y);
    assert_eq!((signature.r[0], signature.s[47]), (1, 2));
    assert_eq!(signature.to_p384(), Some((x, y)));
    let mut large = signature;
    large.s[48] = 1;
    assert_eq!(large.to_p384(), None);
    assert_eq!(EcdsaPublicKey::new_zeroed().to_p384(), None);
}

/// As RFC 9562 writes it, and as UEFI lays it out.
#[test]
fn guids() {
    let [a, b, c, d, e, f, g, h, rest @ ..] = VTPM_SERVICE_GUID;
    let swapped = [d, c, b, a, f, e, h, g];
    assert_eq!(hex(&swapped) + &hex(&rest), "c476f1eb012345a59641b4e7dde5bfe3");
}
