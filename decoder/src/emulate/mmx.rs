//! Moves between MMX registers and memory, and of halves of XMM registers.

use super::{Abort, Emulation, Result, Stop};
use crate::bits::{CR0_EM, CR0_TS};
use crate::walk::Kind;
use crate::{Exception, Machine, Operand};

const MISSING: Abort = Abort::Stop(Stop::FpuState);

impl<M: Machine> Emulation<'_, M> {
    /// Every MMX instruction makes all x87 registers valid and clears the top of their stack (APM 5, 3.4),
    /// which [`Machine::set_mmx`] does; stores as well.
    pub(super) fn mov_mmx(&mut self) -> Result<()> {
        // In the processor's order: #UD, #NM, #MF, and then those of memory.
        let cr0 = self.machine.cr0();
        if cr0 & CR0_EM != 0 {
            return Err(Exception::UNDEFINED_OPCODE.into());
        }
        if cr0 & CR0_TS != 0 {
            return Err(Exception::DEVICE_NOT_AVAILABLE.into());
        }
        if self.machine.has_x87_error().ok_or(MISSING)? {
            return Err(Exception::X87.into());
        }
        match (self.instruction.destination, self.instruction.source) {
            (Operand::Mmx(number), _) => {
                let place = self.operand_place(Kind::Read)?;
                let value = self.load(place);
                self.machine.set_mmx(number, value).ok_or(MISSING)
            }
            (_, Operand::Mmx(number)) => {
                let place = self.operand_place(Kind::Write)?;
                // Before the store, which a device does not take back.
                let value = self.machine.mmx(number).ok_or(MISSING)?;
                self.store(place, value);
                self.machine.set_mmx(number, value).ok_or(MISSING)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn mov_vector_half(&mut self) -> Result<()> {
        self.check_enabled()?;
        let shift = if self.instruction.immediate == 0 { 0 } else { 64 };
        match (self.instruction.destination, self.instruction.source) {
            (Operand::Xmm(number), _) => {
                let place = self.operand_place(Kind::Read)?;
                // Before the load: a device may answer the next one differently.
                let old = self.machine.xmm(number).ok_or(MISSING)?;
                let half = u128::from(self.load(place)) << shift;
                let kept = old & !(u128::from(u64::MAX) << shift);
                self.machine.set_xmm(number, kept | half).ok_or(MISSING)
            }
            (_, Operand::Xmm(number)) => {
                let place = self.operand_place(Kind::Write)?;
                let value = self.machine.xmm(number).ok_or(MISSING)?;
                self.store(place, (value >> shift) as u64);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
