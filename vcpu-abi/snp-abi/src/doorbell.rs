//! The #HV doorbell page, by which a host says what it would inject (GHCB, 5; the parts of lower VMPLs as
//! Coconut SVSM has them).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use bitflags::bitflags;

bitflags! {
    /// The first word of the page: what is pending.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Pending: u16 {
        /// An NMI.
        const NMI = 1 << 8;
        /// A machine check.
        const MACHINE_CHECK = 1 << 9;
        /// NoFurtherSignal: the host injects no other #HV until the guest has cleared it.
        const NO_FURTHER_SIGNAL = 1 << 15;
        // Bits 7:0 are the vector.
        const _ = !0;
    }
}

impl Pending {
    /// The vector; 0 if no interrupt is pending.
    #[must_use]
    pub const fn vector(self) -> u8 {
        self.bits().to_le_bytes()[0]
    }
}

bitflags! {
    /// The status of a lower VMPL's events. Beside these bits it has the vector in bits 7:0.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct VmplStatus: u32 {
        /// An NMI.
        const NMI = 1 << 8;
        /// A machine check.
        const MACHINE_CHECK = 1 << 9;
        /// The vector is level-triggered.
        const LEVEL = 1 << 10;
        /// More than one vector is pending.
        const MULTIPLE = 1 << 14;
        /// An IPI is requested.
        const IPI_REQUESTED = 1 << 27;
        /// Vector 31.
        const VECTOR_31 = 1 << 31;
        // The vector and what is not defined.
        const _ = !0;
    }
}

/// Events of a lower VMPL.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct VmplEvents {
    /// [`VmplStatus`].
    pub status: u32,
    /// Vectors 32 to 255 that are requested.
    pub irr: [u32; 7],
    /// Vectors 0 to 255 that are in service.
    pub isr: [u32; 8],
}

assert_layout!(VmplEvents, 0x40, 0: status, 4: irr, 0x20: isr);

/// The page.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct DoorbellPage {
    /// [`Pending`].
    pub pending: u16,
    /// Bit 0: the vector needs no EOI.
    pub no_eoi_required: u8,
    /// Which lower VMPLs have events.
    pub vmpl_events: u8,
    /// Reserved.
    pub reserved_004: [u8; 0x3c],
    /// Events of VMPL1.
    pub vmpl1: VmplEvents,
    /// Events of VMPL2.
    pub vmpl2: VmplEvents,
    /// Events of VMPL3.
    pub vmpl3: VmplEvents,
    /// Reserved.
    pub reserved_100: [u8; 0xf00],
}

assert_layout!(
    DoorbellPage, 0x1000, 0: pending, 2: no_eoi_required, 3: vmpl_events, 0x40: vmpl1, 0x80: vmpl2,
    0xc0: vmpl3, 0x100: reserved_100,
);
