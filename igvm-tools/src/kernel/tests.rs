//! ELF files made field by field.

use super::*;

/// A program header: type, flags, virtual address, file size, memory size.
pub(crate) type Segment5 = (u32, u32, u64, u64, u64);

const TEXT: Segment5 = (1, 5, KERNEL_BASE, 0x1000, 0x1000);
const DATA: Segment5 = (1, 6, KERNEL_BASE + 0x1800, 0x10, 0x1000);

/// An ELF64 file whose segments' contents are all bytes 0x11, from 0x1000 on.
pub(crate) fn elf(kind: u16, machine: u16, entry: u64, segments: &[Segment5]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([kind, machine].iter().flat_map(|field| field.to_le_bytes()));
    file.extend(1u32.to_le_bytes());
    file.extend([entry, 64, 0].iter().flat_map(|field| field.to_le_bytes()));
    file.extend(0u32.to_le_bytes());
    file.extend([64, 56, segments.len() as u16, 64, 0, 0].iter().flat_map(|field| field.to_le_bytes()));
    for (kind, flags, address, in_file, in_memory) in segments {
        file.extend([*kind, *flags].iter().flat_map(|field| field.to_le_bytes()));
        let fields = [0x1000, *address, *address, *in_file, *in_memory, 0x1000];
        file.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
    }
    file.resize(0x1000, 0);
    file.resize(0x3000, 0x11);
    file
}

#[test]
fn a_kernel() {
    let gap = (1, 4, 0, 0, 0); // empty segments are left out
    let kernel = parse(&elf(2, 62, KERNEL_BASE + 5, &[DATA, gap, TEXT])).unwrap();
    assert_eq!(kernel.entry, KERNEL_BASE + 5);
    let [text, data] = &kernel.segments[..] else { panic!("{} segments", kernel.segments.len()) };
    assert_eq!((text.address, text.bytes, text.access), (KERNEL_BASE, 0x1000, Permission::Execute));
    assert_eq!(text.data, vec![0x11; 0x1000]);
    // From the middle of a page over the end of the next.
    assert_eq!((data.address, data.bytes, data.access), (KERNEL_BASE + 0x1000, 0x2000, Permission::Write));
    assert_eq!(data.data, [vec![0; 0x800], vec![0x11; 0x10]].concat());
}

#[test]
fn what_is_refused() {
    let sound = |segments: &[Segment5]| elf(2, 62, KERNEL_BASE, segments);
    let low = KERNEL_BASE - 0x1000;
    for (file, error) in [
        (elf(2, 183, KERNEL_BASE, &[TEXT]), KernelError::Machine(183)),
        (elf(3, 62, KERNEL_BASE, &[TEXT]), KernelError::Type(3)),
        (sound(&[TEXT, (3, 4, 0, 1, 1)]), KernelError::Dynamic),
        (sound(&[TEXT, (2, 4, 0, 1, 1)]), KernelError::Dynamic),
        (sound(&[]), KernelError::Empty),
        (sound(&[(1, 7, KERNEL_BASE, 1, 1)]), KernelError::WriteExecute(KERNEL_BASE)),
        (sound(&[(1, 5, low, 1, 1)]), KernelError::Place(low)),
        (sound(&[(1, 5, KERNEL_BASE, 2, 1)]), KernelError::Place(KERNEL_BASE)),
        (sound(&[(1, 5, KERNEL_BASE, 1, u64::MAX)]), KernelError::Place(KERNEL_BASE)),
        (
            sound(&[(1, 5, KERNEL_BASE, 0x10, 0x1001), DATA]),
            KernelError::Shared(KERNEL_BASE, KERNEL_BASE + 0x1000),
        ),
        (elf(2, 62, KERNEL_BASE + 0x1000, &[TEXT, DATA]), KernelError::Entry(KERNEL_BASE + 0x1000)),
        (elf(2, 62, 0, &[TEXT]), KernelError::Entry(0)),
    ] {
        assert_eq!(parse(&file), Err(error));
    }
}

#[test]
fn files_that_are_not_elf() {
    let sound = elf(2, 62, KERNEL_BASE, &[TEXT]);
    let cut = [0, 10, 63, 100, 0x1800].map(|length| &sound[..length]);
    for file in cut.into_iter().chain([&b"#!/bin/sh\n"[..]]) {
        assert!(matches!(parse(file), Err(KernelError::Elf(_))), "{} bytes", file.len());
    }
}
