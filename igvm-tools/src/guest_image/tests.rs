//! Images for one platform and for two, read back by three parsers.

use plinth_snp_abi::launch::{LaunchDigest, PageType};
use plinth_snp_abi::vmsa::SevFeatures;
use pvh_loader::file::{Directive, IgvmFile as Native};

use super::start::{Mode, Start};
use super::*;
use crate::inspect::Report;
use crate::recipe::Amount;
use crate::snp::id_block::tests::pem;
use crate::snp::processor::Signature;

fn page(gpa: u64, kind: PageKind, data: &[u8]) -> Page {
    Page { gpa, kind, data: data.to_vec() }
}

fn image() -> GuestImage {
    let start = Start {
        mode: Mode::Long,
        rip: Some(Amount(0xffff_ffff_8000_0000)),
        cr3: Some(Amount(0x10_0000)),
        rax: Some(Amount(0x10_0000)),
        ..Start::default()
    };
    GuestImage {
        required: vec![Range { gpa: 0x20_0000, bytes: 0x2000 }],
        parameters: vec![ParameterPlace { gpa: 0x30_0000, bytes: 0x2000, kind: ParameterKind::MemoryMap }],
        pages: vec![
            page(0x10_0000, PageKind::Measured, &[1]),
            page(0x10_1000, PageKind::Measured, &[]),
            page(0x10_2000, PageKind::Unmeasured, &[2]),
            page(0x10_3000, PageKind::Cpuid, &[]),
            page(0x10_4000, PageKind::Secrets, &[]),
        ],
        native: Some(start.native().unwrap()),
        snp: Some(SnpPart { policy: GuestPolicy::DEFAULT, contexts: vec![start.vmsa()], id_block: None }),
    }
}

fn vcpus(count: u32) -> Vcpus {
    Vcpus { count, signature: Signature(0), features: SevFeatures::SNP_ACTIVE }
}

#[test]
fn each_platform_finds_its_own() {
    let bytes = image().write().unwrap();
    igvm::IgvmFile::new_from_binary(&bytes, Some(igvm::IsolationType::Snp)).unwrap();
    let native = Native::parse(&bytes).unwrap();
    let pages: Vec<_> = native
        .directives()
        .filter_map(|directive| match directive.unwrap() {
            Directive::Page { gpa, data, .. } => Some((gpa, data.map(|data| data[0]))),
            _ => None,
        })
        .collect();
    assert_eq!(pages, [(0x10_0000, Some(1)), (0x10_1000, None), (0x10_2000, Some(2))]);
    let report = Report::new(&bytes).unwrap();
    assert_eq!(report.native.as_ref().unwrap().platforms.len(), 2);
    let kinds: Vec<_> = report.snp.as_ref().unwrap().pages.iter().map(|run| (run.kind, run.pages)).collect();
    assert_eq!(kinds, [("measured", 2), ("unmeasured", 1), ("cpuid", 1), ("secrets", 1)]);
    assert_eq!(report.file, None);
    let text = report.to_string();
    assert!(text.contains("policy 0x30000") && text.contains("secrets"), "{text}");
}

#[test]
fn images_for_one_platform() {
    let snp = GuestImage { native: None, ..image() }.write().unwrap();
    assert!(Native::parse(&snp).is_err());
    let report = Report::new(&snp).unwrap();
    assert_eq!(report.native, None);
    assert_eq!(report.file.unwrap().platforms[0].name, "sev-snp");
    let native = GuestImage { snp: None, ..image() }.write().unwrap();
    assert_eq!(SnpFile::parse(&native).unwrap_err(), SnpFileError::NoPlatform);
    assert_eq!(Report::new(&native).unwrap().snp, None);
}

#[test]
fn shared_pages_are_plain_ones_to_native() {
    let mut with_shared = image();
    with_shared.pages.push(page(0x10_5000, PageKind::Shared, &[3]));
    let bytes = with_shared.write().unwrap();
    assert_eq!(
        Native::parse(&bytes)
            .unwrap()
            .directives()
            .filter(|d| matches!(d, Ok(Directive::Page { .. })))
            .count(),
        4
    );
    let file = SnpFile::parse(&bytes).unwrap();
    assert_eq!(launch::image_digest(&file, &vcpus(1)), Err(LaunchError::Shared(0x10_5000)));
}

#[test]
fn the_digest_has_parameters_pages_and_contexts_in_this_order() {
    let image = image();
    let bytes = image.write().unwrap();
    let mut expected = LaunchDigest::new();
    let first = |byte| {
        let mut page = [0; 4096];
        page[0] = byte;
        page
    };
    expected.measure(PageType::Unmeasured, 0x30_0000, &[0; 4096]);
    expected.measure(PageType::Unmeasured, 0x30_1000, &[0; 4096]);
    expected.measure(PageType::Normal, 0x10_0000, &first(1));
    expected.measure(PageType::Normal, 0x10_1000, &[0; 4096]);
    expected.measure(PageType::Unmeasured, 0x10_2000, &first(2));
    expected.measure(PageType::Cpuid, 0x10_3000, &[0; 4096]);
    expected.measure(PageType::Secrets, 0x10_4000, &[0; 4096]);
    let context = image.snp.as_ref().unwrap().contexts[0];
    expected.measure(PageType::Vmsa, KVM_VMSA_GPA, &context.to_page());
    let file = SnpFile::parse(&bytes).unwrap();
    assert_eq!(launch::image_digest(&file, &vcpus(1)), Ok(expected.value()));
}

