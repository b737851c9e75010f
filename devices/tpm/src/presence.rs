//! Physical presence: operations on the TPM that an operating system asks for and that are carried out at the
//! machine's next start, before anything else runs (TCG PC Client Physical Presence Interface 1.30).
//!
//! A request is kept with the TPM's state ([`Tpm::set_platform_data`]), so that it outlives the machine.
//! Whoever owns the TPM calls [`Presence::carry_out`] behind each TPM2_Startup of a machine's start, while
//! the platform's authorization is still the empty one, and before software may use it.

use alloc::vec::Vec;

use crate::constants::handle;
use crate::engine::Tpm;
use crate::platform::PlatformError;
use crate::wire::{Reader, Writer};

/// Operations (Physical Presence Interface 1.30, table 2), as far as they are implemented.
pub mod operation {
    /// Nothing; as a request it takes the former one back.
    pub const NONE: u32 = 0;
    /// Enables the owner's and the endorsement hierarchy.
    pub const ENABLE: u32 = 1;
    /// Disables both.
    pub const DISABLE: u32 = 2;
    /// TPM2_Clear.
    pub const CLEAR: u32 = 5;
    /// The same, and [`ENABLE`]. Three numbers, as there were three ways to it with a TPM 1.2.
    pub const ENABLE_CLEAR: [u32; 3] = [14, 21, 22];
    /// Allocates the banks of the parameter's bits: SHA-1, SHA-256, SHA-384, SHA-512 from bit 0.
    pub const SET_PCR_BANKS: u32 = 23;
    /// TPM2_ChangeEPS.
    pub const CHANGE_EPS: u32 = 24;
    /// Allocates all banks, so that the event log has digests of all.
    pub const LOG_ALL_DIGESTS: u32 = 33;
    /// Enables the owner's hierarchy and disables the endorsement hierarchy.
    pub const DISABLE_ENDORSEMENT: u32 = 34;
}

/// What submitting a request returns (function 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Submitted {
    /// It is kept.
    Success = 0,
    /// There is no such operation.
    NotImplemented = 1,
    /// It can't be kept.
    Failure = 2,
    /// The platform does not allow it.
    Blocked = 3,
}

/// What becomes of an operation that is asked for (function 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Confirmation {
    /// There is no such operation.
    NotImplemented = 0,
    /// The platform does not allow it.
    Blocked = 2,
    /// It is carried out, and nobody has to confirm it.
    Allowed = 4,
}

/// A response that the user, or here the platform, has refused the operation (function 5).
pub const REFUSED: u32 = 0xffff_fff0;
/// A response that it failed for another reason than a TPM's error code.
pub const FAILED: u32 = 0xffff_fff1;

/// Bits of the parameter of [`operation::SET_PCR_BANKS`] (TCG EFI Protocol Specification, 6.4): TPM_ALG_ID of
/// each.
const BANKS: [u16; 4] = [0x4, 0xb, 0xc, 0xd];
/// PCRs that a bank which is allocated has, as a bit map of three bytes.
const ALL_PCRS: [u8; 3] = [0xff; 3];
/// TPM2_Startup(CLEAR).
const STARTUP: [u8; 12] = [0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0];

/// An operation and its parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The operation.
    pub operation: u32,
    /// Its parameter; zero for those that have none.
    pub parameter: u32,
}

/// What is kept of physical presence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// What the next start is to carry out.
    pub pending: Request,
    /// The operation that was carried out last.
    pub last: u32,
    /// What became of it: zero, a TPM's error code, [`REFUSED`] or [`FAILED`].
    pub response: u32,
    is_owner_disabled: bool,
    is_endorsement_disabled: bool,
}

