//! What is rejected, and how.

use decoder::Mode::{self, Bits16, Bits32, Bits64};
use decoder::Rejection::{NoMemory, TooLong, Truncated, Undefined, Unsupported};
use decoder::{Operand, Operation, Processor, Rejection, Size, Vendor, decode};

/// Where makers differ, `processor.rs` has both.
const PROCESSOR: Processor = Processor::full(Vendor::Intel);

#[test]
fn table() {
    let table: &[(&[u8], Mode, Rejection)] = &[
        (&[], Bits64, Truncated),
        (&[0x66], Bits64, Truncated),
        (&[0x0f], Bits64, Truncated),
        (&[0x0f, 0x38], Bits64, Truncated),
        (&[0x0f, 0x01], Bits64, Truncated),
        (&[0x89, 0x84], Bits64, Truncated),
        (&[0x66; 15], Bits64, TooLong),
        // Register operands.
        (&[0x89, 0xc3], Bits64, NoMemory),
        (&[0x0f, 0xb6, 0xc3], Bits64, NoMemory),
        (&[0x05, 1, 0, 0, 0], Bits64, NoMemory),
        (&[0x87, 0xc3], Bits64, NoMemory),
        (&[0x0f, 0x10, 0xc3], Bits64, NoMemory),
        (&[0xff, 0xf0], Bits64, NoMemory),
        // LOCK where it doesn't go.
        (&[0xf0, 0x89, 0x03], Bits64, Undefined),
        (&[0xf0, 0x03, 0x03], Bits64, Undefined),
        (&[0xf0, 0x39, 0x03], Bits64, Undefined),
        (&[0xf0, 0x85, 0x03], Bits64, Undefined),
        (&[0xf0, 0x0f, 0xa3, 0x03], Bits64, Undefined),
        (&[0xf0, 0xa5], Bits64, Undefined),
        (&[0xf0, 0x0f, 0xa2], Bits64, Undefined),
        (&[0xf0, 0xff, 0x33], Bits64, Undefined),
        // No such thing.
        (&[0x82, 0x03, 0], Bits64, Undefined),
        (&[0x0f, 0xba, 0x03, 0], Bits64, Undefined),
        (&[0x0f, 0x20, 0xc8], Bits64, Undefined),
        (&[0x0f, 0x20, 0xe8], Bits32, Undefined),
        (&[0x44, 0x0f, 0x21, 0xc0], Bits64, Undefined),
        // Others.
        (&[0x90], Bits64, Unsupported),
        (&[0xb8, 1, 0, 0, 0], Bits64, Unsupported),
        (&[0x8f, 0x0b], Bits64, Unsupported),
        (&[0xc6, 0x0b, 0], Bits64, Unsupported),
        (&[0xfe, 0x33], Bits64, Unsupported),
        (&[0x0f, 0x05], Bits64, Unsupported),
        (&[0x0f, 0xc7, 0x33], Bits64, Unsupported),
        (&[0x0f, 0x38, 0x2a, 0x03], Bits64, Unsupported),
        (&[0x66, 0x0f, 0xc3, 0x03], Bits64, Unsupported),
        (&[0xf3, 0x0f, 0x01, 0xd9], Bits64, Unsupported),
        (&[0xc5, 0xf8, 0x10, 0x03], Bits64, Unsupported),
        // No memory, and no stack.
        (&[0x0f, 0xaf, 0xc3], Bits64, NoMemory),
        (&[0x0f, 0x44, 0xc3], Bits64, NoMemory),
        (&[0xd3, 0xe0], Bits64, NoMemory),
        (&[0xe9, 0, 0, 0, 0], Bits64, Unsupported),
        // The x87 unit, AVX, and what else is not listed.
        (&[0xd9, 0x03], Bits64, Unsupported),
        (&[0x0f, 0xae, 0x03], Bits64, Unsupported),
        (&[0x0f, 0x58, 0x03], Bits64, Unsupported),
        (&[0x62, 0xf1, 0x7c, 0x48, 0x10, 0x03], Bits64, Unsupported),
        (&[0x8f, 0xe9, 0x60, 0x01, 0x0b], Bits64, Unsupported),
        (&[0x0f, 0xaf, 0x05, 0], Bits64, Truncated),
    ];
    for &(bytes, mode, expected) in table {
        assert_eq!(decode(bytes, mode, PROCESSOR), Err(expected), "{mode:?} {bytes:02x?}");
    }
}

