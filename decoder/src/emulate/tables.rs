//! SMSW, SGDT, SIDT, SLDT, STR, LGDT, LIDT, LLDT and LTR (APM 3, chapter 4).

use super::descriptor::{Descriptor, is_null, kind};
use super::{Emulation, Result};
use crate::bits::CR4_UMIP;
use crate::walk::Kind;
use crate::{
    DescriptorTable, Exception, Machine, Mode, Operation, SegmentState, Size, SystemSegment, Table, vector,
};

/// What makes an available TSS's type that of a busy one.
const BUSY: u16 = 1 << 1;

impl<M: Machine> Emulation<'_, M> {
    /// SMSW, SLDT and STR, which store two bytes wherever they store to memory.
    pub(super) fn store_system(&mut self) -> Result<()> {
        // SMSW is for real mode, too.
        if self.instruction.operation != Operation::Smsw {
            self.check_protected()?;
        }
        self.check_user_mode_prevention()?;
        let place = self.operand_place(Kind::Write)?;
        let value = match self.instruction.operation {
            Operation::Smsw => self.machine.cr0(),
            Operation::Sldt => self.machine.system_segment(SystemSegment::Ldtr).0.into(),
            _ => self.machine.system_segment(SystemSegment::Tr).0.into(),
        };
        self.store(place, value);
        Ok(())
    }

    /// CR4.UMIP: user code is not told where system structures are.
    fn check_user_mode_prevention(&self) -> Result<()> {
        // Without the bit programs may read these registers, as they always could.
        let is_prevented = self.machine.paging().cr4 & CR4_UMIP != 0 && self.machine.cpl() != 0;
        if is_prevented { Err(Exception::GENERAL_PROTECTION.into()) } else { Ok(()) }
    }

    /// SGDT and SIDT: a limit of two bytes, and a base.
    pub(super) fn store_table(&mut self) -> Result<()> {
        self.check_user_mode_prevention()?;
        let which = if self.instruction.operation == Operation::Sgdt { Table::Gdt } else { Table::Idt };
        // Both before either is written: a fault leaves memory as it was.
        let [limit, base] = self.table_places(Kind::Write)?;
        let table = self.machine.descriptor_table(which);
        self.store(limit, table.limit.into());
        self.store(base, table.base);
        Ok(())
    }

    /// LGDT and LIDT. With an operand size of two bytes the base has 24 bits.
    pub(super) fn load_table(&mut self) -> Result<()> {
        // Before the operand: what a program may not do is not to be seen at a device either.
        self.check_supervisor()?;
        let which = if self.instruction.operation == Operation::Lgdt { Table::Gdt } else { Table::Idt };
        let places = self.table_places(Kind::Read)?;
        let [limit, base] = places.map(|place| self.load(place));
        if self.instruction.mode == Mode::Bits64 && !self.machine.paging().is_canonical(base) {
            return Err(Exception::GENERAL_PROTECTION.into());
        }
        let base = if self.instruction.size == Size::B2 { base & 0xff_ffff } else { base };
        self.machine.set_descriptor_table(which, DescriptorTable { base, limit: limit as u16 });
        Ok(())
    }

    fn table_places(&mut self, kind: Kind) -> Result<[super::memory::Place; 2]> {
        // A base of 24 bits takes up four bytes all the same (SDM 2, LGDT and SGDT).
        let size = self.instruction.size.max(Size::B4);
        let (segment, offset) = (self.instruction.segment, self.effective_address());
        let behind = offset.wrapping_add(2) & self.instruction.address_size.mask();
        Ok([self.place(segment, offset, Size::B2, kind)?, self.place(segment, behind, size, kind)?])
    }

    fn check_supervisor(&self) -> Result<()> {
        if self.machine.cpl() == 0 { Ok(()) } else { Err(Exception::GENERAL_PROTECTION.into()) }
    }

    pub(super) fn load_ldt(&mut self) -> Result<()> {
        self.check_protected()?;
        self.check_supervisor()?;
        let selector = self.memory_value()? as u16;
        let state = if is_null(selector) {
            SegmentState { base: 0, limit: 0, attributes: 0 }
        } else {
            self.system_descriptor(selector, |found| found.kind() == kind::LDT)?.state()
        };
        self.machine.set_system_segment(SystemSegment::Ldtr, selector, state);
        Ok(())
    }

    /// The TSS must be available, and becomes busy.
    pub(super) fn load_task_register(&mut self) -> Result<()> {
        self.check_protected()?;
        self.check_supervisor()?;
        let selector = self.memory_value()? as u16;
        let is_long = self.is_long();
        let is_available =
            |found: Descriptor| found.kind() == kind::TSS || !is_long && found.kind() == kind::TSS_16;
        if is_null(selector) {
            return Err(Exception::GENERAL_PROTECTION.into());
        }
        let found = self.system_descriptor(selector, is_available)?;
        // Before TR is loaded: if another vCPU has taken the TSS meanwhile, nothing has happened here.
        self.set_type_bit(found, BUSY)?;
        let mut state = found.state();
        // The register holds the descriptor as it is in memory now.
        state.attributes |= BUSY;
        self.machine.set_system_segment(SystemSegment::Tr, selector, state);
        Ok(())
    }

    /// A present system segment of the GDT.
    fn system_descriptor(
        &mut self,
        selector: u16,
        is_good: impl Fn(Descriptor) -> bool,
    ) -> Result<Descriptor> {
        const LOCAL: u16 = 1 << 2;
        let refused = || Exception::of_selector(vector::GENERAL_PROTECTION, selector);
        // LLDT and LTR take selectors of the GDT alone (APM 3, LLDT and LTR).
        if selector & LOCAL != 0 {
            return Err(refused().into());
        }
        let found = self.descriptor(selector)?;
        if found.is_segment() || !is_good(found) {
            return Err(refused().into());
        }
        if !found.is_present() {
            return Err(found.fault(vector::NOT_PRESENT));
        }
        // In long mode the base has 64 bits, of which the register holds none that is not canonical.
        let is_canonical = self.machine.paging().is_canonical(found.state().base);
        if self.is_long() && !is_canonical { Err(refused().into()) } else { Ok(found) }
    }
}
