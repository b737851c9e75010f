//! Plinth's own image for SEV-SNP, read back.

use std::collections::BTreeMap;

use plinth_snp_abi::vmsa::SevFeatures;
use vcpu_abi::boot::{BootPage, platform};
use zerocopy::FromBytes;

use super::*;
use crate::kernel::{KERNEL_BASE, Kernel, Segment};
use crate::layout::{File, Parts, Platform, lay_out};
use crate::page_table::Permission;
use crate::snp::reader::{SnpDirective, SnpFile};

const BASE: u64 = 0x40_0000;
const C_BIT: u32 = 47;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

fn layout() -> Layout {
    let access = Permission::Execute;
    let segment = Segment { address: KERNEL_BASE, bytes: 0x2000, access, data: vec![0xf4] };
    let parts = Parts {
        platform: Platform::Snp,
        c_bit: C_BIT,
        kernel: Kernel { entry: KERNEL_BASE, segments: vec![segment] },
        files: vec![File { name: "init".to_owned(), data: vec![1; 5000] }],
        payload: vec![File { name: "linux".to_owned(), data: vec![7; 10_000] }],
        debug: true,
        mitigations: true,
        shortcuts: true,
        window_base: BASE,
        window_bytes: 1 << 20,
        payload_base: BASE + (1 << 20),
    };
    lay_out(&parts).unwrap()
}

fn image() -> (Layout, SnpPages, GuestImage) {
    let layout = layout();
    let snp = layout.snp.unwrap();
    (layout.clone(), snp, of_layout(layout, snp))
}

/// The entry that maps an address, in the image's tables.
fn entry(pages: &BTreeMap<u64, Vec<u8>>, root: u64, address: u64) -> u64 {
    let mut table = root;
    let mut found = 0;
    for level in (0..4).rev() {
        let index = (address >> (12 + 9 * level)) as usize % 512;
        let bytes = pages[&table].get(index * 8..index * 8 + 8).unwrap();
        found = u64::from_le_bytes(bytes.try_into().unwrap());
        assert!(found & 1 != 0, "{address:#x}, level {level}");
        if level > 0 {
            assert!(found >> C_BIT & 1 == 1, "the way to {address:#x} is not private");
        }
        table = found & ADDRESS & !(1 << C_BIT);
    }
    found
}

#[test]
fn all_is_private_but_the_page_for_calls_which_is_in_no_file() {
    let (layout, snp, image) = image();
    let pages: BTreeMap<u64, Vec<u8>> =
        image.pages.iter().map(|page| (page.gpa, page.data.clone())).collect();
    let (boot, _) = BootPage::read_from_prefix(&pages[&BASE]).unwrap();
    assert_eq!((boot.platform, boot.sharing_bit), (platform::SEV_SNP, C_BIT));
    let root = layout.page_table_root;
    for (address, gpa) in [(boot.cpuid_page_virtual, snp.cpuid), (boot.secrets_page_virtual, snp.secrets)] {
        let entry = entry(&pages, root, address);
        assert_eq!((entry & ADDRESS, entry & 2), (gpa | 1 << C_BIT, 0));
    }
    let shared = entry(&pages, root, boot.host_call_page_virtual);
    let shared_gpa = shared & ADDRESS;
    assert!((BASE..layout.image_end).contains(&shared_gpa) && shared & 2 != 0, "{shared:#x}");
    assert_eq!(shared >> C_BIT & 1, 0);
    // Everything else of the image's part of the window is launched, once.
    let areas = [layout.memory_map, layout.vp_count, layout.environment_info];
    let in_area = |gpa: u64| areas.iter().any(|area| (area.gpa..area.gpa + area.bytes).contains(&gpa));
    for gpa in (BASE..layout.image_end).step_by(4096) {
        let launched = pages.contains_key(&gpa) || in_area(gpa);
        assert_eq!(launched, gpa != shared_gpa, "{gpa:#x}");
    }
    assert_eq!(pages.len(), image.pages.len());
}

#[test]
fn the_file_is_one_that_qemu_loads() {
    let (layout, snp, image) = image();
    let bytes = image.write().unwrap();
    igvm::IgvmFile::new_from_binary(&bytes, None).unwrap();
    let file = SnpFile::parse(&bytes).unwrap();
    assert_eq!(file.policy(), Some(POLICY));
    let kinds: Vec<_> = file
        .directives()
        .iter()
        .filter_map(|placed| match placed.directive {
            SnpDirective::Page { gpa, kind, .. } => Some((gpa, kind)),
            _ => None,
        })
        .filter(|(_, kind)| *kind != PageKind::Measured)
        .collect();
    assert_eq!(kinds, [(snp.cpuid, PageKind::Cpuid), (snp.secrets, PageKind::Secrets)]);
    let [context] = &image.snp.as_ref().unwrap().contexts[..] else { panic!("one context") };
    assert_eq!((context.features(), context.vmpl), (SevFeatures::SNP_ACTIVE, 0));
    assert_eq!((context.rip, context.rsp), (layout.entry, layout.stack_top));
    assert_eq!((context.cr3, context.rdi), (layout.page_table_root | 1 << C_BIT, BOOT_PAGE_VIRTUAL));
}
