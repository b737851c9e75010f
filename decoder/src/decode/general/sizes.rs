//! How large operands are: the full decoder has that in names of codes and of kinds of memory.

use iced_x86::{Code, Instruction as Full, OpKind};

use crate::{Operand, Operation, Size};

/// The size of the operation, and of one access to its memory operand.
pub(super) fn of(full: &Full, operation: Operation) -> Option<(Size, Size)> {
    use Operation::*;
    let memory = full.memory_size().size();
    let both = |size| Some((size, size));
    match operation {
        // A selector is two bytes wherever it is stored.
        Smsw | Lmsw | Sldt | Str | Lldt | Ltr | Verr | Verw | Arpl => both(Size::B2),
        MovSegment => both(Size::B2),
        Lar | Lsl => Some((first_register(full)?, Size::B2)),
        Sgdt | Sidt | Lgdt | Lidt => both(table_size(full.code())),
        LoadFar | Bound => both(first_register(full)?),
        JmpFar | CallFar => both(far_size(full)?),
        Xlat => both(Size::B1),
        CacheLine => both(Size::B1),
        // The register is whole, what is moved may be a part of it.
        MovVector | MovVectorHalf => Some((Size::B16, from_bytes(memory)?)),
        MovMmx => Some((Size::B8, from_bytes(memory)?)),
        // Those with a memory operand have that operand's size.
        _ if operation.uses_stack() && memory == 0 => both(stack_size(full)?),
        _ => {
            let memory = from_bytes(memory)?;
            // What a register receives may be longer than what is read.
            Some((first_register(full).unwrap_or(memory), memory))
        }
    }
}

fn from_bytes(bytes: usize) -> Option<Size> {
    Some(match bytes {
        1 => Size::B1,
        2 => Size::B2,
        4 => Size::B4,
        8 => Size::B8,
        16 => Size::B16,
        _ => return None,
    })
}

/// The size of the first operand, if it is a general register.
fn first_register(full: &Full) -> Option<Size> {
    let is_general = full.op0_kind() == OpKind::Register
        && matches!(super::register(full.op0_register()), Operand::Gpr(_) | Operand::HighByte(_));
    if is_general { from_bytes(full.op0_register().size()) } else { None }
}

/// Two bytes: a base of 24 bits.
fn table_size(code: Code) -> Size {
    match code {
        Code::Sgdt_m1632_16 | Code::Sidt_m1632_16 | Code::Lgdt_m1632_16 | Code::Lidt_m1632_16 => Size::B2,
        Code::Sgdt_m1664 | Code::Sidt_m1664 | Code::Lgdt_m1664 | Code::Lidt_m1664 => Size::B8,
        _ => Size::B4,
    }
}

/// The size of a far pointer's offset.
fn far_size(full: &Full) -> Option<Size> {
    match (full.op0_kind(), full.memory_size().size()) {
        (OpKind::FarBranch16, _) | (_, 4) => Some(Size::B2),
        (OpKind::FarBranch32, _) | (_, 6) => Some(Size::B4),
        (_, 10) => Some(Size::B8),
        _ => None,
    }
}

/// The size of what is pushed or popped.
fn stack_size(full: &Full) -> Option<Size> {
    use Code::*;
    Some(match full.code() {
        Pushaw | Popaw | Pushfw | Popfw | Enterw_imm16_imm8 | Leavew | Iretw | Retfw | Retfw_imm16
        | Retnw | Retnw_imm16 | Call_rel16 => Size::B2,
        Pushad | Popad | Pushfd | Popfd | Enterd_imm16_imm8 | Leaved | Iretd | Retfd | Retfd_imm16
        | Retnd | Retnd_imm16 | Call_rel32_32 => Size::B4,
        Pushfq | Popfq | Enterq_imm16_imm8 | Leaveq | Iretq | Retfq | Retfq_imm16 | Retnq | Retnq_imm16
        | Call_rel32_64 => Size::B8,
        // PUSH and POP.
        _ => return from_bytes(full.stack_pointer_increment().unsigned_abs() as usize),
    })
}
