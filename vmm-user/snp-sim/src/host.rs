//! The host's services to the guest: what the model asks for while it handles a VMGEXIT.

use alloc::vec;
use alloc::vec::Vec;

use plinth_snp_abi::PAGE_BYTES;
use plinth_snp_abi::cpuid_page::CpuidEntry;
use plinth_snp_abi::ghcb::event::ApCreation;
use plinth_snp_abi::ghcb::{HvFeatures, PageOperation, VERSION_MIN};
use plinth_snp_abi::rmp::PageSize;
use plinth_snp_model::ghcb::{Configuration, GuestRequest, GuestRequestResult, Host};
use plinth_snp_model::sp;
use runtime::syscall;

use crate::cpuid;
use crate::machine::Machine;
use crate::memory::C_BIT_POSITION;

/// The transmitter of the guest's console: the one register of a device that there is.
const CONSOLE: u16 = 0x3f8;
const PAGE_SHIFT: u32 = 12;

/// What this host says of itself.
pub const CONFIGURATION: Configuration = Configuration {
    min_version: VERSION_MIN,
    max_version: VERSION_MIN,
    c_bit: C_BIT_POSITION as u8,
    features: HvFeatures::SNP.union(HvFeatures::AP_CREATION).union(HvFeatures::MULTI_VMPL),
};

/// What the host has besides the machine.
pub struct Services<C> {
    /// What CPUID returns.
    pub cpuid: Vec<CpuidEntry>,
    /// The firmware's side of the guest.
    pub guest: sp::Guest,
    /// Takes what the guest prints.
    pub console: C,
}

/// The host while it handles a VMGEXIT.
pub struct Serving<'a, C> {
    /// The machine.
    pub machine: &'a mut Machine,
    /// The rest.
    pub services: &'a mut Services<C>,
}

impl<C> Serving<'_, C> {
    /// Has the firmware handle the message in one page, and puts its response in the other. `None` if they
    /// are not shared.
    fn message(&mut self, request: &GuestRequest) -> Option<u32> {
        let mut page = [0; PAGE_BYTES];
        self.machine.read_shared(request.request_gpa, &mut page)?;
        match self.services.guest.request(&page) {
            Ok(response) => self.machine.write_shared(request.response_gpa, &response).map(|()| 0),
            Err(status) => Some(status.code()),
        }
    }
}

impl<C: FnMut(u8)> Host for Serving<'_, C> {
    fn cpuid(&mut self, function: u32, subfunction: u32, _: u64, _: u64) -> [u32; 4] {
        cpuid::lookup(&self.services.cpuid, function, subfunction)
    }

    fn read_msr(&mut self, _: u32) -> Option<u64> {
        None
    }

    fn write_msr(&mut self, _: u32, _: u64) -> bool {
        false
    }

    fn read_port(&mut self, _: u16, _: u8) -> u32 {
        u32::MAX
    }

    fn write_port(&mut self, port: u16, _: u8, value: u32) {
        if port == CONSOLE {
            (self.services.console)(value as u8);
        }
    }

    fn read_device(&mut self, _: u64, bytes: &mut [u8]) {
        bytes.fill(0xff);
    }

    fn write_device(&mut self, _: u64, _: &[u8]) {}

    fn read_shared(&mut self, gpa: u64, bytes: &mut [u8]) -> bool {
        self.machine.read_shared(gpa, bytes).is_some()
    }

    fn write_shared(&mut self, gpa: u64, bytes: &[u8]) -> bool {
        self.machine.write_shared(gpa, bytes).is_some()
    }

    fn change_page(&mut self, gfn: u64, operation: PageOperation, size: PageSize) -> bool {
        let is_private = match operation {
            PageOperation::Private => true,
            PageOperation::Shared => false,
            // All pages are small, whatever the guest would like.
            _ => return true,
        };
        let pages = size.bytes() >> PAGE_SHIFT;
        let mut all = gfn..gfn.saturating_add(pages);
        all.all(|gfn| self.machine.assign(gfn << PAGE_SHIFT, is_private))
    }

    fn tsc(&mut self) -> (u64, u32) {
        (syscall::tsc(), 0)
    }

    fn hypercall(&mut self, _: u64, _: u8) -> u64 {
        // As KVM replies to a number that it does not know.
        const NO_SUCH_CALL: i64 = -1000;
        NO_SUCH_CALL as u64
    }

    fn create_processor(&mut self, creation: ApCreation, vmsa_gpa: u64, _: u64) -> bool {
        // What a VMSA has in SEV_FEATURES is looked at when it is entered.
        self.machine.levels().create(creation, vmsa_gpa)
    }

    fn has_vmpl(&mut self, vmpl: u8) -> bool {
        self.machine.levels().vmsa(vmpl).is_some() || vmpl == 0
    }

    fn apic_ids(&mut self) -> Vec<u32> {
        vec![0]
    }

    fn guest_request(&mut self, request: &GuestRequest) -> GuestRequestResult {
        // There are no certificates: an extended request is an ordinary one with none.
        let firmware_error = self.message(request).unwrap_or(sp::Status::InvalidAddress.code());
        GuestRequestResult { firmware_error, ..GuestRequestResult::default() }
    }

    fn send_ipi(&mut self, _: u64) {}

    fn nmi_complete(&mut self) {}
}
