//! Moves between XMM registers and memory.

use super::{Abort, Emulation, Result, Stop};
use crate::bits::{CR0_EM, CR0_TS, CR4_OSFXSR};
use crate::walk::Kind;
use crate::{Exception, Machine, Operand};

impl<M: Machine> Emulation<'_, M> {
    pub(super) fn mov_vector(&mut self) -> Result<()> {
        self.check_enabled()?;
        match (self.instruction.destination, self.instruction.source) {
            (Operand::Xmm(number), _) => {
                let place = self.operand_place(Kind::Read)?;
                // Asked for first, as a load from a device can't be taken back.
                self.machine.xmm(number).ok_or(Abort::Stop(Stop::FpuState))?;
                let value = self.load_wide(place);
                self.machine.set_xmm(number, value).ok_or(Abort::Stop(Stop::FpuState))
            }
            (_, Operand::Xmm(number)) => {
                let place = self.operand_place(Kind::Write)?;
                let value = self.machine.xmm(number).ok_or(Abort::Stop(Stop::FpuState))?;
                self.store_wide(place, value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether the guest may use SSE now (APM 2, 11.3.1).
    pub(super) fn check_enabled(&mut self) -> Result<()> {
        let (cr0, cr4) = (self.machine.cr0(), self.machine.paging().cr4);
        // #UD comes before #NM, where both are due.
        if cr0 & CR0_EM != 0 || cr4 & CR4_OSFXSR == 0 {
            return Err(Exception::UNDEFINED_OPCODE.into());
        }
        if cr0 & CR0_TS != 0 {
            return Err(Exception::DEVICE_NOT_AVAILABLE.into());
        }
        Ok(())
    }
}
