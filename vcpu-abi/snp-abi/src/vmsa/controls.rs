//! VINTR_CTRL, and events that are injected or were interrupted.

use bitflags::bitflags;

bitflags! {
    /// VINTR_CTRL of a VMSA (APM 2, appendix B, table B-4, offset 3B8h). Beside these bits it has the task
    /// priority, the interrupt's priority, and its vector.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct VintrCtrl: u64 {
        /// V_IRQ: an interrupt waits.
        const IRQ = 1 << 8;
        /// GIF: without it nothing is delivered.
        const GIF = 1 << 9;
        /// INT_SHADOW: the guest is behind STI or MOV SS.
        const INTERRUPT_SHADOW = 1 << 10;
        /// V_NMI: an NMI waits.
        const NMI = 1 << 11;
        /// V_NMI_MASK: NMIs are masked.
        const NMI_MASK = 1 << 12;
        /// V_IGN_TPR: the task priority does not hold the interrupt back.
        const IGNORE_TPR = 1 << 20;
        /// V_NMI_ENABLE.
        const NMI_ENABLE = 1 << 26;
        /// BUSY: an exit interrupted the delivery of an event; the vCPU is not entered until software clears
        /// it (APM 2, 15.36.16).
        const BUSY = 1 << 63;
        // Fields, whose bits have no names.
        const _ = !0;
    }
}

impl VintrCtrl {
    /// Bits 7:0, the task priority.
    #[must_use]
    pub const fn tpr(self) -> u8 {
        self.bits().to_le_bytes()[0]
    }

    /// Bits 19:16, the waiting interrupt's priority.
    #[must_use]
    pub const fn priority(self) -> u8 {
        self.bits().to_le_bytes()[2] & 0xf
    }

    /// Bits 39:32, the waiting interrupt's vector.
    #[must_use]
    pub const fn vector(self) -> u8 {
        self.bits().to_le_bytes()[4]
    }

    /// The same with an interrupt waiting, of this vector and its priority class.
    #[must_use]
    pub const fn with_interrupt(self, vector: u8) -> Self {
        let cleared = self.bits() & !(0xff << 32 | 0xf << 16);
        let fields = (vector as u64) << 32 | ((vector >> 4) as u64) << 16;
        Self::from_bits_retain(cleared | fields | Self::IRQ.bits())
    }

    /// The same with another task priority.
    #[must_use]
    pub const fn with_tpr(self, tpr: u8) -> Self {
        Self::from_bits_retain(self.bits() & !0xff | tpr as u64)
    }
}

/// What kind of event an [`EventInfo`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// An external interrupt.
    Interrupt = 0,
    /// An NMI.
    Nmi = 2,
    /// An exception.
    Exception = 3,
    /// A software interrupt.
    Software = 4,
}

/// EVENTINJ and EXITINTINFO (APM 2, 15.7.2 and 15.20), of VMSA and VMCB, and what a host returns in the GHCB
/// for an exception.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventInfo(pub u64);

impl EventInfo {
    const ERROR_CODE_VALID: u64 = 1 << 11;
    const VALID: u64 = 1 << 31;

    /// A valid event.
    #[must_use]
    pub const fn new(kind: EventType, vector: u8, error_code: Option<u32>) -> Self {
        let error = match error_code {
            Some(code) => (code as u64) << 32 | Self::ERROR_CODE_VALID,
            None => 0,
        };
        Self(error | Self::VALID | (kind as u64) << 8 | vector as u64)
    }

    /// Whether there is an event.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 & Self::VALID != 0
    }

    /// Bits 7:0, the vector.
    #[must_use]
    pub const fn vector(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    /// Bits 10:8, the kind; None for one that is not defined.
    #[must_use]
    pub const fn kind(self) -> Option<EventType> {
        match self.0 >> 8 & 7 {
            0 => Some(EventType::Interrupt),
            2 => Some(EventType::Nmi),
            3 => Some(EventType::Exception),
            4 => Some(EventType::Software),
            _ => None,
        }
    }

    /// The error code, if one is pushed.
    #[must_use]
    pub const fn error_code(self) -> Option<u32> {
        if self.0 & Self::ERROR_CODE_VALID == 0 { None } else { Some((self.0 >> 32) as u32) }
    }
}
