//! Launches.

use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use plinth_snp_abi::PAGE_BYTES;
use plinth_snp_abi::cpuid_page::{CpuidEntry, CpuidPage};
use plinth_snp_abi::id_block::{EcdsaPublicKey, EcdsaSignature, GuestPolicy, IdAuth, IdBlock};
use plinth_snp_abi::launch::{LaunchDigest, PageType};
use plinth_snp_abi::rmp::Permissions;
use plinth_snp_abi::secrets::SecretsPage;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::{PARAMETERS, at, cpuid, machine, place, platform};
use crate::rmp::Update;
use crate::sp::{Launch, LaunchParameters, Signed, Status, correct};

#[test]
fn pages() {
    let (mut rmp, mut launch) = machine();
    let mut digest = LaunchDigest::new();
    for (gpa, page_type, vmsa, is_kept) in [
        (0x1000, PageType::Normal, false, true),
        (0x2000, PageType::Vmsa, true, true),
        (0x3000, PageType::Unmeasured, false, true),
        (0x4000, PageType::Zero, false, false),
        (0x5000, PageType::Secrets, false, false),
    ] {
        let mut page = [7; PAGE_BYTES];
        place(&mut launch, &mut rmp, page_type, gpa, &mut page).unwrap();
        assert_eq!(page == [7; PAGE_BYTES], is_kept, "{page_type:?}");
        digest.measure(page_type, gpa, &[7; PAGE_BYTES]);
        assert_eq!(launch.digest(), digest.value(), "{page_type:?}");
        let entry = rmp.lookup(gpa).unwrap();
        assert_eq!((entry.validated, entry.immutable, entry.vmsa), (true, false, vmsa), "{page_type:?}");
        assert_eq!(entry.permissions[1], Permissions::empty());
        // Not twice.
        let again = place(&mut launch, &mut rmp, page_type, gpa, &mut page);
        assert_eq!(again, Err(Status::InvalidPageState));
        assert_eq!(launch.digest(), digest.value(), "{page_type:?}");
    }
    let guest = launch.finish(None, [0; 32]).unwrap();
    assert_eq!(guest.measurement(), digest.value());
}

#[test]
fn pages_that_are_not_taken() {
    let (mut rmp, mut launch) = machine();
    let fixed = Update { immutable: true, ..super::update(0x9000, plinth_snp_abi::rmp::PageSize::Small) };
    rmp.update(0x9000, Update { asid: 2, ..fixed }).unwrap();
    rmp.update(0xa000, Update { gpa: 0xb000, ..fixed }).unwrap();
    rmp.update(0xb000, Update { gpa: 0xb000, immutable: false, ..fixed }).unwrap();
    let before = launch.digest();
    for (gpa, status) in [
        (0x8000, Status::InvalidPageState),
        (0x9000, Status::InvalidPageState),
        (0xa000, Status::InvalidPageState),
        (0xb000, Status::InvalidPageState),
        (0x1001, Status::InvalidAddress),
        (0x10_0000, Status::InvalidAddress),
    ] {
        let taken = place(&mut launch, &mut rmp, PageType::Normal, gpa, &mut [0; PAGE_BYTES]);
        assert_eq!(taken, Err(status), "{gpa:#x}");
    }
    assert_eq!(launch.digest(), before);
}

#[test]
fn secrets() {
    let page = |launch: &mut Launch, rmp: &mut crate::rmp::Rmp| {
        let mut page = [0; PAGE_BYTES];
        place(launch, rmp, PageType::Secrets, 0x1000, &mut page).unwrap();
        SecretsPage::read_from_bytes(&page).unwrap()
    };
    let (mut rmp, mut launch) = machine();
    let secrets = page(&mut launch, &mut rmp);
    assert_eq!((secrets.version, secrets.family_model_stepping), (3, 0xa0_0f11));
    assert_eq!((secrets.gosvw, secrets.svsm_size), ([3; 16], 0));
    let keys = secrets.vmpck;
    for (number, key) in keys.iter().enumerate() {
        assert!(*key != [0; 32] && !keys[..number].contains(key), "{number}");
    }
    // Another guest of the same platform has others; the same guest has the same.
    let (mut rmp, mut again) = machine();
    assert_eq!(page(&mut again, &mut rmp).vmpck, keys);
    let (mut rmp, _) = machine();
    let mut other = Launch::start(&platform(), LaunchParameters { number: 8, ..PARAMETERS }).unwrap();
    assert_ne!(page(&mut other, &mut rmp).vmpck[0], keys[0]);
}

