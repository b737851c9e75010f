//! Accesses to memory that is not the guest's RAM: devices, ROM, and nothing.

use decoder::fetch::Code;
use decoder::{Exception, Instruction, Operation, Outcome, Stop};
use runtime::abi::exit::Access;

use super::{Kind, Vcpu, emulator};

/// Iterations of a repeated string instruction between two looks at pending interrupts.
const ITERATIONS: u32 = 64;

impl Vcpu {
    /// A nested page fault.
    pub(super) fn handle_memory(&mut self) {
        let access = Access::from_bits_truncate(self.registers.page.exit_access());
        if access.contains(Access::EXECUTE) && !access.contains(Access::PAGE_WALK) {
            // Code in absent memory is FFh FFh, which is no instruction.
            // Where the walk left memory instead, its tables read all-ones, and the fetch below finds the
            // page fault.
            self.inject_exception(Exception::UNDEFINED_OPCODE);
            return;
        }
        let Some(known) = self.emulator.known(self.registers.page.view()) else {
            return self.fetch_and_emulate();
        };
        let Some(plain) = known.plain else {
            let instruction = known.instruction;
            return self.emulate_known(&instruction);
        };
        match emulator::access_at_fault(self, &plain) {
            Some(false) => {}
            Some(true) => self.single_step(),
            // The short cut has changed nothing where it does not apply, so the general way begins anew.
            None => self.fetch_and_emulate(),
        }
    }

    fn emulate_known(&mut self, instruction: &Instruction) {
        let outcome = emulator::emulate_at_fault(self, instruction, ITERATIONS);
        if !matches!(outcome, Outcome::Done { single_step: false }) {
            self.take_outcome(outcome, &Code::EMPTY);
        }
    }

    /// Fetches the instruction at RIP, remembers it, and carries it out.
    #[cold]
    pub(super) fn fetch_and_emulate(&mut self) {
        let mut code = Code::EMPTY;
        let instruction = match emulator::fetch(self, &mut code) {
            Ok(instruction) => instruction,
            Err(error) => return self.fetch_failed(error),
        };
        // Without the exit's address: string instructions behind a port exit come by here too, whose record
        // has none.
        let outcome = emulator::emulate(self, &instruction, ITERATIONS);
        self.take_outcome(outcome, &code);
    }

    /// What an emulation came to.
    pub(super) fn take_outcome(&mut self, outcome: Outcome, code: &Code) {
        match outcome {
            Outcome::Done { single_step } | Outcome::Repeat { single_step } => {
                if single_step {
                    self.single_step();
                }
            }
            Outcome::Exception(exception) => self.inject_exception(exception),
            // The guest's own instruction runs once more, and exits again if it still has to.
            Outcome::Retry => {}
            // Of what is the VMM's to carry out only LMSW has an operand in memory, and so comes here.
            Outcome::Intercepted { value } => self.load_status_word(value),
            Outcome::Stop(stop) => self.refuse(
                match stop {
                    Stop::FpuState => "an SSE access to a device",
                    Stop::SplitLock => "a locked access across pages",
                    Stop::TaskSwitch => "a switch to another task, through a device",
                },
                code,
            ),
        }
    }

    /// The handler of an NMI is about to execute its IRET. If the next one waits, the IRET is emulated, so
    /// that it can be delivered right behind.
    #[cold]
    pub(super) fn handle_nmi_return(&mut self) {
        if !self.events.nmi_returns(&mut self.registers) {
            return;
        }
        let mut code = Code::EMPTY;
        // What is not decoded, or is another instruction by now, the guest executes itself.
        if let Ok(iret) = emulator::fetch(self, &mut code)
            && iret.operation == Operation::Iret
        {
            let outcome = emulator::emulate(self, &iret, 1);
            if let Outcome::Done { .. } = outcome {
                self.events.nmi_has_returned(&mut self.registers);
            }
            // Whatever else it came to has changed nothing: the guest executes its IRET itself, and the NMI
            // waits for an exit behind it.
            if matches!(outcome, Outcome::Done { .. } | Outcome::Exception(_)) {
                self.take_outcome(outcome, &code);
            }
        }
    }

    #[cold]
    fn refuse(&mut self, what: &str, code: &Code) {
        let rip = self.registers.page.rip();
        self.log_once(Kind::Refused, rip, format_args!("{what} ({:02x?})", code.bytes()));
        // Not the machine's end, which any program of the guest's could bring about.
        self.inject_exception(Exception::UNDEFINED_OPCODE);
    }
}
