//! Cases: an instruction, and registers that make it reach the data.

mod forms;

use super::descriptors::{self, Descriptor};
use super::mapping::{CODE, DATA, PAGE};
use super::processor::{Registers, Selectors};
use crate::full;
use crate::random::Random;
use decoder::{
    Attributes, Instruction, Mode, Operand, Operation, Processor, Register, Rejection, Segment, SegmentState,
    Size,
};
pub(super) use forms::{Form, forms, memory_forms};
use forms::{is_port_string, is_user};

const SP: usize = 4;
const BP: usize = 5;
const SI: usize = 6;
const DI: usize = 7;
const CX: usize = 1;

/// A case to be run by both sides.
pub(super) struct Case {
    pub(super) mode: Mode,
    pub(super) processor: Processor,
    /// Where in the page of code it is.
    pub(super) offset: u64,
    pub(super) code: Vec<u8>,
    /// What it is decoded to, or that it must be undefined.
    pub(super) instruction: Option<Instruction>,
    pub(super) registers: Registers,
    pub(super) selectors: Selectors,
    pub(super) segments: [SegmentState; 6],
    /// Where data is written before, within writable pages: about where the operands are.
    pub(super) fills: Vec<(u64, [u8; 32])>,
    /// The data is to be selectors.
    pub(super) draws_selectors: bool,
    /// The data is to begin with this: where a branch goes to.
    pub(super) branch_target: Vec<u8>,
}

impl Case {
    /// A case of `form`, unless the prefixes that were drawn make something else of it.
    pub(super) fn draw(form: &Form, processor: Processor, random: &mut Random) -> Option<Case> {
        let mut code = form.bytes(&prefixes(form.mode, random), modrm(form.reg, random));
        // Any bytes: they are SIB, displacement and immediate, as far as the form has such.
        code.extend(random.bits().to_le_bytes());
        code.extend(random.bits().to_le_bytes());
        // No instruction is longer.
        code.truncate(15);
        let instruction = match decoder::decode(&code, form.mode, processor) {
            Ok(instruction) if is_user(instruction.operation) || is_port_string(instruction.operation) => {
                Some(instruction)
            }
            // Compared as well: the processor has to find it undefined too.
            Err(Rejection::Undefined) => None,
            // A fault would be all that user code sees of it.
            _ => return None,
        };
        let mut registers = Registers {
            gprs: core::array::from_fn(|_| random.operand()),
            rip: 0,
            // IF, as Linux runs user code with it, and any status flags.
            rflags: 0x202 | random.bits() & 0x8d5,
            xmm: core::array::from_fn(|_| u128::from(random.bits()) << 64 | u128::from(random.bits())),
            mmx: core::array::from_fn(|_| random.bits()),
        };
        // DF, in a part of the cases: strings go down.
        if random.below(4) == 0 {
            registers.rflags |= 1 << 10;
        }
        // AC: in few cases, as of an instruction that is misaligned nothing is seen then but its fault.
        if random.below(8) == 0 {
            registers.rflags |= 1 << 18;
        }
        let (selectors, segments) = segments(form.mode, random);
        // Not up to the page's end: the breakpoint behind the instruction has to be in it.
        let offset = random.below(0xf00);
        registers.rip = if form.mode == Mode::Bits64 { CODE + offset } else { offset };
        let fills = Vec::new();
        let mut case = Case {
            mode: form.mode,
            processor,
            offset,
            code,
            instruction,
            registers,
            selectors,
            segments,
            fills,
            draws_selectors: false,
            branch_target: Vec::new(),
        };
        match instruction {
            Some(instruction) => case.point_registers(&instruction, random)?,
            None => case.code.truncate(full::decode(&case.code, form.mode).len().max(1)),
        }
        Some(case)
    }

