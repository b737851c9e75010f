//! An exception's way through the guest's IDT, for a processor that can't inject it: the simulator's #VC
//! (APM 2, 8.7 in protected mode, 8.9 in long mode).
//!
//! What goes wrong on the way is an exception of its own, until one of the pair makes it a double fault, and
//! a fault in that a shutdown (APM 2, 8.2.9). State changes when a delivery has succeeded, and not before:
//! but what has been pushed stays in memory.

mod gate;
mod long_mode;
mod protected;

use plinth_snp_abi::exit::{PAGE_NOT_VALIDATED, VC_VECTOR};
use plinth_snp_abi::vmsa::{EventInfo, EventType, Segment, Vmsa};

/// Vectors that have rules of their own.
pub mod vector {
    #![allow(missing_docs, reason = "the names are the architecture's")]
    pub const DF: u8 = 8;
    pub const TS: u8 = 10;
    pub const NP: u8 = 11;
    pub const SS: u8 = 12;
    pub const GP: u8 = 13;
    pub const PF: u8 = 14;
}

/// EFER.LMA.
pub const EFER_LMA: u64 = 1 << 10;
/// CR0.PE.
pub const CR0_PE: u64 = 1;

const RFLAGS_TF: u64 = 1 << 8;
const RFLAGS_IF: u64 = 1 << 9;
const RFLAGS_NT: u64 = 1 << 14;
const RFLAGS_RF: u64 = 1 << 16;
const RFLAGS_VM: u64 = 1 << 17;

/// The registers that a delivery reads and changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// RIP.
    pub rip: u64,
    /// RSP.
    pub rsp: u64,
    /// RFLAGS.
    pub rflags: u64,
    /// CR0.
    pub cr0: u64,
    /// CR2.
    pub cr2: u64,
    /// EFER.
    pub efer: u64,
    /// The CPL.
    pub cpl: u8,
    /// CS.
    pub cs: Segment,
    /// SS.
    pub ss: Segment,
    /// GDTR.
    pub gdtr: Segment,
    /// LDTR.
    pub ldtr: Segment,
    /// IDTR.
    pub idtr: Segment,
    /// TR.
    pub tr: Segment,
}

impl Registers {
    /// Those of a VMSA.
    #[must_use]
    pub const fn of(vmsa: &Vmsa) -> Self {
        Self {
            rip: vmsa.rip,
            rsp: vmsa.rsp,
            rflags: vmsa.rflags,
            cr0: vmsa.cr0,
            cr2: vmsa.cr2,
            efer: vmsa.efer,
            cpl: vmsa.cpl,
            cs: vmsa.cs,
            ss: vmsa.ss,
            gdtr: vmsa.gdtr,
            ldtr: vmsa.ldtr,
            idtr: vmsa.idtr,
            tr: vmsa.tr,
        }
    }

    /// Stores those that a delivery changes.
    pub const fn store(&self, vmsa: &mut Vmsa) {
        vmsa.rip = self.rip;
        vmsa.rsp = self.rsp;
        vmsa.rflags = self.rflags;
        vmsa.cr2 = self.cr2;
        vmsa.cpl = self.cpl;
        vmsa.cs = self.cs;
        vmsa.ss = self.ss;
    }

    const fn is_long(&self) -> bool {
        self.efer & EFER_LMA != 0
    }
}

/// Why an access did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessFault {
    /// #PF with this error code.
    PageFault {
        /// What CR2 becomes.
        address: u64,
        /// The error code.
        error_code: u32,
    },
    /// #VC, of a private page that is not validated.
    NotValidated {
        /// What CR2 becomes.
        address: u64,
    },
    /// The host has to do something first: the event is delivered again when the vCPU is entered.
    NestedPageFault,
}

/// The guest's memory by linear address. All accesses are the system's own: supervisor's, whatever the CPL.
pub trait LinearMemory {
    /// Reads.
    ///
    /// # Errors
    /// What the access raises.
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), AccessFault>;

    /// Writes all, or nothing.
    ///
    /// # Errors
    /// What the access raises.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), AccessFault>;
}

/// An event to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The vector.
    pub vector: u8,
    /// The error code that is pushed.
    pub error_code: Option<u32>,
    /// What raised it. Of INT n, INT3 and INTO the gate's DPL counts, and they are not external.
    pub kind: EventType,
    /// What CR2 becomes.
    pub cr2: Option<u64>,
}

