//! What instruction a guest has stopped at, where the exit does not tell: those of SEV-SNP are #UD to the
//! processor below, or have a prefix that it does not look at.

use decoder::walk::{Access, Paging, walk};
use decoder::{Intercept, Mode, Processor, Vendor, intercept_length};
use plinth_snp_abi::PAGE_BYTES;
use plinth_snp_abi::rmp::opcode;
use runtime::abi::registers::Groups;
use runtime::abi::status::Status;

use crate::memory::Memory;
use crate::vcpu::Vcpu;

/// The most bytes an instruction has.
const MAX_BYTES: usize = 15;
/// Bytes of an instruction of SEV-SNP without further prefixes.
const BYTES: usize = 4;

/// An instruction of SEV-SNP for a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PVALIDATE.
    Pvalidate,
    /// RMPADJUST.
    RmpAdjust,
    /// RMPQUERY.
    RmpQuery,
    /// VMGEXIT.
    VmgExit,
}

/// One, with its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Which.
    pub kind: Kind,
    /// Its bytes.
    pub length: u64,
}

/// Bytes of an instruction, copied once.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    bytes: [u8; MAX_BYTES],
    count: usize,
    mode: Mode,
}

impl Code {
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.count).unwrap_or_default()
    }

    /// The instruction of SEV-SNP, if it is one.
    pub fn of_snp(&self) -> Option<Instruction> {
        decode(self.bytes())
    }

    /// The length of an intercepted instruction; `None` if it is not there any more.
    pub fn length(&self, intercept: Intercept) -> Option<u64> {
        intercept_length(intercept, self.bytes(), self.mode).map(u64::from)
    }

    /// The instruction, if it is one that the decoder knows.
    pub fn decoded(&self) -> Option<decoder::Instruction> {
        decoder::decode(self.bytes(), self.mode, Processor::full(Vendor::Amd)).ok()
    }
}

/// The instruction that these bytes begin with, if it is one of those. Segment overrides and other prefixes
/// that mean nothing to it, before the one that belongs to it, are passed over, as a processor does.
pub fn decode(bytes: &[u8]) -> Option<Instruction> {
    let is_prefix = |byte: &u8| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67);
    let skipped = bytes.iter().take_while(|byte| is_prefix(byte)).count();
    let word: [u8; BYTES] = bytes.get(skipped..skipped + BYTES)?.try_into().ok()?;
    // The repetition prefix of VMGEXIT may be either.
    let vmgexit_f2 = [0xf2, 0x0f, 0x01, 0xd9];
    let kind = match word {
        opcode::PVALIDATE => Kind::Pvalidate,
        opcode::RMPADJUST => Kind::RmpAdjust,
        opcode::RMPQUERY => Kind::RmpQuery,
        opcode::VMGEXIT => Kind::VmgExit,
        word if word == vmgexit_f2 => Kind::VmgExit,
        _ => return None,
    };
    Some(Instruction { kind, length: (skipped + BYTES) as u64 })
}

/// How the vCPU's addresses are translated. The C-bit is an address bit of the page tables' entries.
///
/// # Errors
/// The kernel's, where the registers can't be had.
pub fn paging(vcpu: &mut Vcpu) -> Result<Paging, Status> {
    vcpu.fetch(Groups::SYSTEM)?;
    let page = &vcpu.page;
    Ok(Paging {
        cr0: page.cr0(),
        cr3: page.cr3(),
        cr4: page.cr4(),
        efer: page.efer(),
        pkru: 0,
        physical_bits: 48,
        gigabyte_pages: true,
    })
}

/// The bytes at CS:RIP, as many as can be had.
///
/// # Errors
/// The kernel's, where the registers can't be had.
pub fn code(vcpu: &mut Vcpu, memory: &mut Memory) -> Result<Code, Status> {
    let paging = paging(vcpu)?;
    let system = vcpu.page.system();
    let mode = Mode::new(system.efer, system.cs.attributes);
    // In 64-bit mode the base is zero, whatever CS has.
    let base = if mode == Mode::Bits64 { 0 } else { system.cs.base };
    let start = base.wrapping_add(vcpu.page.rip()) & mode.linear_mask();
    let cpl = (system.ss.attributes >> 5 & 3) as u8;
    let mut code = Code { bytes: [0; MAX_BYTES], count: 0, mode };
    while let Some(rest) = code.bytes.get_mut(code.count..).filter(|rest| !rest.is_empty()) {
        let linear = start.wrapping_add(code.count as u64) & mode.linear_mask();
        let Ok(translation) = walk(memory, &paging, linear, Access::fetch(cpl)) else { break };
        let bytes = (PAGE_BYTES - linear as usize % PAGE_BYTES).min(rest.len());
        let part = rest.get_mut(..bytes).unwrap_or_default();
        // Where there is no memory all bits are set, which is no instruction.
        if memory.copy_out(translation.gpa, part).is_none() {
            part.fill(0xff);
        }
        code.count += bytes;
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_of_snp_are_found_and_no_others() {
        let some = |kind, length| Some(Instruction { kind, length });
        for (bytes, expected) in [
            (&[0xf2, 0x0f, 0x01, 0xff, 0x90][..], some(Kind::Pvalidate, 4)),
            (&[0xf3, 0x0f, 0x01, 0xfe], some(Kind::RmpAdjust, 4)),
            (&[0xf3, 0x0f, 0x01, 0xfd], some(Kind::RmpQuery, 4)),
            (&[0xf3, 0x0f, 0x01, 0xd9], some(Kind::VmgExit, 4)),
            (&[0xf2, 0x0f, 0x01, 0xd9], some(Kind::VmgExit, 4)),
            (&[0x67, 0x3e, 0xf2, 0x0f, 0x01, 0xff], some(Kind::Pvalidate, 6)),
            // VMMCALL; the host's instructions; one that is cut.
            (&[0x0f, 0x01, 0xd9, 0x90], None),
            (&[0xf2, 0x0f, 0x01, 0xfe], None),
            (&[0xf3, 0x0f, 0x01, 0xff], None),
            (&[0xf2, 0x0f, 0x01], None),
            (&[], None),
        ] {
            assert_eq!(decode(bytes), expected, "{bytes:x?}");
        }
    }
}
