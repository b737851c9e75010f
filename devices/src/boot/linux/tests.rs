use super::{header::field, plan as plan_of, spec::header as h, *};
use crate::boot::{MemoryKind, MemoryRange, pc_memory_map};
use crate::testing::Random;

const MIB: u64 = 1 << 20;

/// A bzImage header like that of a current kernel: 3 setup sectors, 8 MiB in all.
fn image() -> Vec<u8> {
    let mut file = vec![0; 1024];
    put(&mut file, h::SETUP_SECTS, &[3]);
    put(&mut file, h::BOOT_FLAG, &[0x55, 0xaa]);
    put(&mut file, h::JUMP, &[0xeb, 0x6a]);
    put(&mut file, h::MAGIC, b"HdrS");
    put(&mut file, h::VERSION, &[0x0f, 0x02]);
    put(&mut file, h::LOADFLAGS, &[0x81]);
    put(&mut file, h::INITRD_ADDR_MAX, &0x7fff_ffffu32.to_le_bytes());
    put(&mut file, h::KERNEL_ALIGNMENT, &0x20_0000u32.to_le_bytes());
    put(&mut file, h::RELOCATABLE, &[1]);
    put(&mut file, h::XLOADFLAGS, &[0x03, 0x00]);
    put(&mut file, h::CMDLINE_SIZE, &2047u32.to_le_bytes());
    put(&mut file, h::PREF_ADDRESS, &(16 * MIB).to_le_bytes());
    put(&mut file, h::INIT_SIZE, &(40 * MIB as u32).to_le_bytes());
    file
}

const FILE_BYTES: u64 = 8 * MIB;

fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

fn parse(file: &[u8]) -> Result<BzImage, ImageError> {
    BzImage::parse(file, FILE_BYTES)
}

/// Plans a boot with this much RAM below 4 GiB and above.
fn plan(kernel: &BzImage, initrd_bytes: u64, low: u64, high: u64) -> Result<BootPlan, BootError> {
    let memory = pc_memory_map(low, high);
    let request = BootRequest {
        kernel,
        initrd_bytes,
        command_line: b"console=ttyS0",
        memory: &memory,
        rsdp_gpa: 0xe_0000,
    };
    plan_of(&request)
}

#[test]
fn a_good_header() {
    let kernel = parse(&image()).unwrap();
    assert_eq!(kernel.payload, 2048..FILE_BYTES);
    assert_eq!((kernel.version, kernel.alignment, kernel.preferred_gpa), (0x20f, 2 * MIB, 16 * MIB));
    assert_eq!((kernel.memory_bytes, kernel.command_line_max), (40 * MIB, 2047));
    assert!(kernel.has_64_bit_entry() && kernel.relocatable);
}

#[test]
fn bad_headers() {
    let cases: [(usize, &[u8], ImageError); 11] = [
        (h::BOOT_FLAG, &[0, 0], ImageError::NotLinux),
        (h::MAGIC, b"hdrs", ImageError::NotLinux),
        (h::VERSION, &[0x05, 0x02], ImageError::TooOld { version: 0x205 }),
        (h::LOADFLAGS, &[0x80], ImageError::LoadedLow),
        (h::KERNEL_ALIGNMENT, &[0, 0, 0, 0], ImageError::Alignment { alignment: 0 }),
        (h::KERNEL_ALIGNMENT, &[1, 0, 0x20, 0], ImageError::Alignment { alignment: 0x20_0001 }),
        (h::PREF_ADDRESS, &[0xff; 8], ImageError::Extent),
        (h::PREF_ADDRESS, &[0; 8], ImageError::Extent),
        (h::PREF_ADDRESS, &[0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff], ImageError::Extent),
        (h::JUMP, &[0xeb, 0xff, b'H'], ImageError::Truncated),
        (h::MAGIC, &[0; 4], ImageError::NotLinux),
    ];
    for (at, bytes, error) in cases {
        let mut file = image();
        put(&mut file, at, bytes);
        let head = if error == ImageError::Truncated { &file[..0x280] } else { &file[..] };
        assert_eq!(parse(head).err(), Some(error), "{at:#x} = {bytes:x?}");
    }
    assert_eq!(BzImage::parse(&image(), 2048).err(), Some(ImageError::NoPayload));
    assert_eq!(BzImage::parse(&image()[..0x205], 1 << 30).err(), Some(ImageError::Truncated));
    assert_eq!(parse(&image()[..0x206]).err(), Some(ImageError::TooOld { version: 0 }));
    assert_eq!(parse(&image()[..0x26b]).err(), Some(ImageError::Truncated));
    assert!(parse(&image()[..0x26c]).is_ok());
    let mut file = image();
    put(&mut file, h::SETUP_SECTS, &[0]);
    assert_eq!(parse(&file).unwrap().payload.start, 5 * 512, "0 means 4");
}

