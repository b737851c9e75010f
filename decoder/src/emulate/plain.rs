//! A short cut for what nearly every access to a device is: MOV or MOVZX in 64-bit code, its operand aligned,
//! at a base register and a displacement.
//!
//! An aligned operand neither crosses a page nor is checked for alignment. In 64-bit code most segments have
//! neither base nor limit, and paging is on, so that translating an address finds out whether it is
//! canonical. What is left of the general way is little, and what that depends on is worked out once.
//! Whatever needs more is left to the general way, and tests compare both.

use crate::bits::{FLAG_RF, FLAG_TF};
use crate::walk::{Access, Kind};
use crate::{
    Attributes, GuestMemory, Instruction, Machine, Mode, Operand, Operation, Register, Segment, Size,
};

/// Where an access takes its value from, or puts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    /// A load to a register, of which it fills or clears every bit.
    To(u8),
    /// A store of a register.
    From(u8),
    /// A store of the immediate.
    Immediate,
}

/// An instruction that the short cut may be taken for, as far as that needs it. It may be kept as the
/// instruction may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    displacement: u64,
    immediate: u64,
    /// The bits of the value that the operand has.
    mask: u64,
    base: u8,
    value: Value,
    size: Size,
    length: u8,
}

impl Instruction {
    /// Whether the short cut may be taken; [`Attributes::PLAIN`] says so later.
    pub(crate) fn is_plain(&self) -> bool {
        let is_load = self.source == Operand::Memory && matches!(self.destination, Operand::Gpr(_));
        let is_store = self.destination == Operand::Memory
            && matches!(self.source, Operand::Gpr(_) | Operand::Immediate);
        matches!(self.operation, Operation::Mov | Operation::Movzx)
            && (self.mode, self.address_size) == (Mode::Bits64, Size::B8)
            // In 64-bit code these alone have bases, which the machine may have to ask for.
            && !matches!(self.segment, Segment::Fs | Segment::Gs)
            && matches!((self.base, self.index), (Register::Gpr(_), Register::None))
            // Loads to a register's lower part keep the rest of it.
            && (is_store || is_load && matches!(self.size, Size::B4 | Size::B8))
    }

    /// What the short cut takes, if it may be taken.
    #[inline]
    pub fn plain(&self) -> Option<Plain> {
        let Register::Gpr(base) = self.base else { return None };
        let value = match (self.destination, self.source) {
            (Operand::Gpr(number), _) => Value::To(number),
            (_, Operand::Gpr(number)) => Value::From(number),
            _ => Value::Immediate,
        };
        self.attributes.contains(Attributes::PLAIN).then_some(Plain {
            displacement: self.displacement,
            immediate: self.immediate,
            mask: self.memory_size.mask(),
            base,
            value,
            size: self.memory_size,
            length: self.length,
        })
    }
}

impl Plain {
    /// Takes the short cut. Returns whether the guest is single-stepping; `None`, and nothing has changed, if
    /// the instruction has to go the general way.
    #[inline(always)]
    pub fn emulate(&self, machine: &mut impl Machine) -> Option<bool> {
        // Whether it is canonical, the translation finds out.
        let linear = machine.gpr(self.base).wrapping_add(self.displacement);
        // What is not aligned may lie in two pages, or raise #AC.
        if linear & (self.size.bytes() - 1) != 0 {
            return None;
        }
        let rflags = machine.rflags();
        let explicit = |machine: &mut _, kind| {
            let access = Access::explicit(kind, Machine::cpl(machine), rflags);
            // The general way finds the same error again, and says what it means.
            Machine::translate(machine, linear, access).ok()
        };
        match self.value {
            Value::To(number) => {
                // Before anything changes, so that the general way can start from the same state.
                let gpa = explicit(machine, Kind::Read)?;
                // What is known to be a device is not looked for in RAM first.
                let value = if machine.is_device(gpa) {
                    machine.device_read(gpa, self.size)
                } else {
                    load(machine, gpa, self.size)
                };
                machine.set_gpr(number, value & self.mask);
            }
            Value::From(number) => {
                let gpa = explicit(machine, Kind::Write)?;
                let value = machine.gpr(number);
                self.store(machine, gpa, value);
            }
            Value::Immediate => {
                let gpa = explicit(machine, Kind::Write)?;
                self.store(machine, gpa, self.immediate);
            }
        }
        // What `Instruction::advance` does, without its case of 16- and 32-bit code.
        machine.set_rip(machine.rip().wrapping_add(self.length.into()));
        if rflags & (FLAG_RF | FLAG_TF) == 0 {
            return Some(false);
        }
        machine.set_rflags(rflags & !FLAG_RF);
        Some(rflags & FLAG_TF != 0)
    }

    #[inline(always)]
    fn store(&self, machine: &mut impl Machine, gpa: u64, value: u64) {
        if machine.is_device(gpa) {
            machine.device_write(gpa, self.size, value & self.mask);
        } else {
            store(machine, gpa, self.size, value & self.mask);
        }
    }
}

/// A load from what may be RAM.
#[inline(never)]
fn load(machine: &mut impl Machine, gpa: u64, size: Size) -> u64 {
    match GuestMemory::read(machine, gpa, size) {
        Some(value) => value,
        None => machine.device_read(gpa, size),
    }
}

/// A store to what may be RAM.
#[inline(never)]
fn store(machine: &mut impl Machine, gpa: u64, size: Size, value: u64) {
    if GuestMemory::write(machine, gpa, size, value).is_none() {
        machine.device_write(gpa, size, value);
    }
}
