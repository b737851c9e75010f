//! Images out of a small ROM, read back, with their digest computed a second time from the description.

use plinth_snp_abi::launch::{LaunchDigest, PageType};
use plinth_snp_abi::vmsa::{KVM_VMSA_GPA, Vmsa};

use super::*;
use crate::inspect::snp::SnpInspection;
use crate::ovmf::sample::RomBuilder;
use crate::snp::launch::Vcpus;
use crate::snp::reader::SnpFile;

fn options(vcpus: u16) -> Options {
    Options { vcpus, policy: GuestPolicy::DEFAULT, measure_memory: false, hashes: None }
}

fn written(options: &Options) -> Vec<u8> {
    let rom = RomBuilder::sound().build();
    image(&Ovmf::parse(&rom).unwrap(), options).unwrap().write().unwrap()
}

fn digest(bytes: &[u8], count: u32) -> [u8; 48] {
    let vcpus = Vcpus { count, signature: Signature(0), features: SevFeatures::SNP_ACTIVE };
    launch::image_digest(&SnpFile::parse(bytes).unwrap(), &vcpus).unwrap()
}

#[test]
fn what_is_in_an_image() {
    let bytes = written(&options(2));
    assert_eq!(bytes, written(&options(2)));
    igvm::IgvmFile::new_from_binary(&bytes, Some(igvm::IsolationType::Snp)).unwrap();
    let inspection = SnpInspection::new(&SnpFile::parse(&bytes).unwrap());
    let runs: Vec<_> =
        inspection.pages.iter().map(|run| (run.gpa, run.pages, run.data_pages, run.kind)).collect();
    assert_eq!(
        runs,
        [
            (0xffff_c000, 4, 4, "measured"),
            (0x80_0000, 9, 0, "unmeasured"),
            (0x80_a000, 3, 0, "unmeasured"),
            (0x80_d000, 1, 0, "secrets"),
            (0x80_e000, 1, 0, "cpuid"),
            (0x80_f000, 1, 0, "unmeasured"),
            (0x81_1000, 15, 0, "unmeasured"),
            (0x81_0000, 1, 0, "measured"),
        ]
    );
    let entries: Vec<_> =
        inspection.contexts.iter().map(|context| (context.vcpu, context.cs_base, context.rip)).collect();
    assert_eq!(entries, [(0, 0xffff_0000, 0xfff0), (1, 0x80_0000, 0xb004)]);
    assert_eq!(inspection.policy, Some(0x3_0000));
    assert_eq!(inspection.id_block, None);
}

#[test]
fn the_digest_is_that_of_what_is_launched() {
    let hashes = KernelHashes::new(b"kernel", b"", "");
    for (measure_memory, hashes) in [(false, None), (true, None), (false, Some(hashes))] {
        let bytes = written(&Options { measure_memory, hashes, ..options(2) });
        let rom = RomBuilder::sound().build();
        let mut expected = LaunchDigest::new();
        for (index, page) in (0..).zip(rom.as_chunks().0) {
            expected.measure(PageType::Normal, 0xffff_c000 + index * 4096, page);
        }
        for (gpa, pages, kind) in [
            (0x80_0000, 9, PageType::Unmeasured),
            (0x80_a000, 3, PageType::Unmeasured),
            (0x80_d000, 1, PageType::Secrets),
            (0x80_e000, 1, PageType::Cpuid),
            (0x80_f000, 1, PageType::Unmeasured),
            (0x81_1000, 15, PageType::Unmeasured),
        ] {
            for index in 0..pages {
                let kind =
                    if kind == PageType::Unmeasured && measure_memory { PageType::Normal } else { kind };
                expected.measure(kind, gpa + index * 4096, &[0; 4096]);
            }
        }
        let table = hashes.map_or([0; 4096], |hashes| hashes.page(0xc00).unwrap());
        expected.measure(PageType::Normal, 0x81_0000, &table);
        for entry in [0xffff_fff0, 0x80_b004] {
            let vmsa = vcpu::reset(entry, Signature(0), SevFeatures::SNP_ACTIVE);
            expected.measure(PageType::Vmsa, KVM_VMSA_GPA, &vmsa.to_page());
        }
        assert_eq!(digest(&bytes, 2), expected.value(), "{measure_memory} {hashes:?}");
    }
}

#[test]
fn vcpus_count() {
    let one = written(&options(1));
    assert_ne!(digest(&one, 1), digest(&written(&options(2)), 2));
    // The second one is as after reset, which an image of one does not say.
    let vcpus = |count, signature| {
        let vcpus = Vcpus { count, signature: Signature(signature), features: SevFeatures::SNP_ACTIVE };
        launch::image_digest(&SnpFile::parse(&one).unwrap(), &vcpus)
    };
    assert_ne!(vcpus(2, 0), vcpus(2, 1));
    assert_eq!(vcpus(1, 0), vcpus(1, 1));
    assert_eq!(vcpus(0, 0), Err(LaunchError::ContextOfNone { vcpu: 0, count: 0 }));
    assert_eq!(vcpus(VCPUS_MAX + 1, 0), Err(LaunchError::Vcpus(VCPUS_MAX + 1)));
    let rom = RomBuilder::sound().build();
    let none = image(&Ovmf::parse(&rom).unwrap(), &options(0));
    assert_eq!(none.unwrap_err(), LaunchError::Vcpus(0));
}

#[test]
fn firmware_without_hashes_takes_none() {
    let rom = RomBuilder::sound().sections(&[[0x80_0000, 0x1000, 1]]).build();
    let hashes = Some(KernelHashes::new(b"kernel", b"", ""));
    let refused = image(&Ovmf::parse(&rom).unwrap(), &Options { hashes, ..options(1) });
    assert_eq!(refused.unwrap_err(), LaunchError::NoHashes);
}

#[test]
fn two_bits_are_kvms() {
    let context = Vmsa { rdx: 5, ..Vmsa::zeroed() };
    let started = vcpu::as_started(&context);
    assert_eq!((started.efer, started.cr4, started.rdx), (1 << 12, 1 << 6, 5));
}
