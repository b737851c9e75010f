//! What a loader is given: an IGVM file, and what the host says of itself.

use igvm_defs::{IGVM_FIXED_HEADER, IGVM_MAGIC_VALUE, IgvmNativeVpContextX64};
use pvh_loader::extents::{Extent, Extents};
use pvh_loader::file::IgvmFile;
use pvh_loader::hvm::StartInfo;
use pvh_loader::memory::Memory;
use pvh_loader::memory_map::{MAX_ENTRIES, MemoryMap};
use pvh_loader::parameters::HostFacts;
use pvh_loader::survey::{REACH, Survey};
use pvh_loader::{PAGE_BYTES, acpi, context, crc32, load};
use zerocopy::{FromZeros, IntoBytes};

/// Memory of the machine that files are loaded in: 64 KiB from 2 MiB on, and the loader's own in the middle.
const RAM: Extent = Extent { start: 0x20_0000, end: 0x21_0000 };
const LOADER: Extent = Extent { start: 0x20_8000, end: 0x20_9000 };
/// What lies in memory before.
const FILL: u8 = 0xee;
/// Pages of data behind the headers. The last is a context that the loader can set, with the first 128 bytes
/// of the input exchanged.
const DATA_PAGES: usize = 3;

/// Memory, and what of it was written.
struct Ram {
    bytes: Vec<u8>,
    written: Extents<MAX_ENTRIES>,
}

impl Ram {
    fn new() -> Self {
        Self { bytes: vec![FILL; RAM.bytes() as usize], written: Extents::default() }
    }
}

fn range(gpa: u64, bytes: u64) -> Option<std::ops::Range<usize>> {
    let extent = Extent::new(gpa, bytes).filter(|extent| RAM.contains(*extent))?;
    Some((extent.start - RAM.start) as usize..(extent.end - RAM.start) as usize)
}

impl Memory for Ram {
    fn slice(&self, gpa: u64, bytes: u64) -> Option<&[u8]> {
        self.bytes.get(range(gpa, bytes)?)
    }

    fn slice_mut(&mut self, gpa: u64, bytes: u64) -> Option<&mut [u8]> {
        let range = range(gpa, bytes)?;
        let extent = Extent::new(gpa, bytes)?;
        assert!(self.written.insert(extent).is_ok(), "more runs than a survey lets through");
        self.bytes.get_mut(range)
    }
}

/// A context that the loader can set (a page of it, in a file).
fn sound_context() -> IgvmNativeVpContextX64 {
    let mut context = IgvmNativeVpContextX64::new_zeroed();
    (context.rip, context.rax, context.cr3) = (0xffff_ffff_8000_0000, 0x20_4000, 0x20_4000);
    (context.cr0, context.cr4, context.efer, context.rflags) = (0x8001_0031, 0x20, 0xd00, 2);
    (context.code_selector, context.code_attributes, context.code_limit) = (8, 0xa09b, u32::MAX);
    (context.data_selector, context.data_attributes, context.data_limit) = (16, 0xc093, u32::MAX);
    context
}

/// A file of these variable headers, with a fixed header and a checksum that are right, and data behind them.
fn built(headers: &[u8], changed: [u8; 16]) -> Vec<u8> {
    let mut context = sound_context();
    // Eight changes of a byte: where, and to what.
    for [at, value] in changed.as_chunks::<2>().0 {
        if *value != 0
            && let Some(byte) = context.as_mut_bytes().get_mut(usize::from(*at))
        {
            *byte ^= value;
        }
    }
    let fixed_bytes = size_of::<IGVM_FIXED_HEADER>();
    let total = fixed_bytes + headers.len() + DATA_PAGES * PAGE_BYTES as usize;
    let mut fixed = IGVM_FIXED_HEADER {
        magic: IGVM_MAGIC_VALUE,
        format_version: 1,
        variable_header_offset: fixed_bytes as u32,
        variable_header_size: headers.len() as u32,
        total_file_size: total as u32,
        checksum: 0,
    };
    fixed.checksum = crc32::checksum(&[fixed.as_bytes(), headers]);
    let mut file = [fixed.as_bytes(), headers].concat();
    // Page tables that map the upper half to the first of them, should somebody load them there.
    file.extend((0..PAGE_BYTES / 8).flat_map(|index| (0x20_0003 + (index % 8) * PAGE_BYTES).to_le_bytes()));
    file.extend((0..PAGE_BYTES).map(|index| index as u8));
    file.extend(context.as_bytes());
    file.resize(total, 0);
    file
}