/// What the platform says of an operation. `is_allowed`: operations may be carried out at all.
#[must_use]
pub fn confirmation(operation: u32, is_allowed: bool) -> Confirmation {
    use operation::{
        CHANGE_EPS, CLEAR, DISABLE, DISABLE_ENDORSEMENT, ENABLE, ENABLE_CLEAR, LOG_ALL_DIGESTS, NONE,
        SET_PCR_BANKS,
    };
    match operation {
        // It changes nothing.
        NONE => Confirmation::Allowed,
        ENABLE | DISABLE | CLEAR | SET_PCR_BANKS | CHANGE_EPS | LOG_ALL_DIGESTS | DISABLE_ENDORSEMENT => {
            allowed(is_allowed)
        }
        other if ENABLE_CLEAR.contains(&other) => allowed(is_allowed),
        _ => Confirmation::NotImplemented,
    }
}

fn allowed(is_allowed: bool) -> Confirmation {
    if is_allowed { Confirmation::Allowed } else { Confirmation::Blocked }
}

impl Presence {
    /// What is kept with a TPM; nothing, if that has kept nothing.
    #[must_use]
    pub fn of(tpm: &Tpm) -> Presence {
        // Bytes of another form can't be there: they are authenticated, and nobody else keeps any.
        Presence::read(&mut Reader::new(tpm.platform_data())).unwrap_or_default()
    }

    fn read(r: &mut Reader) -> crate::rc::Result<Presence> {
        Ok(Presence {
            pending: Request { operation: r.u32()?, parameter: r.u32()? },
            last: r.u32()?,
            response: r.u32()?,
            is_owner_disabled: r.yes_no()?,
            is_endorsement_disabled: r.yes_no()?,
        })
    }

    fn keep(&self, tpm: &mut Tpm) -> Result<(), PlatformError> {
        let mut w = Writer::new();
        w.u32(self.pending.operation).u32(self.pending.parameter).u32(self.last).u32(self.response);
        w.yes_no(self.is_owner_disabled).yes_no(self.is_endorsement_disabled);
        tpm.set_platform_data(w.as_slice())
    }

    /// Keeps a request, in place of the one before.
    #[must_use]
    pub fn submit(&mut self, tpm: &mut Tpm, request: Request, is_allowed: bool) -> Submitted {
        match confirmation(request.operation, is_allowed) {
            Confirmation::NotImplemented => return Submitted::NotImplemented,
            Confirmation::Blocked => return Submitted::Blocked,
            Confirmation::Allowed => {}
        }
        let kept = Presence { pending: request, ..*self };
        match kept.keep(tpm) {
            Ok(()) => {
                *self = kept;
                Submitted::Success
            }
            // What was kept before is still kept.
            Err(PlatformError) => Submitted::Failure,
        }
    }

    /// Carries out what is pending, on a TPM that TPM2_Startup(CLEAR) has just started, and turns off the
    /// hierarchies that an operation has disabled.
    ///
    /// # Errors
    /// When the result can't be kept, or a hierarchy is not turned off: the TPM must not be used then.
    pub fn carry_out(&mut self, tpm: &mut Tpm, is_allowed: bool) -> Result<(), PlatformError> {
        let request = core::mem::take(&mut self.pending);
        if request.operation != operation::NONE {
            self.last = request.operation;
            // Asked again: the platform may have another configuration than when it was submitted.
            self.response = match confirmation(request.operation, is_allowed) {
                Confirmation::Allowed => self.operate(tpm, request),
                Confirmation::Blocked => REFUSED,
                Confirmation::NotImplemented => FAILED,
            };
            // Behind the operation: if the power goes before, it is carried out once more, which changes
            // nothing.
            self.keep(tpm)?;
        }
        self.turn_off(tpm)
    }

    /// Turns off the hierarchies that an operation has disabled, on a TPM that was started.
    ///
    /// # Errors
    /// When one stays on: the TPM must not be used then.
    pub fn turn_off(&self, tpm: &mut Tpm) -> Result<(), PlatformError> {
        for (is_disabled, which) in
            [(self.is_owner_disabled, handle::OWNER), (self.is_endorsement_disabled, handle::ENDORSEMENT)]
        {
            if is_disabled && control(tpm, which, false) != 0 {
                return Err(PlatformError);
            }
        }
        Ok(())
    }

