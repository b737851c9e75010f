//! From bytes to an [`Instruction`]: prefixes, opcode, operands (APM 3, chapter 1).
//!
//! [`form`] holds the tables of what devices are mostly accessed by. What is not in them is left to
//! [`general`], where a full decoder reads it and a list says what is accepted. The short tables are written
//! out because they are what counts: they take a tenth of a full decoder's time. Tests hold them against it.

mod address;
mod cursor;
mod form;
mod general;
mod prefixes;

use crate::{Attributes, Instruction, Mode, Operand, Operation, Processor, Register, Segment, Size, Vendor};
use address::{Address, ModRm};
use cursor::Cursor;
use form::{Form, Slot};
pub use general::prepare;
use prefixes::Prefixes;

/// The longest instruction in bytes; a longer one raises #GP(0).
pub(crate) const MAX_LENGTH: u8 = 15;

/// Why bytes are not an instruction that is emulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The bytes end within the instruction: more are needed.
    Truncated,
    /// Longer than 15 bytes: #GP(0).
    TooLong,
    /// The processor has no such instruction in this mode: #UD.
    Undefined,
    /// An instruction of the accepted families that accesses no memory. It can't be why the guest left: the
    /// code has been changed since, and the guest is to be run again.
    NoMemory,
    /// Something else, which may or may not exist: a logged stop.
    Unsupported,
}

/// Decodes the instruction at the start of `bytes`; what follows it is not looked at. What `processor` does
/// not have is [`Rejection::Undefined`].
///
/// # Errors
/// A [`Rejection`]; [`Rejection::Truncated`] only if `bytes` has fewer than 15.
pub fn decode(bytes: &[u8], mode: Mode, processor: Processor) -> Result<Instruction, Rejection> {
    let mut cursor = Cursor::new(bytes);
    let prefixes = Prefixes::read(&mut cursor, mode)?;
    // The short tables first: they take a tenth of the full decoder's time.
    let form = match form::read(&mut cursor, &prefixes, mode, processor) {
        Ok(form) => form,
        // Only this says that the short tables don't have it.
        Err(Rejection::Unsupported) => return general::decode(bytes, mode, processor, &prefixes),
        Err(rejection) => return Err(rejection),
    };
    let instruction = Decoding::new(form, prefixes, mode, processor.vendor).run(&mut cursor)?;
    // After everything has been read, too.
    if processor.features.contains(form.needs) { Ok(instruction) } else { Err(Rejection::Undefined) }
}

/// An instruction being put together.
struct Decoding {
    form: Form,
    prefixes: Prefixes,
    mode: Mode,
    vendor: Vendor,
    size: Size,
    address_size: Size,
}

impl Decoding {
    fn new(form: Form, prefixes: Prefixes, mode: Mode, vendor: Vendor) -> Decoding {
        let size = form.width.size(&prefixes, mode);
        let address_size = prefixes.address_size(mode);
        Decoding { form, prefixes, mode, vendor, size, address_size }
    }

    fn run(self, cursor: &mut Cursor) -> Result<Instruction, Rejection> {
        let form = self.form;
        // The order is that of the bytes: ModRM, SIB and displacement, then the immediate.
        let modrm = if form.has_modrm { Some(ModRm::read(cursor)?) } else { None };
        let address = self.address(cursor, modrm)?;
        self.check_rm(modrm, address.is_some())?;
        let mut immediate = 0;
        let destination = self.operand(form.destination, modrm, cursor, &mut immediate)?;
        let source = self.operand(form.source, modrm, cursor, &mut immediate)?;
        // After everything has been read: too long comes before undefined.
        let attributes = self.attributes(address.is_some())?;
        let address = address.unwrap_or_default();
        let mut instruction = Instruction {
            operation: form.operation,
            length: cursor.position(),
            mode: self.mode,
            vendor: self.vendor,
            size: self.size,
            memory_size: form.memory.unwrap_or(self.size),
            address_size: self.address_size,
            attributes,
            destination,
            source,
            segment: self.prefixes.segment.unwrap_or(address.default_segment),
            base: address.base,
            index: address.index,
            scale: address.scale,
            displacement: address.displacement,
            immediate,
        };
        // Found out once: decoded instructions are kept, and carried out again and again.
        instruction.attributes.set(Attributes::PLAIN, instruction.is_plain());
        Ok(instruction)
    }

