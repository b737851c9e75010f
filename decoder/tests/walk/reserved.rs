//! Reserved bits, entry by entry (SDM 3, tables 4-4 to 4-20).

use decoder::Mode;
use decoder::walk::{Access, Kind, WalkError, walk};
use decoder_oracle::TestMachine;
use decoder_oracle::page_tables::{Builder, Style};

const LINEAR: u64 = 0x1234_5678;
const READ: Access = Access::explicit(Kind::Read, 0, 0);

/// Style, levels used, the level whose entry is changed, and the bits that are reserved in it with 40
/// physical address bits, no execute-disable and 1 GiB pages. A PAE directory pointer's bit 5 would be, but
/// TCG uses it as the accessed bit.
const CASES: &[(Style, usize, usize, u64)] = &[
    (Style::Bits32, 1, 0, 1 << 21),
    (Style::Bits32, 2, 0, 0),
    (Style::Bits32, 2, 1, 0),
    (Style::Pae, 3, 0, 0xffff_ff00_0000_01c6),
    (Style::Pae, 3, 1, 0xffff_ff00_0000_0000),
    (Style::Pae, 3, 2, 0xffff_ff00_0000_0000),
    (Style::Pae, 2, 1, 0xffff_ff00_001f_e000),
    (Style::Four, 4, 0, 0x800f_ff00_0000_0080),
    (Style::Four, 4, 1, 0x800f_ff00_0000_0000),
    (Style::Four, 4, 2, 0x800f_ff00_0000_0000),
    (Style::Four, 4, 3, 0x800f_ff00_0000_0000),
    (Style::Four, 3, 2, 0x800f_ff00_001f_e000),
    (Style::Four, 2, 1, 0x800f_ff00_3fff_e000),
    (Style::Five, 5, 0, 0x800f_ff00_0000_0080),
    (Style::Five, 5, 1, 0x800f_ff00_0000_0080),
];

/// Sets each bit of one entry in turn, and asks which make a reserved-bit fault.
#[test]
fn each_bit_of_each_entry() {
    for &(style, depth, level, reserved) in CASES {
        let mut found = 0;
        for bit in 0..style.entry_bytes() * 8 {
            let mut machine = TestMachine::new(Mode::Bits64);
            let mut builder = Builder::new(&mut machine, style, 0x10_0000);
            let large = if depth < style.levels().len() { 0x80 } else { 0 };
            let path = builder.map(&mut machine, LINEAR, 0x8000_0000, 7 | large, depth);
            machine.paging.efer &= !0x800;
            let old = builder.get(&machine, path[level]);
            // Where bit 7 isn't reserved, it makes a large page of what is a table.
            if old >> bit & 1 == 1 || (bit == 7 && reserved & 0x80 == 0) {
                continue;
            }
            builder.set(&mut machine, path[level], old | 1 << bit);
            // A table that is moved to where there is no RAM would have reserved bits set itself.
            let next = (old | 1 << bit) & 0xf_ffff_ffff_f000;
            if !machine.ram.contains_key(&(next >> 12)) {
                machine.put(next, &[0; 4096]);
            }
            let paging = machine.paging;
            let walked = walk(&mut machine, &paging, LINEAR, READ);
            if walked == Err(WalkError::Fault { error_code: 9, address: LINEAR }) {
                found |= 1 << bit;
            }
        }
        assert_eq!(found, reserved, "{style:?} {depth} {level}");
    }
}

#[test]
fn gigabyte_pages_that_do_not_exist() {
    let mut machine = TestMachine::new(Mode::Bits64);
    let mut builder = Builder::new(&mut machine, Style::Four, 0x10_0000);
    builder.map(&mut machine, LINEAR, 0x4000_0000, 0x87, 2);
    machine.paging.gigabyte_pages = false;
    let paging = machine.paging;
    let fault = WalkError::Fault { error_code: 9, address: LINEAR };
    assert_eq!(walk(&mut machine, &paging, LINEAR, READ), Err(fault));
}
