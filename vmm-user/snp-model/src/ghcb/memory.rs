//! Events with data: ports, devices' registers, page states.

use alloc::vec;

use plinth_snp_abi::PAGE_BYTES;
use plinth_snp_abi::exit::IoInfo;
use plinth_snp_abi::ghcb::{
    BUFFER_BYTES, BUFFER_OFFSET, Field, Ghcb, MAX_ENTRIES, MalformedInput, PageStateBuffer, PageStateEntry,
    event, page_state_error,
};
use plinth_snp_abi::rmp::PageSize;
use zerocopy::{FromZeros, IntoBytes};

use super::event::{Handled, need};
use super::{Host, Vmgexit};

/// Where an event's data are: in the GHCB, of which the host has a copy, or in other shared memory.
enum Data {
    InGhcb(core::ops::Range<usize>),
    Elsewhere(u64),
}

impl Data {
    /// The bytes at SW_SCRATCH. In the GHCB's page they must be in its part for data.
    fn at_scratch(ghcb: &Ghcb, gpa: u64, bytes: usize) -> Result<Self, MalformedInput> {
        let scratch = need(ghcb, Field::Scratch)?;
        let end = scratch.checked_add(bytes as u64).ok_or(MalformedInput::InvalidScratch)?;
        if scratch >= gpa.saturating_add(PAGE_BYTES as u64) || end <= gpa {
            return if bytes <= PAGE_BYTES {
                Ok(Self::Elsewhere(scratch))
            } else {
                Err(MalformedInput::InvalidScratch)
            };
        }
        let first = gpa.saturating_add(BUFFER_OFFSET as u64);
        if scratch < first || end - first > BUFFER_BYTES as u64 {
            return Err(MalformedInput::InvalidScratch);
        }
        let start = (scratch - first) as usize;
        Ok(Self::InGhcb(start..start + bytes))
    }

    fn read(&self, ghcb: &Ghcb, bytes: &mut [u8], host: &mut impl Host) -> Result<(), MalformedInput> {
        match self {
            Self::InGhcb(range) => {
                let source = ghcb.buffer.get(range.clone()).ok_or(MalformedInput::InvalidScratch)?;
                for (place, byte) in bytes.iter_mut().zip(source) {
                    *place = *byte;
                }
                Ok(())
            }
            Self::Elsewhere(gpa) if host.read_shared(*gpa, bytes) => Ok(()),
            Self::Elsewhere(_) => Err(MalformedInput::InvalidScratch),
        }
    }

    fn write(&self, ghcb: &mut Ghcb, bytes: &[u8], host: &mut impl Host) -> Result<(), MalformedInput> {
        match self {
            Self::InGhcb(range) => {
                let place = ghcb.buffer.get_mut(range.clone()).ok_or(MalformedInput::InvalidScratch)?;
                for (place, byte) in place.iter_mut().zip(bytes) {
                    *place = *byte;
                }
                Ok(())
            }
            Self::Elsewhere(gpa) if host.write_shared(*gpa, bytes) => Ok(()),
            Self::Elsewhere(_) => Err(MalformedInput::InvalidScratch),
        }
    }
}

/// A device's bytes of a port, in the order of memory.
fn port_bytes(value: u32, width: usize) -> impl Iterator<Item = u8> {
    value.to_le_bytes().into_iter().take(width)
}

impl Vmgexit {
    /// [`event::MMIO_READ`] and [`event::MMIO_WRITE`].
    pub(super) fn mmio(
        code: u64,
        address: u64,
        length: u64,
        gpa: u64,
        ghcb: &mut Ghcb,
        host: &mut impl Host,
    ) -> Result<Handled, MalformedInput> {
        let length = usize::try_from(length).map_err(|_| MalformedInput::InvalidInput)?;
        let mut value = [0; 8];
        let bytes = value.get_mut(..length).filter(|bytes| !bytes.is_empty());
        let bytes = bytes.ok_or(MalformedInput::InvalidInput)?;
        let data = Data::at_scratch(ghcb, gpa, length)?;
        if code == event::MMIO_READ {
            host.read_device(address, bytes);
            data.write(ghcb, bytes, host)?;
        } else {
            data.read(ghcb, bytes, host)?;
            host.write_device(address, bytes);
        }
        Ok(Handled::done(0))
    }

