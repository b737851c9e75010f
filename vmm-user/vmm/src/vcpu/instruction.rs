//! The instruction at RIP: how long it is, and completing it.

use decoder::fetch::FetchError;
use decoder::{Exception, Intercept};

use super::{Kind, Vcpu, emulator};

impl Vcpu {
    /// Moves RIP behind the intercepted instruction. `false` when that is not to be: the guest's code could
    /// not be fetched, which injects the fault, or has changed meanwhile, which runs it again.
    #[inline(always)]
    pub(super) fn complete(&mut self, intercept: Intercept) -> bool {
        if let Some(length) = self.emulator.known_length(self.registers.page.view(), intercept) {
            // Only 64-bit code is found so.
            self.complete_at(self.registers.page.rip().wrapping_add(u64::from(length)));
            return true;
        }
        self.complete_unknown(intercept)
    }

    #[cold]
    fn complete_unknown(&mut self, intercept: Intercept) -> bool {
        match emulator::find_length(self, intercept) {
            Ok(Some(length)) => {
                self.complete_after(length);
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.fetch_failed(error);
                false
            }
        }
    }

    /// The instruction at RIP is done, and has this length.
    pub(super) fn complete_after(&mut self, length: u8) {
        self.complete_at(
            // Outside 64-bit mode an address has 32 bits, and wraps there.
            self.registers.page.rip().wrapping_add(u64::from(length)) & self.registers.mode().linear_mask(),
        );
    }

    /// The instruction is done, and ends here.
    #[inline(always)]
    pub(super) fn complete_at(&mut self, next_rip: u64) {
        if self.registers.complete_at(next_rip) {
            self.single_step();
        }
    }

    /// An instruction was completed under RFLAGS.TF: #DB, with DR6.BS (APM volume 2, 13.1.4).
    #[cold]
    pub(super) fn single_step(&mut self) {
        self.inject_debug(1 << 14);
    }

    /// The instruction could not be fetched.
    #[cold]
    pub(super) fn fetch_failed(&mut self, error: FetchError) {
        match error {
            FetchError::Exception(exception) => self.inject_exception(exception),
            // The processor fetches again, and faults or exits by itself.
            FetchError::Retry => {}
            // Absent memory reads all-ones, and FFh FFh is no instruction; devices hold no code.
            FetchError::NotRam { .. } => self.inject_exception(Exception::UNDEFINED_OPCODE),
            FetchError::Unsupported => {
                let rip = self.registers.page.rip();
                self.log_once(Kind::NotEmulated, rip, format_args!("an instruction that is not emulated"));
                self.inject_exception(Exception::UNDEFINED_OPCODE);
            }
        }
    }
}