    /// The address of the memory operand, if there is one.
    fn address(&self, cursor: &mut Cursor, modrm: Option<ModRm>) -> Result<Option<Address>, Rejection> {
        // An offset is as long as addresses are, eight bytes in 64-bit code: no other displacement is.
        if self.form.uses(Slot::Moffs) {
            return Ok(Some(Address {
                displacement: cursor.unsigned(self.address_size)?,
                ..Address::default()
            }));
        }
        match modrm {
            // A control or debug register's partner is a general register whatever MOD says (APM 3, MOV CRn).
            Some(modrm) if modrm.mode != 3 && !self.form.is_register_only => {
                Address::read(cursor, modrm, self.address_size, self.mode, self.prefixes.rex).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn check_rm(&self, modrm: Option<ModRm>, has_address: bool) -> Result<(), Rejection> {
        // Of all these forms only moves of control and debug registers, and LMSW, exit without memory.
        let needs_memory = !self.form.is_register_only && self.form.operation != Operation::Lmsw;
        if modrm.is_some() && needs_memory && !has_address { Err(Rejection::NoMemory) } else { Ok(()) }
    }

    /// LOCK only goes with what reads, changes and writes memory (APM 3, 1.2.5).
    fn attributes(&self, has_address: bool) -> Result<Attributes, Rejection> {
        let mut attributes = self.form.attributes;
        if has_address {
            attributes |= Attributes::MEMORY;
        }
        if self.prefixes.lock {
            if !(has_address && self.form.is_lockable()) {
                return Err(Rejection::Undefined);
            }
            attributes |= Attributes::LOCK;
        }
        // Elsewhere F2 and F3 repeat nothing: they select an SSE instruction, or are ignored.
        if self.form.operation.is_string() {
            attributes |= self.prefixes.repeat.attributes();
        }
        Ok(attributes)
    }

    fn operand(
        &self,
        slot: Slot,
        modrm: Option<ModRm>,
        cursor: &mut Cursor,
        immediate: &mut u64,
    ) -> Result<Operand, Rejection> {
        // Without a ModRM byte no slot asks for it.
        let reg = modrm.map_or(0, |modrm| modrm.reg | self.prefixes.rex_r());
        Ok(match slot {
            Slot::None => Operand::None,
            Slot::Rm => match modrm {
                Some(modrm) if self.form.is_register_only || modrm.mode == 3 => {
                    Operand::Gpr(modrm.rm | self.prefixes.rex_b())
                }
                _ => Operand::Memory,
            },
            Slot::Moffs => Operand::Memory,
            Slot::Reg => self.register(reg),
            Slot::Xmm => Operand::Xmm(reg),
            Slot::Control => match reg {
                // CR1, CR5 to CR7 and those from CR9 on do not exist, DR8 and above neither (APM 3, MOV CRn
                // and MOV DRn).
                0 | 2 | 3 | 4 | 8 => Operand::Control(reg),
                _ => return Err(Rejection::Undefined),
            },
            Slot::Debug => match reg {
                0..=7 => Operand::Debug(reg),
                _ => return Err(Rejection::Undefined),
            },
            Slot::Accumulator => Operand::Gpr(0),
            Slot::Dx => Operand::Gpr(2),
            Slot::SignedByte => {
                *immediate = cursor.signed(Size::B1)?;
                Operand::Immediate
            }
            Slot::Byte => {
                *immediate = cursor.unsigned(Size::B1)?;
                Operand::Immediate
            }
            Slot::Immediate => {
                // Only MOV to a register has an immediate of eight bytes, and that accesses no memory.
                *immediate = cursor.signed(self.size.min(Size::B4))?;
                Operand::Immediate
            }
        })
    }

    /// Without REX, byte registers 4 to 7 are AH, CH, DH, BH (APM 3, 1.2.7). The size of a register operand
    /// is the operation's, so MOVZX from a byte doesn't come here with one.
    fn register(&self, number: u8) -> Operand {
        match number {
            4..=7 if self.size == Size::B1 && self.prefixes.rex == 0 => Operand::HighByte(number - 4),
            _ => Operand::Gpr(number),
        }
    }
}

impl Operation {
    /// Whether the operation moves along rSI or rDI and can be repeated.
    pub(crate) const fn is_string(self) -> bool {
        use Operation::*;
        matches!(self, Movs | Cmps | Stos | Lods | Scas | Ins | Outs)
    }
}

impl Default for Address {
    fn default() -> Self {
        Address {
            default_segment: Segment::Ds,
            base: Register::None,
            index: Register::None,
            scale: 0,
            displacement: 0,
        }
    }
}
