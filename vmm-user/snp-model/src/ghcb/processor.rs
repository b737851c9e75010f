//! Events of processors, VMPLs and the firmware.

use plinth_snp_abi::PAGE_BYTES;
use plinth_snp_abi::ghcb::event::{self, ApCreation, ApOperation, doorbell_operation};
use plinth_snp_abi::ghcb::{Field, Ghcb, HvFeatures, MalformedInput};
use plinth_snp_abi::rmp::{PageSize, VMPLS};

use super::event::{Handled, need};
use super::{Flow, GuestRequest, Host, Vmgexit};

const fn is_page(gpa: u64) -> bool {
    gpa.is_multiple_of(PAGE_BYTES as u64)
}

impl Vmgexit {
    /// [`event::AP_JUMP_TABLE`].
    pub(super) fn jump_table(&mut self, operation: u64, address: u64) -> Result<Handled, MalformedInput> {
        match operation {
            0 => self.jump_table = address,
            1 => return Ok(Handled::done(self.jump_table)),
            _ => return Err(MalformedInput::InvalidInput),
        }
        Ok(Handled::done(0))
    }

    /// [`event::AP_CREATION`]. A VMSA at the start of a region of 2 MiB is refused: KVM does, for an erratum.
    pub(super) fn create_processor(
        &self,
        info_1: u64,
        vmsa_gpa: u64,
        ghcb: &Ghcb,
        host: &mut impl Host,
    ) -> Result<Handled, MalformedInput> {
        self.require(HvFeatures::AP_CREATION)?;
        let creation = ApCreation::decode(info_1).ok_or(MalformedInput::InvalidInput)?;
        let mut features = 0;
        if creation.operation != ApOperation::Destroy {
            features = need(ghcb, Field::Rax)?;
            if !is_page(vmsa_gpa) || vmsa_gpa.is_multiple_of(PageSize::Large.bytes()) {
                return Err(MalformedInput::InvalidInput);
            }
        }
        let is_level = usize::from(creation.vmpl) < VMPLS;
        let can = is_level && host.create_processor(creation, vmsa_gpa, features);
        if can { Ok(Handled::done(0)) } else { Err(MalformedInput::InvalidInput) }
    }

    /// [`event::GUEST_REQUEST`] and [`event::EXTENDED_GUEST_REQUEST`].
    pub(super) fn guest_request(
        code: u64,
        request_gpa: u64,
        response_gpa: u64,
        ghcb: &Ghcb,
        host: &mut impl Host,
    ) -> Result<Handled, MalformedInput> {
        if !is_page(request_gpa) || !is_page(response_gpa) || request_gpa == response_gpa {
            return Err(MalformedInput::InvalidInput);
        }
        let mut certificates = None;
        if code == event::EXTENDED_GUEST_REQUEST {
            let (gpa, pages) = (need(ghcb, Field::Rax)?, need(ghcb, Field::Rbx)?);
            if !is_page(gpa) {
                return Err(MalformedInput::InvalidInput);
            }
            certificates = Some((gpa, pages));
        }
        let result = host.guest_request(&GuestRequest { request_gpa, response_gpa, certificates });
        let info_2 = u64::from(result.host_error) << 32 | u64::from(result.firmware_error);
        let pages = result.pages_needed.map(|pages| (Field::Rbx, pages));
        Ok(Handled { outputs: [pages, None, None, None], ..Handled::done(info_2) })
    }

    /// [`event::HV_DOORBELL`].
    pub(super) fn change_doorbell(&mut self, operation: u64, gpa: u64) -> Result<Handled, MalformedInput> {
        self.require(HvFeatures::RESTRICTED_INJECTION)?;
        match operation {
            doorbell_operation::GET_PREFERRED => return Ok(Handled::done(!0)),
            doorbell_operation::SET if gpa != 0 && is_page(gpa) => self.doorbell = Some(gpa),
            doorbell_operation::QUERY => return Ok(Handled::done(self.doorbell.unwrap_or(0))),
            doorbell_operation::CLEAR => self.doorbell = None,
            _ => return Err(MalformedInput::InvalidInput),
        }
        Ok(Handled::done(gpa))
    }

    /// [`event::HV_IPI`].
    pub(super) fn ipi(&self, icr: u64, host: &mut impl Host) -> Result<Handled, MalformedInput> {
        self.require(HvFeatures::RESTRICTED_INJECTION)?;
        host.send_ipi(icr);
        Ok(Handled::done(0))
    }

    /// [`event::APIC_ID_LIST`]: without enough pages, how many it takes.
    pub(super) fn apic_ids(
        &self,
        gpa: u64,
        ghcb: &Ghcb,
        host: &mut impl Host,
    ) -> Result<Handled, MalformedInput> {
        self.require(HvFeatures::APIC_ID_LIST)?;
        let pages = need(ghcb, Field::Rax)?;
        let ids = host.apic_ids();
        let words = core::iter::once(ids.len() as u32).chain(ids);
        let list: alloc::vec::Vec<_> = words.flat_map(u32::to_le_bytes).collect();
        let needed = list.len().div_ceil(PAGE_BYTES) as u64;
        if pages >= needed && !(is_page(gpa) && host.write_shared(gpa, &list)) {
            return Err(MalformedInput::InvalidInput);
        }
        Ok(Handled::returning([Some((Field::Rax, needed)), None, None, None]))
    }

    /// [`event::RUN_VMPL`].
    pub(super) fn run_vmpl(&self, vmpl: u64, host: &mut impl Host) -> Result<Handled, MalformedInput> {
        self.require(HvFeatures::MULTI_VMPL)?;
        let vmpl = u8::try_from(vmpl).ok().filter(|vmpl| usize::from(*vmpl) < VMPLS);
        let vmpl = vmpl.filter(|vmpl| host.has_vmpl(*vmpl));
        let vmpl = vmpl.ok_or(MalformedInput::InvalidInput)?;
        Ok(Handled { flow: Flow::RunVmpl(vmpl), ..Handled::done(0) })
    }
}
