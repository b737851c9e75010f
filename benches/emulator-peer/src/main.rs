//! Counts the instructions that libscemu, an emulator of user-mode x86 code on crates.io, takes for the
//! instructions that `decoder-cost` counts, and prints rows for its table.
//!
//! It is asked as its documentation asks it: for one instruction (`step`), and for a run up to an address
//! where that is one repeated instruction, as `step` ends after one iteration. Either way it fetches,
//! decodes, writes the instruction down as text, and emulates. It has no page tables: memory is a list of
//! ranges.

use decoder_oracle::native::count;
use libscemu::emu::Emu;
use std::hint::black_box;

const CODE: u64 = 0x5000;
const SOURCE: u64 = 0x8000;
const TARGET: u64 = 0x9000;
/// `mov [rdi + 0x80], eax`
const MOV: [u8; 16] = [0x89, 0x87, 0x80, 0, 0, 0, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90];
/// `rep movsw`: the crate stops with a panic at `rep movsd` in 64-bit code.
const REP_MOVS: [u8; 16] =
    [0xf3, 0x66, 0xa5, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90];

/// An emulator with that code, no more of it than a fetch takes, and two pages.
fn emulator(code: &[u8]) -> Result<Emu, String> {
    let mut emulator = libscemu::emu64();
    emulator.maps.create_map("code", CODE, code.len() as u64)?.write_bytes(CODE, code);
    emulator.maps.create_map("source", SOURCE, 0x1000)?.write_bytes(SOURCE, &[0x5a; 0x1000]);
    emulator.maps.create_map("target", TARGET, 0x1000)?;
    Ok(emulator)
}

fn mov(emulator: &mut Emu) {
    emulator.regs.rip = CODE;
    emulator.regs.rax = 0x1234_5678;
    emulator.regs.rdi = TARGET;
    assert!(black_box(emulator.step()));
}

fn rep_movs(emulator: &mut Emu) {
    emulator.regs.rip = CODE;
    emulator.regs.rcx = 256;
    emulator.regs.rsi = SOURCE;
    emulator.regs.rdi = TARGET;
    assert!(black_box(emulator.run(Some(CODE + 3))).is_ok());
}

fn main() -> Result<(), String> {
    let count = |work: &mut dyn FnMut()| count::instructions(work).map_err(|error| error.to_string());
    let harness = count(&mut || {})?;
    let mut emulator_of_mov = emulator(&MOV)?;
    let mut emulator_of_movs = emulator(&REP_MOVS)?;
    let of_mov = count(&mut || mov(&mut emulator_of_mov))?;
    let of_movs = count(&mut || rep_movs(&mut emulator_of_movs))?;
    println!(
        "| libscemu 0.19.4: fetch, decode and emulate `mov [rdi+0x80], eax` | {} | – |",
        of_mov - harness
    );
    println!("| libscemu 0.19.4: `rep movsw` of 256 elements | {} | – |", of_movs - harness);

    // What was counted was in a child: it is done once more here, to see that it does anything.
    mov(&mut emulator_of_mov);
    rep_movs(&mut emulator_of_movs);
    assert_eq!(emulator_of_mov.maps.read_dword(TARGET + 0x80), Some(0x1234_5678));
    assert_eq!(emulator_of_mov.regs.rip, CODE + 6);
    assert_eq!(emulator_of_movs.maps.read_dword(TARGET + 0x1fc), Some(0x5a5a_5a5a));
    assert_eq!((emulator_of_movs.regs.rcx, emulator_of_movs.regs.rip), (0, CODE + 3));
    Ok(())
}