/// What lies behind the header's end is none of its fields.
#[test]
fn the_jump_says_where_the_header_ends() {
    for (jump, command_line_max) in [(0x36, 0), (0x37, 0xff), (0x3a, 0x7ff)] {
        let mut file = image();
        put(&mut file, h::VERSION, &[0x06, 0x02]);
        put(&mut file, h::JUMP + 1, &[jump]);
        assert_eq!(parse(&file).unwrap().command_line_max, command_line_max, "{jump:x}");
    }
}

#[test]
fn messages_say_what_is_wrong() {
    use alloc::string::ToString;
    for (message, part) in [
        (ImageError::TooOld { version: 0x205 }.to_string(), "2.05"),
        (ImageError::Alignment { alignment: 3 }.to_string(), "0x3"),
        (BootError::KernelMemory { bytes: 40 * MIB }.to_string(), "40960 KiB"),
        (BootError::CommandLine { limit: 2047 }.to_string(), "2047"),
        (crate::guest_memory::NotMemory.to_string(), "not the guest's memory"),
        (crate::acpi::AcpiError::TooLarge { bytes: 77 }.to_string(), "77"),
        (crate::bus::ClaimError::Empty { device: crate::bus::DeviceId(7) }.to_string(), "device 7"),
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn old_protocols() {
    // Version; load address; memory from there on.
    let cases = [
        (0x206, MIB, 4 * (FILE_BYTES - 2048)),
        (0x209, MIB, 4 * (FILE_BYTES - 2048)),
        (0x20a, 16 * MIB, 40 * MIB),
    ];
    for (version, gpa, bytes) in cases {
        let mut file = image();
        put(&mut file, h::VERSION, &u16::to_le_bytes(version));
        let kernel = parse(&file).unwrap();
        assert!(!kernel.has_64_bit_entry(), "the flags came with 2.12");
        let plan = plan(&kernel, 0, 256 * MIB, 0).unwrap();
        assert_eq!(plan.kernel, gpa..gpa + bytes);
        assert_eq!((plan.entry.mode, plan.entry.rip, plan.entry.cr0), (EntryMode::Protected32, gpa, 0x11));
        assert_eq!((plan.entry.cr3, plan.entry.efer, plan.entry.code.attributes), (0, 0, 0xc9b));
    }
}

#[test]
fn places_for_kernel_and_initrd() {
    let top = 0xe000_0000u64;
    // RAM below, RAM above, RAM disk; kernel, RAM disk (0 for an error).
    let cases = [
        (512 * MIB, 0, 0, 16 * MIB, 0),
        (512 * MIB, 0, 20 * MIB, 16 * MIB, 492 * MIB),
        (512 * MIB, 0, 1, 16 * MIB, 512 * MIB - 4096),
        // No room for the kernel where it prefers to be: lower, at its alignment.
        (55 * MIB, 0, 0, 2 * MIB, 0),
        (42 * MIB, 0, 0, 2 * MIB, 0),
        (41 * MIB, 0, 0, 0, 0),
        // The RAM disk before the kernel when there is no room behind it.
        (60 * MIB, 0, 10 * MIB, 16 * MIB, 6 * MIB),
        (60 * MIB, 0, 16 * MIB, 16 * MIB, 0),
        // Not above the kernel's limit of 2 GiB; or above 4 GiB where nothing else is left.
        (top, 0, 20 * MIB, 16 * MIB, 0x8000_0000 - 20 * MIB),
        (64 * MIB, 4096 * MIB, 100 * MIB, 16 * MIB, (8192 - 100) * MIB),
    ];
    for (low, high, initrd, kernel_gpa, initrd_gpa) in cases {
        let kernel = parse(&image()).unwrap();
        let expected = match (kernel_gpa, initrd_gpa) {
            (0, _) => Err(BootError::KernelMemory { bytes: 40 * MIB }),
            (_, 0) if initrd > 0 => Err(BootError::InitrdMemory { bytes: initrd }),
            _ => Ok((kernel_gpa..kernel_gpa + 40 * MIB, initrd_gpa..initrd_gpa + initrd)),
        };
        let made = plan(&kernel, initrd, low, high).map(|plan| (plan.kernel, plan.initrd));
        assert_eq!(made, expected, "{low:#x} {high:#x} {initrd:#x}");
    }
}

#[test]
fn other_refusals() {
    let kernel = parse(&image()).unwrap();
    assert_eq!(plan(&kernel, 0, 0x2_0000, 0).err(), Some(BootError::LowMemory));
    let mut file = image();
    put(&mut file, h::RELOCATABLE, &[0]);
    let fixed = parse(&file).unwrap();
    assert_eq!(plan(&fixed, 0, 55 * MIB, 0).err(), Some(BootError::KernelMemory { bytes: 40 * MIB }));
    let memory = pc_memory_map(512 * MIB, 0);
    let long = [b'x'; 2048];
    let request =
        BootRequest { kernel: &kernel, initrd_bytes: 0, command_line: &long, memory: &memory, rsdp_gpa: 0 };
    assert_eq!(plan_of(&request).err(), Some(BootError::CommandLine { limit: 2047 }));
    // The longest that the kernel takes, and that there is room for whatever it takes.
    for (takes, limit) in [(2047, 2047), (u32::MAX, layout::COMMAND_LINE_BYTES as usize - 1), (0, 0)] {
        let mut file = image();
        put(&mut file, h::CMDLINE_SIZE, &takes.to_le_bytes());
        let kernel = parse(&file).unwrap();
        let line = vec![b'x'; limit + 1];
        let plan = |command_line| plan_of(&BootRequest { kernel: &kernel, command_line, ..request });
        assert!(plan(&line[..limit]).is_ok(), "{takes}");
        assert_eq!(plan(&line).err(), Some(BootError::CommandLine { limit }), "{takes}");
    }
    let many = vec![memory[0]; 129];
    assert_eq!(plan_of(&BootRequest { memory: &many, ..request }).err(), Some(BootError::MemoryMap));
    // A 64-bit kernel without the flag cannot find a RAM disk above 4 GiB.
    put(&mut file, h::XLOADFLAGS, &[1, 0]);
    let near = parse(&file).unwrap();
    let error = BootError::InitrdMemory { bytes: 100 * MIB };
    assert_eq!(plan(&near, 100 * MIB, 64 * MIB, 4096 * MIB).err(), Some(error));
}

#[test]
fn boot_params_say_what_the_loader_did() {
    let kernel = parse(&image()).unwrap();
    let made = plan(&kernel, 100 * MIB, 64 * MIB, 4096 * MIB).unwrap();
    let Some(Source::Bytes(page)) =
        made.placements.iter().find(|p| p.gpa == made.entry.rsi).map(|p| &p.source)
    else {
        panic!("no boot_params")
    };
    assert_eq!(page.len(), 4096);
    let dword = |at| field::<4>(page, at);
    // Offset, dword.
    let cases = [
        (h::MAGIC, u64::from(spec::MAGIC)),
        (h::CODE32_START, 16 * MIB),
        (h::RAMDISK_IMAGE, ((8192 - 100) * MIB) & 0xffff_ffff),
        (z::EXT_RAMDISK_IMAGE, 1),
        (h::RAMDISK_SIZE, 100 * MIB),
        (z::EXT_RAMDISK_SIZE, 0),
        (z::EXT_CMD_LINE_PTR, 0),
        (z::ACPI_RSDP_ADDR, 0xe_0000),
        (h::INIT_SIZE, 40 * MIB),
        (z::E820_TABLE, 0),
        (z::E820_TABLE + 8, 0x9_fc00),
        (z::E820_TABLE + 16, 1),
        (z::E820_TABLE + 5 * 20 + 4, 1),
        (z::E820_TABLE + 5 * 20 + 12, 1),
    ];
    for (at, value) in cases {
        assert_eq!(dword(at), value, "{at:#x}");
    }
    let bytes = [(0, 0), (0x1ef, 0), (h::TYPE_OF_LOADER, 0xff), (h::LOADFLAGS, 0x01), (z::E820_ENTRIES, 6)];
    for (at, value) in bytes {
        assert_eq!(page[at], value, "{at:#x}");
    }
    // A RAM disk of more than 4 GiB.
    let large = plan(&kernel, 5 << 30, 64 * MIB, 8 << 30).unwrap();
    let page_of = |plan: &BootPlan| {
        plan.placements.iter().find_map(|p| match &p.source {
            Source::Bytes(page) if p.gpa == plan.entry.rsi => Some(page.clone()),
            _ => None,
        })
    };
    let page_of_large = page_of(&large).unwrap();
    let halves = [h::RAMDISK_SIZE, z::EXT_RAMDISK_SIZE].map(|at| field::<4>(&page_of_large, at));
    assert_eq!(halves, [1 << 30, 1]);
    let line = dword(h::CMD_LINE_PTR);
    let found = made.placements.iter().find(|p| p.gpa == line).map(|p| p.source.clone());
    assert_eq!(found, Some(Source::Bytes(b"console=ttyS0\0".to_vec())));
}

#[test]
fn long_mode_entry_and_its_tables() {
    let kernel = parse(&image()).unwrap();
    let made = plan(&kernel, 0, 512 * MIB, 0).unwrap();
    let entry = made.entry;
    assert_eq!((entry.mode, entry.rip), (EntryMode::Long64, 16 * MIB + 0x200));
    assert_eq!((entry.cr0, entry.cr4, entry.efer), (0x8000_0011, 0x20, 0x500));
    assert_eq!((entry.code.selector, entry.code.attributes), (0x10, 0xa9b));
    assert_eq!((entry.data.selector, entry.data.attributes, entry.data.limit), (0x18, 0xc93, u32::MAX));
    let read = |gpa: u64| {
        let bytes = made.placements.iter().find_map(|p| match &p.source {
            Source::Bytes(bytes) if gpa >= p.gpa && gpa - p.gpa < bytes.len() as u64 => {
                Some(field::<8>(bytes, (gpa - p.gpa) as usize))
            }
            _ => None,
        });
        bytes.expect("a table that is nowhere")
    };
    // The descriptors agree with the hidden parts.
    for segment in [entry.code, entry.data] {
        let descriptor = read(entry.gdt_base + u64::from(segment.selector));
        assert_eq!((descriptor >> 40 & 0xff | descriptor >> 44 & 0xf00) as u16, segment.attributes);
        assert!(u64::from(segment.selector) + 7 <= u64::from(entry.gdt_limit));
    }
    // A walk as the processor does it.
    for address in [0, 0x1000, 16 * MIB, 0x3fff_ffff, 0x4000_0000, 0xfee0_0000, 0xffff_ffff] {
        let mut table = entry.cr3;
        for level in [39, 30] {
            let entry = read(table + (address >> level & 511) * 8);
            assert_eq!(entry & 0x83, 3);
            table = entry & !0xfff;
        }
        let leaf = read(table + (address >> 21 & 511) * 8);
        assert_eq!(leaf & 0x83, 0x83);
        assert_eq!(leaf & !0xfff | address & 0x1f_ffff, address);
    }
}

#[test]
fn ram_is_what_a_range_has_all_of() {
    let map = [
        MemoryRange { gpa: 0x1000, bytes: 0x2000, kind: MemoryKind::Ram },
        MemoryRange { gpa: 0x3000, bytes: 0x1000, kind: MemoryKind::Reserved },
    ];
    for (gpa, bytes, is_ram) in [
        (0x1000, 0x2000, true),
        (0x0fff, 0x1000, false),
        (0x2000, 0x1001, false),
        (0x3000, 0x1000, false),
        (0x5000, 0, false),
        (u64::MAX, 2, false),
    ] {
        assert_eq!(super::is_ram(&map, gpa, bytes), is_ram, "{gpa:x} {bytes:x}");
    }
}

#[test]
fn the_memory_map_of_a_pc() {
    use MemoryKind::*;
    // RAM below, above; ranges.
    let m = |gpa, bytes, kind| MemoryRange { gpa, bytes, kind };
    let low = [m(0, 0x9_fc00, Ram), m(0x9_fc00, 0x400, Reserved), m(0xe_0000, 0x2_0000, Reserved)];
    let ecam = m(0xe000_0000, 0x1000_0000, Reserved);
    let cases = [
        (256 * MIB, 0, vec![m(MIB, 255 * MIB, Ram), ecam]),
        (2048 * MIB, 1024 * MIB, vec![m(MIB, 2047 * MIB, Ram), ecam, m(1 << 32, 1 << 30, Ram)]),
        (8192 * MIB, 0, vec![m(MIB, 0xe000_0000 - MIB, Ram), ecam]),
    ];
    for (below, above, rest) in cases {
        let expected: Vec<MemoryRange> = low.into_iter().chain(rest).collect();
        assert_eq!(pc_memory_map(below, above), expected);
    }
}

/// Whatever a header says: no panic, and what is placed lies in RAM and apart.
#[test]
fn hostile_headers_place_nothing_outside_ram() {
    let (mut random, mut planned) = (Random(13), 0);
    for _ in 0..20_000 {
        let mut file = image();
        for _ in 0..1 + random.below(4) {
            let at = h::SETUP_SECTS + random.below((h::END_MAX - h::SETUP_SECTS) as u64) as usize;
            file[at] = random.next() as u8;
        }
        let file_bytes = random.next() >> random.below(64);
        let Ok(kernel) = BzImage::parse(&file[..random.below(1025) as usize], file_bytes) else { continue };
        let (low, high) = (random.below(600 * MIB), random.below(2) << 30);
        let initrd_bytes = random.next() >> (34 + random.below(30));
        let Ok(made) = plan(&kernel, initrd_bytes, low, high) else { continue };
        planned += 1;
        let mut places: Vec<(u64, u64)> = made
            .placements
            .iter()
            .map(|p| match &p.source {
                Source::Bytes(bytes) => (p.gpa, bytes.len() as u64),
                Source::Kernel(range) => (p.gpa, (range.end - range.start).max(kernel.memory_bytes)),
                Source::Initrd => (p.gpa, initrd_bytes),
                Source::Zeroes(bytes) => (p.gpa, *bytes),
            })
            .collect();
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{places:x?}");
        let memory = pc_memory_map(low, high);
        for (gpa, bytes) in places {
            assert!(is_ram(&memory, gpa, bytes), "{gpa:#x} {bytes:#x}");
        }
    }
    assert!(planned > 1000, "{planned}");
}
