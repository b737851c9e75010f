//! Exceptions to be injected into the guest.

/// Vectors of the exceptions the crate raises (APM 2, 8.2).
pub mod vector {
    /// #DE, divide error.
    pub const DIVIDE_ERROR: u8 = 0;
    /// #BR, bound range.
    pub const BOUND_RANGE: u8 = 5;
    /// #UD, undefined opcode.
    pub const UNDEFINED_OPCODE: u8 = 6;
    /// #NM, device not available.
    pub const DEVICE_NOT_AVAILABLE: u8 = 7;
    /// #DF, double fault.
    pub const DOUBLE_FAULT: u8 = 8;
    /// #TS, invalid TSS.
    pub const INVALID_TSS: u8 = 10;
    /// #NP, segment not present.
    pub const NOT_PRESENT: u8 = 11;
    /// #SS, stack segment fault.
    pub const STACK: u8 = 12;
    /// #GP, general protection.
    pub const GENERAL_PROTECTION: u8 = 13;
    /// #PF, page fault.
    pub const PAGE_FAULT: u8 = 14;
    /// #MF, x87 error.
    pub const X87: u8 = 16;
    /// #AC, alignment check.
    pub const ALIGNMENT_CHECK: u8 = 17;
}

/// An exception as it is to be injected. All are faults: RIP stays at the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The vector, from [`vector`].
    pub vector: u8,
    /// The error code, where the vector has one. In real mode none is pushed (APM 2, 8.2): leave it out
    /// there.
    pub error_code: Option<u32>,
    /// What CR2 must hold, for #PF.
    pub cr2: Option<u64>,
}

impl Exception {
    /// #DE.
    pub const DIVIDE_ERROR: Exception = Exception::plain(vector::DIVIDE_ERROR, None);
    /// #BR.
    pub const BOUND_RANGE: Exception = Exception::plain(vector::BOUND_RANGE, None);
    /// #MF.
    pub const X87: Exception = Exception::plain(vector::X87, None);
    /// #UD.
    pub const UNDEFINED_OPCODE: Exception = Exception::plain(vector::UNDEFINED_OPCODE, None);
    /// #NM.
    pub const DEVICE_NOT_AVAILABLE: Exception = Exception::plain(vector::DEVICE_NOT_AVAILABLE, None);
    /// #SS(0).
    pub const STACK: Exception = Exception::plain(vector::STACK, Some(0));
    /// #GP(0).
    pub const GENERAL_PROTECTION: Exception = Exception::plain(vector::GENERAL_PROTECTION, Some(0));
    /// #AC(0).
    pub const ALIGNMENT_CHECK: Exception = Exception::plain(vector::ALIGNMENT_CHECK, Some(0));

    /// An exception whose error code is a selector's: #TS, #NP, #SS or #GP.
    pub(crate) const fn of_selector(vector: u8, selector: u16) -> Exception {
        Exception::plain(vector, Some((selector & !3) as u32))
    }

    const fn plain(vector: u8, error_code: Option<u32>) -> Exception {
        Exception { vector, error_code, cr2: None }
    }

    /// #PF with its error code and the linear address for CR2.
    pub const fn page_fault(error_code: u32, address: u64) -> Exception {
        Exception { vector: vector::PAGE_FAULT, error_code: Some(error_code), cr2: Some(address) }
    }
}