/// Sixteen bytes with a LOCK that isn't legal: found against the processor, which says #GP.
#[test]
fn too_long_comes_before_undefined() {
    let bytes = [0xf3, 0xf0, 0xf2, 0xf3, 0x43, 0x81, 0xbc, 0xa4, 0x23, 0xe3, 0xb8, 0xff, 0xc8, 0xed, 0x71, 0];
    assert_eq!(decode(&bytes, Bits64, PROCESSOR), Err(TooLong));
    assert_eq!(decode(&bytes[1..], Bits64, PROCESSOR), Err(Undefined));
}

/// Fifteen bytes that end within an immediate or a displacement: no more of them would help, where fewer
/// would have to be more.
#[test]
fn fifteen_bytes_are_all_there_are() {
    for (tail, missing) in [
        (&[0x80, 0x03][..], 1),
        (&[0x81, 0x03, 0], 3),
        (&[0x8b, 0x83, 0, 0, 0], 1),
        (&[0xc7, 0x83, 0, 0, 0, 0, 0, 0, 0], 1),
        (&[0xa1, 0, 0, 0, 0, 0, 0, 0], 1),
        (&[0xa1], 8),
    ] {
        let mut bytes = [0x2e; 15];
        bytes[15 - tail.len()..].copy_from_slice(tail);
        assert_eq!(decode(&bytes, Bits64, PROCESSOR), Err(TooLong), "{tail:02x?}");
        assert_eq!(decode(&bytes[1..], Bits64, PROCESSOR), Err(Truncated), "{tail:02x?}");
        // The longest that may be.
        let whole = [&bytes[missing..], &[0; 8][..missing]].concat();
        assert_eq!(decode(&whole, Bits64, PROCESSOR).map(|found| found.length), Ok(15), "{tail:02x?}");
    }
}

/// REX.W undoes the operand-size prefix of IN and OUT: found against the full decoder.
#[test]
fn ports_have_at_most_four_bytes() {
    for (code, size) in [
        (&[0xef][..], Size::B4),
        (&[0x66, 0xef], Size::B2),
        (&[0x48, 0xef], Size::B4),
        (&[0x66, 0x48, 0xef], Size::B4),
        (&[0x48, 0xee], Size::B1),
        (&[0x48, 0x6d], Size::B4),
    ] {
        assert_eq!(decode(code, Bits64, PROCESSOR).unwrap().size, size, "{code:02x?}");
    }
}

#[test]
fn sizes_by_mode() {
    for (code, mode, size, address_size) in [
        (&[0x89, 0x07][..], Bits16, Size::B2, Size::B2),
        (&[0x66, 0x89, 0x07], Bits16, Size::B4, Size::B2),
        (&[0x67, 0x89, 0x07], Bits16, Size::B2, Size::B4),
        (&[0x89, 0x07], Bits32, Size::B4, Size::B4),
        (&[0x66, 0x67, 0x89, 0x07], Bits32, Size::B2, Size::B2),
        (&[0x67, 0x89, 0x07], Bits64, Size::B4, Size::B4),
        (&[0x66, 0x48, 0x89, 0x07], Bits64, Size::B8, Size::B8),
        (&[0x48, 0x66, 0x89, 0x07], Bits64, Size::B2, Size::B8),
        (&[0xff, 0x37], Bits64, Size::B8, Size::B8),
        (&[0x66, 0xff, 0x37], Bits64, Size::B2, Size::B8),
        (&[0x66, 0x48, 0xff, 0x37], Bits64, Size::B8, Size::B8),
    ] {
        let found = decode(code, mode, PROCESSOR).unwrap();
        assert_eq!((found.size, found.address_size), (size, address_size), "{mode:?} {code:02x?}");
    }
}

#[test]
fn control_registers_need_no_memory_form() {
    // MOD is ignored: these would be [rbx] otherwise.
    let found = decode(&[0x0f, 0x22, 0x1b], Bits64, PROCESSOR).unwrap();
    assert_eq!((found.operation, found.length), (Operation::MovControl, 3));
    assert_eq!((found.destination, found.source), (Operand::Control(3), Operand::Gpr(3)));
}
