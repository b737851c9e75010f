//! The instruction at RIP: how long it is, and completing it.

use decoder::fetch::{Code, FetchError};
use decoder::{Exception, Intercept, Mode, intercept_length};

use super::code_cache::Key;
use super::machine::Emulation;
use super::{Kind, Vcpu};

/// The longest instruction, in bytes (APM volume 3, 1.1).
const MAX_LENGTH: usize = 15;

impl Vcpu {
    /// Moves RIP behind the intercepted instruction. `false` when that is not to be: the guest's code could
    /// not be fetched, which injects the fault, or has changed meanwhile, which runs it again.
    #[inline(always)]
    pub(super) fn complete(&mut self, intercept: Intercept) -> bool {
        if let Some((known, length)) = self.lengths.find(self.registers.page.view())
            && *known == intercept
        {
            // Only 64-bit code is found so.
            self.complete_at(self.registers.page.rip().wrapping_add(u64::from(*length)));
            return true;
        }
        self.complete_unknown(intercept)
    }

    #[cold]
    fn complete_unknown(&mut self, intercept: Intercept) -> bool {
        match self.find_length(intercept) {
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

    fn find_length(&mut self, intercept: Intercept) -> Result<Option<u8>, FetchError> {
        let mode = self.registers.mode();
        let mut code = Code::EMPTY;
        let mut emulation = Emulation::new(self);
        let length = fetch_length(&mut emulation, &mut code, intercept, mode)?;
        if let Some(length) = length
            && let Some(bytes) = code.bytes().get(..usize::from(length))
            && let Some(key) = Key::of(&mut emulation, bytes)
        {
            self.lengths.insert(key, (intercept, length));
        }
        Ok(length)
    }

    /// The instruction could not be fetched.
    #[cold]
    pub(super) fn fetch_failed(&mut self, error: FetchError) {
        match error {
            FetchError::Exception(exception) => self.inject_exception(exception),
            FetchError::Retry => {}
            // Absent memory reads all-ones, and FFh FFh is no instruction; devices hold no code.
            FetchError::NotRam { .. } => self.inject_exception(Exception::UNDEFINED_OPCODE),
            FetchError::Unsupported => {
                let rip = self.registers.page.rip();
                self.say_once(Kind::NotEmulated, rip, format_args!("an instruction that is not emulated"));
                self.inject_exception(Exception::UNDEFINED_OPCODE);
            }
        }
    }
}

/// Fetches as much as it takes to tell the length; `None` when the code is not that instruction.
fn fetch_length(
    emulation: &mut Emulation<'_>,
    code: &mut Code,
    intercept: Intercept,
    mode: Mode,
) -> Result<Option<u8>, FetchError> {
    code.extend(emulation)?;
    let length = intercept_length(intercept, code.bytes(), mode);
    if length.is_some() || code.bytes().len() >= MAX_LENGTH {
        return Ok(length);
    }
    // The instruction may reach into the next page.
    code.extend(emulation)?;
    Ok(intercept_length(intercept, code.bytes(), mode))
}
