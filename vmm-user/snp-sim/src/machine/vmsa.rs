//! VMSAs of VMPLs below VMPL0: pages of the guest's memory, which are entered and left.

use plinth_snp_abi::PAGE_BYTES;
use plinth_snp_abi::rmp::PageSize;
use plinth_snp_abi::vmsa::{SevFeatures, Vmsa};
use plinth_snp_model::access::Target;
use plinth_snp_model::vmsa::{Allowed, Entered, Exit, Refused, Visible, enter, leave};
use zerocopy::IntoBytes;

use super::{ASID, Machine, NO_MEMORY, PAGE};

/// What a VMSA may have in SEV_FEATURES: what is modelled.
const FEATURES: SevFeatures = SevFeatures::SNP_ACTIVE
    .union(SevFeatures::VTOM)
    .union(SevFeatures::REFLECT_VC)
    .union(SevFeatures::ALTERNATE_INJECTION);

impl Machine {
    fn vmsa_at(&self, vmpl: u8) -> Option<Target> {
        let gpa = self.levels.vmsa(vmpl)?;
        let spa = self.memory.spa(gpa, PAGE).unwrap_or(NO_MEMORY);
        Some(Target { gpa, spa, mapped: PageSize::Small })
    }

    fn load_vmsa(&self, at: &Target) -> Option<Vmsa> {
        let mut page = [0; PAGE_BYTES];
        self.memory.copy_out(at.gpa, &mut page)?;
        Some(Vmsa::from_page(&page))
    }

    /// Enters the VMSA of a VMPL, which runs from here on.
    ///
    /// # Errors
    /// As VMRUN refuses it; nothing has changed.
    pub fn enter(&mut self, vmpl: u8) -> Result<(Vmsa, Entered), Refused> {
        let at = self.vmsa_at(vmpl).ok_or(Refused::Invalid)?;
        let vmsa = self.load_vmsa(&at).filter(|vmsa| vmsa.vmpl == vmpl);
        let mut vmsa = vmsa.ok_or(Refused::Invalid)?;
        let entered = enter(&mut self.rmp, &Allowed { asid: ASID, features: FEATURES }, &at, &mut vmsa)?;
        self.memory.copy_in(at.gpa, vmsa.as_bytes()).ok_or(Refused::Invalid)?;
        self.levels.run(Some(&vmsa));
        Ok((vmsa, entered))
    }

    /// Enters a VMSA of VMPL0 that the guest has made, of another vCPU than the first.
    ///
    /// # Errors
    /// As VMRUN refuses it; nothing has changed.
    pub fn enter_first(&mut self, gpa: u64) -> Result<Vmsa, Refused> {
        let spa = self.memory.spa(gpa, PAGE).unwrap_or(NO_MEMORY);
        let at = Target { gpa, spa, mapped: PageSize::Small };
        let mut vmsa = self.load_vmsa(&at).filter(|vmsa| vmsa.vmpl == 0).ok_or(Refused::Invalid)?;
        enter(&mut self.rmp, &Allowed { asid: ASID, features: FEATURES }, &at, &mut vmsa)?;
        Ok(vmsa)
    }

    /// The vCPU that had entered that VMSA is stopped for good.
    pub fn leave_first(&mut self, gpa: u64) {
        if let Some(spa) = self.memory.spa(gpa, PAGE) {
            self.rmp.set_in_use(spa, false);
        }
    }

    /// The VMPL that runs, which is below VMPL0, exits: `store` puts its registers into the VMSA. VMPL0 runs
    /// from here on. Returns what the host sees; `None` if there is no VMSA any more.
    ///
    /// # Errors
    /// Those of `store`.
    pub fn leave<E>(
        &mut self,
        exit: &Exit,
        is_reflected: bool,
        store: impl FnOnce(&mut Vmsa) -> Result<(), E>,
    ) -> Result<Option<Visible>, E> {
        let Some(at) = self.vmsa_at(self.levels.vmpl()) else { return Ok(None) };
        let Some(mut vmsa) = self.load_vmsa(&at) else { return Ok(None) };
        store(&mut vmsa)?;
        let visible = leave(&mut self.rmp, &at, &mut vmsa, exit, is_reflected);
        let stored = self.memory.copy_in(at.gpa, vmsa.as_bytes());
        self.levels.run(None);
        Ok(stored.map(|()| visible))
    }
}
