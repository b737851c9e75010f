//! A 16550A UART.
//!
//! Transmission takes no time: a byte written to THR is with the backend before the `OUT` is done, so THR is
//! always empty. Reception is bounded by the FIFO: the UART takes a byte from its backend only when it has
//! room, and looks again after each access, so no byte is lost however slow the guest is. The character
//! timeout does not wait four character times: a FIFO below its trigger level interrupts at once, which a
//! guest cannot tell from a sender that paused.
//!
//! The modem lines say that a terminal is connected and ready. Baud rate, word length and parity are kept and
//! do nothing.

pub mod spec;

use alloc::vec::Vec;

use crate::{
    acpi_entry::{AcpiEntry, Resource},
    bus,
    capability::{Device, InputDevice, LineDevice, Missing, Platform, PortDevice, PortRange, Present, Width},
};
use spec::{ComPort, Fcr, Ier, Interrupt, Lsr, Mcr, Msr};

/// What the other end of the line is connected to.
pub trait SerialBackend {
    /// Takes a byte of output. It must not be lost.
    fn transmit(&mut self, byte: u8);

    /// The host has signalled that there is input: the backend may collect it.
    fn collect(&mut self) {}

    /// The next byte of input, if there is one. Called whenever the UART has room, so it has to be quick.
    fn receive(&mut self) -> Option<u8> {
        None
    }
}

impl<F: FnMut(u8)> SerialBackend for F {
    fn transmit(&mut self, byte: u8) {
        self(byte);
    }
}

/// The receiver's FIFO, a ring.
#[derive(Clone, Copy, Debug, Default)]
struct Fifo {
    bytes: [u8; spec::FIFO_BYTES],
    head: usize,
    len: usize,
}

impl Fifo {
    fn push(&mut self, byte: u8) {
        // Callers look for room first.
        if let Some(slot) = self.bytes.get_mut((self.head + self.len) % spec::FIFO_BYTES) {
            *slot = byte;
            self.len += 1;
        }
    }

    fn pop(&mut self) -> Option<u8> {
        self.len = self.len.checked_sub(1)?;
        let byte = self.bytes.get(self.head).copied();
        self.head = (self.head + 1) % spec::FIFO_BYTES;
        byte
    }
}

/// The UART.
pub struct Uart<B> {
    // Configuration.
    port: ComPort,
    ports: [PortRange; 1],
    // Glue.
    backend: B,
    line_level: bool,
    // Volatile state.
    rx: Fifo,
    last_rx: u8,
    ier: Ier,
    fcr: Fcr,
    lcr: u8,
    mcr: Mcr,
    overrun: bool,
    msr: Msr,
    scr: u8,
    divisor: [u8; 2],
    /// THR has become empty since the guest was last told.
    thre_pending: bool,
}

impl<B: SerialBackend> Uart<B> {
    /// A UART after reset.
    pub fn new(port: ComPort, backend: B) -> Self {
        Self {
            port,
            ports: port.ports(),
            backend,
            line_level: false,
            rx: Fifo::default(),
            last_rx: 0,
            ier: Ier::empty(),
            fcr: Fcr::empty(),
            lcr: 0,
            mcr: Mcr::empty(),
            overrun: false,
            msr: Msr::CTS | Msr::DSR | Msr::DCD,
            scr: 0,
            // 9600 baud, as a PC's firmware leaves it.
            divisor: [12, 0],
            thre_pending: false,
        }
    }

    /// Whether the receiver has room. In loopback the line from outside is cut off.
    fn can_receive(&self) -> bool {
        !self.mcr.contains(Mcr::LOOP) && self.rx.len < self.capacity()
    }

    /// Takes what input there is room for.
    fn receive(&mut self) {
        // The byte stays with the back end until there is room: a full FIFO loses nothing.
        while self.can_receive()
            && let Some(byte) = self.backend.receive()
        {
            self.rx.push(byte);
        }
    }

    fn capacity(&self) -> usize {
        if self.fcr.contains(Fcr::ENABLE) { spec::FIFO_BYTES } else { 1 }
    }

    fn trigger_level(&self) -> usize {
        match self.fcr.bits() & (Fcr::TRIGGER | Fcr::ENABLE).bits() {
            0x41 => 4,
            0x81 => 8,
            0xc1 => 14,
            _ => 1,
        }
    }

