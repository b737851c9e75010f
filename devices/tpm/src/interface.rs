//! The two interfaces through which software reaches a TPM, as register machines: the command response buffer
//! and the FIFO (PC Client Platform TPM Profile, chapter 6). They know neither bus nor engine: whoever owns
//! one executes the command that an access makes [`Ready`], by [`crate::Tpm::execute`], and gives back its
//! response.
//!
//! Both lie in five pages, one a locality, from FED4_0000h on.

pub mod crb;
pub mod fifo;

/// Bytes of a locality's registers.
pub const LOCALITY_BYTES: u64 = 0x1000;

/// Localities.
pub const LOCALITIES: u8 = 5;

/// Bytes of a command and of a response, at most.
pub const BUFFER_BYTES: usize = 0xf80;

/// What an access asks of the owner of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Nothing.
    Nothing,
    /// Execute the command that [`crb::Crb::command`] or [`fifo::Fifo::command`] returns, and give back its
    /// response, now or later.
    Execute {
        /// The locality that it comes from.
        locality: u8,
    },
    /// Forget the response of the command that is being executed.
    Cancel,
}

/// The size of a command by its header, if it is one that fits.
fn size(header: &[u8]) -> Option<usize> {
    let size = header.get(2..6)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))?;
    usize::try_from(size).ok().filter(|size| (10..=BUFFER_BYTES).contains(size))
}

/// The bytes of a register within an access: `value` is at `register`, the access at `offset`.
fn part(value: u64, register: u64, offset: u64, out: &mut [u8]) {
    let bytes = value.to_le_bytes();
    for (at, byte) in (offset..).zip(out) {
        let place = at.checked_sub(register).and_then(|place| usize::try_from(place).ok());
        if let Some(found) = place.and_then(|place| bytes.get(place)) {
            *byte = *found;
        }
    }
}

/// An access of at most four bytes as a number.
fn number(data: &[u8]) -> u32 {
    data.iter().rev().fold(0, |all, byte| (all << 8) | u32::from(*byte))
}
