//! Writes of control registers that the platform does not let through: the guest may have what its CPUID
//! offers, and what a processor enters. And #DB and #AC, which the platform leaves to the VMM to deliver.

use decoder::fetch::Code;
use decoder::{Exception, Instruction, Operand, Operation};
use devices::control::{Control, GeneralProtection};
use runtime::abi::exit::ExitFlags;
use runtime::abi::registers::event_kind;

use super::{Vcpu, emulator};

/// CS.L, among a segment's attributes.
const CODE_IS_LONG: u16 = 1 << 9;
/// CR0.TS.
const TASK_SWITCHED: u64 = 1 << 3;
/// DR7.GD: the next access to a debug register is a #DB.
const GENERAL_DETECT: u64 = 1 << 13;
/// #DB.
const DEBUG: u8 = 1;

const PLAIN_DEBUG: Exception = Exception { vector: DEBUG, error_code: None, cr2: None };

/// Why a register is not written.
struct Refused(Exception);

impl From<GeneralProtection> for Refused {
    fn from(_: GeneralProtection) -> Self {
        Self(Exception::GENERAL_PROTECTION)
    }
}

impl Vcpu {
    /// The guest is about to write CR0, CR4 or CR8.
    #[cold]
    pub(super) fn handle_register_write(&mut self) {
        let Some(instruction) = self.instruction() else { return };
        // The processor has checked the privilege of what it executed, which need not be what was fetched
        // now.
        let value = self.source_of(&instruction);
        let result = match (instruction.operation, instruction.destination) {
            (Operation::MovControl | Operation::Lmsw | Operation::Clts, _) if self.registers.cpl() != 0 => {
                Err(Refused(Exception::GENERAL_PROTECTION))
            }
            (Operation::MovControl, Operand::Control(number @ (0 | 4 | 8))) => {
                // Its bits are checked on the way: a processor takes what CPUID does not offer, and an
                // emulated one takes what VMRUN refuses afterwards, which would end the vCPU.
                self.write_control(number, value)
            }
            (Operation::Lmsw, _) => return self.emulate_status_word(&instruction),
            // Exits only where every write of CR0 does: the selective intercept leaves TS to the guest.
            (Operation::Clts, _) => self.write_control(0, self.registers.page.cr0() & !TASK_SWITCHED),
            // The guest has changed its code meanwhile: what is there now is run.
            _ => return,
        };
        self.end_write(result, instruction.length);
    }

    fn end_write(&mut self, result: Result<(), Refused>, length: u8) {
        match result {
            Ok(()) => self.complete_after(length),
            Err(Refused(exception)) => self.inject_exception(exception),
        }
    }

    /// The instruction at RIP, if there is one that is decoded.
    fn instruction(&mut self) -> Option<Instruction> {
        if let Some(known) = self.emulator.known(self.registers.page.view()) {
            return Some(known.instruction);
        }
        let mut code = Code::EMPTY;
        match emulator::fetch(self, &mut code) {
            Ok(instruction) => Some(instruction),
            Err(error) => {
                self.fetch_failed(error);
                None
            }
        }
    }

    fn source_of(&self, instruction: &Instruction) -> u64 {
        match instruction.source {
            // Outside 64-bit mode the upper half of the register is no part of the operand.
            Operand::Gpr(number) => self.registers.page.gpr(usize::from(number)) & instruction.size.mask(),
            _ => 0,
        }
    }

    fn write_control(&mut self, number: u8, value: u64) -> Result<(), Refused> {
        match number {
            0 => self.set_control(self.control().with_cr0(value)?),
            4 => self.set_control(self.control().with_cr4(value, self.cpuid.allowed_cr4())?),
            _ => self.write_task_priority(value)?,
        }
        Ok(())
    }

    fn write_task_priority(&mut self, value: u64) -> Result<(), Refused> {
        // CR8 has four bits; to set a reserved one above them is #GP.
        let class = u8::try_from(value).ok().filter(|class| *class < 16);
        let class = class.ok_or(GeneralProtection)?;
        self.events.write_task_priority(class, &mut self.registers);
        Ok(())
    }

    fn control(&self) -> Control {
        let page = &self.registers.page;
        let code_is_long = page.cs_attributes() & CODE_IS_LONG != 0;
        Control { cr0: page.cr0(), cr4: page.cr4(), efer: page.efer(), code_is_long }
    }

    fn set_control(&mut self, control: Control) {
        // Before they change: what is remembered was found under the old ones.
        self.emulator.paging_changes(&self.control(), &control);
        self.registers.change_system(|system| {
            (system.cr0, system.cr4, system.efer) = (control.cr0, control.cr4, control.efer);
        });
    }

    /// LMSW from a register; from memory the operand has to be read first, and comes back by
    /// [`Vcpu::load_status_word`] as well.
    fn emulate_status_word(&mut self, instruction: &Instruction) {
        let outcome = emulator::emulate(self, instruction, 1);
        self.take_outcome(outcome, &Code::EMPTY);
    }

    /// LMSW: its operand is known.
    pub(super) fn write_status_word(&mut self, value: u64, length: u8) {
        // An exit for memory stores a part of the group only, and the guest writes CR0.TS without an exit.
        self.registers.need_rest_of_system();
        let result = match self.control().with_status_word(value) {
            Ok(control) => {
                self.set_control(control);
                Ok(())
            }
            Err(refused) => Err(refused.into()),
        };
        self.end_write(result, length);
    }

    /// Delivering #DB clears DR7.GD, so that its handler can look at the debug registers (APM volume 2,
    /// 13.1.1.4).
    fn forget_general_detect(&mut self) {
        // The guest writes DR7 without an exit.
        self.registers.need_rest_of_system();
        if self.registers.page.system().dr7 & GENERAL_DETECT != 0 {
            self.registers.change_system(|system| system.dr7 &= !GENERAL_DETECT);
        }
    }

    /// Injects #DB for an instruction that the VMM has carried out. `why`: bits of DR6.
    pub(super) fn inject_debug(&mut self, why: u64) {
        // Bits of DR6 are set by the processor and cleared by software alone (APM volume 2, 13.1.1.3).
        self.registers.change_system(|system| system.dr6 |= why);
        self.forget_general_detect();
        self.inject_exception(PLAIN_DEBUG);
    }

    /// #DB or #AC came up in the guest, and is delivered to it. RIP and DR6 are what the handler is to see.
    #[cold]
    pub(super) fn handle_exception(&mut self) {
        let what = self.registers.page.qualification();
        let (vector, error_code) = (what as u8, (what >> 32) as u32);
        if self.registers.page.flags() & ExitFlags::EVENT.bits() != 0
            && matches!(self.registers.page.interrupted_event().kind, event_kind::INTERRUPT | event_kind::NMI)
        {
            // It came up while that was delivered, which would be lost: that goes first, and the exception
            // comes up again. One exception on the way to another takes its place (APM volume 2, 8.2.9: both
            // are benign).
            return;
        }
        if vector == DEBUG {
            self.forget_general_detect();
            return self.inject_exception(PLAIN_DEBUG);
        }
        self.inject_exception(Exception { vector, error_code: Some(error_code), cr2: None });
    }
}
