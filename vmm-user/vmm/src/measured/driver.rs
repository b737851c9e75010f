//! A driver for the TPM's registers, as small as measuring needs it: locality 0, one command at a time (PC
//! Client Platform TPM Profile, 6.5).

use alloc::vec::Vec;

use devices::acpi_entry::TpmInterface;
use devices::capability::Width;

use super::MeasureError;
use super::event_log::Digest;

/// The registers, by offset.
pub trait Registers {
    /// Which they are.
    fn interface(&self) -> TpmInterface;
    /// A load.
    fn read(&mut self, offset: u64, width: Width) -> u64;
    /// A store.
    fn write(&mut self, offset: u64, width: Width, value: u64);
    /// Lets some time pass. `false`: too much has passed since the command was given.
    fn pause(&mut self) -> bool;
}

// The command response buffer.
const LOC_CTRL: u64 = 0x08;
const LOC_STS: u64 = 0x0c;
const CTRL_REQ: u64 = 0x40;
const CTRL_STS: u64 = 0x44;
const CTRL_START: u64 = 0x4c;
const DATA: u64 = 0x80;
// The FIFO.
const ACCESS: u64 = 0x00;
const STS: u64 = 0x18;
const FIFO: u64 = 0x24;

/// Bytes of a response's header: tag, size, code.
const HEADER_BYTES: usize = 10;
/// The most of a response that is read.
const RESPONSE_MAX: usize = 0xf80;

/// TPM_RH_PLATFORM.
const PLATFORM: u32 = 0x4000_000c;
/// An empty password: TPM_RS_PW, no nonce, no attributes, no password.
const NO_PASSWORD: [u8; 9] = [0x40, 0, 0, 9, 0, 0, 0, 0, 0];

/// The driver.
pub struct Driver<R> {
    registers: R,
    is_fifo: bool,
}

impl<R: Registers> Driver<R> {
    /// A driver of these registers.
    pub fn new(registers: R) -> Self {
        let is_fifo = registers.interface() == TpmInterface::Fifo;
        Self { registers, is_fifo }
    }

    /// Waits until these bits of a register have this value.
    fn wait(&mut self, register: u64, mask: u64, value: u64) -> Result<(), MeasureError> {
        while self.registers.read(register, Width::Dword) & mask != value {
            if !self.registers.pause() {
                return Err(MeasureError::Silent);
            }
        }
        Ok(())
    }

    fn set(&mut self, register: u64, value: u64) {
        // ACCESS of the FIFO is a byte; of the others the first byte has all that is set here.
        self.registers.write(register, Width::Byte, value);
    }

    /// Takes locality 0.
    pub fn open(&mut self) -> Result<(), MeasureError> {
        if self.is_fifo {
            self.set(ACCESS, 1 << 1);
            self.wait(ACCESS, 1 << 5, 1 << 5)
        } else {
            self.set(LOC_CTRL, 1);
            self.wait(LOC_STS, 1, 1)
        }
    }

    /// Gives it back.
    pub fn close(&mut self) {
        if self.is_fifo { self.set(ACCESS, 1 << 5) } else { self.set(LOC_CTRL, 1 << 1) }
    }

    /// Executes a command. Returns the response behind its header.
    fn execute(&mut self, command: &[u8]) -> Result<Vec<u8>, MeasureError> {
        if self.is_fifo { self.execute_by_fifo(command) } else { self.execute_by_buffer(command) }
    }

    fn execute_by_fifo(&mut self, command: &[u8]) -> Result<Vec<u8>, MeasureError> {
        // commandReady, written and then read: what was there before is given up, and a command may come.
        self.set(STS, 1 << 6);
        self.wait(STS, 1 << 6, 1 << 6)?;
        for byte in command {
            self.registers.write(FIFO, Width::Byte, (*byte).into());
        }
        // tpmGo; then dataAvail is waited for.
        self.set(STS, 1 << 5);
        self.wait(STS, 1 << 4, 1 << 4)?;
        let response = self.response(|registers, _| registers.read(FIFO, Width::Byte) as u8);
        // Idle again, so that the guest's driver finds the TPM as after a reset.
        self.set(STS, 1 << 6);
        response
    }