#[test]
fn policies() {
    let start = |bits, info| {
        let mut platform = platform();
        platform.platform_info = info;
        let parameters = LaunchParameters { policy: GuestPolicy::from_bits_retain(bits), ..PARAMETERS };
        Launch::start(&platform, parameters).err()
    };
    for (bits, info, status) in [
        (0x3_0000, 1, None),
        (0x3_0137, 1, None),
        (0x3_0138, 1, Some(Status::PolicyFailure)),
        (0x3_0200, 1, Some(Status::PolicyFailure)),
        (0x1_0000, 1, Some(Status::InvalidParam)),
        (1 << 26 | 0x3_0000, 1, Some(Status::InvalidParam)),
        (0x2_0000, 1, Some(Status::PolicyFailure)),
        (0x2_0000, 0, None),
        (0xb_0000, 1, None),
        (0x7_0000, 1, Some(Status::PolicyFailure)),
        (0x83_0000, 1, Some(Status::PolicyFailure)),
        (0x83_0000, 9, None),
        (0x103_0000, 1, Some(Status::PolicyFailure)),
        (0x103_0000, 0x11, None),
    ] {
        assert_eq!(start(bits, info), status, "{bits:#x} {info:#x}");
    }
}

fn entry(eax_in: u32, registers: [u32; 4]) -> CpuidEntry {
    let [eax, ebx, ecx, edx] = registers;
    CpuidEntry { eax_in, eax, ebx, ecx, edx, ..CpuidEntry::default() }
}

#[test]
fn cpuid_pages() {
    let check = |entries: &[CpuidEntry]| {
        let mut page = CpuidPage::new(entries).unwrap();
        (correct(&mut page, &cpuid), page)
    };
    let honest = entry(1, [0xa0_0f11, 0x800, 5, 0xff]);
    let has_osxsave = entry(1, [0xa0_0f11, 0x800, 5 | 1 << 27 | 1 << 31, 0xff]);
    let hypervisor = entry(0x4000_0000, [1, 2, 3, 4]);
    for good in [&[honest][..], &[has_osxsave, hypervisor], &[entry(0xd, [7, 0x240, 0x340, 0])], &[]] {
        assert_eq!(check(good), (Ok(()), CpuidPage::new(good).unwrap()), "{good:x?}");
    }
    for (bad, accepted) in [
        (entry(1, [0, 0, 0x1f, 0x1ff]), entry(1, [0, 0, 0xf, 0xff])),
        (entry(7, [0, 0x1ff, 0, 0]), entry(7, [0, 0xff, 0, 0])),
        (entry(0x8000_001f, [!0, 51, 0, 0]), entry(0x8000_001f, [0x1_78bf, 51, 0, 0])),
        (entry(0xd, [7, 0x340, 0x340, 0]), entry(0xd, [7, 0x240, 0x340, 0])),
    ] {
        // The entry beside it is for another function.
        let beside = if bad.eax_in == 1 { hypervisor } else { honest };
        let mut written = CpuidPage::new(&[beside, accepted]).unwrap();
        assert_eq!(check(&[beside, bad]), (Err(Status::InvalidParam), written), "{bad:x?}");
        // What was written back is taken.
        assert_eq!(correct(&mut written, &cpuid), Ok(()));
    }
    for refused in [[honest, honest], [honest, entry(0x1_0000, [0; 4])]] {
        let (result, page) = check(&refused);
        assert_eq!((result, page.valid().unwrap()), (Err(Status::InvalidParam), &refused[..]));
    }
    let mut long = CpuidPage::new(&[honest]).unwrap();
    long.count = 65;
    assert_eq!(correct(&mut long, &cpuid), Err(Status::InvalidParam));
}