    /// Points the registers to data, or patches the displacement.
    fn point_registers(&mut self, instruction: &Instruction, random: &mut Random) -> Option<()> {
        self.code.truncate(instruction.length.into());
        // The harness keeps FS, by which the C library finds its thread.
        if instruction.segment == Segment::Fs {
            return None;
        }
        if let Operand::Gpr(number) = instruction.source
            && is_bit(instruction.operation)
        {
            // Bits around the operand: any number of 64 bits would be far outside the data.
            let bits = random.below(2048) as i64 - 1024;
            self.registers.gprs[usize::from(number)] = bits as u64;
        }
        if branches(instruction.operation) {
            // What a register says could be anywhere.
            if matches!(instruction.source, Operand::Gpr(_)) {
                return None;
            }
            self.set_branch_target(instruction, random);
        }
        if is_selector(instruction) {
            if loads_fs(instruction) {
                return None;
            }
            self.draws_selectors = true;
        }
        if accesses_stack(instruction.operation) {
            self.point(SP, Segment::Ss, self.stack_size(), random);
            // Most frames are small.
            self.point(BP, Segment::Ss, self.stack_size(), random);
        }
        if instruction.attributes.contains(Attributes::MEMORY) {
            self.point_to_operand(instruction, random);
        } else {
            self.point(SI, instruction.segment, instruction.address_size, random);
            self.point(DI, Segment::Es, instruction.address_size, random);
            // Few, since repetitions without end would leave the data; zero is one of them.
            self.registers.gprs[CX] = random.below(12) | random.bits() & !instruction.address_size.mask();
        }
        if self.mode != Mode::Bits64 {
            // Other code has neither upper halves nor registers above the seventh.
            self.registers.gprs = self.registers.gprs.map(|value| value & 0xffff_ffff);
            self.registers.gprs[8..].fill(0);
        }
        Some(())
    }

    fn stack_size(&self) -> Size {
        match self.mode {
            Mode::Bits64 => Size::B8,
            _ if self.segments[Segment::Ss as usize].attributes & SegmentState::BIG != 0 => Size::B4,
            _ => Size::B2,
        }
    }

    /// A linear address in the data, where data is put; sometimes one that is in no page.
    fn target(&mut self, random: &mut Random) -> u64 {
        // A border, at least on one side of which there is a page that can be read.
        let page = DATA + PAGE * (1 + random.below(4));
        let target = match random.below(16) {
            // Where 32-bit addresses wrap, processors differ even from themselves.
            0 if self.mode == Mode::Bits64 => {
                return random.choose(&[
                    0,
                    8,
                    0x7fff_ffff_fffc,
                    0x8000_0000_0000,
                    0xffff_7fff_ffff_fff8,
                    1 << 63,
                ]);
            }
            // Just below a border, so that operands cross it.
            1..=4 => page - random.below(18),
            5..=6 => page + random.below(PAGE),
            _ => page + (random.below(PAGE) & !0xf),
        };
        let mut fill = [0; 32];
        if self.draws_selectors {
            fill = selectors_around(random);
        } else if random.below(2) == 0 {
            fill.fill_with(|| random.bits() as u8);
        } else {
            // Values at which signs, carries and conditions turn.
            fill.fill(random.choose(&[0, 0xff, 0x80, 0x7f, 1]));
        }
        fill.iter_mut().skip(8).zip(&self.branch_target).for_each(|(to, from)| *to = *from);
        // Around the target, as bit tests and strings that go down reach below it.
        self.fills.push((target.wrapping_sub(8), fill));
        // What does not fit in there.
        for (chunk, at) in self.branch_target.iter().skip(24).copied().collect::<Vec<_>>().chunks(32).zip(0..)
        {
            let mut fill = [0; 32];
            fill.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.fills.push((target.wrapping_add(24 + 32 * at), fill));
        }
        target
    }

    /// Has a branch go to the breakpoint behind it.
    fn set_branch_target(&mut self, instruction: &Instruction, random: &mut Random) {
        // The breakpoint is where every case ends that does not fault.
        let next = self.next();
        let (cs, ss) = (self.selectors.cs.into(), self.selectors.ss.into());
        let size = instruction.size.bytes() as usize;
        // Any that user code may set, but TF, which would end the case by a debug exception.
        let flags = 0x202 | random.bits() & 0xcd5;
        let values = match instruction.operation {
            Operation::Iret => vec![next, cs, flags, self.target(random), ss],
            _ => vec![next, cs],
        };
        // What was put for IRET's stack may lie over the frame.
        self.fills.clear();
        self.branch_target = values.iter().flat_map(|value| value.to_le_bytes()[..size].to_vec()).collect();
        if instruction.source == Operand::Immediate {
            self.patch_target(instruction, next, cs);
        }
    }

    /// The breakpoint's offset.
    pub(super) fn next(&self) -> u64 {
        self.registers.rip + self.code.len() as u64
    }

