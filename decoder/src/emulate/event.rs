//! Delivering an interrupt or an exception (APM 2, 8.7 to 8.9): what the processor does by itself, unless
//! gate, descriptor or stack is where there is no RAM.

use super::descriptor::{Descriptor, is_null, kind};
use super::far::{SP, Target, gate_offset};
use super::{Abort, Emulation, Outcome, Result, Stop};
use crate::bits::{FLAG_AC, FLAG_IF, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VM};
use crate::{
    Attributes, Exception, Instruction, Machine, Operand, Operation, Register, Segment, SegmentState, Size,
    Table, vector,
};

/// An event to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its vector.
    pub vector: u8,
    /// What it pushes besides, if anything.
    pub error_code: Option<u32>,
    /// It is INT n, INT3 or INTO; RIP is behind that instruction.
    pub is_software: bool,
    /// It is an exception, which RIP is the cause of.
    pub is_exception: bool,
}

/// What comes of an exception while another event was being delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combined {
    /// The second one is delivered in its place.
    Second,
    /// #DF.
    DoubleFault,
    /// The processor shuts down.
    Shutdown,
}

/// What comes of exception `second` while `first` was being delivered (APM 2, 8.2.9).
pub fn combine(first: Event, second: u8) -> Combined {
    let is_contributory = |vector: u8| {
        matches!(
            vector,
            vector::DIVIDE_ERROR
                | vector::INVALID_TSS
                | vector::NOT_PRESENT
                | vector::STACK
                | vector::GENERAL_PROTECTION
        )
    };
    let is_page_fault = |found: u8| found == vector::PAGE_FAULT;
    // Only of two exceptions comes a double fault.
    if !first.is_exception {
        return Combined::Second;
    }
    let is_fatal = is_contributory(second) || is_page_fault(second);
    match first.vector {
        vector::DOUBLE_FAULT if is_fatal => Combined::Shutdown,
        found if is_contributory(found) && is_contributory(second) => Combined::DoubleFault,
        found if is_page_fault(found) && is_fatal => Combined::DoubleFault,
        _ => Combined::Second,
    }
}

/// Delivers `event`: RIP, CS, SS, rSP and RFLAGS are the handler's afterwards, or nothing has changed.
pub fn deliver(event: Event, machine: &mut impl Machine) -> Outcome {
    let instruction = nothing(machine);
    let mut emulation = Emulation { instruction: &instruction, machine, pages: [None; 2] };
    let outcome = emulation.deliver(event).map_err(|abort| with_external_bit(abort, event));
    outcome.unwrap_or_else(Outcome::from)
}

/// An instruction that does nothing, in the machine's mode.
fn nothing(machine: &mut impl Machine) -> Instruction {
    Instruction {
        // Any would do: of it only the mode and the processor are looked at.
        operation: Operation::Hlt,
        length: 0,
        mode: machine.mode(),
        vendor: machine.processor().vendor,
        size: Size::B4,
        memory_size: Size::B4,
        address_size: Size::B8,
        attributes: Attributes::empty(),
        destination: Operand::None,
        source: Operand::None,
        segment: Segment::Ds,
        base: Register::None,
        index: Register::None,
        scale: 0,
        displacement: 0,
        immediate: 0,
    }
}

/// Error codes of selectors say whether something from outside of the program was being delivered.
fn with_external_bit(abort: Abort, event: Event) -> Abort {
    let external = u32::from(!event.is_software);
    match abort {
        // The codes of page faults and of #AC are no selectors'.
        Abort::Exception(Exception { vector: found, error_code: Some(code), cr2: None })
            if found != vector::ALIGNMENT_CHECK =>
        {
            Abort::Exception(Exception { vector: found, error_code: Some(code | external), cr2: None })
        }
        other => other,
    }
}

/// A gate of the IDT.
#[derive(Clone, Copy)]
struct Gate {
    found: Descriptor,
    size: Size,
    clears_interrupts: bool,
    ist: u8,
}