    fn execute_by_buffer(&mut self, command: &[u8]) -> Result<Vec<u8>, MeasureError> {
        self.set(CTRL_REQ, 1);
        self.wait(CTRL_STS, 1 << 1, 0)?;
        for (byte, place) in command.iter().zip(DATA..) {
            self.registers.write(place, Width::Byte, (*byte).into());
        }
        self.set(CTRL_START, 1);
        self.wait(CTRL_START, 1, 0)?;
        let response = self.response(|registers, index| registers.read(DATA + index, Width::Byte) as u8);
        self.set(CTRL_REQ, 1 << 1);
        response
    }

    /// Reads a response, byte by byte.
    fn response(&mut self, mut byte: impl FnMut(&mut R, u64) -> u8) -> Result<Vec<u8>, MeasureError> {
        let mut read = |range: core::ops::Range<usize>| -> Vec<u8> {
            range.map(|index| byte(&mut self.registers, index as u64)).collect()
        };
        let header = read(0..HEADER_BYTES);
        let mut parts = Reader(&header);
        let (_, size, code) = (parts.number(2)?, parts.number(4)?, parts.number(4)?);
        // The TPM is another process, and its word for the size is held within what a buffer has.
        let size = usize::try_from(size).ok().filter(|size| (HEADER_BYTES..=RESPONSE_MAX).contains(size));
        let body = read(HEADER_BYTES..size.ok_or(MeasureError::Nonsense)?);
        if code == 0 { Ok(body) } else { Err(MeasureError::Refused(code as u32)) }
    }

    /// TPM2_Startup: CLEAR (TPM 2.0 Library, part 3, 9.3).
    pub fn startup(&mut self) -> Result<(), MeasureError> {
        self.execute(&[0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0]).map(|_| ())
    }

    /// TPM2_HierarchyControl: turns the platform's hierarchy off until the next start (part 3, 24.2).
    pub fn close_platform(&mut self) -> Result<(), MeasureError> {
        let mut command = alloc::vec![0x80, 2, 0, 0, 0, 32];
        for word in [0x121, PLATFORM, 9] {
            command.extend(u32::to_be_bytes(word));
        }
        command.extend(NO_PASSWORD);
        command.extend(PLATFORM.to_be_bytes());
        // NO.
        command.push(0);
        self.execute(&command).map(|_| ())
    }

    /// TPM2_PCR_Event: extends a PCR in all banks with the digests of `data`, and returns these (part 3,
    /// 22.3).
    /// `data` has at most 1024 bytes.
    pub fn event(&mut self, pcr: u32, data: &[u8]) -> Result<Vec<Digest>, MeasureError> {
        let size = HEADER_BYTES + 4 + 13 + 2 + data.len();
        let mut command = alloc::vec![0x80, 2];
        for word in [size as u32, 0x13c, pcr, 9] {
            command.extend(word.to_be_bytes());
        }
        command.extend(NO_PASSWORD);
        command.extend((data.len() as u16).to_be_bytes());
        command.extend(data);
        let response = self.execute(&command)?;
        let mut parts = Reader(&response);
        let _parameter_bytes = parts.number(4)?;
        let count = parts.number(4)?;
        // A TPM has no more banks than this.
        if count == 0 || count > 16 {
            return Err(MeasureError::Nonsense);
        }
        (0..count).map(|_| parts.digest()).collect()
    }
}

/// Big-endian numbers and digests, one behind the other.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes(&mut self, count: usize) -> Result<&[u8], MeasureError> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(MeasureError::Nonsense)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn number(&mut self, count: usize) -> Result<u64, MeasureError> {
        Ok(self.bytes(count)?.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)))
    }

    fn digest(&mut self) -> Result<Digest, MeasureError> {
        let algorithm = self.number(2)? as u16;
        // TPM_ALG_SHA1 and the others, with their sizes.
        let size = match algorithm {
            0x4 => 20,
            0xb => 32,
            0xc => 48,
            0xd => 64,
            _ => return Err(MeasureError::Nonsense),
        };
        Ok((algorithm, self.bytes(size)?.to_vec()))
    }
}