    fn lsr(&self) -> Lsr {
        // The back end takes each byte as it comes: the transmitter is never busy.
        let mut lsr = Lsr::THRE | Lsr::TEMT;
        lsr.set(Lsr::DR, self.rx.len > 0);
        lsr.set(Lsr::OE, self.overrun);
        lsr
    }

    /// The interrupt that IIR shows: the one of highest priority.
    fn pending(&self) -> Interrupt {
        let deltas = Msr::DCTS | Msr::DDSR | Msr::TERI | Msr::DDCD;
        if self.ier.contains(Ier::RLS) && self.overrun {
            Interrupt::LineStatus
        } else if self.ier.contains(Ier::RDA) && self.rx.len >= self.trigger_level() {
            Interrupt::DataAvailable
        // At once, without the four character times of real hardware: see the module's header.
        } else if self.ier.contains(Ier::RDA) && self.rx.len > 0 {
            Interrupt::CharacterTimeout
        } else if self.ier.contains(Ier::THRE) && self.thre_pending {
            Interrupt::TransmitterEmpty
        } else if self.ier.contains(Ier::MS) && self.msr.intersects(deltas) {
            Interrupt::ModemStatus
        } else {
            Interrupt::None
        }
    }

    fn update(&mut self, platform: &mut dyn Platform) {
        // In loopback the OUT2 pin is inactive, and with it the gate on a PC's interrupt line (datasheet,
        // 8.6.7).
        let gate = self.mcr.contains(Mcr::OUT2) && !self.mcr.contains(Mcr::LOOP);
        let level = gate && self.pending() != Interrupt::None;
        if level != self.line_level {
            self.line_level = level;
            platform.set_line(self.port.line, level);
        }
    }

    fn transmit(&mut self, byte: u8) {
        if !self.mcr.contains(Mcr::LOOP) {
            self.backend.transmit(byte);
        } else if self.rx.len < self.capacity() {
            self.rx.push(byte);
        } else {
            self.overrun = true;
        }
        // The byte is gone by now, so there is room for the next.
        self.thre_pending = true;
    }

    fn write_ier(&mut self, value: u8) {
        let ier = Ier::from_bits_truncate(value);
        // Enabling the interrupt while THR is empty raises it (datasheet, 8.6.3).
        if ier.contains(Ier::THRE) && !self.ier.contains(Ier::THRE) {
            self.thre_pending = true;
        }
        self.ier = ier;
    }

    fn write_fcr(&mut self, value: u8) {
        let fcr = Fcr::from_bits_truncate(value);
        let switched = (fcr ^ self.fcr).contains(Fcr::ENABLE);
        // A switch between the modes empties the FIFOs (datasheet, FCR bit 0).
        if switched || fcr.contains(Fcr::CLEAR_RX) {
            self.rx = Fifo::default();
        }
        // The other bits are only taken with the FIFOs on.
        self.fcr = if fcr.contains(Fcr::ENABLE) { fcr & (Fcr::ENABLE | Fcr::TRIGGER) } else { Fcr::empty() };
    }

    /// In loopback the modem outputs are wired to the modem inputs: RTS to CTS, DTR to DSR, OUT1 to RI, OUT2
    /// to DCD.
    fn write_mcr(&mut self, value: u8) {
        self.mcr = Mcr::from_bits_truncate(value);
        let mut lines = Msr::CTS | Msr::DSR | Msr::DCD;
        if self.mcr.contains(Mcr::LOOP) {
            lines.set(Msr::CTS, self.mcr.contains(Mcr::RTS));
            lines.set(Msr::DSR, self.mcr.contains(Mcr::DTR));
            lines.set(Msr::RI, self.mcr.contains(Mcr::OUT1));
            lines.set(Msr::DCD, self.mcr.contains(Mcr::OUT2));
        }
        let changed = self.msr ^ lines;
        // A change is remembered until MSR is read, though the line may be as before by then; of RI only
        // the trailing edge counts.
        let mut msr = lines | self.msr & (Msr::DCTS | Msr::DDSR | Msr::TERI | Msr::DDCD);
        msr.set(Msr::DCTS, msr.contains(Msr::DCTS) || changed.contains(Msr::CTS));
        msr.set(Msr::DDSR, msr.contains(Msr::DDSR) || changed.contains(Msr::DSR));
        msr.set(Msr::DDCD, msr.contains(Msr::DDCD) || changed.contains(Msr::DCD));
        msr.set(Msr::TERI, msr.contains(Msr::TERI) || changed.contains(Msr::RI) && !lines.contains(Msr::RI));
        self.msr = msr;
    }

