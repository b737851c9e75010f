//! An XSAVE area that a process wrote (APM volume 2, 11.5; standard form). XRSTOR is never given it: what of
//! it XRSTOR cannot refuse is copied into an area of the kernel's own, whose header stays the kernel's.

use vcpu_abi::run_page::XSAVE_BYTES;
use vcpu_abi::run_page::xsave::{AVX, HEADER_END, MXCSR, SSE, X87, XSTATE_BV};

use super::Cpuid;

const MXCSR_MASK: usize = MXCSR + 4;
/// What MXCSR_MASK means where it is zero (APM volume 2, 11.5.9).
const DEFAULT_MXCSR_MASK: u32 = 0xffbf;
/// The registers of x87 and SSE; behind them there is nothing that XRSTOR reads.
const LEGACY_BYTES: usize = 416;
/// States that XRSTOR takes whatever their contents: x87, SSE (but for MXCSR), AVX, AVX-512, protection keys.
/// MPX is not among them.
const TAKEN: u64 = X87 | SSE | AVX | 0b111 << 5 | 1 << 9;
/// The numbers of those that lie behind the header, where CPUID says.
const EXTENDED: [u32; 5] = [2, 5, 6, 7, 9];

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

fn copy(own: &mut [u8], alleged: &[u8], from: usize, to: usize) -> Option<()> {
    own.get_mut(from..to)?.copy_from_slice(alleged.get(from..to)?);
    Some(())
}

/// Puts the registers of an alleged area into `own`, which XSAVE has just filled; states that are not
/// [`TAKEN`] stay. `None`, with nothing done: XRSTOR would refuse it, on a processor that has `supported`
/// states, where `place_of` (CPUID leaf 0Dh) says.
pub fn merge(
    alleged: &[u8; XSAVE_BYTES],
    own: &mut [u8],
    supported: u64,
    place_of: impl Fn(u32) -> Cpuid,
) -> Option<()> {
    let states = long(alleged, XSTATE_BV)?;
    let mask = match word(own, MXCSR_MASK)? {
        0 => DEFAULT_MXCSR_MASK,
        mask => mask,
    };
    // XCOMP_BV, and behind it what must be zero: XRSTOR of the standard form faults at any bit there (SDM
    // volume 1, 13.8.1).
    let is_compact = alleged.get(XSTATE_BV + 8..HEADER_END)?.iter().any(|byte| *byte != 0);
    // QEMU's emulation lets a guest load reserved bits of MXCSR, takes them back, and they are the guest's.
    let mxcsr = mask | word(own, MXCSR)?;
    if states & !supported != 0 || is_compact || word(alleged, MXCSR)? & !mxcsr != 0 {
        return None;
    }
    // MXCSR_MASK stays the processor's.
    copy(own, alleged, 0, MXCSR_MASK)?;
    copy(own, alleged, MXCSR_MASK + 4, LEGACY_BYTES)?;
    for state in EXTENDED.into_iter().filter(|state| states & 1 << state != 0) {
        let place = place_of(state);
        let from = place.ebx as usize;
        // Where the host says nonsense, nothing is copied.
        if from >= HEADER_END {
            let _ = copy(own, alleged, from, from.saturating_add(place.eax as usize));
        }
    }
    let merged = long(own, XSTATE_BV)? & !TAKEN | states & TAKEN;
    own.get_mut(XSTATE_BV..)?.first_chunk_mut().map(|place| *place = merged.to_le_bytes())
}

#[cfg(test)]
mod tests;