impl<M: Machine> Emulation<'_, M> {
    fn deliver(&mut self, event: Event) -> Result<Outcome> {
        let flags = self.machine.rflags();
        let is_virtual = flags & FLAG_VM != 0;
        if !self.is_protected() && !is_virtual {
            return self.deliver_real(event, flags);
        }
        let gate = self.gate(event)?;
        let target = self.handler(gate)?;
        // Of the interrupted program, so before anything of it changes.
        let values = self.frame(event, gate, target, flags);
        let is_long = self.is_long();
        // Never an outer one: `handler` has refused that.
        let is_inner = target.cpl() != self.machine.cpl();
        // An IST changes the stack at the same level, too (APM 2, 8.9.4).
        let stack = if is_inner || gate.ist != 0 {
            self.inner_stack(target, gate.ist)?
        } else {
            let state = self.machine.segment(Segment::Ss);
            (self.machine.selector(Segment::Ss), state, self.machine.gpr(SP))
        };
        // A stack of the same level keeps its selector.
        let stack = if is_inner { stack } else { self.same_segment(stack.2) };
        // Long mode aligns the frame to sixteen bytes (APM 2, 8.9.3).
        let stack = if is_long { (stack.0, stack.1, stack.2 & !0xf) } else { stack };
        // The old segments are pushed before they are gone.
        self.push_on(stack, target, values.used(), gate.size)?;
        if is_virtual {
            // What they hold are bases of virtual-8086 mode, which mean nothing to the handler.
            for segment in [Segment::Es, Segment::Ds, Segment::Fs, Segment::Gs] {
                self.machine.set_segment(segment, 0, SegmentState { base: 0, limit: 0, attributes: 0 });
            }
        }
        self.enter_code(target)?;
        let cleared =
            FLAG_TF | FLAG_NT | FLAG_VM | FLAG_RF | if gate.clears_interrupts { FLAG_IF } else { 0 };
        self.machine.set_rflags(flags & !cleared);
        Ok(Outcome::Done { single_step: false })
    }

    fn same_segment(&mut self, pointer: u64) -> (u16, SegmentState, u64) {
        (self.machine.selector(Segment::Ss), self.machine.segment(Segment::Ss), pointer)
    }

    /// The interrupt vectors of real mode: offset and segment.
    fn deliver_real(&mut self, event: Event, flags: u64) -> Result<Outcome> {
        let table = self.machine.descriptor_table(Table::Idt);
        // Fits: the last vector is at 3FCh.
        let at = u16::from(event.vector) * 4;
        if at + 3 > table.limit {
            return Err(Exception::GENERAL_PROTECTION.into());
        }
        let pointer = self.system_read(table.base.wrapping_add(at.into()), Size::B4)?;
        let (offset, selector) = (pointer & 0xffff, (pointer >> 16) as u16);
        // Before anything is pushed: a fault leaves the stack as it was.
        self.check_offset(self.instruction.mode, offset)?;
        let (old, rip) = (self.machine.selector(Segment::Cs).into(), self.machine.rip());
        self.push_all(&[flags & 0xffff, old, rip & 0xffff], Size::B2)?;
        self.enter_real(selector, offset)?;
        // What an interrupt in real mode clears (APM 2, 8.6).
        self.machine.set_rflags(flags & !(FLAG_IF | FLAG_TF | FLAG_RF | FLAG_AC));
        Ok(Outcome::Done { single_step: false })
    }

    /// The gate, if the event may go through it.
    fn gate(&mut self, event: Event) -> Result<Gate> {
        const IN_IDT: u32 = 2;
        let is_long = self.is_long();
        let refused = |vector| {
            let error_code = Some(u32::from(event.vector) * 8 + IN_IDT);
            Abort::from(Exception { vector, error_code, cr2: None })
        };
        let table = self.machine.descriptor_table(Table::Idt);
        let bytes = if is_long { 16 } else { 8 };
        let at = u32::from(event.vector) * bytes;
        if at + bytes - 1 > table.limit.into() {
            return Err(refused(vector::GENERAL_PROTECTION));
        }
        let linear = table.base.wrapping_add(at.into());
        let low = self.system_read(linear, Size::B8)?;
        let high = if is_long { self.system_read(linear.wrapping_add(8), Size::B8)? } else { 0 };
        let found = Descriptor::of_gate(low, high);
        let size = match found.kind() {
            kind::INTERRUPT_GATE | kind::TRAP_GATE if is_long => Size::B8,
            kind::INTERRUPT_GATE | kind::TRAP_GATE => Size::B4,
            kind::INTERRUPT_GATE_16 | kind::TRAP_GATE_16 if !is_long => Size::B2,
            // The size is never used: a task gate ends below, behind the checks that come before.
            kind::TASK_GATE if !is_long => Size::B1,
            _ => return Err(refused(vector::GENERAL_PROTECTION)),
        };
        // The gate's DPL keeps programs from calling handlers of hardware's by INT n; hardware passes any.
        if found.is_segment() || event.is_software && found.dpl() < self.machine.cpl() {
            return Err(refused(vector::GENERAL_PROTECTION));
        }
        if !found.is_present() {
            return Err(refused(vector::NOT_PRESENT));
        }
        if found.kind() == kind::TASK_GATE {
            return Err(Abort::Stop(Stop::TaskSwitch));
        }
        let ist = if is_long { (low >> 32 & 7) as u8 } else { 0 };
        let clears_interrupts = matches!(found.kind(), kind::INTERRUPT_GATE | kind::INTERRUPT_GATE_16);
        Ok(Gate { found, size, clears_interrupts, ist })
    }

    /// The handler's code: at its own privilege level, which is not lower, or at the present one.
    fn handler(&mut self, gate: Gate) -> Result<Target> {
        let selector = (gate.found.low >> 16) as u16;
        if is_null(selector) {
            return Err(Exception::GENERAL_PROTECTION.into());
        }
        let code = self.descriptor(selector)?;
        let cpl = self.machine.cpl();
        let wants_long = SegmentState::LONG | SegmentState::BIG;
        let is_long_code = code.attributes() & wants_long == SegmentState::LONG;
        let is_good = code.is_code() && code.dpl() <= cpl && (!self.is_long() || is_long_code);
        // Conforming code takes over the level of whoever it interrupts.
        let level = if code.is_conforming() { cpl } else { code.dpl() };
        // Virtual-8086 code is interrupted by code of level 0 only.
        let is_virtual = self.machine.rflags() & FLAG_VM != 0;
        if !is_good || is_virtual && level != 0 {
            return Err(code.fault(vector::GENERAL_PROTECTION));
        }
        self.code_target(code, level, gate_offset(gate.found, gate.size))
    }

    /// What the handler finds on its stack.
    fn frame(&mut self, event: Event, gate: Gate, target: Target, flags: u64) -> Frame {
        let mut frame = Frame::default();
        if flags & FLAG_VM != 0 {
            for segment in [Segment::Gs, Segment::Fs, Segment::Ds, Segment::Es] {
                frame.push(self.machine.selector(segment).into());
            }
        }
        // In long mode always, so that every frame looks the same (APM 2, 8.9.3).
        if target.cpl() != self.machine.cpl() || self.is_long() {
            frame.push(self.machine.selector(Segment::Ss).into());
            frame.push(self.machine.gpr(SP) & gate.size.mask());
        }
        // So that a breakpoint on the instruction does not come up again when it is run again.
        let resume = if event.is_exception && is_fault(event.vector) { FLAG_RF } else { 0 };
        frame.push((flags | resume) & gate.size.mask());
        frame.push(self.machine.selector(Segment::Cs).into());
        frame.push(self.machine.rip() & gate.size.mask());
        if let Some(code) = event.error_code {
            frame.push(code.into());
        }
        frame
    }
}

/// Exceptions behind which the instruction is run again.
fn is_fault(found: u8) -> bool {
    matches!(found, 0 | 5..=7 | 10..=14 | 16 | 17 | 19)
}

/// Values to push.
#[derive(Default)]
struct Frame {
    values: [u64; 10],
    count: usize,
}

impl Frame {
    fn push(&mut self, value: u64) {
        if let Some(slot) = self.values.get_mut(self.count) {
            *slot = value;
            self.count += 1;
        }
    }

    fn used(&self) -> &[u64] {
        self.values.get(..self.count).unwrap_or(&[])
    }
}
