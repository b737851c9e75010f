//! The host's services to the guest: what the model asks for while it handles a VMGEXIT.

use alloc::vec::Vec;

use devices::capability::Width;
use plinth_snp_abi::PAGE_BYTES;
use plinth_snp_abi::cpuid_page::CpuidEntry;
use plinth_snp_abi::ghcb::event::{ApCreation, ApOperation};
use plinth_snp_abi::ghcb::{HvFeatures, PageOperation, VERSION_MIN};
use plinth_snp_abi::rmp::PageSize;
use plinth_snp_model::ghcb::{Configuration, GuestRequest, GuestRequestResult, Host};
use plinth_snp_model::sp;

use crate::cpuid;
use crate::local::Local;
use crate::machine::Machine;
use crate::memory::C_BIT_POSITION;
use crate::pc::Pc;
use crate::pc::fw_cfg::{self, SharedMemory};

const PAGE_SHIFT: u32 = 12;

/// What this host says of itself.
pub const CONFIGURATION: Configuration = Configuration {
    min_version: VERSION_MIN,
    max_version: VERSION_MIN,
    c_bit: C_BIT_POSITION as u8,
    features: HvFeatures::SNP
        .union(HvFeatures::AP_CREATION)
        .union(HvFeatures::APIC_ID_LIST)
        .union(HvFeatures::MULTI_VMPL),
};

/// What the host has besides the machine.
pub struct Services {
    /// What CPUID returns.
    pub cpuid: Vec<CpuidEntry>,
    /// The firmware's side of the guest.
    pub guest: sp::Guest,
    /// What is behind ports and addresses without memory.
    pub pc: Pc,
    /// How many vCPUs there are.
    pub vcpus: u16,
    /// What is to be done with other vCPUs than the one that asks, with the VMSA's address.
    pub creations: Vec<(ApCreation, u64)>,
}

/// The host while it handles a VMGEXIT.
pub struct Serving<'a> {
    /// The machine.
    pub machine: &'a mut Machine,
    /// The rest.
    pub services: &'a mut Services,
    /// What of the PC is the vCPU's own.
    pub local: &'a mut Local,
}

impl SharedMemory for Machine {
    fn read(&self, gpa: u64, bytes: &mut [u8]) -> Option<()> {
        self.read_shared(gpa, bytes)
    }

    fn write(&self, gpa: u64, bytes: &[u8]) -> Option<()> {
        self.write_shared(gpa, bytes)
    }
}

/// The width of an access to ports or a device; `None` if none has it.
fn width_of(bytes: usize) -> Option<Width> {
    [Width::Byte, Width::Word, Width::Dword, Width::Qword].into_iter().find(|w| w.bytes() == bytes as u64)
}

impl Serving<'_> {
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

impl Host for Serving<'_> {
    fn cpuid(&mut self, function: u32, subfunction: u32, _: u64, _: u64) -> [u32; 4] {
        let found = cpuid::lookup(&self.services.cpuid, function, subfunction);
        cpuid::of_vcpu(function, found, self.local.index() as u32)
    }

    fn read_msr(&mut self, number: u32) -> Option<u64> {
        self.local.read_msr(&self.services.pc.board, number)
    }

    fn write_msr(&mut self, number: u32, value: u64) -> bool {
        self.local.write_msr(&self.services.pc.board, number, value)
    }

    fn read_port(&mut self, port: u16, bytes: u8) -> u32 {
        let Pc { board, fw_cfg, .. } = &mut self.services.pc;
        match width_of(bytes.into()) {
            _ if (fw_cfg::SELECTOR..=fw_cfg::LAST).contains(&port) => fw_cfg.read(port, bytes),
            Some(width) => board.port_read(port, width, &mut board.access()),
            None => u32::MAX,
        }
    }

    fn write_port(&mut self, port: u16, bytes: u8, value: u32) {
        let Pc { board, fw_cfg, .. } = &mut self.services.pc;
        match width_of(bytes.into()) {
            _ if (fw_cfg::SELECTOR..=fw_cfg::LAST).contains(&port) => {
                fw_cfg.write(port, bytes, value, &*self.machine);
            }
            Some(width) => board.port_write(port, width, value, &mut board.access()),
            None => {}
        }
    }

    fn read_device(&mut self, gpa: u64, bytes: &mut [u8]) {
        let board = &self.services.pc.board;
        if let Some(width) = width_of(bytes.len()) {
            let value = self.local.read_device(board, gpa, width).to_le_bytes();
            bytes.iter_mut().zip(value).for_each(|(place, byte)| *place = byte);
            return;
        }
        for (place, offset) in bytes.iter_mut().zip(0..) {
            *place = self.local.read_device(board, gpa.wrapping_add(offset), Width::Byte) as u8;
        }
    }

    fn write_device(&mut self, gpa: u64, bytes: &[u8]) {
        let board = &self.services.pc.board;
        let mut value = [0; 8];
        value.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
        if let Some(width) = width_of(bytes.len()) {
            self.local.write_device(board, gpa, width, u64::from_le_bytes(value));
            return;
        }
        for (byte, offset) in bytes.iter().zip(0..) {
            self.local.write_device(board, gpa.wrapping_add(offset), Width::Byte, (*byte).into());
        }
    }

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
        let refused = all.find(|gfn| !self.machine.assign(gfn << PAGE_SHIFT, is_private));
        if let Some(refused) = refused {
            log::debug!("frame {refused:#x} can't become what the guest wants it to be");
        }
        refused.is_none()
    }

    fn tsc(&mut self) -> (u64, u32) {
        (self.local.tsc(), 0)
    }

    fn hypercall(&mut self, _: u64, _: u8) -> u64 {
        // As KVM replies to a number that it does not know.
        const NO_SUCH_CALL: i64 = -1000;
        NO_SUCH_CALL as u64
    }

    fn create_processor(&mut self, creation: ApCreation, vmsa_gpa: u64, _: u64) -> bool {
        // What a VMSA has in SEV_FEATURES is looked at when it is entered.
        if creation.vmpl > 0 {
            return self.machine.levels().create(creation, vmsa_gpa);
        }
        let is_another = creation.apic_id as usize != self.local.index();
        let is_there = creation.apic_id < self.services.vcpus.into() && is_another;
        if is_there && creation.operation != ApOperation::CreateOnInit {
            self.services.creations.push((creation, vmsa_gpa));
            return true;
        }
        false
    }

    fn has_vmpl(&mut self, vmpl: u8) -> bool {
        self.machine.levels().vmsa(vmpl).is_some() || vmpl == 0
    }

    fn apic_ids(&mut self) -> Vec<u32> {
        (0..self.services.vcpus.into()).collect()
    }

    fn guest_request(&mut self, request: &GuestRequest) -> GuestRequestResult {
        // There are no certificates: an extended request is an ordinary one with none.
        let firmware_error = self.message(request).unwrap_or(sp::Status::InvalidAddress.code());
        GuestRequestResult { firmware_error, ..GuestRequestResult::default() }
    }

    fn send_ipi(&mut self, _: u64) {}

    fn nmi_complete(&mut self) {}
}
