//! What the full decoder reads: operands, sizes, and what is in the immediate's place
//! ([`Operation`] says for each).

use decoder::Mode::{self, Bits16, Bits32, Bits64};
use decoder::Operand::{self, Gpr, Immediate, Memory, Mmx, None, Xmm};
use decoder::Size::{self, B1, B2, B4, B8, B16};
use decoder::{Attributes, Operation as O, Processor, Register, Segment, Vendor, decode};

/// Code and mode; the operation, its size and the access's, the operands, and the immediate.
type Row = (&'static [u8], Mode, O, [Size; 2], [Operand; 2], u64);

const DS: Operand = Operand::Segment(3);

const ROWS: &[Row] = &[
    // Conditions are numbers.
    (&[0x0f, 0x4f, 0x03], Bits64, O::Cmov, [B4, B4], [Gpr(0), Memory], 15),
    (&[0x0f, 0x90, 0x03], Bits64, O::Set, [B1, B1], [Memory, None], 0),
    (&[0x0f, 0x95, 0x03], Bits64, O::Set, [B1, B1], [Memory, None], 5),
    // A register beside memory is the immediate.
    (&[0xc4, 0xe2, 0x70, 0xf2, 0x03], Bits64, O::Andn, [B4, B4], [Gpr(0), Memory], 1),
    (&[0xc4, 0xe2, 0x60, 0xf7, 0x03], Bits64, O::Bextr, [B4, B4], [Gpr(0), Memory], 3),
    (&[0xc4, 0xe2, 0x63, 0xf6, 0x03], Bits64, O::Mulx, [B4, B4], [Gpr(0), Memory], 3),
    (&[0xc4, 0xe3, 0x7b, 0xf0, 0x03, 7], Bits64, O::Rorx, [B4, B4], [Gpr(0), Memory], 7),
    // Counts.
    (&[0xd3, 0x23], Bits64, O::Shl, [B4, B4], [Memory, Gpr(1)], 0),
    (&[0xd1, 0x23], Bits64, O::Shl, [B4, B4], [Memory, Immediate], 1),
    (&[0xc1, 0x23, 5], Bits64, O::Shl, [B4, B4], [Memory, Immediate], 5),
    (&[0x0f, 0xa4, 0x03, 5], Bits64, O::Shld, [B4, B4], [Memory, Gpr(0)], 5),
    (&[0x0f, 0xa5, 0x03], Bits64, O::ShldCl, [B4, B4], [Memory, Gpr(0)], 0),
    (&[0x0f, 0xac, 0x03, 5], Bits64, O::Shrd, [B4, B4], [Memory, Gpr(0)], 5),
    (&[0x0f, 0xad, 0x03], Bits64, O::ShrdCl, [B4, B4], [Memory, Gpr(0)], 0),
    // Products and quotients.
    (&[0xf7, 0x2b], Bits64, O::ImulWide, [B4, B4], [None, Memory], 0),
    (&[0x0f, 0xaf, 0x03], Bits64, O::Imul, [B4, B4], [Gpr(0), Memory], 0),
    (&[0x6b, 0x03, 0xfe], Bits64, O::ImulImmediate, [B4, B4], [Gpr(0), Memory], !1),
    (&[0x48, 0xf7, 0x33], Bits64, O::Div, [B8, B8], [None, Memory], 0),
    (&[0xf2, 0x0f, 0x38, 0xf0, 0x03], Bits64, O::Crc32, [B4, B1], [Gpr(0), Memory], 0),
    // Segments, and what is two bytes wherever it is.
    (&[0xc4, 0x03], Bits32, O::LoadFar, [B4, B4], [Gpr(0), Memory], 0),
    (&[0xc5, 0x03], Bits32, O::LoadFar, [B4, B4], [Gpr(0), Memory], 3),
    (&[0x0f, 0xb2, 0x03], Bits64, O::LoadFar, [B4, B4], [Gpr(0), Memory], 2),
    (&[0x0f, 0xb4, 0x03], Bits64, O::LoadFar, [B4, B4], [Gpr(0), Memory], 4),
    (&[0x66, 0x0f, 0xb5, 0x03], Bits64, O::LoadFar, [B2, B2], [Gpr(0), Memory], 5),
    (&[0x8c, 0x1b], Bits64, O::MovSegment, [B2, B2], [Memory, DS], 0),
    (&[0x48, 0x8e, 0x1b], Bits64, O::MovSegment, [B2, B2], [DS, Memory], 0),
    (&[0x0f, 0x01, 0x23], Bits64, O::Smsw, [B2, B2], [Memory, None], 0),
    (&[0x0f, 0x00, 0x13], Bits64, O::Lldt, [B2, B2], [None, Memory], 0),
    (&[0x63, 0x03], Bits32, O::Arpl, [B2, B2], [Memory, Gpr(0)], 0),
    (&[0x48, 0x0f, 0x02, 0x03], Bits64, O::Lar, [B8, B2], [Gpr(0), Memory], 0),
    (&[0x0f, 0x03, 0x03], Bits64, O::Lsl, [B4, B2], [Gpr(0), Memory], 0),
    (&[0x0f, 0x01, 0x13], Bits16, O::Lgdt, [B2, B2], [None, Memory], 0),
    (&[0x0f, 0x01, 0x13], Bits32, O::Lgdt, [B4, B4], [None, Memory], 0),
    (&[0x0f, 0x01, 0x0b], Bits64, O::Sidt, [B8, B8], [Memory, None], 0),
    (&[0x62, 0x03], Bits32, O::Bound, [B4, B4], [Gpr(0), Memory], 0),
    (&[0xd7], Bits64, O::Xlat, [B1, B1], [None, Memory], 0),
    (&[0x0f, 0xae, 0x3b], Bits64, O::CacheLine, [B1, B1], [None, Memory], 0),
    // The stack.
    (&[0x9c], Bits64, O::Pushf, [B8, B8], [None, None], 0),
    (&[0x66, 0x9d], Bits32, O::Popf, [B2, B2], [None, None], 0),
    (&[0x41, 0x50], Bits64, O::PushRegister, [B8, B8], [None, Gpr(8)], 0),
    (&[0x6a, 0xff], Bits32, O::PushRegister, [B4, B4], [None, Immediate], !0),
    (&[0x58], Bits32, O::PopRegister, [B4, B4], [Gpr(0), None], 0),
    (&[0x1f], Bits32, O::PopRegister, [B4, B4], [DS, None], 0),
    (&[0xc8, 0x34, 0x12, 0x05], Bits64, O::Enter, [B8, B8], [None, None], 0x5_1234),
    (&[0xc2, 0x34, 0x12], Bits64, O::Ret, [B8, B8], [None, Immediate], 0x1234),
    (&[0xcb], Bits32, O::RetFar, [B4, B4], [None, None], 0),
    (&[0x48, 0xcf], Bits64, O::Iret, [B8, B8], [None, None], 0),
    // Branches: relative to what is behind, far, and by a pointer in memory.
    (&[0xe8, 0xfe, 0xff, 0xff, 0xff], Bits64, O::CallRelative, [B8, B8], [None, Immediate], !1),
    (&[0xff, 0x13], Bits64, O::Call, [B8, B8], [None, Memory], 0),
    (&[0xff, 0x23], Bits32, O::Jmp, [B4, B4], [None, Memory], 0),
    (&[0x9a, 1, 2, 3, 4, 5, 6], Bits32, O::CallFar, [B4, B4], [None, Immediate], 0x0605_0403_0201),
    (&[0xff, 0x1b], Bits32, O::CallFar, [B4, B4], [None, Memory], 0),
    (&[0xff, 0x2b], Bits16, O::JmpFar, [B2, B2], [None, Memory], 0),
    (&[0x48, 0xff, 0x2b], Bits64, O::JmpFar, [B8, B8], [None, Memory], 0),
    // MMX and XMM registers.
    (&[0x0f, 0x6f, 0x3b], Bits64, O::MovMmx, [B8, B8], [Mmx(7), Memory], 0),
    (&[0x0f, 0x7e, 0x1b], Bits64, O::MovMmx, [B8, B4], [Memory, Mmx(3)], 0),
    (&[0x44, 0x0f, 0x12, 0x03], Bits64, O::MovVectorHalf, [B16, B8], [Xmm(8), Memory], 0),
    (&[0x0f, 0x17, 0x03], Bits64, O::MovVectorHalf, [B16, B8], [Memory, Xmm(0)], 1),
    (&[0xf3, 0x0f, 0x10, 0x03], Bits64, O::MovVector, [B16, B4], [Xmm(0), Memory], 0),
];

#[test]
fn table() {
    for &(code, mode, operation, [size, memory_size], [destination, source], immediate) in ROWS {
        let found = decode(code, mode, Processor::full(Vendor::Intel)).unwrap();
        let context = format!("{mode:?} {code:02x?} {found:?}");
        assert_eq!(
            (found.operation, found.size, found.memory_size),
            (operation, size, memory_size),
            "{context}"
        );
        assert_eq!((found.destination, found.source), (destination, source), "{context}");
        assert_eq!(found.immediate, immediate, "{context}");
        let has_memory = destination == Memory || source == Memory;
        assert_eq!(found.attributes.contains(Attributes::MEMORY), has_memory, "{context}");
        assert_eq!(usize::from(found.length), code.len(), "{context}");
    }
}

/// `bsf eax` with each form of address: segment, base, index and scale, displacement, and the address's size.
#[test]
fn addresses() {
    use Register::{Gpr, None, Rip};
    use Segment::{Cs, Ds, Es, Fs, Gs, Ss};
    for (prefix, tail, mode, segment, base, index, displacement, size) in [
        (&[][..], &[0x03][..], Bits64, Ds, Gpr(3), (None, 0), 0, B8),
        (&[], &[0x45, 0xff], Bits64, Ss, Gpr(5), (None, 0), !0, B8),
        (&[], &[0x04, 0x24], Bits64, Ss, Gpr(4), (None, 0), 0, B8),
        (&[0x41], &[0x04, 0x24], Bits64, Ds, Gpr(12), (None, 0), 0, B8),
        (&[], &[0x04, 0x8b], Bits64, Ds, Gpr(3), (Gpr(1), 2), 0, B8),
        (&[0x42], &[0x04, 0xe3], Bits64, Ds, Gpr(3), (Gpr(12), 3), 0, B8),
        (&[], &[0x05, 1, 0, 0, 0], Bits64, Ds, Rip, (None, 0), 1, B8),
        (&[0x67], &[0x05, 1, 0, 0, 0], Bits64, Ds, Rip, (None, 0), 1, B4),
        (&[], &[0x04, 0x25, 1, 0, 0, 0], Bits64, Ds, None, (None, 0), 1, B8),
        (&[0x67], &[0x03], Bits64, Ds, Gpr(3), (None, 0), 0, B4),
        // In 64-bit code the last two have a base.
        (&[0x26], &[0x03], Bits64, Ds, Gpr(3), (None, 0), 0, B8),
        (&[0x2e], &[0x03], Bits64, Ds, Gpr(3), (None, 0), 0, B8),
        (&[0x36], &[0x03], Bits64, Ds, Gpr(3), (None, 0), 0, B8),
        (&[0x3e], &[0x45, 0], Bits64, Ss, Gpr(5), (None, 0), 0, B8),
        (&[0x64], &[0x03], Bits64, Fs, Gpr(3), (None, 0), 0, B8),
        (&[0x65], &[0x45, 0], Bits64, Gs, Gpr(5), (None, 0), 0, B8),
        (&[0x26], &[0x03], Bits32, Es, Gpr(3), (None, 0), 0, B4),
        (&[0x2e], &[0x03], Bits32, Cs, Gpr(3), (None, 0), 0, B4),
        (&[0x36], &[0x03], Bits32, Ss, Gpr(3), (None, 0), 0, B4),
        (&[0x3e], &[0x45, 0], Bits32, Ds, Gpr(5), (None, 0), 0, B4),
        (&[0x64], &[0x03], Bits32, Fs, Gpr(3), (None, 0), 0, B4),
        (&[0x65], &[0x03], Bits32, Gs, Gpr(3), (None, 0), 0, B4),
        (&[], &[0x45, 0], Bits32, Ss, Gpr(5), (None, 0), 0, B4),
        (&[], &[0x05, 1, 0, 0, 0], Bits32, Ds, None, (None, 0), 1, B4),
        (&[], &[0x02], Bits16, Ss, Gpr(5), (Gpr(6), 0), 0, B2),
        (&[], &[0x06, 1, 0], Bits16, Ds, None, (None, 0), 1, B2),
    ] {
        let code = [prefix, &[0x0f, 0xbc], tail].concat();
        let found = decode(&code, mode, Processor::full(Vendor::Intel)).unwrap();
        let context = format!("{mode:?} {code:02x?}");
        assert_eq!((found.operation, found.segment), (O::Bsf, segment), "{context}");
        assert_eq!((found.base, found.index, found.scale), (base, index.0, index.1), "{context}");
        assert_eq!((found.displacement, found.address_size), (displacement, size), "{context}");
    }
}
