//! What carries out the guest's instructions for it: the decoder, over a vCPU's registers, the guest's memory
//! and the devices, and what is remembered of instructions and pages.

mod code_cache;
mod machine;
mod page_cache;
mod processor;
mod table_path;

use decoder::fetch::{self, Code, FetchError};
use decoder::{
    Event, Instruction, Intercept, Mode, Outcome, Plain, PortRequest, Processor, intercept_length,
};
use devices::capability::Width;
use devices::control::Control;
use devices::cpuid::CpuidTable;

use super::page::View;
use super::registers::{Kernel, Registers};
use crate::guest_memory::GuestRam;
use code_cache::{CodeCache, Decoded, Key, Known, Lengths};
use machine::VcpuMachine;
use page_cache::PageCache;

/// The longest instruction, in bytes (APM volume 3, 1.1).
const MAX_LENGTH: usize = 15;
/// An instruction to fill a cache with.
const HLT: &[u8] = &[0xf4];

/// What an instruction is emulated in: a vCPU, and what it reaches.
pub trait Surroundings {
    /// Who is asked for registers that the run page does not hold.
    type Kernel: Kernel;

    /// The vCPU's registers, and its emulator.
    fn parts(&self) -> (&Registers<Self::Kernel>, &Emulator);

    /// The vCPU's registers.
    fn registers(&mut self) -> &mut Registers<Self::Kernel>;

    /// The vCPU's emulator.
    fn emulator(&mut self) -> &mut Emulator;

    /// The guest's memory.
    fn ram(&self) -> &GuestRam;

    /// A load from what is not memory.
    fn device_read(&mut self, gpa: u64, width: Width) -> u64;

    /// A store to what is not memory.
    fn device_write(&mut self, gpa: u64, width: Width, value: u64);

    /// The access by INS or OUTS whose right the processor has checked before the exit, if that is what the
    /// exit was for.
    fn checked_port(&self) -> Option<PortRequest>;

    /// IN.
    fn port_in(&mut self, port: u16, width: Width) -> u32;

    /// OUT.
    fn port_out(&mut self, port: u16, width: Width, value: u32);
}

/// What a vCPU's thread knows of the guest's code.
pub struct Emulator {
    /// What the guest believes of its processor, by its CPUID.
    processor: Processor,
    /// The instructions that are intercepted.
    lengths: Lengths,
    /// The instructions that access devices.
    decoded: Decoded,
    /// The pages that they access.
    pages: PageCache,
}

impl Emulator {
    /// For a guest with this CPUID. `None` if there is no memory.
    pub fn new(cpuid: &CpuidTable) -> Option<Self> {
        Self::of(processor::of(cpuid))
    }

    fn of(processor: Processor) -> Option<Self> {
        // The full decoder's tables are made now, and not at the guest's first rare instruction.
        decoder::prepare();
        Some(Self {
            processor,
            lengths: CodeCache::new((Intercept::Hlt, 1))?,
            decoded: CodeCache::new(decoder::decode(HLT, Mode::Bits64, processor).ok()?.into())?,
            pages: PageCache::new()?,
        })
    }

    /// Forgets all that is remembered of the guest's code and pages.
    pub fn forget(&mut self) {
        self.lengths.clear();
        self.decoded.clear();
        self.pages.clear();
    }

    /// The guest's control registers become others: what is remembered is forgotten, unless they say the same
    /// of pages and code. A guest that flushes its TLB by CR4.PGE does so often; what is remembered is no
    /// TLB, and is held against the tables anyway.
    pub fn paging_changes(&mut self, before: &Control, after: &Control) {
        const CR0: u64 = 1 << 31 | 1 << 16 | 1;
        const PGE: u64 = 1 << 7;
        let of_paging = |control: &Control| (control.cr0 & CR0, control.cr4 & !PGE, control.efer);
        if of_paging(before) != of_paging(after) {
            self.forget();
        }
    }

