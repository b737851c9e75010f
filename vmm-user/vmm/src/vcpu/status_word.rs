//! LMSW from a device: of the instructions that are the VMM's to carry out, it alone has an operand in
//! memory.

use decoder::fetch::Code;
use decoder::{Exception, Operation};

use super::{Vcpu, emulator};

impl Vcpu {
    /// An emulation came to an instruction that it leaves to the VMM, and read its operand.
    #[cold]
    pub(super) fn load_status_word(&mut self, value: u64) {
        let mut code = Code::EMPTY;
        match emulator::fetch(self, &mut code) {
            // Fetched a second time, and perhaps put there since: no processor has checked its privilege.
            Ok(lmsw) if lmsw.operation == Operation::Lmsw && self.registers.cpl() == 0 => {
                self.write_status_word(value, lmsw.length);
            }
            Ok(lmsw) if lmsw.operation == Operation::Lmsw => {
                self.inject_exception(Exception::GENERAL_PROTECTION)
            }
            // The guest has changed its code meanwhile: what is there now is run.
            Ok(_) => {}
            Err(error) => self.fetch_failed(error),
        }
    }
}
