//! Random numbers of the processor's: RDRAND and RDSEED (SDM volume 1, 7.3.17).
#![allow(unsafe_code, reason = "RDRAND and RDSEED are instructions")]

pub mod mixed;

use core::arch::x86_64::{__cpuid, __cpuid_count};

use virtio_devices::rng::Entropy;

/// CPUID leaf 1, ECX: there is RDRAND.
const RDRAND: u32 = 1 << 30;
/// CPUID leaf 7, EBX: there is RDSEED.
const RDSEED: u32 = 1 << 18;
/// How often RDRAND is tried: a processor that fails ten times in a row is broken.
const ATTEMPTS: u32 = 10;
/// How often RDSEED is tried, with a pause between: it has nothing to give while others ask for more than its
/// source yields.
const SEED_ATTEMPTS: u32 = 1000;
/// How many bytes RDRAND's generator gives at most until it is seeded anew (SDM volume 1, 7.3.17.1: 511 times
/// 128 bits): so many lie between two that are of different seeds.
const BYTES_A_SEED: usize = 511 * 16;

/// The processor's random number generator.
#[derive(Debug)]
pub struct RandomNumbers {
    has_seeds: bool,
}

/// An instruction that gives a number, if it has one.
macro_rules! number {
    ($instruction:literal) => {{
        let (value, is_valid): (u64, u8);
        // SAFETY: `detect` found the instruction; it changes a register and flags.
        unsafe {
            core::arch::asm!(
                concat!($instruction, " {value}"),
                "setc {is_valid}",
                value = out(reg) value,
                is_valid = out(reg_byte) is_valid,
                options(nomem, nostack),
            );
        }
        // A processor without a number at hand says so by CF, and the value is none then.
        (is_valid != 0).then_some(value)
    }};
}

fn next() -> Option<u64> {
    (0..ATTEMPTS).find_map(|_| number!("rdrand"))
}

fn next_seed() -> Option<u64> {
    (0..SEED_ATTEMPTS).find_map(|_| {
        let seed = number!("rdseed");
        if seed.is_none() {
            core::hint::spin_loop();
        }
        seed
    })
}

/// Fills with numbers. Returns how many bytes were filled.
fn fill_with(bytes: &mut [u8], mut next: impl FnMut() -> Option<u64>) -> usize {
    let mut done = 0;
    for part in bytes.chunks_mut(8) {
        let Some(value) = next() else { break };
        part.iter_mut().zip(value.to_le_bytes()).for_each(|(to, from)| *to = from);
        done += part.len();
    }
    done
}

impl RandomNumbers {
    /// It, if the processor has one.
    pub fn detect() -> Option<Self> {
        // Asked of the processor, since this process executes the instruction, whatever the guest's CPUID
        // says. RDSEED came after RDRAND: where it is alone, somebody has taken RDRAND away.
        let has_numbers = __cpuid(1).ecx & RDRAND != 0;
        has_numbers.then(|| Self { has_seeds: __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & RDSEED != 0 })
    }

    /// Fills with what another generator may be seeded with: RDSEED's numbers, or those of RDRAND that lie so
    /// far apart that each eight bytes are of another seed. `false`: the processor has none.
    pub fn fill_seed(&self, bytes: &mut [u8]) -> bool {
        let count = bytes.len();
        if self.has_seeds {
            return fill_with(bytes, next_seed) == count;
        }
        let far = || {
            for _ in 0..BYTES_A_SEED / 8 {
                next()?;
            }
            next()
        };
        fill_with(bytes, far) == count
    }
}

impl Entropy for RandomNumbers {
    fn fill(&mut self, bytes: &mut [u8]) -> usize {
        fill_with(bytes, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_fill_all_of_a_buffer() {
        let Some(numbers) = RandomNumbers::detect() else { return };
        for has_seeds in [false, numbers.has_seeds] {
            let mut bytes = [0; 48];
            assert!(RandomNumbers { has_seeds }.fill_seed(&mut bytes));
            // Any eight bytes that were left out are zero; that all of these are by chance is 2^-61.
            assert!(bytes.chunks(8).all(|part| part != [0; 8]));
        }
    }

    #[test]
    fn a_generator_that_stops_is_noticed() {
        let mut left = 2;
        let next = || {
            left -= 1;
            (left > 0).then_some(u64::MAX)
        };
        let mut bytes = [0; 20];
        assert_eq!(fill_with(&mut bytes, next), 8);
        assert_eq!(bytes[7..9], [0xff, 0]);
    }
}
