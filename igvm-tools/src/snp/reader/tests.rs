//! Files that are sound but for one header.

use plinth_snp_abi::id_block::GuestPolicy;
use plinth_snp_abi::vmsa::{KVM_VMSA_GPA, SevFeatures};
use pvh_loader::crc32;

use super::*;
use crate::guest_image::{GuestImage, Page, ParameterPlace, SnpPart, signed};
use crate::inspect::Range;
use crate::snp::id_block::tests::pem;
use crate::snp::id_block::{Identity, Key};
use crate::snp::launch::Vcpus;
use crate::snp::processor::Signature;
use crate::snp::vcpu;
use pvh_loader::file::{FileError, ParameterKind};

const HEADERS: usize = 24;

fn sound() -> Vec<u8> {
    let page = |gpa, kind, data: &[u8]| Page { gpa, kind, data: data.to_vec() };
    let context = vcpu::reset(vcpu::RESET_VECTOR, Signature(0), SevFeatures::SNP_ACTIVE);
    let mut image = GuestImage {
        required: vec![Range { gpa: 0x20_0000, bytes: 0x2000 }],
        parameters: vec![ParameterPlace { gpa: 0x30_0000, bytes: 0x1000, kind: ParameterKind::VpCount }],
        pages: vec![
            page(0x10_0000, PageKind::Measured, &[1]),
            page(0x10_2000, PageKind::Shared, &[2]),
            page(0x10_3000, PageKind::Secrets, &[]),
        ],
        native: None,
        snp: Some(SnpPart { policy: GuestPolicy::DEFAULT, contexts: vec![context; 2], id_block: None }),
    };
    image.pages.retain(|page| page.kind != PageKind::Shared);
    let vcpus = Vcpus { count: 2, signature: Signature(0), features: SevFeatures::SNP_ACTIVE };
    let key = Key::from_pem(&pem(5)).unwrap();
    signed(&mut image, &vcpus, &Identity::default(), &key, None).unwrap();
    image.pages.push(page(0x10_2000, PageKind::Shared, &[2]));
    image.write().unwrap()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The content of the header of this type, the first, second... of them.
fn content(bytes: &[u8], kind: u32, which: usize) -> std::ops::Range<usize> {
    let end = HEADERS + word(bytes, 12) as usize;
    let mut at = HEADERS;
    let mut seen = 0;
    while at < end {
        let length = word(bytes, at + 4) as usize;
        if word(bytes, at) == kind {
            if seen == which {
                return at + 8..at + 8 + length;
            }
            seen += 1;
        }
        at += 8 + length.next_multiple_of(8);
    }
    panic!("no header {kind:#x}");
}

pub(crate) fn seal(bytes: &mut [u8]) {
    bytes[20..24].fill(0);
    let checksum = crc32::checksum(&[&bytes[..HEADERS + word(bytes, 12) as usize]]);
    bytes[20..24].copy_from_slice(&checksum.to_le_bytes());
}

/// What a file is refused with in which bytes of one header's content are others.
fn refusal(kind: u32, which: usize, offset: usize, value: &[u8]) -> SnpFileError {
    let mut bytes = sound();
    let content = content(&bytes, kind, which);
    bytes[content][offset..offset + value.len()].copy_from_slice(value);
    seal(&mut bytes);
    SnpFile::parse(&bytes).unwrap_err()
}

#[test]
fn a_sound_file() {
    let bytes = sound();
    let file = SnpFile::parse(&bytes).unwrap();
    assert_eq!(file.policy(), Some(GuestPolicy::DEFAULT));
    let contexts: Vec<_> = file.contexts().map(|context| (context.vcpu, context.gpa)).collect();
    assert_eq!(contexts, [(0, KVM_VMSA_GPA), (1, KVM_VMSA_GPA)]);
    assert_eq!(file.contexts().next().unwrap().vmsa().rip, 0xfff0);
    let kinds: Vec<_> = file
        .directives()
        .iter()
        .filter_map(|placed| match placed.directive {
            SnpDirective::Page { gpa, kind, data, .. } => Some((gpa, kind, data.map(|data| data[0]))),
            _ => None,
        })
        .collect();
    assert_eq!(
        kinds,
        [
            (0x10_0000, PageKind::Measured, Some(1)),
            (0x10_3000, PageKind::Secrets, None),
            (0x10_2000, PageKind::Shared, Some(2)),
        ]
    );
    assert!(file.id_block().unwrap().fields().is_some());
}

#[test]
fn files_that_are_no_images_for_snp() {
    let bytes = sound();
    assert_eq!(SnpFile::parse(&bytes[..10]).unwrap_err(), FileError::TooShort { actual: 10 }.into());
    let longer = [&bytes[..], b"x"].concat();
    assert_eq!(SnpFile::parse(&longer).unwrap_err(), SnpFileError::Trailing(1));
    // Mask, highest VTL, type, version.
    assert_eq!(refusal(0x001, 0, 5, &[0]), SnpFileError::NoPlatform);
    assert!(matches!(refusal(0x001, 0, 6, &[2, 0]), SnpFileError::File(FileError::Platform { .. })));
    assert!(matches!(refusal(0x001, 0, 0, &[3]), SnpFileError::File(FileError::PlatformMask { .. })));
}

#[test]
fn pages_that_are_wrong() {
    let file = |error: SnpFileError| match error {
        SnpFileError::File(error) => error,
        other => panic!("{other}"),
    };
    // Address, mask, file offset, flags, type, a reserved field.
    assert!(matches!(file(refusal(0x302, 0, 0, &[1])), FileError::Alignment { value: 0x10_0001, .. }));
    assert!(matches!(
        file(refusal(0x302, 0, 0, &[0, 0xf0, 255, 255, 255, 255, 255, 255])),
        FileError::Wraps { .. }
    ));
    assert!(matches!(file(refusal(0x302, 0, 12, &[1, 0])), FileError::DataRange { .. }));
    assert!(matches!(file(refusal(0x302, 0, 16, &[8])), FileError::Reserved { .. }));
    assert!(matches!(file(refusal(0x302, 0, 22, &[1])), FileError::Reserved { .. }));
    for (flags, kind) in [(1u8, 0u8), (4, 1), (4, 2), (1, 2), (0, 4)] {
        let error = refusal(0x302, 0, 16, &[flags, 0, 0, 0, kind, 0]);
        let expected = SnpFileError::PageKind { gpa: 0x10_0000, flags: flags.into(), kind: kind.into() };
        assert_eq!(error, expected);
    }
    assert_eq!(refusal(0x302, 0, 20, &[1]), SnpFileError::Contents(0x10_0000));
}

#[test]
fn contexts_and_blocks_that_are_wrong() {
    // Address, mask, file offset, vCPU, a reserved field.
    assert!(matches!(refusal(0x304, 0, 0, &[1]), SnpFileError::File(FileError::Alignment { .. })));
    assert!(matches!(refusal(0x304, 0, 12, &[0; 4]), SnpFileError::File(FileError::DataRange { .. })));
    assert!(matches!(refusal(0x304, 0, 18, &[1]), SnpFileError::File(FileError::Reserved { .. })));
    let twice = refusal(0x304, 1, 16, &[0]);
    assert!(matches!(twice, SnpFileError::Twice { what: "context of this vCPU", .. }));
    // Mask, whether there is an author's key, reserved fields.
    assert!(matches!(refusal(0x30b, 0, 4, &[2]), SnpFileError::File(FileError::Reserved { .. })));
    assert!(matches!(refusal(0x30b, 0, 5, &[1]), SnpFileError::File(FileError::Reserved { .. })));
    // Policy, mask, a reserved field.
    assert!(matches!(refusal(0x101, 0, 12, &[1]), SnpFileError::File(FileError::Reserved { .. })));
}

#[test]
fn parameters_and_memory_that_are_wrong() {
    // Size, index, file offset.
    assert_eq!(refusal(0x301, 0, 0, &[0, 0, 0, 2]), SnpFileError::Area(0));
    assert!(matches!(refusal(0x301, 0, 0, &[1]), SnpFileError::File(FileError::Alignment { .. })));
    assert!(matches!(refusal(0x301, 0, 12, &[1]), SnpFileError::File(FileError::Unsupported { .. })));
    assert_eq!(refusal(0x307, 0, 0, &[1]), SnpFileError::File(FileError::AreaState(1)));
    assert!(matches!(refusal(0x303, 0, 0, &[1]), SnpFileError::File(FileError::Alignment { .. })));
    assert!(matches!(refusal(0x305, 0, 12, &[1]), SnpFileError::File(FileError::Alignment { .. })));
    assert!(matches!(refusal(0x305, 0, 16, &[2]), SnpFileError::File(FileError::Reserved { .. })));
}

#[test]
fn what_is_other_platforms_is_passed_over() {
    for (kind, mask) in [(0x302, 8), (0x304, 8), (0x30b, 0), (0x305, 8), (0x101, 8), (0x303, 8)] {
        let mut bytes = sound();
        let content = content(&bytes, kind, 0);
        bytes[content][mask] = 1;
        seal(&mut bytes);
        let file = SnpFile::parse(&bytes).unwrap();
        let whole = sound();
        let whole = SnpFile::parse(&whole).unwrap();
        let policies = (file.policy().is_some(), whole.policy().is_some());
        let counts = (file.directives().len(), whole.directives().len());
        assert!(counts.0 + 1 == counts.1 || policies == (false, true), "{kind:#x}");
    }
}