    /// A target that stands in the instruction.
    fn patch_target(&mut self, instruction: &Instruction, next: u64, cs: u64) {
        let size = (instruction.size.bytes() as usize).min(4);
        let bytes = match instruction.operation {
            // A displacement of zero is to what follows.
            Operation::CallRelative => vec![0; size],
            Operation::CallFar => [&next.to_le_bytes()[..size], &cs.to_le_bytes()[..2]].concat(),
            _ => return,
        };
        let start = self.code.len() - bytes.len();
        self.code[start..].copy_from_slice(&bytes);
        self.instruction = decoder::decode(&self.code, self.mode, self.processor).ok();
    }

    fn base(&self, segment: Segment) -> u64 {
        match (self.mode, segment) {
            (Mode::Bits64, Segment::Fs | Segment::Gs) => self.segments[segment as usize].base,
            // 64-bit code has no bases in the others.
            (Mode::Bits64, _) => 0,
            _ => self.segments[segment as usize].base,
        }
    }

    /// Points a register to data; what the address size doesn't use of it is anything.
    fn point(&mut self, register: usize, segment: Segment, size: Size, random: &mut Random) {
        let offset = self.target(random).wrapping_sub(self.base(segment));
        self.set(register, size, offset, random);
    }

    fn set(&mut self, register: usize, size: Size, value: u64, random: &mut Random) {
        self.registers.gprs[register] = (value & size.mask()) | (random.bits() & !size.mask());
    }

    fn point_to_operand(&mut self, instruction: &Instruction, random: &mut Random) {
        let size = instruction.address_size;
        let target = self.target(random);
        let offset = target.wrapping_sub(self.base(instruction.segment));
        let index = match instruction.index {
            Register::Gpr(index) => self.registers.gprs[usize::from(index)] << instruction.scale,
            _ => 0,
        };
        // The register that is free takes what the others leave.
        let rest = offset.wrapping_sub(instruction.displacement);
        match (instruction.base, instruction.index) {
            (Register::Gpr(base), _) => self.set(base.into(), size, rest.wrapping_sub(index), random),
            // Scaling rounds the target down: at most seven bytes are lost.
            (Register::None, Register::Gpr(index)) => {
                let value = (rest & size.mask()) >> instruction.scale;
                self.registers.gprs[usize::from(index)] = value;
            }
            (base, _) => self.patch_displacement(instruction, base, offset),
        }
        self.match_accumulator(instruction, target, random);
    }

    fn patch_displacement(&mut self, instruction: &Instruction, base: Register, offset: u64) {
        let next = self.registers.rip + u64::from(instruction.length);
        let wanted = if base == Register::Rip { offset.wrapping_sub(next) } else { offset };
        let bitness = full::bitness(self.mode);
        let mut decoder = iced_x86::Decoder::new(bitness, &self.code, iced_x86::DecoderOptions::NONE);
        let instruction = decoder.decode();
        // Only the full decoder tells where the displacement is.
        let offsets = decoder.get_constant_offsets(&instruction);
        let start = offsets.displacement_offset();
        let end = start + offsets.displacement_size();
        self.code[start..end].copy_from_slice(&wanted.to_le_bytes()[..end - start]);
        // Anew, as its bytes have changed.
        self.instruction = decoder::decode(&self.code, self.mode, self.processor).ok();
    }

    /// Makes a compare-exchange succeed half of the time.
    fn match_accumulator(&mut self, instruction: &Instruction, target: u64, random: &mut Random) {
        let compares = matches!(instruction.operation, Operation::Cmpxchg | Operation::CmpxchgPair);
        let uses_accumulator = |register| matches!(register, Register::Gpr(0 | 2));
        let is_free = !uses_accumulator(instruction.base) && !uses_accumulator(instruction.index);
        if let (true, true, 0, Some(&(address, fill))) =
            (compares, is_free, random.below(2), self.fills.last())
            && address == target.wrapping_sub(8)
        {
            // The fill begins eight bytes below the target, and a pair's upper half is right behind the lower
            // one.
            let half = |at: usize| u64::from_le_bytes(core::array::from_fn(|index| fill[at + index]));
            self.registers.gprs[0] = half(8);
            self.registers.gprs[2] = if instruction.memory_size == Size::B8 { half(12) } else { half(16) };
        }
    }
}

/// Whether rSP points to an operand.
fn accesses_stack(operation: Operation) -> bool {
    use Operation::*;
    let pushes =
        matches!(operation, Push | PushRegister | Pusha | Pushf | Enter | Call | CallRelative | CallFar);
    pushes || matches!(operation, Pop | PopRegister | Popa | Popf | Leave | Ret | RetFar | Iret)
}