#[test]
fn a_refused_cpuid_page_comes_back() {
    let (mut rmp, mut launch) = machine();
    let before = launch.digest();
    let mut page = [0; PAGE_BYTES];
    page.copy_from_slice(CpuidPage::new(&[entry(7, [0, 0x1ff, 0, 0])]).unwrap().as_bytes());
    let refused = place(&mut launch, &mut rmp, PageType::Cpuid, 0x1000, &mut page);
    assert_eq!((refused, launch.digest()), (Err(Status::InvalidParam), before));
    assert!(!rmp.lookup(0x1000).unwrap().validated);
    let written = CpuidPage::read_from_bytes(&page).unwrap();
    assert_eq!(written.valid().unwrap(), [entry(7, [0, 0xff, 0, 0])]);
    place(&mut launch, &mut rmp, PageType::Cpuid, 0x1000, &mut page).unwrap();
    assert_ne!(launch.digest(), before);
}

fn key(number: u8) -> (SigningKey, EcdsaPublicKey) {
    let key = SigningKey::from_slice(&[number; 48]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let coordinate = |at: usize| *point.as_bytes()[at..].first_chunk().unwrap();
    let public = EcdsaPublicKey::p384(&coordinate(1), &coordinate(49));
    (key, public)
}

fn sign(key: &SigningKey, bytes: &[u8]) -> EcdsaSignature {
    let signature: Signature = key.sign(bytes);
    let (r, s) = signature.split_bytes();
    EcdsaSignature::p384(&r.into(), &s.into())
}

#[test]
fn id_blocks() {
    let (id_key, id_public) = key(1);
    let (author_key, author_public) = key(2);
    let (_, launch) = machine();
    type Break = fn(&mut IdBlock, &mut IdAuth);
    // What is wrong before the block is signed, what is wrong afterwards, and what comes of it.
    let nothing: Break = |_, _| {};
    let table: [(Break, Break, bool, Option<Status>); 11] = [
        (nothing, nothing, true, None),
        (nothing, nothing, false, None),
        (|block, _| block.launch_digest[0] ^= 1, nothing, true, Some(Status::BadMeasurement)),
        (|block, _| block.policy = 0xb_0000, nothing, true, Some(Status::PolicyFailure)),
        (|block, _| block.version = 2, nothing, true, Some(Status::InvalidParam)),
        (|_, auth| auth.id_key_algorithm = 2, nothing, true, Some(Status::InvalidParam)),
        (|_, auth| auth.author_key_algorithm = 2, nothing, true, Some(Status::InvalidParam)),
        (nothing, |block, _| block.guest_svn += 1, true, Some(Status::BadSignature)),
        (nothing, |_, auth| auth.id_key_signature.r[0] ^= 1, true, Some(Status::BadSignature)),
        (nothing, |_, auth| auth.id_key_signature.r[0] ^= 1, false, None),
        (nothing, |_, auth| auth.id_key.qx[0] ^= 1, true, Some(Status::BadSignature)),
    ];
    for (number, (before, after, has_author, status)) in table.into_iter().enumerate() {
        let mut block = IdBlock {
            launch_digest: launch.digest(),
            version: 1,
            guest_svn: 3,
            policy: 0x3_0000,
            ..IdBlock::new_zeroed()
        };
        let mut auth = IdAuth { id_key_algorithm: 1, author_key_algorithm: 1, ..IdAuth::new_zeroed() };
        (auth.id_key, auth.author_key) = (id_public, author_public);
        before(&mut block, &mut auth);
        auth.id_block_signature = sign(&id_key, block.as_bytes());
        auth.id_key_signature = sign(&author_key, auth.id_key.as_bytes());
        after(&mut block, &mut auth);
        let signed = Signed { block: &block, auth: &auth, has_author };
        let finished = launch.clone().finish(Some(signed), [0; 32]);
        assert_eq!(finished.err(), status, "{number}");
    }
}

#[test]
fn targets() {
    // Host and guest need not agree on where a page is.
    let (mut rmp, mut launch) = machine();
    let elsewhere = crate::access::Target { gpa: 0x2000, ..at(0x1000) };
    let taken = launch.update(&mut rmp, PageType::Zero, &elsewhere, &mut [0; PAGE_BYTES], &cpuid);
    assert_eq!(taken, Err(Status::InvalidPageState));
}
