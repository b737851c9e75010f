//! The permission maps: all ports exit, all MSRs exit but those that are part of the guest's state in the
//! VMCB.

use x86_64::PhysAddr;
use x86_64::structures::paging::PhysFrame;

use crate::layout::PAGE;
use crate::memory::{MemoryError, frames, temporary};

/// MSRs the guest reads and writes without an exit: VMLOAD and VMSAVE carry them.
const PASSED: [u32; 10] = [
    0x174,
    0x175,
    0x176, // SYSENTER_CS, ESP, EIP
    0xc000_0081,
    0xc000_0082,
    0xc000_0083,
    0xc000_0084, // STAR, LSTAR, CSTAR, SFMASK
    0xc000_0100,
    0xc000_0101,
    0xc000_0102, // FS_BASE, GS_BASE, KERNEL_GS_BASE
];

/// Where an MSR's two bits are: byte and shift (APM volume 2, 15.11).
fn position(msr: u32) -> (usize, u32) {
    let (base, number) = match msr {
        0xc000_0000..=0xc000_1fff => (0x800, msr - 0xc000_0000),
        0xc001_0000..=0xc001_1fff => (0x1000, msr - 0xc001_0000),
        _ => (0, msr & 0x1fff),
    };
    (base + number as usize / 4, number % 4 * 2)
}

fn frame_at(first: PhysFrame, index: u64) -> PhysFrame {
    PhysFrame::containing_address(PhysAddr::new(first.start_address().as_u64() + index * PAGE))
}

/// Makes the maps: (I/O, MSR), three and two pages.
pub fn build() -> Result<(PhysFrame, PhysFrame), MemoryError> {
    // Two pages have a bit for each port; an access of four bytes at FFFFh looks at the first bits of a third
    // (APM volume 2, 15.10.1).
    let io = frames::allocate_contiguous(3)?;
    for index in 0..3 {
        temporary::with_frame(frame_at(io, index), |words| words.fill(u64::MAX));
    }
    // All set to begin with, as for ports: what nobody has thought of exits.
    let msr = frames::allocate_contiguous(2)?;
    for index in 0..2 {
        temporary::with_frame(frame_at(msr, index), |words| words.fill(u64::MAX));
    }
    for number in PASSED {
        let (byte, shift) = position(number);
        let frame = frame_at(msr, byte as u64 / PAGE);
        let mut value = [0];
        temporary::copy_out(frame, byte % PAGE as usize, &mut value);
        value[0] &= !(3 << shift);
        temporary::copy_in(frame, byte % PAGE as usize, &value);
    }
    Ok((io, msr))
}

#[cfg(test)]
mod tests;
