//! What must hold for any input, on random ones; the fuzz targets check the same on inputs that are looked
//! for.

use decoder::Outcome;
use decoder_oracle::properties::{
    AccessInput, EmulateInput, FetchInput, PagingInput, WalkInput, check_emulate, check_fetch, check_walk,
};
use decoder_oracle::random::Random;

fn emulation(random: &mut Random) -> EmulateInput {
    let mut code = [0; 15];
    code[..8].copy_from_slice(&random.bits().to_le_bytes());
    code[7..].copy_from_slice(&random.bits().to_le_bytes());
    // Registers point to where there is RAM, to a device, across a page, or anywhere.
    let mut register = || match random.below(4) {
        0 => random.operand(),
        1 => 0xff8 + random.below(16),
        2 => 0x8ff8 + random.below(16),
        _ => random.below(0x1_0000),
    };
    let gprs = core::array::from_fn(|_| register());
    let paging = if random.below(4) == 0 { 1 << 31 } else { 0 };
    EmulateInput {
        mode: random.bits() as u8,
        code,
        gprs,
        rip: random.operand(),
        rflags: random.bits() as u32 & 0x7_ffff & !0x2_0000,
        cpl: random.bits() as u8,
        control: [random.bits() & 0x5_0033 | paging, random.bits(), random.bits() & 0x0070_0630]
            .map(|value| value as u32),
        segment: (
            random.below(0x2000) as u32,
            random.choose(&[0xffff, 0xf_ffff, u32::MAX]),
            random.choose(&[0x93, 0xc93, 0x97, 0x91, 0xc9b, 0]),
        ),
        fill: core::array::from_fn(|_| random.operand()),
    }
}

#[test]
fn emulations() {
    let mut random = Random::new(4);
    let (mut done, mut faults) = (0, 0);
    for _ in 0..300_000 {
        match check_emulate(&emulation(&mut random)) {
            Some(Outcome::Done { .. }) => done += 1,
            Some(Outcome::Exception(_)) => faults += 1,
            _ => {}
        }
    }
    assert!(done > 10_000 && faults > 10_000, "{done}, {faults}");
}

#[test]
fn walks() {
    let mut random = Random::new(5);
    for _ in 0..300_000 {
        check_walk(&WalkInput {
            paging: registers(&mut random),
            linear: random.operand() >> 17,
            access: access(&mut random),
            entries: entries(&mut random),
        });
    }
}

#[test]
fn fetches() {
    let mut random = Random::new(7);
    let mut found = 0;
    for _ in 0..400_000 {
        let paging = if random.below(4) == 0 { 1 << 31 } else { 0 };
        found += usize::from(check_fetch(&FetchInput {
            mode: random.bits() as u8,
            cpl: random.bits() as u8,
            control: [random.bits() as u32 & 0x5_0033 | paging, random.bits() as u32, 0x630],
            cs: (random.below(0x2000) as u32, random.choose(&[0x100f, 0xffff, u32::MAX])),
            // The end of a page, or of the limit.
            rip: 0xff0 + random.below(0x20),
            fill: core::array::from_fn(|_| {
                random.choose(&[0x0f02_8948, 0xf30b_8b66, 0xff, 0x27]) ^ random.operand()
            }),
        }));
    }
    assert!(found > 10_000, "{found}");
}

fn registers(random: &mut Random) -> PagingInput {
    PagingInput {
        control: [random.bits() | 0x8000_0000, random.bits(), random.bits(), random.bits()],
        pkru: random.bits() as u32,
        physical_bits: 20 - random.below(16) as u8,
        gigabyte_pages: random.below(2) == 0,
    }
}

fn access(random: &mut Random) -> AccessInput {
    AccessInput {
        kind: random.bits() as u8,
        cpl: random.bits() as u8,
        ac: random.below(2) == 0,
        implicit: random.below(4) == 0,
    }
}

/// Entries of tables, some of them spoilt.
fn entries(random: &mut Random) -> [u64; 8] {
    core::array::from_fn(|_| {
        let entry = (random.bits() & 0xff_ffff_f000) | random.bits() & random.bits() & 0xe0 | 7;
        if random.below(8) == 0 { entry ^ 1 << random.below(64) } else { entry }
    })
}
