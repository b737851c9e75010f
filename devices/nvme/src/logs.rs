//! Log pages (NVM Express 1.4, 5.14): those that every controller has.

use crate::command::Ticket;
use crate::io::Traffic;
use crate::spec::{NAMESPACE, Status};

/// The firmware's revision.
pub const FIRMWARE: &str = "1.0";
/// Bytes of the longest page.
const BYTES: usize = 512;
/// Bytes of an entry of the error log, of which there is one.
const ERROR_BYTES: usize = 64;
/// Sectors of what the page on health calls a unit.
const UNIT_SECTORS: u64 = 1000;
/// The temperature that is told, in kelvins.
const KELVINS: u16 = 300;

/// Log identifiers.
mod log {
    pub const ERRORS: u8 = 0x01;
    pub const HEALTH: u8 = 0x02;
    pub const FIRMWARE: u8 = 0x03;
}

/// What Get Log Page can do, as Identify tells it: health of a namespace, and pages from an offset on.
pub const fn log_features() -> u8 {
    1 << 0 | 1 << 2
}

/// Commands that failed: how many, and the last one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Errors {
    count: u64,
    last: Option<(Ticket, Status)>,
}

impl Errors {
    /// A command has failed.
    pub fn record(&mut self, ticket: Ticket, status: Status) {
        self.count = self.count.wrapping_add(1);
        self.last = Some((ticket, status));
    }
}

/// A page, and how many bytes it has.
pub struct Page([u8; BYTES], usize);

impl Page {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    }

    /// So many bytes of it, from an offset on; those behind its end are left out.
    ///
    /// # Errors
    /// When the offset is behind the page, or is no dword's.
    pub fn part(&self, offset: u64, bytes: usize) -> Result<&[u8], Status> {
        let all = self.0.get(..self.1).ok_or(Status::INTERNAL)?;
        let start = usize::try_from(offset).ok().filter(|start| start.is_multiple_of(4));
        let rest = start.and_then(|start| all.get(start..)).ok_or(Status::INVALID_FIELD)?;
        Ok(rest.get(..bytes).unwrap_or(rest))
    }
}

/// The page of that identifier.
///
/// # Errors
/// When there is none.
pub fn page(which: u8, errors: &Errors, traffic: &Traffic) -> Result<Page, Status> {
    let mut page = Page([0; BYTES], BYTES);
    match which {
        log::ERRORS => {
            page.1 = ERROR_BYTES;
            if let Some((ticket, status)) = errors.last {
                page.put(0, &errors.count.to_le_bytes());
                page.put(8, &ticket.queue.to_le_bytes());
                page.put(10, &ticket.id.to_le_bytes());
                page.put(12, &(status.field() << 1).to_le_bytes());
                // Where in the command the mistake is, is not told.
                page.put(14, &u16::MAX.to_le_bytes());
                // Admin commands are none of a namespace's.
                page.put(24, &u32::from(ticket.queue != 0).to_le_bytes());
            }
        }
        log::HEALTH => health(&mut page, errors, traffic),
        log::FIRMWARE => {
            // The first slot's runs, and it has this revision.
            page.put(0, &[1]);
            page.put(8, b"        ");
            page.put(8, FIRMWARE.as_bytes());
        }
        _ => return Err(Status::INVALID_LOG),
    }
    Ok(page)
}

/// Whether reading the page makes room for the next event.
pub fn is_errors(which: u8) -> bool {
    which == log::ERRORS
}

/// Whether there is such a page of a namespace, or of the controller (5.14.1).
///
/// # Errors
/// When there is not.
pub fn check_namespace(which: u8, namespace: u32) -> Result<(), Status> {
    match (which, namespace) {
        (_, 0 | u32::MAX) | (log::HEALTH, NAMESPACE) => Ok(()),
        (log::HEALTH, _) => Err(Status::INVALID_NAMESPACE),
        _ => Err(Status::INVALID_FIELD),
    }
}

fn health(page: &mut Page, errors: &Errors, traffic: &Traffic) {
    page.put(1, &KELVINS.to_le_bytes());
    // Percent of spare that are left, and below how many it would be told.
    page.put(3, &[100, 10]);
    let units = |sectors: u64| u128::from(sectors.div_ceil(UNIT_SECTORS));
    let (reads, writes) = (traffic.reads, traffic.writes);
    for (at, value) in [
        (32, units(reads.1)),
        (48, units(writes.1)),
        (64, reads.0.into()),
        (80, writes.0.into()),
        (176, errors.count.into()),
    ] {
        page.put(at, &value.to_le_bytes());
    }
}