    fn read_rbr(&mut self) -> u8 {
        if let Some(byte) = self.rx.pop() {
            self.last_rx = byte;
        }
        self.last_rx
    }

    fn read_iir(&mut self) -> u8 {
        // Only this one is acknowledged by the read; the others are by what the guest does about them.
        let interrupt = self.pending();
        // Reading IIR is the acknowledgement of this interrupt alone.
        if interrupt == Interrupt::TransmitterEmpty {
            self.thre_pending = false;
        }
        interrupt as u8 | if self.fcr.contains(Fcr::ENABLE) { spec::IIR_FIFOS } else { 0 }
    }

    fn read(&mut self, offset: u16) -> u8 {
        let dlab = self.lcr & spec::LCR_DLAB != 0;
        match offset {
            spec::RBR_THR_DLL if dlab => self.divisor[0],
            spec::RBR_THR_DLL => self.read_rbr(),
            spec::IER_DLM if dlab => self.divisor[1],
            spec::IER_DLM => self.ier.bits(),
            spec::IIR_FCR => self.read_iir(),
            spec::LCR => self.lcr,
            spec::MCR => self.mcr.bits(),
            spec::LSR => {
                // Reading clears the error.
                let lsr = self.lsr();
                self.overrun = false;
                lsr.bits()
            }
            spec::MSR => {
                let msr = self.msr;
                self.msr &= Msr::CTS | Msr::DSR | Msr::RI | Msr::DCD;
                msr.bits()
            }
            spec::SCR => self.scr,
            _ => 0xff,
        }
    }

    fn write(&mut self, offset: u16, value: u8) {
        let dlab = self.lcr & spec::LCR_DLAB != 0;
        match offset {
            spec::RBR_THR_DLL if dlab => self.divisor[0] = value,
            spec::RBR_THR_DLL => self.transmit(value),
            spec::IER_DLM if dlab => self.divisor[1] = value,
            spec::IER_DLM => self.write_ier(value),
            spec::IIR_FCR => self.write_fcr(value),
            spec::LCR => self.lcr = value,
            spec::MCR => self.write_mcr(value),
            spec::SCR => self.scr = value,
            // LSR and MSR are for factory tests to write (datasheet, 8.6.4): no effect.
            _ => {}
        }
    }
}

impl<B: SerialBackend + Send> Device for Uart<B> {
    const NAME: &'static str = "serial port";
    type Ports = Present;
    type Mmio = Missing;
    type Timer = Missing;
    type Lines = Present;
    type Input = Present;

    fn acpi(&self) -> Vec<AcpiEntry> {
        let number = 1 + spec::COM.iter().position(|com| com.base == self.port.base).unwrap_or(0);
        let [ports] = self.ports.map(Resource::Ports);
        AcpiEntry::numbered(b"COM", number as u8, b"PNP0501", &[ports, Resource::Line(self.port.line)])
    }
}

impl<B: SerialBackend + Send> LineDevice for Uart<B> {
    fn lines(&self) -> &[u8] {
        core::slice::from_ref(&self.port.line)
    }
}

impl<B: SerialBackend + Send> InputDevice for Uart<B> {
    fn input(&mut self, platform: &mut dyn Platform) {
        self.backend.collect();
        self.receive();
        self.update(platform);
    }
}

impl<B: SerialBackend + Send> PortDevice for Uart<B> {
    fn ports(&self) -> &[PortRange] {
        &self.ports
    }

    fn port_read(&mut self, port: u16, width: Width, platform: &mut dyn Platform) -> u32 {
        let base = self.port.base;
        let value = bus::read_bytes(port, width, |p| self.read(p.wrapping_sub(base)));
        // Reading may have made room for what waits.
        self.receive();
        self.update(platform);
        value
    }

    fn port_write(&mut self, port: u16, width: Width, value: u32, platform: &mut dyn Platform) {
        let base = self.port.base;
        bus::write_bytes(port, width, value, |p, byte| self.write(p.wrapping_sub(base), byte));
        // The write may have ended a loopback, or emptied the FIFO.
        self.receive();
        self.update(platform);
    }
}

#[cfg(test)]
mod tests;
