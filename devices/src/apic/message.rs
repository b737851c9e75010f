//! Interrupt messages: what an ICR, an I/O APIC entry and an MSI have in common.

/// How a message is delivered (SDM, "Interrupt Command Register").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryMode {
    /// To every destination, as the vector.
    Fixed,
    /// To the destination with the lowest priority, as the vector.
    LowestPriority,
    /// System management interrupt: there is no SMM here, it is dropped.
    Smi,
    /// Non-maskable interrupt.
    Nmi,
    /// INIT.
    Init,
    /// Start-up IPI, with the page of the start address as vector.
    Startup,
    /// The vector comes from the PIC.
    ExtInt,
}

impl DeliveryMode {
    /// From the three-bit field of ICR, LVT, I/O APIC entry and MSI data; `None` for the reserved value 3.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        match bits & 7 {
            0 => Some(Self::Fixed),
            1 => Some(Self::LowestPriority),
            2 => Some(Self::Smi),
            4 => Some(Self::Nmi),
            5 => Some(Self::Init),
            6 => Some(Self::Startup),
            7 => Some(Self::ExtInt),
            _ => None,
        }
    }
}

/// An interrupt on its way to one or more local APICs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterruptMessage {
    /// Physical APIC ID or logical destination; [`Self::BROADCAST`] for all.
    pub destination: u32,
    /// `destination` is logical.
    pub logical: bool,
    /// How it is delivered.
    pub delivery: DeliveryMode,
    /// The vector; what it means depends on `delivery`.
    pub vector: u8,
    /// Level-triggered: its EOI is reported to the I/O APIC.
    pub level: bool,
}

impl InterruptMessage {
    /// The destination that means every local APIC.
    pub const BROADCAST: u32 = u32::MAX;

    /// Widens an 8-bit destination, whose broadcast is FFh.
    pub const fn destination_from_xapic(destination: u8) -> u32 {
        if destination == 0xff { Self::BROADCAST } else { destination as u32 }
    }

    /// Decodes an MSI write (SDM, "Message Signalled Interrupts"). `None` if the address is none of the
    /// interrupt range FEE0_0000h to FEEF_FFFFh, or the delivery mode is none that an MSI can have.
    pub fn from_msi(address: u64, data: u32) -> Option<Self> {
        const REDIRECTION_HINT: u64 = 1 << 3;
        const LOGICAL: u64 = 1 << 2;
        if address >> 20 != 0xfee {
            return None;
        }
        let delivery = match DeliveryMode::from_bits(data >> 8)? {
            // Only an IPI starts a processor.
            DeliveryMode::Startup => return None,
            // The hint lets the system choose among the destinations, which is what lowest priority does.
            DeliveryMode::Fixed if address & REDIRECTION_HINT != 0 => DeliveryMode::LowestPriority,
            other => other,
        };
        Some(Self {
            destination: Self::destination_from_xapic((address >> 12) as u8),
            logical: address & LOGICAL != 0,
            delivery,
            vector: data as u8,
            level: data & (1 << 15) != 0,
        })
    }
}
