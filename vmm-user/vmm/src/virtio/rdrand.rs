//! Random numbers of the processor's (SDM volume 1, 7.3.17).
#![allow(unsafe_code, reason = "RDRAND is an instruction")]

use core::arch::x86_64::__cpuid;

use virtio_devices::rng::Entropy;

/// CPUID leaf 1, ECX: there is RDRAND.
const RDRAND: u32 = 1 << 30;
/// How often it is tried: a processor that fails ten times in a row is broken.
const ATTEMPTS: u32 = 10;

/// The processor's random number generator.
pub struct Rdrand(());

impl Rdrand {
    /// It, if the processor has one.
    pub fn detect() -> Option<Self> {
        // Asked of the processor, since this process executes the instruction, whatever the guest's CPUID
        // says.
        (__cpuid(1).ecx & RDRAND != 0).then_some(Self(()))
    }
}

fn next() -> Option<u64> {
    (0..ATTEMPTS).find_map(|_| {
        let (value, is_valid): (u64, u8);
        // SAFETY: `detect` found the instruction; it changes a register and flags.
        unsafe {
            core::arch::asm!(
                "rdrand {value}",
                "setc {is_valid}",
                value = out(reg) value,
                is_valid = out(reg_byte) is_valid,
                options(nomem, nostack),
            );
        }
        // A processor without a number at hand says so by CF, and the value is none then.
        (is_valid != 0).then_some(value)
    })
}

impl Entropy for Rdrand {
    fn fill(&mut self, bytes: &mut [u8]) -> usize {
        let mut done = 0;
        for part in bytes.chunks_mut(8) {
            let Some(value) = next() else { break };
            part.iter_mut().zip(value.to_le_bytes()).for_each(|(to, from)| *to = from);
            done += part.len();
        }
        done
    }
}