/// A file: its first byte says whether the rest is all of it, or its variable headers behind 16 bytes that
/// change the context. What is accepted writes only what the survey has found, which is in RAM and not over
/// the loader, and is the same wherever the file lies.
///
/// # Panics
/// If a property does not hold, like the others.
pub fn file(input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else { return };
    if choice & 1 == 0 {
        load_file(rest);
    } else if let Some((changed, headers)) = rest.split_first_chunk::<16>() {
        load_file(&built(headers, *changed));
    }
}

fn load_file(bytes: &[u8]) {
    let Ok(file) = IgvmFile::parse(bytes) else { return };
    assert!(file.directives().all(|directive| directive.is_ok()), "a directive is another the second time");
    let again = IgvmFile::parse(file.bytes()).map(|file| (file.version(), file.header_bytes()));
    assert_eq!(again, Ok((file.version(), file.header_bytes())), "what is behind a file changes it");
    let Some(map) = machine() else { panic!("the map of the machine is sound") };
    let Ok(survey) = Survey::new(&file, &map, LOADER) else { return };
    for run in survey.writes() {
        assert!(RAM.contains(*run) && !run.overlaps(LOADER) && run.end <= REACH, "{run:x?}");
        assert!(run.start.is_multiple_of(PAGE_BYTES) && run.end.is_multiple_of(PAGE_BYTES), "{run:x?}");
    }
    let mut ram = Ram::new();
    if load::load(&file, &HostFacts { memory_map: map, vp_count: 2 }, &mut ram).is_err() {
        return;
    }
    assert_eq!(ram.written.as_slice(), survey.writes(), "what was written is not what was surveyed");
    let outside = (RAM.start..RAM.end)
        .zip(&ram.bytes)
        .filter(|(gpa, _)| !survey.writes().iter().any(|run| (run.start..run.end).contains(gpa)));
    assert!(outside.into_iter().all(|(_, byte)| *byte == FILL), "something else was written");
    // Every selector has its descriptor, and walking the page tables ends.
    assert!(context::gdt(survey.context()).is_some(), "a context that was checked has no GDT");
    if context::check_mapped(survey.context(), &survey.loaded(&ram)).is_ok() {
        let root = Extent::new(survey.context().cr3, PAGE_BYTES);
        assert!(root.is_some_and(|root| ram.written.contains(root)), "page tables that were not loaded");
    }
}

fn machine() -> Option<MemoryMap> {
    let mut map = MemoryMap::default();
    map.add(RAM.start, RAM.bytes(), 1).ok()?;
    map.add(0xfec0_0000, 0x1000, 2).ok()?;
    map.finish().ok()
}

/// What a host says of itself: the input is its memory, from the second byte on, at the address where the
/// first says; the start information is in front. A map that is believed is in order, in whole pages, and has
/// no memory that the host did not call so.
///
/// # Panics
/// If a property does not hold.
pub fn host(input: &[u8]) {
    let Some((place, bytes)) = input.split_first() else { return };
    // Also at the very end of the addresses, where sums wrap.
    let base = if *place == 0xff { (bytes.len() as u64).wrapping_neg() } else { u64::from(*place) << 12 };
    let memory = Bytes { base, bytes };
    let Ok(info) = StartInfo::read(&memory, base) else { return };
    if let Ok(module) = info.first_module(&memory) {
        assert!(Extent::new(info.modules, size_of_val(&module) as u64).is_some());
    }
    let count = acpi::count_processors(&memory, info.rsdp);
    // The shortest entry that counts has eight bytes.
    assert!(count.is_none_or(|count| count > 0 && count as usize <= bytes.len() / 8), "{count:?} processors");
    let mut map = MemoryMap::default();
    for entry in info.memory_map(&memory) {
        let Ok(entry) = entry else { return };
        if map.add(entry.address, entry.bytes, entry.kind).is_err() {
            return;
        }
    }
    if let Ok(map) = map.finish() {
        check_map(&map, &info, &memory);
    }
}

fn check_map(map: &MemoryMap, info: &StartInfo, memory: &Bytes<'_>) {
    let entries = map.entries();
    assert!(entries.is_sorted_by(|a, b| a.extent.end <= b.extent.start), "{entries:x?}");
    for entry in entries {
        let Extent { start, end } = entry.extent;
        assert!(start < end && (start | end).is_multiple_of(PAGE_BYTES), "{entry:x?}");
        let said = info.memory_map(memory).flatten().any(|alleged| {
            let exact = Extent::new(alleged.address, alleged.bytes);
            alleged.kind == 1 && exact.is_some_and(|exact| exact.contains(entry.extent))
        });
        assert!(!entry.ram || said, "{entry:x?} is memory, but the host did not say so");
    }
    let ram: u64 = map.ram().as_slice().iter().map(|run| run.bytes()).sum();
    let entries: u64 = entries.iter().filter(|entry| entry.ram).map(|entry| entry.extent.bytes()).sum();
    assert_eq!(ram, entries);
}

