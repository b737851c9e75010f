//! The host's side of VMGEXIT: the MSR protocol, and the events of the GHCB (GHCB, 2.3.1 and 4; what is
//! checked of an event's operands as KVM checks them).
//!
//! [`Vmgexit`] is the state of one vCPU at one VMPL. What takes a machine it asks of a [`Host`].

mod event;
mod memory;
mod processor;

use alloc::vec::Vec;

use plinth_snp_abi::ghcb::event::ApCreation;
use plinth_snp_abi::ghcb::{CpuidRegister, HvFeatures, PageOperation, Request, Response};
use plinth_snp_abi::rmp::PageSize;

/// What a host does for a guest.
pub trait Host {
    /// CPUID's EAX, EBX, ECX, EDX for a function and subfunction, with these XCR0 and XSS.
    fn cpuid(&mut self, function: u32, subfunction: u32, xcr0: u64, xss: u64) -> [u32; 4];

    /// RDMSR; None raises #GP.
    fn read_msr(&mut self, number: u32) -> Option<u64>;

    /// WRMSR; false raises #GP.
    fn write_msr(&mut self, number: u32, value: u64) -> bool;

    /// IN, of 1, 2 or 4 bytes.
    fn read_port(&mut self, port: u16, bytes: u8) -> u32;

    /// OUT.
    fn write_port(&mut self, port: u16, bytes: u8, value: u32);

    /// Reads a device's registers, 1 to 8 bytes.
    fn read_device(&mut self, gpa: u64, bytes: &mut [u8]);

    /// Writes a device's registers.
    fn write_device(&mut self, gpa: u64, bytes: &[u8]);

    /// Reads memory that is shared with the guest; false if it is none.
    fn read_shared(&mut self, gpa: u64, bytes: &mut [u8]) -> bool;

    /// Writes memory that is shared with the guest; false if it is none.
    fn write_shared(&mut self, gpa: u64, bytes: &[u8]) -> bool;

    /// Makes a page private or shared, large or small; false if it can't.
    fn change_page(&mut self, gfn: u64, operation: PageOperation, size: PageSize) -> bool;

    /// The TSC and TSC_AUX.
    fn tsc(&mut self) -> (u64, u32);

    /// VMMCALL, with RAX and the CPL; returns RAX.
    fn hypercall(&mut self, rax: u64, cpl: u8) -> u64;

    /// Sets, or takes away, the VMSA of a vCPU; false if it can't.
    fn create_processor(&mut self, creation: ApCreation, vmsa_gpa: u64, features: u64) -> bool;

    /// Whether the vCPU has a VMSA of this VMPL, which can run in the place of the one that asks.
    fn has_vmpl(&mut self, vmpl: u8) -> bool;

    /// The APIC ids of all vCPUs.
    fn apic_ids(&mut self) -> Vec<u32>;

    /// Hands a guest message to the firmware.
    fn guest_request(&mut self, request: &GuestRequest) -> GuestRequestResult;

    /// An IPI, by the value that ICR would be written with.
    fn send_ipi(&mut self, icr: u64);

    /// NMIs may be injected again.
    fn nmi_complete(&mut self);
}

/// A guest message for the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestRequest {
    /// The page with the request.
    pub request_gpa: u64,
    /// The page for the response.
    pub response_gpa: u64,
    /// Where certificates go, and how many pages are there, with an extended request.
    pub certificates: Option<(u64, u64)>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestRequestResult {
    /// The firmware's error, 0 if there is none.
    pub firmware_error: u32,
    /// The host's error, 0 if there is none.
    pub host_error: u32,
    /// How many pages certificates take, if that was the error.
    pub pages_needed: Option<u64>,
}

/// What the guest does after VMGEXIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Resume,
    /// It waits for INIT and SIPI, and goes on when [`Vmgexit::wake`] has been called.
    ResetHold,
    /// Another VMPL runs; this one goes on when it runs again.
    RunVmpl(u8),
    /// It ends, and says why.
    Terminate {
        /// The set of reasons.
        set: u8,
        /// The reason.
        reason: u8,
    },
    /// The word that it wrote follows no protocol, or its GHCB is not shared memory: it can't be told.
    Broken,
}

/// What this host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The oldest version of the protocol.
    pub min_version: u16,
    /// The newest version.
    pub max_version: u16,
    /// The C-bit's position.
    pub c_bit: u8,
    /// What it can do.
    pub features: HvFeatures,
}

