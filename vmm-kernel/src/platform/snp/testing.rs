//! A host for the tests: the model's protocols, over a little shared memory.

use plinth_snp_abi::ghcb::PageOperation;
use plinth_snp_abi::ghcb::event::ApCreation;
use plinth_snp_abi::rmp::PageSize;
use plinth_snp_model::ghcb::{GuestRequest, GuestRequestResult, Host as Services};

/// Where the page for calls is in [`Host::memory`].
pub const PAGE_GPA: u64 = 0x1000;

/// What the host is asked for, and what it does.
#[derive(Debug)]
pub struct Host {
    /// Shared memory, from address 0 on.
    pub memory: Vec<u8>,
    /// Pages whose state has been changed.
    pub changed: Vec<(u64, PageOperation)>,
    /// Ports and MSRs that were written.
    pub written: Vec<(u32, u64)>,
    /// VMSAs that it was told of: VMPL, address, features.
    pub created: Vec<(u8, u64, u64)>,
    /// It does nothing that it can refuse.
    pub refuses: bool,
}

impl Default for Host {
    fn default() -> Self {
        let (changed, written, created) = (Vec::new(), Vec::new(), Vec::new());
        Self { memory: vec![0; 0x3000], changed, written, created, refuses: false }
    }
}

impl Services for Host {
    fn cpuid(&mut self, _: u32, _: u32, _: u64, _: u64) -> [u32; 4] {
        [0; 4]
    }

    fn read_msr(&mut self, number: u32) -> Option<u64> {
        (!self.refuses).then_some(0x1234_5678_0000_0000 | u64::from(number))
    }

    fn write_msr(&mut self, number: u32, value: u64) -> bool {
        self.written.push((number, value));
        !self.refuses
    }

    fn read_port(&mut self, port: u16, _: u8) -> u32 {
        0xabcd_0000 | u32::from(port)
    }

    fn write_port(&mut self, port: u16, _: u8, value: u32) {
        self.written.push((port.into(), value.into()));
    }

    fn read_device(&mut self, _: u64, bytes: &mut [u8]) {
        bytes.fill(0xff);
    }

    fn write_device(&mut self, _: u64, _: &[u8]) {}

    fn read_shared(&mut self, gpa: u64, bytes: &mut [u8]) -> bool {
        let source = self.memory.get(gpa as usize..).and_then(|rest| rest.get(..bytes.len()));
        source.is_some_and(|source| {
            bytes.copy_from_slice(source);
            true
        })
    }

    fn write_shared(&mut self, gpa: u64, bytes: &[u8]) -> bool {
        let place = self.memory.get_mut(gpa as usize..).and_then(|rest| rest.get_mut(..bytes.len()));
        place.is_some_and(|place| {
            place.copy_from_slice(bytes);
            true
        })
    }

    fn change_page(&mut self, gfn: u64, operation: PageOperation, _: PageSize) -> bool {
        if !self.refuses {
            self.changed.push((gfn, operation));
        }
        !self.refuses
    }

    fn tsc(&mut self) -> (u64, u32) {
        (0, 0)
    }

    fn hypercall(&mut self, _: u64, _: u8) -> u64 {
        0
    }

    fn create_processor(&mut self, creation: ApCreation, vmsa_gpa: u64, features: u64) -> bool {
        self.created.push((creation.vmpl, vmsa_gpa, features));
        !self.refuses
    }

    fn has_vmpl(&mut self, vmpl: u8) -> bool {
        vmpl < 2
    }

    fn apic_ids(&mut self) -> Vec<u32> {
        vec![0]
    }

    fn guest_request(&mut self, _: &GuestRequest) -> GuestRequestResult {
        GuestRequestResult::default()
    }

    fn send_ipi(&mut self, _: u64) {}

    fn nmi_complete(&mut self) {}
}