#[test]
fn a_block_is_for_the_digest_and_changes_none() {
    let mut image = image();
    let plain = image.write().unwrap();
    let digest = launch::image_digest(&SnpFile::parse(&plain).unwrap(), &vcpus(2)).unwrap();
    let key = Key::from_pem(&pem(5)).unwrap();
    signed(&mut image, &vcpus(2), &Identity::default(), &key, None).unwrap();
    let bytes = image.write().unwrap();
    let file = SnpFile::parse(&bytes).unwrap();
    assert_eq!(launch::image_digest(&file, &vcpus(2)), Ok(digest));
    let block = file.id_block().unwrap().fields().unwrap();
    assert_eq!(block.ld, digest);
    assert_eq!(id_block::verify(&block, file.policy().unwrap()), Ok(()));
    // The loader for NATIVE passes it over.
    Native::parse(&bytes).unwrap();
    let text = Report::new(&bytes).unwrap().to_string();
    assert!(text.contains("signatures: valid"), "{text}");
    let mut native = GuestImage { snp: None, ..image };
    assert!(signed(&mut native, &vcpus(1), &Identity::default(), &key, None).is_err());
}

#[test]
fn starts() {
    let start = |mode, rip: Option<u64>, cr3: Option<u64>| Start {
        mode,
        rip: rip.map(Amount),
        cr3: cr3.map(Amount),
        ..Start::default()
    };
    for (start, fits) in [
        (start(Mode::Reset, None, None), true),
        (start(Mode::Reset, Some(1), None), false),
        (start(Mode::Protected, Some(1), None), true),
        (start(Mode::Protected, None, None), false),
        (start(Mode::Protected, Some(1), Some(0x1000)), false),
        (start(Mode::Protected, Some(1 << 32), None), false),
        (start(Mode::Long, Some(u64::MAX), Some(0x1000)), true),
        (start(Mode::Long, Some(1), None), false),
        (start(Mode::Long, Some(1), Some(0x1001)), false),
    ] {
        assert_eq!(start.check().is_ok(), fits, "{start:?}");
    }
    let protected = start(Mode::Protected, Some(0x10_0000), None);
    assert!(protected.native().is_err());
    let vmsa = protected.vmsa();
    assert_eq!((vmsa.cs.attributes, vmsa.ss.attributes, vmsa.cr0, vmsa.cr4), (0xc9b, 0xc93, 0x31, 0x40));
    let vmsa = start(Mode::Long, Some(1), Some(0x1000)).vmsa();
    assert_eq!((vmsa.cs.attributes, vmsa.cr0, vmsa.cr4), (0xa9b, 0x8001_0031, 0x60));
    assert_eq!((vmsa.efer, vmsa.cr3, vmsa.sev_features), (0x1d00, 0x1000, 1));
}

#[test]
fn what_qemu_refuses_has_no_digest() {
    let bytes = image().write().unwrap();
    let digest = |bytes: &[u8], count| launch::image_digest(&SnpFile::parse(bytes).unwrap(), &vcpus(count));
    assert_eq!(digest(&bytes, 0), Err(LaunchError::ContextOfNone { vcpu: 0, count: 0 }));
    // The context's address is the last one in the headers, and theirs is the only checksum.
    let mut moved = bytes.clone();
    let place = KVM_VMSA_GPA.to_le_bytes();
    let at = moved.windows(8).position(|window| window == place).unwrap();
    moved[at..at + 8].copy_from_slice(&0x1000u64.to_le_bytes());
    crate::snp::reader::tests::seal(&mut moved);
    assert_eq!(digest(&moved, 1), Err(LaunchError::ContextPlace { vcpu: 0, gpa: 0x1000 }));
}

#[test]
fn an_insertion_is_launched_before_the_group_in_front_of_it() {
    // Written by hand, as this is not the order of our images.
    let page = |gpa| IgvmDirectiveHeader::PageData {
        gpa,
        compatibility_mask: SNP,
        flags: IgvmPageDataFlags::new(),
        data_type: IgvmPageDataType::NORMAL,
        data: vec![1],
    };
    let area =
        parameter(0, &ParameterPlace { gpa: 0x30_0000, bytes: 0x1000, kind: ParameterKind::VpCount }, SNP);
    let mut directives = vec![page(0x10_0000), page(0x10_1000)];
    directives.extend(area);
    directives.extend([page(0x10_2000), page(0x10_3000)]);
    let snp_only = GuestImage { native: None, ..image() };
    let file = IgvmFile::new(IgvmRevision::V1, snp_only.platforms(), Vec::new(), directives).unwrap();
    let mut bytes = Vec::new();
    file.serialize(&mut bytes).unwrap();
    let mut first = [0; 4096];
    first[0] = 1;
    let mut expected = LaunchDigest::new();
    expected.measure(PageType::Unmeasured, 0x30_0000, &[0; 4096]);
    for gpa in [0x10_0000, 0x10_1000, 0x10_2000, 0x10_3000] {
        expected.measure(PageType::Normal, gpa, &first);
    }
    let reset = crate::snp::vcpu::reset(0xffff_fff0, Signature(0), SevFeatures::SNP_ACTIVE);
    expected.measure(PageType::Vmsa, KVM_VMSA_GPA, &reset.to_page());
    assert_eq!(launch::image_digest(&SnpFile::parse(&bytes).unwrap(), &vcpus(1)), Ok(expected.value()));
}