/// How a vCPU waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    No,
    /// By the MSR protocol.
    Msr,
    /// By an event of the GHCB here.
    Event(u64),
}

/// The state of a vCPU at a VMPL.
#[derive(Clone, Debug)]
pub struct Vmgexit {
    configuration: Configuration,
    /// What the MSR reads.
    msr: u64,
    registered: Option<u64>,
    doorbell: Option<u64>,
    jump_table: u64,
    dr7: u64,
    hold: Hold,
}

impl Vmgexit {
    /// A vCPU that has not started.
    #[must_use]
    pub const fn new(configuration: Configuration) -> Self {
        const DR7_RESET: u64 = 0x400;
        let Configuration { min_version: min, max_version: max, c_bit, .. } = configuration;
        // What a host puts there before the first instruction (GHCB, 2.3.1).
        let msr = Response::SevInformation { max, min, c_bit }.encode();
        let (registered, doorbell) = (None, None);
        Self { configuration, msr, registered, doorbell, jump_table: 0, dr7: DR7_RESET, hold: Hold::No }
    }

    /// What the guest reads in the MSR.
    #[must_use]
    pub const fn msr(&self) -> u64 {
        self.msr
    }

    /// The guest writes the MSR, which never exits.
    pub const fn set_msr(&mut self, value: u64) {
        self.msr = value;
    }

    /// The GHCB's address, if it has been registered.
    #[must_use]
    pub const fn registered(&self) -> Option<u64> {
        self.registered
    }

    /// The #HV doorbell page, if it has been set.
    #[must_use]
    pub const fn doorbell(&self) -> Option<u64> {
        self.doorbell
    }

    /// VMGEXIT.
    pub fn vmgexit(&mut self, host: &mut impl Host) -> Flow {
        let Ok(request) = Request::decode(self.msr) else { return Flow::Broken };
        let Configuration { min_version: min, max_version: max, c_bit, features } = self.configuration;
        let response = match request {
            Request::Ghcb { gpa } => return self.handle_event(gpa, host),
            Request::Terminate { set, reason } => return Flow::Terminate { set, reason },
            Request::ApResetHold => {
                self.hold = Hold::Msr;
                return Flow::ResetHold;
            }
            Request::RunVmpl { vmpl } => {
                let can = features.contains(HvFeatures::MULTI_VMPL) && vmpl < 4 && host.has_vmpl(vmpl);
                self.msr = Response::RunVmpl { error: u32::from(!can) }.encode();
                return if can { Flow::RunVmpl(vmpl) } else { Flow::Resume };
            }
            Request::SevInformation => Response::SevInformation { max, min, c_bit },
            Request::Cpuid { function, register } => cpuid(function, register, host),
            Request::PreferredGhcb => Response::PreferredGhcb { gfn: !0 >> 12 },
            Request::RegisterGhcb { gfn } => {
                self.registered = Some(gfn << 12);
                Response::RegisterGhcb { gfn }
            }
            Request::PageStateChange { gfn, operation } => {
                let is_done = host.change_page(gfn, operation, PageSize::Small);
                Response::PageStateChange { error: u32::from(!is_done) }
            }
            Request::HvFeatures => Response::HvFeatures(features),
        };
        self.msr = response.encode();
        Flow::Resume
    }

    /// A SIPI came for a vCPU that waits; returns whether it did wait, and goes on.
    pub fn wake(&mut self, host: &mut impl Host) -> bool {
        match core::mem::replace(&mut self.hold, Hold::No) {
            Hold::No => return false,
            Hold::Msr => self.msr = Response::ApResetHold { woken: 1 }.encode(),
            Hold::Event(gpa) => self.finish_hold(gpa, host),
        }
        true
    }
}

/// CPUID by the MSR protocol has neither subfunction nor XCR0.
fn cpuid(function: u32, register: CpuidRegister, host: &mut impl Host) -> Response {
    let [eax, ebx, ecx, edx] = host.cpuid(function, 0, 1, 0);
    let value = match register {
        CpuidRegister::Eax => eax,
        CpuidRegister::Ebx => ebx,
        CpuidRegister::Ecx => ecx,
        CpuidRegister::Edx => edx,
    };
    Response::Cpuid { value, register }
}
