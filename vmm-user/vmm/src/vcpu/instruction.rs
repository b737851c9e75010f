//! The instruction at RIP: how long it is, and completing it.

use decoder::fetch::{Code, FetchError};
use decoder::{Exception, Intercept, Mode, intercept_length};
use runtime::abi::registers::Groups;

use super::Vcpu;
use super::code_cache::{CodeCache, Known};
use super::machine::Emulation;

/// The longest instruction, in bytes (APM volume 3, 1.1).
const MAX_LENGTH: usize = 15;

impl Vcpu {
    /// How CS makes the processor read code.
    #[inline]
    pub(super) fn mode(&self) -> Mode {
        Mode::new(self.page.efer(), self.page.cs_attributes())
    }

    /// The current privilege level.
    #[inline]
    pub(super) fn cpl(&self) -> u8 {
        (self.page.ss_attributes() >> 5 & 3) as u8
    }

    /// Moves RIP behind the intercepted instruction. `false` when that is not to be: the guest's code could not be fetched, which
    /// injects the fault, or has changed meanwhile, which runs it again.
    #[inline]
    pub(super) fn complete(&mut self, intercept: Intercept) -> bool {
        match self.length_of(intercept) {
            Ok(Some(length)) => {
                self.advance(length);
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.fetch_failed(error);
                false
            }
        }
    }

    /// Moves RIP on, as an instruction does that completes.
    #[inline]
    pub(super) fn advance(&mut self, length: u8) {
        let mode = self.mode();
        let mut emulation = Emulation::new(self);
        let step = mode.advance(&mut emulation, length);
        self.page.mark(Groups::GENERAL);
        if step {
            self.single_step();
        }
    }

    /// An instruction was completed under RFLAGS.TF: #DB, with DR6.BS (APM volume 2, 13.1.4).
    #[cold]
    pub(super) fn single_step(&mut self) {
        self.fetch_rest_of_system();
        let mut system = self.page.system();
        system.dr6 |= 1 << 14;
        self.page.set_system(system);
        self.page.mark(Groups::SYSTEM);
        self.inject_exception(Exception { vector: 1, error_code: None, cr2: None });
    }

    #[inline]
    fn length_of(&mut self, intercept: Intercept) -> Result<Option<u8>, FetchError> {
        if let Some(Known::Length(known, length)) = self.code.find(self.page)
            && *known == intercept
        {
            return Ok(Some(*length));
        }
        self.find_length(intercept)
    }

    #[cold]
    fn find_length(&mut self, intercept: Intercept) -> Result<Option<u8>, FetchError> {
        let (page, mode) = (self.page, self.mode());
        let mut code = Code::EMPTY;
        let mut cache = core::mem::replace(&mut self.code, CodeCache::none());
        let mut emulation = Emulation::new(self);
        let length = fetch_length(&mut emulation, &mut code, intercept, mode);
        if let Ok(Some(length)) = length {
            cache.insert(page, &mut emulation, code.bytes(), length, Known::Length(intercept, length));
        }
        self.code = cache;
        length
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
                log::warn!(
                    "vCPU {}: an instruction at {:#x} that is not emulated",
                    self.index,
                    self.page.rip()
                );
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
