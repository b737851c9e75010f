use super::*;
use crate::boot::pc_memory_map;
use crate::testing::Random;

const MIB: u64 = 1 << 20;

/// A segment of an ELF file: type, offset, linear and physical address, bytes in file and in memory.
type Part = (u32, u64, u64, u64, u64, u64);

/// An ELF file of 64 or of 32 bits with these segments, 4 KiB long; `entry` is the header's.
fn elf(long: bool, entry: u64, parts: &[Part]) -> Vec<u8> {
    let mut file = Vec::from(*b"\x7fELF");
    file.extend([if long { 2 } else { 1 }, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let short = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
    let int = |file: &mut Vec<u8>, value: u32| file.extend(value.to_le_bytes());
    let word = |file: &mut Vec<u8>, value: u64| {
        file.extend(&value.to_le_bytes()[..if long { 8 } else { 4 }]);
    };
    short(&mut file, 2);
    short(&mut file, if long { 62 } else { 3 });
    int(&mut file, 1);
    word(&mut file, entry);
    word(&mut file, if long { 64 } else { 52 });
    word(&mut file, 0);
    int(&mut file, 0);
    let sizes = if long { [64, 56] } else { [52, 32] };
    for value in [sizes[0], sizes[1], parts.len() as u16, 0, 0, 0] {
        short(&mut file, value);
    }
    for &(kind, offset, linear, physical, in_file, in_memory) in parts {
        int(&mut file, kind);
        if long {
            int(&mut file, 7);
        }
        for value in [offset, linear, physical, in_file, in_memory] {
            word(&mut file, value);
        }
        if !long {
            int(&mut file, 7);
        }
        word(&mut file, 4);
    }
    file.resize(4096, 0);
    file
}

fn put(file: &mut [u8], at: usize, words: &[u32]) {
    for (to, word) in file[at..].chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
}

/// A multiboot 1 header with its sum.
fn multiboot_header(flags: u32) -> [u32; 3] {
    [0x1bad_b002, flags, 0u32.wrapping_sub(0x1bad_b002).wrapping_sub(flags)]
}

/// A multiboot 2 header around these tags.
fn multiboot2_header(tags: &[u32]) -> Vec<u32> {
    let length = 16 + 4 * tags.len() as u32 + 8;
    let sum = 0u32.wrapping_sub(0xe852_50d6).wrapping_sub(length);
    [&[0xe852_50d6, 0, length, sum], tags, &[0, 8]].concat()
}

/// The note of PVH, for an entry.
fn pvh_note(entry: u32) -> [u32; 6] {
    [4, 8, 18, u32::from_le_bytes(*b"Xen\0"), entry, 0]
}

fn parse(file: &[u8]) -> Result<ElfKernel, ElfError> {
    let read = |offset: u64, bytes: &mut [u8]| {
        let from = usize::try_from(offset).ok().and_then(|from| file.get(from..)?.get(..bytes.len()));
        from.map(|from| bytes.copy_from_slice(from)).is_some()
    };
    ElfKernel::parse(&file[..file.len().min(HEADER_BYTES)], file.len() as u64, &read)
}

/// A segment at 1 MiB, all of the file and as much again of zeroes.
const AT_1_MIB: Part = (1, 0, MIB, MIB, 4096, 8192);

fn at_1_mib() -> Vec<LoadSegment> {
    vec![LoadSegment { gpa: MIB, file: 0..4096, bytes: 8192 }]
}

#[test]
fn each_protocol_is_found_in_files_of_either_width() {
    for long in [false, true] {
        let entry = MIB + 0x40;
        let mut plain = elf(long, entry, &[AT_1_MIB]);
        assert_eq!(parse(&plain), Err(ElfError::NoProtocol));
        put(&mut plain, 0x200, &multiboot_header(3));
        let kernel = |protocol, entry| ElfKernel { protocol, entry, segments: at_1_mib() };
        assert_eq!(parse(&plain), Ok(kernel(Protocol::Multiboot, entry as u32)));
        put(&mut plain, 0x400, &multiboot2_header(&[]));
        assert_eq!(parse(&plain), Ok(kernel(Protocol::Multiboot2, entry as u32)), "the newer of two");
        let mut noted = elf(long, entry, &[AT_1_MIB, (4, 0x300, 0, 0, 24, 24)]);
        put(&mut noted, 0x200, &multiboot_header(3));
        put(&mut noted, 0x300, &pvh_note(0x10_0100));
        assert_eq!(parse(&noted), Ok(kernel(Protocol::Pvh, 0x10_0100)), "the note before the header");
        // Of another name, or of another type.
        for (at, word) in [(0x30c, u32::from_le_bytes(*b"GNU\0")), (0x308, 17)] {
            let mut other = noted.clone();
            put(&mut other, at, &[word]);
            assert_eq!(parse(&other), Ok(kernel(Protocol::Multiboot, entry as u32)), "{at:x}");
        }
        put(&mut noted, 0x314, &[1]);
        let refused = parse(&noted);
        assert_eq!(refused, Err(ElfError::Entry), "of more than 32 bits");
    }
}

#[test]
fn the_entry_of_a_kernel_that_is_linked_high_is_where_it_is_loaded() {
    let high = 0xffff_ffff_8010_0000;
    let mut file = elf(true, high + 0x20, &[(1, 0, high, MIB, 4096, 4096)]);
    put(&mut file, 0x200, &multiboot_header(0));
    assert_eq!(parse(&file).map(|kernel| kernel.entry), Ok(0x10_0020));
    // Behind its segment it is nowhere.
    let mut file = elf(true, high + 4096, &[(1, 0, high, MIB, 4096, 4096)]);
    put(&mut file, 0x200, &multiboot_header(0));
    assert_eq!(parse(&file), Err(ElfError::Entry));
}

#[test]
fn headers_with_addresses_say_where_the_file_goes() {
    // Header, load address, its end, the end of zeroes, entry; offset of the file, bytes of it, bytes in all.
    let table = [
        ([MIB as u32 + 0x100, MIB as u32, 0, 0, 0x10_0200], Ok((0u64, 4096u64, 4096u64))),
        ([0x10_0100, 0x10_0080, 0x10_0180, 0x10_1080, 0x10_0200], Ok((0x80, 0x100, 0x1000))),
        // Zeroes that end before the file does.
        ([0x10_0100, 0x10_0080, 0x10_0180, 0x10_0090, 0x10_0200], Ok((0x80, 0x100, 0x100))),
        ([0x10_0100, 0x10_0101, 0, 0, 0], Err(ElfError::Multiboot)),
        ([0x10_0101, 0x10_0000, 0, 0, 0], Err(ElfError::Multiboot)),
        ([0x10_0100, 0x10_0000, 0x10_1001, 0, 0], Err(ElfError::Segments)),
        ([0x10_0100, 0x10_0000, 0x10_0000, 0, 0], Err(ElfError::Segments)),
        ([0x10_0100, 0x10_0000, 0xf_ffff, 0, 0], Err(ElfError::Multiboot)),
        ([0x10_0100, 0x10_0000, 0, 0xf_ffff, 0], Err(ElfError::Multiboot)),
    ];
    for (fields, expected) in table {
        let [header, load, load_end, bss_end, entry] = fields;
        let expected = expected.map(|(offset, in_file, bytes)| {
            vec![LoadSegment { gpa: load.into(), file: offset..offset + in_file, bytes }]
        });
        let mut file = vec![0; 4096];
        put(&mut file, 0x100, &[&multiboot_header(1 << 16)[..], &fields].concat());
        let one = parse(&file);
        assert_eq!(one.clone().map(|kernel| kernel.segments), expected, "{fields:x?}");
        assert!(one.is_err() || one.is_ok_and(|kernel| kernel.entry == entry));
        let tags = [2, 24, header, load, load_end, bss_end, 3, 12, entry, 0];
        let mut file = vec![0; 4096];
        put(&mut file, 0x100, &multiboot2_header(&tags));
        assert_eq!(parse(&file).map(|kernel| kernel.segments), expected, "{fields:x?}, version 2");
    }
}

#[test]
fn what_a_header_asks_for_and_nobody_knows_is_refused() {
    for (flags, expected) in [(7, None), (1 << 3, Some(8)), (1 << 15, Some(0x8000)), (1 << 17, None)] {
        let mut file = elf(false, MIB, &[AT_1_MIB]);
        put(&mut file, 8192 - 4096 - 12, &multiboot_header(flags));
        assert_eq!(parse(&file).err(), expected.map(ElfError::Demand), "{flags:x}");
    }
    for (tag, expected) in [
        // Information wanted, of a type nobody has; and a tag nobody knows, which may be left out or not.
        ([1, 12, 99, 0].as_slice(), None),
        (&[0x1_0063, 8], None),
        (&[0x63, 8], Some(ElfError::Demand(0x63))),
        (&[5, 4], Some(ElfError::Multiboot)),
        (&[5, 400], Some(ElfError::Multiboot)),
        (&[2, 12, 0, 0], Some(ElfError::Multiboot)),
    ] {
        let mut file = elf(false, MIB, &[AT_1_MIB]);
        put(&mut file, 0x200, &multiboot2_header(tag));
        assert_eq!(parse(&file).err(), expected, "{tag:x?}");
    }
}

#[test]
fn a_header_counts_only_where_it_belongs() {
    let find = |at: usize, words: &[u32]| {
        let mut file = elf(false, MIB, &[AT_1_MIB]);
        file.resize(65536, 0);
        put(&mut file, at, words);
        parse(&file).map(|kernel| kernel.protocol)
    };
    let (one, two) = (multiboot_header(0), multiboot2_header(&[]));
    assert_eq!(find(8192 - 12, &one), Ok(Protocol::Multiboot));
    for at in [8192 - 8, 8192, 0x202] {
        assert_eq!(find(at, &one), Err(ElfError::NoProtocol), "{at:x}");
    }
    assert_eq!(find(32768 - 24, &two), Ok(Protocol::Multiboot2));
    assert_eq!(find(0x204, &two), Err(ElfError::NoProtocol));
    assert_eq!(find(32768, &two), Err(ElfError::NoProtocol));
    assert_eq!(find(32768 - 16, &two), Err(ElfError::Multiboot), "it ends behind what is searched");
    let [magic, flags, sum] = one;
    assert_eq!(find(0x200, &[magic, flags, sum + 1]), Err(ElfError::NoProtocol));
}

#[test]
fn files_that_are_no_kernels_are_refused() {
    let bad = |long, part: Part| parse(&elf(long, MIB, &[part, AT_1_MIB])).err();
    for long in [false, true] {
        // Over the other one, up to its first byte, behind its last; outside the file; smaller than the file.
        assert_eq!(bad(long, (1, 0, MIB, MIB - 1, 1, 2)), Some(ElfError::Segments));
        assert_eq!(bad(long, (1, 0, MIB, MIB - 2, 1, 2)), Some(ElfError::NoProtocol));
        assert_eq!(bad(long, (1, 0, MIB, MIB + 8191, 1, 2)), Some(ElfError::Segments));
        assert_eq!(bad(long, (1, 0, MIB, MIB + 8192, 1, 2)), Some(ElfError::NoProtocol));
        assert_eq!(bad(long, (1, 4095, MIB, 2 * MIB, 2, 2)), Some(ElfError::Segments));
        assert_eq!(bad(long, (1, 0, MIB, 2 * MIB, 3, 2)), Some(ElfError::Segments));
        assert_eq!(parse(&elf(long, MIB, &[])), Err(ElfError::Segments));
        // A relocatable file, another machine, big-endian, cut off.
        for (at, value) in [(16, 1), (16, 3), (18, 40), (5, 2)] {
            let mut file = elf(long, MIB, &[AT_1_MIB]);
            file[at] = value;
            assert_eq!(parse(&file), Err(ElfError::Header), "{at}");
        }
        assert_eq!(parse(&elf(long, MIB, &[AT_1_MIB])[..80]), Err(ElfError::Header));
    }
    assert_eq!(bad(true, (1, 0, MIB, u64::MAX, 1, 2)), Some(ElfError::Segments));
    assert_eq!(bad(true, (1, u64::MAX, MIB, MIB, 1, 2)), Some(ElfError::Segments));
    for file in [&[][..], b"\x7fELF", b"MZ, and more of a text", &[0; 4096]] {
        let expected = if file.starts_with(b"\x7f") { ElfError::Header } else { ElfError::Unknown };
        assert_eq!(parse(file), Err(expected));
    }
}

fn kernel(protocol: Protocol, segments: &[LoadSegment]) -> ElfKernel {
    ElfKernel { protocol, entry: 0x10_0040, segments: segments.to_vec() }
}

fn plan_of(kernel: &ElfKernel, initrd_bytes: u64, command_line: &[u8]) -> Result<BootPlan, BootError> {
    let memory = &pc_memory_map(64 * MIB, 0);
    plan(&BootRequest { kernel, initrd_bytes, command_line, memory, rsdp_gpa: 0xe_0010 })
}

/// Guest memory after the plan, of a kernel file in which each byte is AAh and a RAM disk of BBh.
fn placed(plan: &BootPlan) -> Vec<u8> {
    let mut ram = vec![0xcc; 64 << 20];
    for Placement { gpa, source } in &plan.placements {
        let to = &mut ram[*gpa as usize..];
        match source {
            Source::Bytes(bytes) => to[..bytes.len()].copy_from_slice(bytes),
            Source::Kernel(range) => to[..(range.end - range.start) as usize].fill(0xaa),
            Source::Zeroes(bytes) => to[..*bytes as usize].fill(0),
            Source::Initrd => to[..(plan.initrd.end - plan.initrd.start) as usize].fill(0xbb),
        }
    }
    ram
}

/// What is at an address: a word, two of them, text up to a zero.
fn word_at(ram: &[u8], at: u64) -> u32 {
    u32::from_le_bytes(ram[at as usize..][..4].try_into().unwrap())
}

fn pair_at(ram: &[u8], at: u64) -> u64 {
    u64::from(word_at(ram, at)) | u64::from(word_at(ram, at + 4)) << 32
}

fn text_at(ram: &[u8], at: u64) -> &[u8] {
    ram[at as usize..].split(|byte| *byte == 0).next().unwrap()
}

#[test]
fn a_kernel_is_entered_in_flat_protected_mode_with_its_memory_filled() {
    for (protocol, eax) in
        [(Protocol::Pvh, 0), (Protocol::Multiboot, 0x2bad_b002), (Protocol::Multiboot2, 0x36d7_6289)]
    {
        let plan = plan_of(&kernel(protocol, &at_1_mib()), 5000, b"text").unwrap();
        let entry = plan.entry;
        assert_eq!(
            (entry.mode, entry.rip, entry.rax, entry.rsi),
            (EntryMode::Protected32, 0x10_0040, eax, 0)
        );
        assert_eq!((entry.cr0, entry.cr3, entry.cr4, entry.efer), (0x11, 0, 0, 0));
        assert_eq!((entry.code.attributes, entry.data.attributes), (0xc9b, 0xc93));
        assert_eq!((plan.kernel.clone(), plan.initrd.end - plan.initrd.start), (MIB..MIB + 8192, 5000));
        let ram = placed(&plan);
        let at = MIB as usize;
        assert!(ram[at..at + 4096].iter().all(|byte| *byte == 0xaa));
        assert!(ram[at + 4096..at + 8192].iter().all(|byte| *byte == 0));
        assert_eq!((ram[at - 1], ram[at + 8192]), (0xcc, 0xcc));
        assert_eq!(plan.initrd.start % 4096, 0);
        assert!(ram[plan.initrd.start as usize..plan.initrd.end as usize].iter().all(|byte| *byte == 0xbb));
        // The GDT that the segments came from.
        assert_eq!(pair_at(&ram, entry.gdt_base + u64::from(entry.code.selector)), 0x00cf_9b00_0000_ffff);
    }
}

/// Base, size and type of each range of `pc_memory_map(64 * MIB, 0)`.
fn ranges() -> Vec<[u64; 3]> {
    pc_memory_map(64 * MIB, 0).iter().map(|range| [range.gpa, range.bytes, range.kind as u64]).collect()
}

#[test]
fn a_pvh_kernel_finds_command_line_module_rsdp_and_memory_map() {
    for initrd_bytes in [0, 5000] {
        let plan = plan_of(&kernel(Protocol::Pvh, &at_1_mib()), initrd_bytes, b"a=1 b").unwrap();
        let (ram, info) = (placed(&plan), plan.entry.rbx);
        assert_eq!([word_at(&ram, info), word_at(&ram, info + 4)], [0x336e_c578, 1]);
        assert_eq!([word_at(&ram, info + 8), word_at(&ram, info + 12)], [0, u32::from(initrd_bytes > 0)]);
        assert_eq!(text_at(&ram, pair_at(&ram, info + 24)), b"a=1 b");
        assert_eq!(pair_at(&ram, info + 32), 0xe_0010);
        let module = pair_at(&ram, info + 16);
        if initrd_bytes > 0 {
            let fields = [0, 8].map(|offset| pair_at(&ram, module + offset));
            assert_eq!(fields, [plan.initrd.start, 5000]);
            assert_eq!(text_at(&ram, pair_at(&ram, module + 16)), b"initrd");
        } else {
            assert_eq!(module, 0);
        }
        let map = pair_at(&ram, info + 40);
        let entry = |index: u64| [0, 8, 16].map(|offset| pair_at(&ram, map + 24 * index + offset));
        let count = u64::from(word_at(&ram, info + 48));
        assert_eq!((0..count).map(entry).collect::<Vec<_>>(), ranges());
        assert_eq!(map % 8, 0);
    }
}

#[test]
fn a_multiboot_kernel_finds_command_line_module_and_memory() {
    for initrd_bytes in [0, 5000] {
        let plan = plan_of(&kernel(Protocol::Multiboot, &at_1_mib()), initrd_bytes, b"a=1 b").unwrap();
        let (ram, info) = (placed(&plan), plan.entry.rbx);
        let field = |offset| word_at(&ram, info + offset);
        assert_eq!(field(0), 0b10_0100_0101 | u32::from(initrd_bytes > 0) << 3);
        assert_eq!([field(4), field(8)], [639, 63 << 10], "KiB below and above 1 MiB");
        assert_eq!(text_at(&ram, field(16).into()), b"kernel a=1 b");
        assert_eq!(text_at(&ram, field(64).into()), b"Plinth");
        if initrd_bytes > 0 {
            let module = u64::from(field(24));
            let fields = [0, 4].map(|offset| u64::from(word_at(&ram, module + offset)));
            assert_eq!((field(20), fields), (1, [plan.initrd.start, plan.initrd.end]));
            assert_eq!(text_at(&ram, word_at(&ram, module + 8).into()), b"initrd");
        } else {
            assert_eq!([field(20), field(24)], [0, 0]);
        }
        let (mut at, end) = (u64::from(field(48)), u64::from(field(48)) + u64::from(field(44)));
        let mut map = Vec::new();
        while at < end {
            map.push([pair_at(&ram, at + 4), pair_at(&ram, at + 12), word_at(&ram, at + 20).into()]);
            at += 4 + u64::from(word_at(&ram, at));
        }
        assert_eq!(map, ranges());
    }
}

#[test]
fn a_multiboot_2_kernel_finds_its_tags() {
    let plan = plan_of(&kernel(Protocol::Multiboot2, &at_1_mib()), 5000, b"a=1 b").unwrap();
    let (ram, info) = (placed(&plan), plan.entry.rbx);
    let mut at = info + 8;
    let mut kinds = Vec::new();
    loop {
        let (kind, size) = (word_at(&ram, at), word_at(&ram, at + 4));
        match kind {
            0 => assert_eq!(size, 8),
            1 => assert_eq!((text_at(&ram, at + 8), size), (&b"a=1 b"[..], 14)),
            2 => assert_eq!(text_at(&ram, at + 8), b"Plinth"),
            3 => {
                let ends = [at + 8, at + 12].map(|at| u64::from(word_at(&ram, at)));
                assert_eq!(ends, [plan.initrd.start, plan.initrd.end]);
                assert_eq!(text_at(&ram, at + 16), b"initrd");
            }
            4 => assert_eq!([word_at(&ram, at + 8), word_at(&ram, at + 12)], [639, 63 << 10]),
            _ => {
                assert_eq!([kind, word_at(&ram, at + 8), word_at(&ram, at + 12)], [6, 24, 0]);
                let entry =
                    |index: u64| [0, 8, 16].map(|offset| pair_at(&ram, at + 16 + 24 * index + offset));
                assert_eq!((0..u64::from(size - 16) / 24).map(entry).collect::<Vec<_>>(), ranges());
            }
        }
        kinds.push(kind);
        at += u64::from(size).next_multiple_of(8);
        if kind == 0 {
            break;
        }
    }
    assert_eq!(kinds, [1, 2, 3, 4, 6, 0]);
    assert_eq!(u64::from(word_at(&ram, info)), at - info, "the total size");
}

#[test]
fn what_does_not_fit_is_refused() {
    let at = |gpa, bytes| kernel(Protocol::Multiboot, &[LoadSegment { gpa, file: 0..16, bytes }]);
    let ends = |kernel: &ElfKernel| plan_of(kernel, 0, b"").err();
    for (gpa, bytes, fits) in [
        // Beside the table of what it is told, and over it.
        (0x3_0000, 0x1000, true),
        (0x2_ffff, 0x1000, false),
        (0xe000, 0x1000, true),
        (0xe000, 0x1001, false),
        // Up to the end of memory, and beyond; where there is none.
        (63 * MIB, MIB, true),
        (63 * MIB, MIB + 1, false),
        (0xa_0000, 16, false),
        (1 << 32, 16, false),
    ] {
        let expected = if fits { None } else { Some(BootError::KernelMemory { bytes }) };
        assert_eq!(ends(&at(gpa, bytes)), expected, "{gpa:x} {bytes:x}");
    }
    let whole = at(MIB, 62 * MIB);
    assert_eq!(plan_of(&whole, MIB, b"").err(), None);
    assert_eq!(plan_of(&whole, MIB + 1, b"").err(), Some(BootError::InitrdMemory { bytes: MIB + 1 }));
    let limit = 0xf000 - 1;
    let kernel = at(MIB, 16);
    assert_eq!(plan_of(&kernel, 0, &vec![b'x'; limit]).err(), None);
    let refused = plan_of(&kernel, 0, &vec![b'x'; limit + 1]).err();
    assert_eq!(refused, Some(BootError::CommandLine { limit }));
    let request =
        BootRequest { kernel: &kernel, initrd_bytes: 0, command_line: b"", memory: &[], rsdp_gpa: 0 };
    assert_eq!(plan(&request).err(), Some(BootError::LowMemory));
}

/// Nothing that is told lies over another thing, however many ranges memory has and however long the line is.
#[test]
fn the_fullest_plan_overlaps_nowhere() {
    let mut memory = pc_memory_map(64 * MIB, 0);
    let kind = crate::boot::MemoryKind::Reserved;
    while memory.len() < 128 {
        memory.push(MemoryRange { gpa: 1 << 40, bytes: 4096, kind });
    }
    let line = vec![b'x'; 0xf000 - 1];
    for protocol in [Protocol::Pvh, Protocol::Multiboot, Protocol::Multiboot2] {
        let kernel = &kernel(protocol, &at_1_mib());
        let request =
            BootRequest { kernel, initrd_bytes: 9, command_line: &line, memory: &memory, rsdp_gpa: 0 };
        let plan = plan(&request).unwrap();
        let bytes = |source: &Source| match source {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::Kernel(range) => range.end - range.start,
            Source::Initrd => 9,
            Source::Zeroes(bytes) => *bytes,
        };
        let mut ranges: Vec<_> = plan.placements.iter().map(|p| (p.gpa, p.gpa + bytes(&p.source))).collect();
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{protocol:?}: {ranges:x?}");
        let below = ranges.iter().filter(|range| (1..MIB).contains(&range.0));
        assert!(below.clone().all(|range| range.0 >= layout::START && range.1 <= layout::END), "{ranges:x?}");
    }
}

#[test]
fn no_file_whatever_breaks_it() {
    let mut random = Random(1);
    let rounds = if cfg!(miri) { 50 } else { 20_000 };
    for round in 0..rounds {
        let mut file = elf(round % 2 == 0, MIB, &[AT_1_MIB, (4, 0x300, 0, 0, 24, 24)]);
        put(&mut file, 0x300, &pvh_note(0x10_0000));
        put(&mut file, 0x200, &multiboot_header(random.next() as u32 & 0x1_0007));
        put(&mut file, 0x240, &multiboot2_header(&[2, 24, 0x10_0100, 0x10_0000, 0, 0, 3, 12, 0x10_0000, 0]));
        for _ in 0..random.next() % 6 {
            let at = random.next() as usize % 0x340;
            file[at] = random.next() as u8;
        }
        if let Ok(kernel) = parse(&file) {
            assert!(!kernel.segments.is_empty());
            let _ = plan_of(&kernel, random.next() & 0x3ff_ffff, b"x");
        }
    }
}
