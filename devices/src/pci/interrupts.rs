//! How a function interrupts: by its pin, or by messages once the driver has enabled MSI-X.

use super::config::ConfigSpace;
use super::msix::{MsiX, Place};
use super::{PciPlatform, spec};
use crate::capability::Width;

/// A function's interrupts. It has no other capability for messages.
#[derive(Debug)]
pub struct Interrupts {
    /// `None` if configuration space had no room for it: then the pin is all there is.
    msix: Option<MsiX>,
    table: Place,
    pending: Place,
}

/// What an address in a BAR belongs to, with the offset in it.
enum Part {
    Table(u64),
    Pending(u64),
}

impl Interrupts {
    /// Adds INTA and an MSI-X capability with 1 to [`VECTORS_MAX`](super::msix::VECTORS_MAX) vectors to a
    /// function's configuration space. If table and pending bits are in the same BAR, these are behind it.
    pub fn add(space: &mut ConfigSpace, vectors: u16, table: Place, pending: Place) -> Self {
        space.set(spec::INTERRUPT_PIN, &[1]);
        Self { msix: MsiX::add(space, vectors, table, pending), table, pending }
    }

    /// How many vectors there are.
    pub fn vectors(&self) -> u16 {
        self.msix.as_ref().map_or(0, MsiX::vectors)
    }

    /// Whether they are messages rather than the pin's level.
    pub fn are_messages(&self) -> bool {
        self.msix.as_ref().is_some_and(MsiX::is_enabled)
    }

    /// The function's configuration space was written. The function says then what its pin is to be.
    pub fn config_written(&mut self, space: &ConfigSpace, platform: &mut dyn PciPlatform) {
        if let Some(msix) = &mut self.msix {
            msix.config_written(space, platform);
        }
    }

    /// Sends the message of a vector, or remembers it while that is masked. Nothing while the pin is used,
    /// and for a vector that there is not.
    pub fn signal(&mut self, vector: u16, space: &ConfigSpace, platform: &mut dyn PciPlatform) {
        if let Some(msix) = &mut self.msix {
            msix.signal(vector, space, platform);
        }
    }

    /// Drives the pin, if interrupts are not messages, as long as the function has a reason for it.
    pub fn set_pin(&self, has_reason: bool, space: &mut ConfigSpace, platform: &mut dyn PciPlatform) {
        let is_raised = has_reason && !self.are_messages();
        // The bit shows the interrupt even while the pin is switched off (PCI local bus specification 3.0,
        // 6.2.3).
        let interrupt = if is_raised { spec::STATUS_INTERRUPT } else { 0 };
        space.set(spec::STATUS, &[spec::STATUS_CAPABILITIES | interrupt]);
        let command = space.read(spec::COMMAND, Width::Word) as u16;
        platform.set_intx(is_raised && command & spec::COMMAND_INTX_OFF == 0);
    }

    fn part(&self, bar: u8, offset: u64) -> Option<Part> {
        let inside = |place: Place| offset.checked_sub(place.offset.into()).filter(|_| place.bar == bar);
        inside(self.pending).map(Part::Pending).or_else(|| inside(self.table).map(Part::Table))
    }

    /// A load from a BAR: `None` where neither table nor pending bits are.
    pub fn read(&self, bar: u8, offset: u64, width: Width) -> Option<u64> {
        let part = self.part(bar, offset)?;
        Some(self.msix.as_ref().map_or(0, |msix| match part {
            Part::Table(inside) => msix.table_read(inside, width),
            Part::Pending(inside) => msix.pending_read(inside, width),
        }))
    }

    /// A store to a BAR. Whether it was to the table or the pending bits.
    pub fn write(
        &mut self,
        bar: u8,
        offset: u64,
        width: Width,
        value: u64,
        space: &ConfigSpace,
        platform: &mut dyn PciPlatform,
    ) -> bool {
        let part = self.part(bar, offset);
        if let (Some(Part::Table(inside)), Some(msix)) = (&part, &mut self.msix) {
            msix.table_write(*inside, width, value, space, platform);
        }
        part.is_some()
    }
}