    /// IN, OUT, INS, OUTS. Of the latter two `count` elements are at SW_SCRATCH.
    pub(super) fn port(
        info: u64,
        count: u64,
        gpa: u64,
        ghcb: &mut Ghcb,
        host: &mut impl Host,
    ) -> Result<Handled, MalformedInput> {
        let info = IoInfo(info);
        let width = info.bytes().ok_or(MalformedInput::InvalidInput)?;
        if !info.is_string() {
            return Self::one_port(info, width, ghcb, host);
        }
        let count = usize::try_from(count).ok().filter(|count| *count <= PAGE_BYTES);
        let bytes = count.ok_or(MalformedInput::InvalidInput)? * usize::from(width);
        let data = Data::at_scratch(ghcb, gpa, bytes)?;
        let mut elements = vec![0; bytes];
        if !info.is_in() {
            data.read(ghcb, &mut elements, host)?;
        }
        for element in elements.chunks_exact_mut(usize::from(width)) {
            if info.is_in() {
                let value = host.read_port(info.port(), width);
                element.iter_mut().zip(port_bytes(value, 4)).for_each(|(place, byte)| *place = byte);
            } else {
                let mut value = [0; 4];
                value.iter_mut().zip(element.iter()).for_each(|(place, byte)| *place = *byte);
                host.write_port(info.port(), width, u32::from_le_bytes(value));
            }
        }
        if info.is_in() {
            data.write(ghcb, &elements, host)?;
        }
        Ok(Handled::done(0))
    }

    fn one_port(
        info: IoInfo,
        width: u8,
        ghcb: &Ghcb,
        host: &mut impl Host,
    ) -> Result<Handled, MalformedInput> {
        let mask = u32::MAX >> (32 - 8 * u32::from(width));
        if info.is_in() {
            let value = u64::from(host.read_port(info.port(), width) & mask);
            return Ok(Handled::returning([Some((Field::Rax, value)), None, None, None]));
        }
        let value = need(ghcb, Field::Rax)? as u32;
        host.write_port(info.port(), width, value & mask);
        Ok(Handled::done(0))
    }

    /// [`event::PAGE_STATE_CHANGE`]: all entries from the current one on, as long as they succeed.
    pub(super) fn page_states(
        gpa: u64,
        ghcb: &mut Ghcb,
        host: &mut impl Host,
    ) -> Result<Handled, MalformedInput> {
        let data = Data::at_scratch(ghcb, gpa, size_of::<PageStateBuffer>())?;
        let mut buffer = PageStateBuffer::new_zeroed();
        data.read(ghcb, buffer.as_mut_bytes(), host)?;
        let (current, end) = (buffer.header.current_entry, buffer.header.end_entry);
        // Its reserved part is not looked at, as by KVM: OVMF leaves there what was in its memory.
        if current > end || usize::from(end) >= MAX_ENTRIES {
            return Ok(Handled::done(page_state_error::INVALID_HEADER));
        }
        let mut result = 0;
        for entry in buffer.entries.iter_mut().take(usize::from(end) + 1).skip(usize::from(current)) {
            result = change(entry, host);
            if result != 0 {
                break;
            }
            buffer.header.current_entry += 1;
        }
        data.write(ghcb, buffer.as_bytes(), host)?;
        Ok(Handled::done(result))
    }
}

/// Changes one page and notes that it did, or returns the error.
fn change(entry: &mut PageStateEntry, host: &mut impl Host) -> u64 {
    let size = entry.size();
    let pages = match size {
        PageSize::Small => 1,
        PageSize::Large => 512,
    };
    let Some(operation) = entry.operation() else { return page_state_error::INVALID_ENTRY };
    if entry.has_reserved() || !entry.gfn().is_multiple_of(pages) || u64::from(entry.current_page()) > pages {
        return page_state_error::INVALID_ENTRY;
    }
    // One that was done before is not done again.
    if u64::from(entry.current_page()) < pages && !host.change_page(entry.gfn(), operation, size) {
        return page_state_error::GENERIC;
    }
    *entry = entry.with_current_page(pages as u16);
    0
}
