//! LMSW from a device: of the instructions that are the VMM's to carry out, it alone has an operand in memory.

use decoder::fetch::{self, Code};
use decoder::{Exception, Operation};
use runtime::abi::registers::Groups;

use super::Vcpu;
use super::machine::Emulation;

/// CR0's PE, MP, EM and TS.
const STATUS_WORD: u64 = 0xf;
const PE: u64 = 1;

impl Vcpu {
    /// An emulation came to an instruction that it leaves to the VMM, and read its operand.
    #[cold]
    pub(super) fn load_status_word(&mut self, value: u64) {
        let mut code = Code::EMPTY;
        match fetch::fetch(&mut Emulation::new(self), &mut code) {
            Ok(lmsw) if lmsw.operation == Operation::Lmsw && self.cpl() == 0 => {
                self.fetch_rest_of_system();
                // PE can be set, but not cleared (APM volume 3, LMSW).
                let kept = self.page.cr0() & !(STATUS_WORD & !PE);
                self.page.set_cr0(kept | value & STATUS_WORD);
                self.page.mark(Groups::SYSTEM);
                self.complete_after(lmsw.length);
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
