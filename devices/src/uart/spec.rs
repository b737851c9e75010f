//! The registers of a 16550A (National Semiconductor PC16550D datasheet, section 8).

use crate::capability::PortRange;
use bitflags::bitflags;

/// Receiver buffer (read), transmitter holding (write); divisor latch low with DLAB.
pub const RBR_THR_DLL: u16 = 0;
/// Interrupt enable; divisor latch high with DLAB.
pub const IER_DLM: u16 = 1;
/// Interrupt identification (read), FIFO control (write).
pub const IIR_FCR: u16 = 2;
/// Line control.
pub const LCR: u16 = 3;
/// Modem control.
pub const MCR: u16 = 4;
/// Line status.
pub const LSR: u16 = 5;
/// Modem status.
pub const MSR: u16 = 6;
/// Scratch.
pub const SCR: u16 = 7;

/// LCR: the divisor latch is at offsets 0 and 1.
pub const LCR_DLAB: u8 = 0x80;

/// Bytes in the receiver FIFO.
pub const FIFO_BYTES: usize = 16;

bitflags! {
    /// Interrupt enable register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Ier: u8 {
        /// Received data available, and the character timeout.
        const RDA = 0x01;
        /// Transmitter holding register empty.
        const THRE = 0x02;
        /// Receiver line status.
        const RLS = 0x04;
        /// Modem status.
        const MS = 0x08;
    }

    /// FIFO control register. The trigger level is in bits 7:6.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Fcr: u8 {
        /// FIFOs on.
        const ENABLE = 0x01;
        /// Empty the receiver FIFO.
        const CLEAR_RX = 0x02;
        /// Empty the transmitter FIFO.
        const CLEAR_TX = 0x04;
        /// DMA mode: of no effect here.
        const DMA = 0x08;
        /// The trigger level.
        const TRIGGER = 0xc0;
    }

    /// Modem control register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Mcr: u8 {
        /// Data terminal ready.
        const DTR = 0x01;
        /// Request to send.
        const RTS = 0x02;
        /// Auxiliary output 1.
        const OUT1 = 0x04;
        /// Auxiliary output 2: on a PC, lets the interrupt out.
        const OUT2 = 0x08;
        /// Loopback.
        const LOOP = 0x10;
    }

    /// Line status register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Lsr: u8 {
        /// Data ready.
        const DR = 0x01;
        /// Overrun error.
        const OE = 0x02;
        /// Transmitter holding register empty.
        const THRE = 0x20;
        /// Transmitter empty.
        const TEMT = 0x40;
    }

    /// Modem status register: deltas low, lines high.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Msr: u8 {
        /// Clear to send changed.
        const DCTS = 0x01;
        /// Data set ready changed.
        const DDSR = 0x02;
        /// Ring indicator went off.
        const TERI = 0x04;
        /// Carrier detect changed.
        const DDCD = 0x08;
        /// Clear to send.
        const CTS = 0x10;
        /// Data set ready.
        const DSR = 0x20;
        /// Ring indicator.
        const RI = 0x40;
        /// Carrier detect.
        const DCD = 0x80;
    }
}

/// What the interrupt identification register says, highest priority first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Interrupt {
    /// An error in LSR.
    LineStatus = 0x06,
    /// The receiver FIFO has reached its trigger level.
    DataAvailable = 0x04,
    /// The receiver FIFO has bytes below the trigger level and nothing has come for a while.
    CharacterTimeout = 0x0c,
    /// The transmitter can take more.
    TransmitterEmpty = 0x02,
    /// A delta in MSR.
    ModemStatus = 0x00,
    /// None.
    None = 0x01,
}

/// IIR bits that say the FIFOs are on.
pub const IIR_FIFOS: u8 = 0xc0;

/// A COM port as every PC has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComPort {
    /// First of eight ports.
    pub base: u16,
    /// ISA interrupt line.
    pub line: u8,
}

/// COM1 to COM4. Those that are not there are simply not claimed, and read all-ones.
pub const COM: [ComPort; 4] = [
    ComPort { base: 0x3f8, line: 4 },
    ComPort { base: 0x2f8, line: 3 },
    ComPort { base: 0x3e8, line: 4 },
    ComPort { base: 0x2e8, line: 3 },
];

/// Ports a UART takes.
pub const PORTS_EACH: u16 = 8;

impl ComPort {
    /// What to claim.
    pub const fn ports(&self) -> [PortRange; 1] {
        [PortRange { first: self.base, count: PORTS_EACH }]
    }
}