    /// Carries out an operation. Returns the response for function 5.
    fn operate(&mut self, tpm: &mut Tpm, request: Request) -> u32 {
        match request.operation {
            operation::ENABLE => self.disable(false, false),
            operation::DISABLE => self.disable(true, true),
            operation::DISABLE_ENDORSEMENT => self.disable(false, true),
            operation::CLEAR => clear(tpm),
            operation::SET_PCR_BANKS => allocate(tpm, request.parameter),
            operation::LOG_ALL_DIGESTS => allocate(tpm, (1 << BANKS.len()) - 1),
            // TPM2_ChangeEPS.
            operation::CHANGE_EPS => response(by_platform(tpm, 0x124, handle::PLATFORM, &[])),
            _ => match clear(tpm) {
                0 => self.disable(false, false),
                code => code,
            },
        }
    }

    fn disable(&mut self, owner: bool, endorsement: bool) -> u32 {
        (self.is_owner_disabled, self.is_endorsement_disabled) = (owner, endorsement);
        0
    }
}

/// TPM2_ClearControl(NO) and TPM2_Clear.
fn clear(tpm: &mut Tpm) -> u32 {
    match by_platform(tpm, 0x127, handle::PLATFORM, &[0]) {
        0 => response(by_platform(tpm, 0x126, handle::PLATFORM, &[])),
        code => response(code),
    }
}

/// TPM2_HierarchyControl.
fn control(tpm: &mut Tpm, which: u32, is_enabled: bool) -> u32 {
    let mut w = Writer::new();
    w.u32(which).yes_no(is_enabled);
    by_platform(tpm, 0x121, handle::PLATFORM, w.as_slice())
}

/// Turns the platform's hierarchy off until the next start, so that what runs from here on can't have its
/// authorization, which is empty. Returns the response code.
#[must_use]
pub fn close_platform(tpm: &mut Tpm) -> u32 {
    control(tpm, handle::PLATFORM, false)
}

/// TPM2_PCR_Allocate of these banks alone, and the reset that makes it so.
fn allocate(tpm: &mut Tpm, banks: u32) -> u32 {
    // A TPM without banks could measure nothing; and what is not there can't be allocated.
    if banks == 0 || banks >> BANKS.len() != 0 {
        return FAILED;
    }
    let mut w = Writer::new();
    w.u32(BANKS.len() as u32);
    for (bit, algorithm) in BANKS.into_iter().enumerate() {
        let pcrs = if banks >> bit & 1 != 0 { ALL_PCRS } else { [0; 3] };
        w.u16(algorithm).u8(3).raw(&pcrs);
    }
    match by_platform(tpm, 0x12b, handle::PLATFORM, w.as_slice()) {
        0 => {
            tpm.power_on();
            response(code_of(tpm, &STARTUP))
        }
        code => response(code),
    }
}

/// What function 5 returns for a response code.
fn response(code: u32) -> u32 {
    // A TPM's error code has twelve bits there.
    if code < 0x1000 { code } else { FAILED }
}

/// Executes a command that the platform authorizes with its empty password. Returns the response code.
fn by_platform(tpm: &mut Tpm, code: u32, authorized: u32, parameters: &[u8]) -> u32 {
    // TPM_ST_SESSIONS; size; code; handle; one session: TPM_RS_PW, no nonce, no attributes, no password.
    let mut w = Writer::new();
    w.u16(0x8002).u32(27 + parameters.len() as u32).u32(code).u32(authorized);
    w.u32(9).u32(0x4000_0009).u16(0).u8(0).u16(0).raw(parameters);
    code_of(tpm, w.as_slice())
}

fn code_of(tpm: &mut Tpm, command: &[u8]) -> u32 {
    let mut bytes = Vec::new();
    tpm.execute(0, command, &mut bytes);
    let code = bytes.get(6..).and_then(|rest| rest.first_chunk());
    code.map_or(FAILED, |code| u32::from_be_bytes(*code))
}
