//! The host's PC: the board of Plinth's VMM, whose devices are those of QEMU's q35, at the same places, and
//! what firmware made for QEMU wants besides: fw_cfg and the debug console.

pub mod fw_cfg;
pub mod payload;
pub mod tables;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use devices::acpi::{AcpiConfig, AcpiError, AcpiTables, FIRMWARE_BYTES};
use devices::apic::{Apics, TooManyVcpus};
use devices::debugport::DebugPort;
use devices::router::Router;
use devices::rtc::CmosConfig;
use devices::uart::SerialBackend;
use runtime::Start;
use spin::Mutex;
use vmm::board::{Board, BoardConfig, BoardError, TIMER_WIDTH, lay_out};
use vmm::clock::Clock;
use vmm::guest_memory::Range;

use self::fw_cfg::FwCfg;
use self::payload::Payload;

/// The most characters of a line of the debug console.
const LINE_MAX: usize = 160;
/// The file with the memory map, and the type of RAM in it.
const MEMORY_MAP: &str = "etc/e820";
const RAM: u32 = 1;

/// Why there is no PC.
#[derive(Debug, thiserror::Error)]
pub enum PcError {
    /// The local APICs' IDs don't suffice.
    #[error("there are too many vCPUs")]
    Vcpus,
    /// Devices are in each other's way, or in the memory's.
    #[error("{0}")]
    Board(BoardError),
    /// There are no ACPI tables.
    #[error("{0}")]
    Tables(#[from] AcpiError),
    /// The ACPI tables are not as a loader's list can say it.
    #[error("the ACPI tables can't be placed")]
    Loader,
}

impl From<TooManyVcpus> for PcError {
    fn from(_: TooManyVcpus) -> Self {
        Self::Vcpus
    }
}

impl From<BoardError> for PcError {
    fn from(error: BoardError) -> Self {
        Self::Board(error)
    }
}

/// The PC.
pub struct Pc {
    /// All devices but those that are a vCPU's own.
    pub board: Board,
    /// What local APICs know of each other.
    pub apics: Arc<Apics>,
    /// The configuration that the host has for firmware.
    pub fw_cfg: FwCfg,
}

/// What a PC is made of.
pub struct Parts<'a> {
    /// The guest's memory: RAM from address 0 on first.
    pub memory: &'a [Range],
    /// How many vCPUs there are.
    pub vcpus: u16,
    /// The TSC's frequency.
    pub tsc_hz: u64,
    /// What firmware boots.
    pub payload: &'a Payload,
}

impl Pc {
    /// A PC of these parts, whose devices have the host's by the process' handles.
    ///
    /// # Errors
    /// [`PcError`].
    pub fn new(start: &Start, parts: &Parts<'_>) -> Result<Self, PcError> {
        let vcpus = u32::from(parts.vcpus);
        let ram = parts.memory.first().map_or(0, |range| range.bytes);
        let apics = Arc::new(Apics::new(&(0..vcpus).collect::<Vec<u32>>())?);
        let router = Arc::new(Mutex::new(Router::new(apics.clone())));
        let config = BoardConfig {
            cmos: CmosConfig { low_ram_bytes: ram, high_ram_bytes: 0, cpus: vcpus },
            clock_ports: start.handle("clock-ports"),
            serial_ports: start.handle("serial-ports"),
            serial_interrupt: start.handle("serial-interrupt"),
            tsc_hz: parts.tsc_hz,
        };
        let mut builder = vmm::Builder::default();
        lay_out(start, &config, &router, &mut builder);
        builder.add(DebugPort::new(LogLines::default()));
        let made = builder.finish(parts.memory)?;
        let acpi = AcpiConfig { cpus: vcpus, io_apic_id: 0, timer_width: TIMER_WIDTH, high_window: None };
        let made_tables = AcpiTables::new(&acpi, &made.acpi, 0, FIRMWARE_BYTES)?;
        let mut fw_cfg = FwCfg::new(parts.vcpus);
        fw_cfg.add_file(MEMORY_MAP, memory_map(ram));
        let files = tables::files(&made_tables).ok_or(PcError::Loader)?;
        fw_cfg.add_file(tables::TABLES, files.tables);
        fw_cfg.add_file(tables::RSDP, files.rsdp);
        fw_cfg.add_file(tables::LOADER, files.loader);
        parts.payload.add(&mut fw_cfg);
        let board = Board::new(made, Clock::new(parts.tsc_hz), apics.clone(), router);
        Ok(Self { board, apics, fw_cfg })
    }
}

/// The memory map of firmware: RAM from address 0 on.
fn memory_map(ram: u64) -> Vec<u8> {
    let parts: [&[u8]; 3] = [&0u64.to_le_bytes(), &ram.to_le_bytes(), &RAM.to_le_bytes()];
    parts.concat()
}

/// Writes the debug console's lines to the log.
#[derive(Debug, Default)]
struct LogLines {
    line: String,
}

impl SerialBackend for LogLines {
    fn transmit(&mut self, byte: u8) {
        if matches!(byte, b' '..=b'~') {
            self.line.push(byte.into());
        }
        // A guest that never ends its line gets no more memory for that.
        if byte == b'\n' || self.line.len() >= LINE_MAX {
            log::info!("debug console: {}", self.line);
            self.line.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_or_are_cut() {
        let mut lines = LogLines::default();
        b"Secu\x07rity\r".iter().for_each(|byte| lines.transmit(*byte));
        assert_eq!(lines.line, "Security");
        lines.transmit(b'\n');
        assert_eq!(lines.line, "");
        (0..LINE_MAX).for_each(|_| lines.transmit(b'x'));
        assert_eq!(lines.line, "");
    }

    #[test]
    fn the_memory_map_has_all_ram() {
        let map = memory_map(0x1000_0000);
        assert_eq!(map[..8], [0; 8]);
        assert_eq!(map[8..], [0, 0, 0, 0x10, 0, 0, 0, 0, 1, 0, 0, 0]);
    }
}