impl Event {
    /// #VC with the code of an exit.
    #[must_use]
    pub const fn vc(exit_code: u64) -> Self {
        Self::fault(VC_VECTOR, exit_code as u32)
    }

    /// An exception that pushes an error code.
    #[must_use]
    pub const fn fault(vector: u8, error_code: u32) -> Self {
        Self { vector, error_code: Some(error_code), kind: EventType::Exception, cr2: None }
    }

    /// As EVENTINJ and EXITINTINFO have it.
    #[must_use]
    pub const fn to_info(self) -> EventInfo {
        EventInfo::new(self.kind, self.vector, self.error_code)
    }

    /// From EVENTINJ; None if it is not valid, or of no defined type.
    #[must_use]
    pub const fn from_info(info: EventInfo) -> Option<Self> {
        let (true, Some(kind)) = (info.is_valid(), info.kind()) else { return None };
        Some(Self { vector: info.vector(), error_code: info.error_code(), kind, cr2: None })
    }

    const fn is_software(self) -> bool {
        matches!(self.kind, EventType::Software)
    }
}

/// How a delivery ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The guest is at the handler of this vector.
    Delivered(u8),
    /// The delivery of this event stopped at a nested page fault; registers are as they were, but for CR2.
    Interrupted(Event),
    /// A triple fault.
    Shutdown,
    /// Each delivery raises the next exception, and none of them is a double fault: a processor would never
    /// end.
    Endless,
    /// The processor is in real mode, whose exceptions this does not know.
    RealMode,
}

/// Why one delivery did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Exception(Event),
    NestedPageFault,
}

impl From<AccessFault> for Failure {
    fn from(fault: AccessFault) -> Self {
        match fault {
            AccessFault::PageFault { address, error_code } => {
                Self::Exception(Event { cr2: Some(address), ..Event::fault(vector::PF, error_code) })
            }
            AccessFault::NotValidated { address } => {
                Self::Exception(Event { cr2: Some(address), ..Event::vc(PAGE_NOT_VALIDATED) })
            }
            AccessFault::NestedPageFault => Self::NestedPageFault,
        }
    }
}

/// What two exceptions in a row are, by the first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Benign,
    Contributory,
    PageFault,
}

const fn class(vector: u8) -> Class {
    match vector {
        0 | vector::TS | vector::NP | vector::SS | vector::GP => Class::Contributory,
        vector::PF => Class::PageFault,
        // #VC is none of the manual's table (8-6) of contributory exceptions.
        _ => Class::Benign,
    }
}

/// What the second exception, raised while the first was delivered, makes of both; None is a shutdown.
fn combine(first: Event, second: Event) -> Option<Event> {
    if first.kind != EventType::Exception {
        return Some(second);
    }
    let second_counts = class(second.vector) != Class::Benign;
    if first.vector == vector::DF && second_counts {
        return None;
    }
    let doubles = match class(first.vector) {
        Class::Benign => false,
        Class::Contributory => class(second.vector) == Class::Contributory,
        Class::PageFault => second_counts,
    };
    Some(if doubles { Event { cr2: second.cr2, ..Event::fault(vector::DF, 0) } } else { second })
}

/// How many deliveries are tried before it is [`Outcome::Endless`]: pairs of exceptions are far fewer.
const ATTEMPTS: usize = 16;

/// Delivers an event. `registers` are those at the instruction that raised it.
pub fn deliver(registers: &mut Registers, memory: &mut impl LinearMemory, event: Event) -> Outcome {
    if registers.cr0 & CR0_PE == 0 {
        return Outcome::RealMode;
    }
    let mut current = event;
    for _ in 0..ATTEMPTS {
        if let Some(address) = current.cr2 {
            registers.cr2 = address;
        }
        let next = if registers.is_long() {
            long_mode::enter(registers, memory, current)
        } else {
            protected::enter(registers, memory, current)
        };
        match next {
            Ok(entered) => {
                *registers = entered;
                return Outcome::Delivered(current.vector);
            }
            Err(Failure::NestedPageFault) => return Outcome::Interrupted(current),
            Err(Failure::Exception(second)) => match combine(current, second) {
                Some(next) => current = next,
                None => return Outcome::Shutdown,
            },
        }
    }
    Outcome::Endless
}
