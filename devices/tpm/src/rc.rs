//! Response codes (TPM 2.0 Library, part 2, 6.6).
//!
//! A code of format one carries the number of the handle, session or parameter that it is about. It is
//! a constant here and gets the number where the fault is found: `Rc::VALUE.parameter(2)`.

/// A response code other than success.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rc(pub(crate) u32);

/// What a step of a command returns.
pub(crate) type Result<T> = core::result::Result<T, Rc>;

const VER1: u32 = 0x100;
const FMT1: u32 = 0x080;
const WARN: u32 = 0x900;
const PARAMETER: u32 = 0x040;
const SESSION: u32 = 0x800;
const NUMBER_MASK: u32 = 0xf00;

macro_rules! codes {
    ($base:ident: $($name:ident = $value:expr,)*) => {
        impl Rc { $(pub(crate) const $name: Rc = Rc($base + $value);)* }
    };
}

codes! { VER1:
    INITIALIZE = 0x00, FAILURE = 0x01, SEQUENCE = 0x03, DISABLED = 0x20, EXCLUSIVE = 0x21,
    AUTH_TYPE = 0x24, AUTH_MISSING = 0x25, POLICY = 0x26, PCR = 0x27, PCR_CHANGED = 0x28,
    TOO_MANY_CONTEXTS = 0x2e, AUTH_UNAVAILABLE = 0x2f, COMMAND_SIZE = 0x42,
    COMMAND_CODE = 0x43, AUTHSIZE = 0x44, AUTH_CONTEXT = 0x45, NV_RANGE = 0x46,
    NV_LOCKED = 0x48, NV_AUTHORIZATION = 0x49, NV_UNINITIALIZED = 0x4a, NV_SPACE = 0x4b,
    NV_DEFINED = 0x4c, CPHASH = 0x51, NO_RESULT = 0x54,

}
codes! { FMT1:
    ATTRIBUTES = 0x02, HASH = 0x03, VALUE = 0x04, HIERARCHY = 0x05, KEY_SIZE = 0x07,
    MODE = 0x09, TYPE = 0x0a, HANDLE = 0x0b, KDF = 0x0c, RANGE = 0x0d, AUTH_FAIL = 0x0e,
    NONCE = 0x0f, PP = 0x10, SCHEME = 0x12, SIZE = 0x15, SYMMETRIC = 0x16, TAG = 0x17,
    INSUFFICIENT = 0x1a, SIGNATURE = 0x1b, KEY = 0x1c, POLICY_FAIL = 0x1d, INTEGRITY = 0x1f,
    TICKET = 0x20, RESERVED_BITS = 0x21, BAD_AUTH = 0x22, EXPIRED = 0x23, POLICY_CC = 0x24,
    BINDING = 0x25, CURVE = 0x26, ECC_POINT = 0x27,
}
codes! { WARN:
    OBJECT_MEMORY = 0x02, SESSION_MEMORY = 0x03,
    SESSION_HANDLES = 0x05, LOCALITY = 0x07, REFERENCE_H0 = 0x10,
    REFERENCE_S0 = 0x18, LOCKOUT = 0x21,
}

impl Rc {
    /// A bad tag has the code of TPM 1.2, so that software for that version understands it.
    pub(crate) const BAD_TAG: Rc = Rc(0x01e);

    /// The code as it stands in a response.
    #[must_use]
    pub const fn code(self) -> u32 {
        self.0
    }

    const fn is_format_one(self) -> bool {
        self.0 & FMT1 != 0
    }

    const fn numbered(self, kind: u32, number: usize) -> Rc {
        // A code that has a number keeps it: the innermost step knows best what it is about. The other format
        // has no room for one.
        let is_free = self.is_format_one() && self.0 & (NUMBER_MASK | PARAMETER) == 0;
        if is_free { Rc(self.0 | kind | ((number as u32 & 7) << 8)) } else { self }
    }

    /// The code, about parameter `number` (from 1). A code that has its number keeps it.
    pub(crate) const fn parameter(self, number: usize) -> Rc {
        let wide = Rc(self.0).numbered(PARAMETER, number);
        // A parameter's number has four bits, those of handles and sessions have three.
        if self.is_format_one() && self.0 & (NUMBER_MASK | PARAMETER) == 0 && number > 7 {
            Rc(self.0 | PARAMETER | ((number as u32 & 15) << 8))
        } else {
            wide
        }
    }

    /// The code, about handle `number` (from 1).
    pub(crate) const fn handle(self, number: usize) -> Rc {
        self.numbered(0, number)
    }

    /// The code, about session `number` (from 1).
    pub(crate) const fn session(self, number: usize) -> Rc {
        self.numbered(SESSION, number)
    }

    /// A warning that handle `number` (from 1) is not loaded.
    pub(crate) const fn reference_handle(number: usize) -> Rc {
        Rc(Rc::REFERENCE_H0.0 + number as u32 - 1)
    }

    /// A warning that session `number` (from 1) is not loaded.
    pub(crate) const fn reference_session(number: usize) -> Rc {
        Rc(Rc::REFERENCE_S0.0 + number as u32 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Rc;

    #[test]
    fn numbers_of_what_a_code_is_about() {
        let cases = [
            (Rc::VALUE.parameter(2), 0x2c4),
            (Rc::VALUE.parameter(9), 0x9c4),
            (Rc::SIZE.parameter(1).parameter(3), 0x1d5),
            (Rc::HANDLE.handle(1), 0x18b),
            (Rc::AUTH_FAIL.session(1), 0x98e),
            (Rc::NV_LOCKED.parameter(1), 0x148),
            (Rc::LOCKOUT.session(1), 0x921),
            (Rc::reference_handle(1), 0x910),
            (Rc::reference_session(3), 0x91a),
        ];
        for (rc, code) in cases {
            assert_eq!(rc.code(), code);
        }
    }
}