/// Whether it goes elsewhere than behind itself.
pub(super) fn branches(operation: Operation) -> bool {
    use Operation::*;
    matches!(operation, Jmp | Call | CallRelative | Ret | JmpFar | CallFar | RetFar | Iret)
}

/// Whether what it reads is a selector.
fn is_selector(instruction: &Instruction) -> bool {
    use Operation::*;
    matches!(instruction.operation, MovSegment | LoadFar | Lar | Lsl | Verr | Verw)
        || matches!(instruction.destination, Operand::Segment(_))
}

/// The harness needs its own FS.
fn loads_fs(instruction: &Instruction) -> bool {
    let is_far = instruction.operation == Operation::LoadFar && instruction.immediate == Segment::Fs as u64;
    is_far || instruction.destination == Operand::Segment(Segment::Fs as u8)
}

/// Selectors at each place where an operand may begin.
fn selectors_around(random: &mut Random) -> [u8; 32] {
    // Null ones; the kernel's and the user's of the global table, the local table's, some with another
    // privilege level; and beyond the table's end.
    const SELECTORS: [u16; 16] =
        [0, 1, 3, 0x18, 0x23, 0x2a, 0x2b, 0x33, 0x27, 0x1f, 0x37, 0x3f, 0x3e, 0x47, 0xfff7, 0xff];
    let selector = random.choose(&SELECTORS).to_le_bytes();
    core::array::from_fn(|index| selector[index % 2])
}

pub(super) fn is_bit(operation: Operation) -> bool {
    matches!(operation, Operation::Bt | Operation::Bts | Operation::Btr | Operation::Btc)
}

fn prefixes(mode: Mode, random: &mut Random) -> Vec<u8> {
    // So seldom each that most cases have one of them or none. No FS: that is the harness's.
    let mut prefixes = Vec::new();
    for (prefix, one_in) in [(0x66, 5), (0x67, 5), (0xf0, 5), (0xf2, 6), (0xf3, 6), (0x65, 6)] {
        if random.below(one_in) == 0 {
            prefixes.push(prefix);
        }
    }
    if random.below(4) == 0 {
        prefixes.push(random.choose(&[0x26, 0x2e, 0x36, 0x3e]));
    }
    if mode == Mode::Bits64 && random.below(2) == 0 {
        // Last, since REX counts only right before the opcode.
        prefixes.push(0x40 | random.below(16) as u8);
    }
    prefixes
}

/// ModRM with `reg`, and memory in most cases.
fn modrm(reg: u8, random: &mut Random) -> u8 {
    // Registers alone say little about memory, and are compared elsewhere.
    let mode = if random.below(64) == 0 { 3 } else { random.below(3) as u8 };
    mode << 6 | reg << 3 | random.below(8) as u8
}

/// What the segment registers hold, for the processor and for the emulator.
fn segments(mode: Mode, random: &mut Random) -> (Selectors, [SegmentState; 6]) {
    if mode == Mode::Bits64 {
        let gs_base = random.choose(&[0, DATA, 0x7000, 0x7fff_ffff_0000]);
        let mut segments = [descriptors::LONG_DATA.state; 6];
        segments[Segment::Cs as usize] = descriptors::LONG_CODE.state;
        segments[Segment::Gs as usize].base = gs_base;
        let cs = descriptors::LONG_CODE.selector;
        let ss = descriptors::LONG_DATA.selector;
        return (Selectors { cs, ss, gs_base, ..Selectors::default() }, segments);
    }
    let code = if mode == Mode::Bits32 { descriptors::CODE_32 } else { descriptors::CODE_16 };
    let data: &[Descriptor] = &descriptors::DATA_SEGMENTS;
    // With another in SS the case would fault before it begins.
    let stack = random.choose(&data[..descriptors::STACK_SEGMENTS]);
    let [ds, es, gs] = core::array::from_fn(|_| random.choose(data));
    let selectors = Selectors {
        cs: code.selector,
        ss: stack.selector,
        ds: ds.selector,
        es: es.selector,
        gs: gs.selector,
        gs_base: 0,
    };
    // The fourth for FS, which the harness keeps: no case uses it.
    (selectors, [es.state, code.state, stack.state, ds.state, ds.state, gs.state])
}
