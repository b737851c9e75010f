//! An image, read back by two parsers.

use pvh_loader::file::{Directive, IgvmFile as Parsed};
use pvh_loader::{context, walk};

use super::*;
use crate::inspect::{Contents, Inspection};
use crate::kernel::{KERNEL_BASE, Kernel, Segment};
use crate::layout::{File, Parts, Platform, lay_out};
use crate::page_table::Permission;

fn parts() -> Parts {
    let segment =
        |address, access, data: &[u8]| Segment { address, bytes: 0x2000, access, data: data.to_vec() };
    Parts {
        platform: Platform::Native,
        c_bit: 51,
        kernel: Kernel {
            entry: KERNEL_BASE,
            segments: vec![
                segment(KERNEL_BASE, Permission::Execute, &[0xf4]),
                segment(KERNEL_BASE + 0x2000, Permission::Read, &[1]),
                segment(KERNEL_BASE + 0x4000, Permission::Write, &[]),
            ],
        },
        files: vec![File { name: "init".to_owned(), data: b"a program".to_vec() }],
        payload: vec![File { name: "linux".to_owned(), data: vec![7; 10_000] }],
        debug: false,
        mitigations: false,
        shortcuts: true,
        window_base: 0x800_0000,
        window_bytes: 1 << 20,
        payload_base: 0xa00_0000,
    }
}

pub(crate) fn image() -> Vec<u8> {
    write(lay_out(&parts()).unwrap()).unwrap()
}

#[test]
fn the_same_parts_give_the_same_bytes() {
    assert_eq!(image(), image());
}

#[test]
fn both_parsers_take_it() {
    let bytes = image();
    igvm::IgvmFile::new_from_binary(&bytes, None).unwrap();
    let file = Parsed::parse(&bytes).unwrap();
    let pages = file.directives().filter(|directive| matches!(directive, Ok(Directive::Page { .. })));
    assert!(pages.count() > 10);
}

#[test]
fn the_loader_can_start_it() {
    use zerocopy::FromBytes;
    let bytes = image();
    let file = Parsed::parse(&bytes).unwrap();
    let registers = file.directives().find_map(|directive| match directive.unwrap() {
        Directive::VpContext { registers } => Some(registers),
        _ => None,
    });
    let start = IgvmNativeVpContextX64::read_from_bytes(registers.unwrap()).unwrap();
    let contents = Contents::new(&file).unwrap();
    assert_eq!(context::check(&start), Ok(()));
    assert_eq!(context::check_mapped(&start, &contents), Ok(()));
    assert_eq!(start.rdi, BOOT_PAGE_VIRTUAL);
    // Write or execute, never both; the page below the stack is a guard.
    let access = |address| {
        walk::translate(&contents, start.cr3, address).map(|mapping| (mapping.writable, mapping.executable))
    };
    for (address, expected) in [
        (KERNEL_BASE, Some((false, true))),
        (KERNEL_BASE + 0x3000, Some((false, false))),
        (KERNEL_BASE + 0x4000, Some((true, false))),
        (KERNEL_BASE + 0x6000, None),
        (BOOT_PAGE_VIRTUAL, Some((false, false))),
        (start.rsp - 1, Some((true, false))),
        (start.rsp - crate::layout::STACK_BYTES, Some((true, false))),
        (start.rsp - crate::layout::STACK_BYTES - 1, None),
        (start.rsp, None),
        (0, None),
        (0x800_0000, None),
    ] {
        assert_eq!(access(address), expected, "{address:#x}");
    }
}

#[test]
fn inspection() {
    let bytes = image();
    let inspection = Inspection::new(&Parsed::parse(&bytes).unwrap()).unwrap();
    assert_eq!(inspection.file_bytes, bytes.len() as u64);
    assert_eq!(inspection.platforms[0].name, "native");
    assert_eq!(inspection.pages.last().map(|run| (run.gpa, run.pages)), Some((0xa00_0000, 3)));
    let contents: Vec<_> = inspection.parameters.iter().flat_map(|area| area.contents.clone()).collect();
    assert_eq!(contents, ["memory map", "VP count", "environment info"]);
    let plinth = inspection.plinth.as_ref().unwrap();
    assert!(!plinth.debug);
    let files: Vec<_> = plinth.files.iter().map(|file| (&*file.name, &*file.kind, file.bytes)).collect();
    assert_eq!(files, [("init", "system", 9), ("linux", "payload", 10_000)]);
    // printf "a program" | sha256sum
    let digest = "d69ea8cda2433733c1ce02de65da8f48e6a3dbba6bb18876a2062908e54ef7cb";
    assert_eq!(plinth.files[0].sha256.as_deref(), Some(digest));
    let text = inspection.to_string();
    assert!(text.contains("init") && text.contains("required"), "{text}");
}