/// The input as memory.
struct Bytes<'a> {
    base: u64,
    bytes: &'a [u8],
}

impl Memory for Bytes<'_> {
    fn slice(&self, gpa: u64, bytes: u64) -> Option<&[u8]> {
        let start = usize::try_from(gpa.checked_sub(self.base)?).ok()?;
        self.bytes.get(start..start.checked_add(usize::try_from(bytes).ok()?)?)
    }

    fn slice_mut(&mut self, _gpa: u64, _bytes: u64) -> Option<&mut [u8]> {
        None
    }
}

/// Whether `bytes` is an input whose file is loaded to its end: for the test that looks whether seeds are any
/// good.
pub fn is_loaded(input: &[u8]) -> bool {
    let Some((changed, headers)) = input.get(1..).and_then(<[u8]>::split_first_chunk::<16>) else {
        return false;
    };
    let file = built(headers, *changed);
    let Ok(file) = IgvmFile::parse(&file) else { return false };
    machine().is_some_and(|map| Survey::new(&file, &map, LOADER).is_ok())
}

/// The least that inputs are made from: a file of the usual directives.
pub fn sound_file() -> Vec<u8> {
    const NATIVE: u32 = 1;
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let data = |headers: u32, page: u32| 24 + headers + page * PAGE_BYTES as u32;
    let headers = |length: u32| {
        [
            (0x001, words(&[NATIVE, 1 << 16, 0, 0])),
            (0x305, words(&[0x20_0000, 0, NATIVE, 0x1_0000, 0, 0])),
            (0x302, words(&[0x20_0000, 0, NATIVE, data(length, 1), 0, 0])),
            (0x302, words(&[0x20_1000, 0, NATIVE, 0, 0, 0])),
            (0x302, words(&[0x20_4000, 0, NATIVE, data(length, 0), 0, 0])),
            (0x301, words(&[0x2000, 0, 7, 0])),
            (0x30c, words(&[7, 0x100])),
            (0x307, words(&[7, 0])),
            (0x313, words(&[7, 4])),
            (0x303, words(&[0x20_2000, 0, NATIVE, 7])),
            (0x304, words(&[0, 0, NATIVE, data(length, 2), 0])),
        ]
        .into_iter()
        .flat_map(|(kind, content): (u32, Vec<u8>)| {
            let mut header = words(&[kind, content.len() as u32]);
            header.extend(&content);
            header.resize(header.len().next_multiple_of(8), 0);
            header
        })
        .collect::<Vec<u8>>()
    };
    let length = headers(0).len() as u32;
    [&[1][..], &[0; 16], &headers(length)].concat()
}

/// The same for what a host says: start information, three entries of a map, an RSDP and an RSDT without a
/// MADT.
pub fn sound_host() -> Vec<u8> {
    const BASE: u64 = 0x1000;
    let info = StartInfo {
        magic: pvh_loader::hvm::START_MAGIC,
        version: 1,
        flags: 0,
        module_count: 1,
        modules: BASE + 56,
        command_line: 0,
        rsdp: BASE + 160,
        memory_map: BASE + 88,
        memory_map_entries: 3,
        reserved: 0,
    };
    let map: [u64; 9] = [0, 0x9_fc00, 1, 0x9_fc00, 0x400, 2, 0x10_0000, 0x100_0000, 1];
    let mut memory = info.as_bytes().to_vec();
    memory.extend([0x20_0000_u64, 0x1000, 0, 0].as_bytes());
    memory.extend(map.as_bytes());
    memory.extend(acpi_tables(BASE + 160));
    [&[1][..], &memory].concat()
}

/// RSDP, RSDT and a MADT with two processors of each kind, at an address.
fn acpi_tables(base: u64) -> Vec<u8> {
    let seal = |table: &mut Vec<u8>, at: usize| {
        let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        if let Some(byte) = table.get_mut(at) {
            *byte = 0_u8.wrapping_sub(sum);
        }
    };
    let (root, madt) = (base as u32 + 24, base as u32 + 64);
    let mut rsdp = [&b"RSD PTR "[..], &[0; 8], &root.to_le_bytes(), &[0; 4]].concat();
    seal(&mut rsdp, 8);
    let mut rsdt = [&b"RSDT"[..], &40_u32.to_le_bytes(), &[0; 28], &madt.to_le_bytes()].concat();
    seal(&mut rsdt, 9);
    let local: [u8; 8] = [0, 8, 0, 0, 1, 0, 0, 0];
    let wide: [u8; 16] = [9, 16, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0];
    let mut apics = [&b"APIC"[..], &68_u32.to_le_bytes(), &[0; 36], &local, &wide].concat();
    seal(&mut apics, 9);
    [rsdp, rsdt, apics].concat()
}

const _: () = assert!(size_of::<StartInfo>() == 56);