    /// The length of the intercepted instruction at RIP, if it is remembered. Only 64-bit code is.
    #[inline(always)]
    pub fn known_length(&self, page: View<'_>, intercept: Intercept) -> Option<u8> {
        let (known, length) = self.lengths.find(page)?;
        // The bytes compared are those of now: another vCPU may have put them back since the processor
        // executed a different instruction there.
        (*known == intercept).then_some(*length)
    }

    /// The instruction at RIP, if it is remembered.
    #[inline(always)]
    pub fn known(&self, page: View<'_>) -> Option<&Known> {
        self.decoded.find(page)
    }
}

/// Finds the length of the intercepted instruction at RIP, and remembers it. `None` when the code is not that
/// instruction.
pub fn find_length(vcpu: &mut impl Surroundings, intercept: Intercept) -> Result<Option<u8>, FetchError> {
    let mode = vcpu.registers().mode();
    let mut code = Code::EMPTY;
    let mut emulation = VcpuMachine::new(vcpu);
    let length = fetch_length(&mut emulation, &mut code, intercept, mode)?;
    if let Some(length) = length
        && let Some(bytes) = code.bytes().get(..usize::from(length))
        && let Some(key) = Key::of(&mut emulation, bytes)
    {
        vcpu.emulator().lengths.insert(key, (intercept, length));
    }
    Ok(length)
}

/// Fetches as much as it takes to tell the length.
fn fetch_length<S: Surroundings>(
    emulation: &mut VcpuMachine<'_, S>,
    code: &mut Code,
    intercept: Intercept,
    mode: Mode,
) -> Result<Option<u8>, FetchError> {
    code.extend(emulation)?;
    // With what is left of the page first: most instructions end in there, and the next page may not be there
    // at all.
    let length = intercept_length(intercept, code.bytes(), mode);
    if length.is_some() || code.bytes().len() >= MAX_LENGTH {
        return Ok(length);
    }
    // The instruction may reach into the next page.
    code.extend(emulation)?;
    Ok(intercept_length(intercept, code.bytes(), mode))
}

/// Fetches the instruction at RIP, and remembers it. `code` is what was fetched.
pub fn fetch(vcpu: &mut impl Surroundings, code: &mut Code) -> Result<Instruction, FetchError> {
    let mut emulation = VcpuMachine::new(vcpu);
    let instruction = fetch::fetch(&mut emulation, code)?;
    let bytes = code.bytes().get(..usize::from(instruction.length));
    // What could not be checked at its next use is not remembered.
    if let Some(key) = bytes.and_then(|bytes| Key::of(&mut emulation, bytes)) {
        vcpu.emulator().decoded.insert(key, Known::from(instruction));
    }
    Ok(instruction)
}

/// The length of INT n, INT3, INTO or INT1 at RIP. `None` when the code is none of them.
pub fn interrupt_length(vcpu: &mut impl Surroundings, code: &mut Code) -> Result<Option<u8>, FetchError> {
    let mode = vcpu.registers().mode();
    fetch_length(&mut VcpuMachine::new(vcpu), code, Intercept::Interrupt, mode)
}

/// Delivers an event as the processor does.
pub fn deliver(vcpu: &mut impl Surroundings, event: Event) -> Outcome {
    decoder::deliver(event, &mut VcpuMachine::new(vcpu))
}

/// Carries out the instruction at RIP, or a number of its iterations.
pub fn emulate(vcpu: &mut impl Surroundings, instruction: &Instruction, iterations: u32) -> Outcome {
    decoder::emulate(instruction, &mut VcpuMachine::new(vcpu), iterations)
}

/// The same for the instruction that caused a nested page fault.
#[inline(never)]
pub fn emulate_at_fault(vcpu: &mut impl Surroundings, instruction: &Instruction, iterations: u32) -> Outcome {
    decoder::emulate(instruction, &mut VcpuMachine::at_fault(vcpu), iterations)
}

/// The decoder's short cut for it: whether the guest is single-stepping, or `None` and nothing done.
#[inline(always)]
pub fn access_at_fault(vcpu: &mut impl Surroundings, plain: &Plain) -> Option<bool> {
    plain.emulate(&mut VcpuMachine::at_fault(vcpu))
}

#[cfg(test)]
mod tests;
