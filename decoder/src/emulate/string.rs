//! MOVS, CMPS, STOS, LODS, SCAS, INS and OUTS, and their repetition (APM 3, 1.2.6).

use super::alu::{self, STATUS};
use super::{Abort, Emulation, Outcome, Result};
use crate::bits::{FLAG_DF, FLAG_TF, FLAG_ZF};
use crate::walk::Kind;
use crate::{Attributes, Machine, Operand, Operation, PortRequest, Segment, Vendor};

const AX: u8 = 0;
const CX: u8 = 1;
const DX: u8 = 2;
const SI: u8 = 6;
const DI: u8 = 7;

impl<M: Machine> Emulation<'_, M> {
    /// Does up to `max_iterations`.
    pub(super) fn string(&mut self, max_iterations: u32) -> Result<Outcome> {
        let is_repeated = self.instruction.attributes.intersects(Attributes::REP | Attributes::REPNE);
        self.check_port(is_repeated)?;
        if !is_repeated {
            self.iterate()?;
            return Ok(self.done());
        }
        let size = self.instruction.address_size;
        // The count is as wide as addresses are, and is cut to that.
        let mut left = self.machine.gpr(CX) & size.mask();
        let flags = self.machine.rflags();
        let single_step = flags & FLAG_TF != 0;
        // Bounded, since a guest could keep the vCPU's thread here for 2^64 iterations; with TF each
        // iteration is a step.
        let mut iterations = if single_step { 1 } else { max_iterations.max(1) };
        while left != 0 {
            if iterations == 0 {
                return Ok(Outcome::Repeat { single_step });
            }
            if let Err(abort) = self.iterate() {
                // A fault leaves registers as the last iteration did. Flags, too, on AMD's processors; on
                // Intel's they are as the instruction found them (SDM 2, REP).
                if self.instruction.vendor == Vendor::Intel {
                    self.machine.set_rflags(flags);
                }
                return Err(abort);
            }
            iterations -= 1;
            left -= 1;
            // Each time: a fault finds the count of what is left.
            self.set_register(CX, size, left);
            // After the count: the element that ended the comparison counts too.
            if self.is_over() {
                break;
            }
        }
        Ok(self.done())
    }

    /// INS and OUTS: what the processor checks of the port comes before everything else (APM 3, INS).
    fn check_port(&self, is_repeated: bool) -> Result<()> {
        if !matches!(self.instruction.operation, Operation::Ins | Operation::Outs) {
            return Ok(());
        }
        let request = PortRequest {
            port: self.machine.gpr(DX) as u16,
            size: self.instruction.size,
            is_in: self.instruction.operation == Operation::Ins,
            is_repeated,
        };
        if self.machine.may_access_port(request) { Ok(()) } else { Err(Abort::Retry) }
    }

    /// Whether a comparison ends the repetition: REPE goes on while equal, REPNE while not.
    fn is_over(&self) -> bool {
        let is_equal = self.machine.rflags() & FLAG_ZF != 0;
        matches!(self.instruction.operation, Operation::Cmps | Operation::Scas)
            && is_equal == self.instruction.attributes.contains(Attributes::REPNE)
    }

    /// One iteration; pointers move, the count is the caller's.
    fn iterate(&mut self) -> Result<()> {
        match self.instruction.operation {
            Operation::Movs => {
                let source = self.source_place()?;
                // Both places before the load: a device must not be read for an iteration that faults.
                let destination = self.destination_place(Kind::Write)?;
                let value = self.load(source);
                self.store(destination, value);
                self.step(SI);
                self.step(DI);
            }
            Operation::Cmps => {
                // If both operands fault, one shows. The manuals don't say which; processors differ, and a
                // guest that relies on either is wrong on another one (docs/decoder.md).
                let destination = self.destination_place(Kind::Read)?;
                let source = self.source_place()?;
                let left = self.load(source);
                let right = self.load(destination);
                self.compare(left, right);
                self.step(SI);
                self.step(DI);
            }
            Operation::Stos => {
                let destination = self.destination_place(Kind::Write)?;
                self.store(destination, self.value(Operand::Gpr(AX)));
                self.step(DI);
            }
            Operation::Lods => {
                let source = self.source_place()?;
                let value = self.load(source);
                self.set(Operand::Gpr(AX), value);
                self.step(SI);
            }
            Operation::Scas => {
                let destination = self.destination_place(Kind::Read)?;
                let right = self.load(destination);
                self.compare(self.value(Operand::Gpr(AX)), right);
                self.step(DI);
            }
            _ => self.iterate_port()?,
        }
        Ok(())
    }

    /// INS and OUTS. A page fault comes before the port is touched.
    fn iterate_port(&mut self) -> Result<()> {
        let size = self.instruction.size;
        let port = self.machine.gpr(DX) as u16;
        if self.instruction.operation == Operation::Ins {
            let destination = self.destination_place(Kind::Write)?;
            let value = self.machine.port_read(port, size);
            self.store(destination, value.into());
            self.step(DI);
        } else {
            let source = self.source_place()?;
            let value = self.load(source);
            self.machine.port_write(port, size, value as u32);
            self.step(SI);
        }
        Ok(())
    }

    fn compare(&mut self, left: u64, right: u64) {
        self.set_status(STATUS, alu::subtract(self.instruction.size, left, right, false).flags);
    }

    /// DS:rSI, or with another segment.
    fn source_place(&mut self) -> Result<super::memory::Place> {
        let offset = self.machine.gpr(SI) & self.instruction.address_size.mask();
        self.string_place(0, self.instruction.segment, offset, Kind::Read)
    }

    /// ES:rDI, always.
    fn destination_place(&mut self, kind: Kind) -> Result<super::memory::Place> {
        let offset = self.machine.gpr(DI) & self.instruction.address_size.mask();
        self.string_place(1, Segment::Es, offset, kind)
    }

    /// Moves rSI or rDI one element on.
    fn step(&mut self, register: u8) {
        let bytes = self.instruction.size.bytes();
        let old = self.machine.gpr(register);
        let is_down = self.machine.rflags() & FLAG_DF != 0;
        let new = if is_down { old.wrapping_sub(bytes) } else { old.wrapping_add(bytes) };
        self.set_register(register, self.instruction.address_size, new);
    }
}
