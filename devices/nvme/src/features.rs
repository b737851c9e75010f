//! Features (NVM Express 1.4, 5.13 and 5.21): those that every controller has. None is kept over a reset.

use crate::command::Command;
use crate::spec::{ALL_NAMESPACES, NAMESPACE, Status};

/// Identifiers.
mod id {
    pub const ARBITRATION: u8 = 0x01;
    pub const POWER: u8 = 0x02;
    pub const TEMPERATURE: u8 = 0x04;
    pub const ERROR_RECOVERY: u8 = 0x05;
    pub const WRITE_CACHE: u8 = 0x06;
    pub const QUEUES: u8 = 0x07;
    pub const COALESCING: u8 = 0x08;
    pub const VECTOR: u8 = 0x09;
    pub const ATOMICITY: u8 = 0x0a;
    pub const EVENTS: u8 = 0x0b;
}

/// Set Features: the value is to be kept over a reset.
const SAVE: u32 = 1 << 31;
/// Error Recovery: an error for blocks that were deallocated, which there is none of.
const DEALLOCATED_ERROR: u32 = 1 << 16;
/// The temperature above which a critical one is warned of, in kelvins.
pub const WARNING_KELVINS: u16 = 343;

/// The features' values.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    arbitration: u32,
    /// Thresholds: over, under.
    temperatures: [u16; 2],
    error_recovery: u16,
    /// Whether writes may wait for a flush.
    pub has_write_cache: bool,
    coalescing: u16,
    /// Vectors that are not to be coalesced, a bit each. None ever is.
    uncoalesced: u128,
    atomicity: bool,
    events: u8,
}

/// What a feature may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many I/O queues there may be of each kind.
    pub queues: u16,
    /// How many interrupt vectors there are.
    pub vectors: u16,
    /// Whether there is an I/O queue.
    pub has_queues: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            // As many commands as there are may be taken from one queue after the other.
            arbitration: 7,
            temperatures: [WARNING_KELVINS, 0],
            error_recovery: 0,
            has_write_cache: true,
            coalescing: 0,
            uncoalesced: 0,
            atomicity: false,
            events: 0,
        }
    }
}

/// The number of queues as a result: of both kinds, less one.
fn queues(limits: Limits) -> u32 {
    u32::from(limits.queues.saturating_sub(1)) * 0x1_0001
}

/// A vector's number, if it is one.
fn vector(value: u16, limits: Limits) -> Result<u16, Status> {
    if value < limits.vectors.min(128) { Ok(value) } else { Err(Status::INVALID_FIELD) }
}

/// Which of the thresholds of the only temperature, the composite one.
fn threshold(value: u32) -> Result<usize, Status> {
    match (value >> 16 & 0xf, value >> 20 & 3) {
        (0, which @ (0 | 1)) => Ok(which as usize),
        _ => Err(Status::INVALID_FIELD),
    }
}

impl Features {
    /// Get Features: the result.
    ///
    /// # Errors
    /// The command's status.
    pub fn get(&self, command: &Command, limits: Limits) -> Result<u32, Status> {
        // Other values than the current ones may be asked for where there are any.
        if command.dword(10) >> 8 & 7 != 0 {
            return Err(Status::INVALID_FIELD);
        }
        let value = command.dword(11);
        Ok(match command.dword(10) as u8 {
            id::ARBITRATION => self.arbitration,
            id::POWER => 0,
            id::TEMPERATURE => {
                let which = threshold(value)?;
                self.temperatures.get(which).copied().unwrap_or(0).into()
            }
            id::ERROR_RECOVERY => {
                // The only one that is a namespace's.
                if !matches!(command.namespace(), NAMESPACE | ALL_NAMESPACES) {
                    return Err(Status::INVALID_NAMESPACE);
                }
                self.error_recovery.into()
            }
            id::WRITE_CACHE => self.has_write_cache.into(),
            id::QUEUES => queues(limits),
            id::COALESCING => self.coalescing.into(),
            id::VECTOR => {
                let vector = vector(value as u16, limits)?;
                u32::from(vector) | u32::from(self.uncoalesced >> vector & 1 != 0) << 16
            }
            id::ATOMICITY => self.atomicity.into(),
            id::EVENTS => self.events.into(),
            _ => return Err(Status::INVALID_FIELD),
        })
    }

    /// Set Features: the result.
    ///
    /// # Errors
    /// The command's status.
    pub fn set(&mut self, command: &Command, limits: Limits) -> Result<u32, Status> {
        if command.dword(10) & SAVE != 0 {
            return Err(Status::NOT_SAVEABLE);
        }
        let feature = command.dword(10) as u8;
        self.check_namespace(feature, command.namespace())?;
        let value = command.dword(11);
        match feature {
            id::ARBITRATION => self.arbitration = value & 0xffff_ff07,
            // There is one power state.
            id::POWER if value & 0x1f == 0 => {}
            id::TEMPERATURE => {
                let place = self.temperatures.get_mut(threshold(value)?);
                *place.ok_or(Status::INVALID_FIELD)? = value as u16;
            }
            id::ERROR_RECOVERY if value & DEALLOCATED_ERROR == 0 => self.error_recovery = value as u16,
            id::WRITE_CACHE => self.has_write_cache = value & 1 != 0,
            id::QUEUES => return self.set_queues(value, limits),
            id::COALESCING => self.coalescing = value as u16,
            id::VECTOR => {
                let bit = 1 << vector(value as u16, limits)?;
                self.uncoalesced = self.uncoalesced & !bit | if value >> 16 & 1 != 0 { bit } else { 0 };
            }
            id::ATOMICITY => self.atomicity = value & 1 != 0,
            id::EVENTS => self.events = value as u8,
            _ => return Err(Status::INVALID_FIELD),
        }
        Ok(0)
    }

    /// Whether a feature may be set for a namespace, or for none.
    fn check_namespace(&self, feature: u8, namespace: u32) -> Result<(), Status> {
        match (feature, namespace) {
            (id::ERROR_RECOVERY, NAMESPACE) | (_, ALL_NAMESPACES) => Ok(()),
            (id::ERROR_RECOVERY, _) => Err(Status::INVALID_NAMESPACE),
            (_, 0) => Ok(()),
            (_, NAMESPACE) => Err(Status::NOT_OF_NAMESPACE),
            _ => Err(Status::INVALID_NAMESPACE),
        }
    }

    /// All queues are given, however few the driver asks for; it has to do so before it makes any (5.21.1.7).
    fn set_queues(&self, value: u32, limits: Limits) -> Result<u32, Status> {
        // All ones is a number that there is not.
        if value as u16 == u16::MAX || value >> 16 == u32::from(u16::MAX) {
            return Err(Status::INVALID_FIELD);
        }
        if limits.has_queues { Err(Status::SEQUENCE) } else { Ok(queues(limits)) }
    }
}
