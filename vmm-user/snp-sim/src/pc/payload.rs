//! What the host boots directly, as QEMU's `-kernel`, `-initrd` and `-append`: the payload of Plinth's image,
//! given to firmware by fw_cfg.

use alloc::vec;
use alloc::vec::Vec;

use runtime::abi::operation::Handle;
use runtime::abi::status::Status;
use runtime::process;
use vmm::guest_memory::GuestRam;

use super::fw_cfg::{Contents, FwCfg, item};

/// The longest command line.
const COMMAND_LINE_MAX: u64 = 4096;
/// Where a kernel says how many sectors its setup has behind the first one (Linux, `Documentation/arch/x86/
/// boot.rst`), and what a zero there means.
const SETUP_SECTORS: u64 = 0x1f1;
const SETUP_SECTORS_DEFAULT: u8 = 4;
const SECTOR_BYTES: u64 = 512;

/// A piece of Plinth's memory for guests that no guest has.
#[derive(Clone, Debug)]
pub struct Piece {
    ram: GuestRam,
    start: u64,
    bytes: u64,
}

impl Piece {
    /// How many bytes it has.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Copies from an offset on; what is behind its end stays as it is.
    pub fn read(&self, offset: u64, to: &mut [u8]) {
        let bytes = self.bytes.saturating_sub(offset).min(to.len() as u64);
        if let Some(to) = to.get_mut(..bytes as usize) {
            // It is memory: it was taken out of it.
            let _ = self.ram.copy_out(self.start.saturating_add(offset), to);
        }
    }

    /// Two parts of it.
    fn split(&self, at: u64) -> [Self; 2] {
        let at = at.min(self.bytes);
        let part = |start, bytes| Self { ram: self.ram.clone(), start, bytes };
        [part(self.start, at), part(self.start.saturating_add(at), self.bytes - at)]
    }
}

/// A kernel, its initial RAM disk and its command line, as far as there are any.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    kernel: Option<Piece>,
    initrd: Option<Piece>,
    command_line: Vec<u8>,
}

/// Takes a file of the payload out of memory for guests; `None` if the image has none.
fn take(files: Handle, ram: &mut GuestRam, name: &str) -> Result<Option<Piece>, Status> {
    let file = match process::open(files, name) {
        Err(Status::NotFound) => return Ok(None),
        other => other?,
    };
    let info = process::info(file);
    process::close(file)?;
    let info = info?;
    if info.bytes == 0 {
        return Ok(None);
    }
    let taken = ram.take(info.gpa, info.bytes).ok_or(Status::NotFound)?;
    Ok(Some(Piece { ram: taken, start: info.gpa, bytes: info.bytes }))
}

impl Payload {
    /// Takes the image's payload out of memory for guests.
    ///
    /// # Errors
    /// The kernel's; [`Status::NotFound`] where the host has no memory for it.
    pub fn take(files: Handle, ram: &mut GuestRam) -> Result<Self, Status> {
        let [kernel, initrd] = [take(files, ram, "linux")?, take(files, ram, "initrd")?];
        let command_line = take(files, ram, "cmdline")?.map_or_else(Vec::new, |piece| {
            let mut text = vec![0; piece.bytes().min(COMMAND_LINE_MAX) as usize];
            piece.read(0, &mut text);
            text.truncate(text.trim_ascii_end().len());
            text
        });
        Ok(Self { kernel, initrd, command_line })
    }

    /// Makes items of it. Without a kernel there are none.
    pub fn add(&self, device: &mut FwCfg) {
        let Some(kernel) = &self.kernel else { return };
        let mut sectors = [0];
        kernel.read(SETUP_SECTORS, &mut sectors);
        let [setup, rest] = kernel.split(setup_bytes(sectors[0]));
        device.set_with_size([item::SETUP_SIZE, item::SETUP_DATA], Contents::Piece(setup));
        device.set_with_size([item::KERNEL_SIZE, item::KERNEL_DATA], Contents::Piece(rest));
        if let Some(initrd) = &self.initrd {
            device.set_with_size([item::INITRD_SIZE, item::INITRD_DATA], Contents::Piece(initrd.clone()));
        }
        let mut text = self.command_line.clone();
        text.push(0);
        device.set_with_size([item::CMDLINE_SIZE, item::CMDLINE_DATA], Contents::Bytes(text));
    }
}

/// How many bytes of a kernel are its setup, with the first sector.
fn setup_bytes(sectors: u8) -> u64 {
    let sectors = if sectors == 0 { SETUP_SECTORS_DEFAULT } else { sectors };
    (u64::from(sectors) + 1) * SECTOR_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setup_has_its_first_sector_besides() {
        assert_eq!([0, 1, 39].map(setup_bytes), [2560, 1024, 20480]);
    }
}
