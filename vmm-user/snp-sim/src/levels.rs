//! VMPLs: the nested tables of each, the VMSAs that the guest has made for those below VMPL0, and which of
//! them runs.

use plinth_snp_abi::ghcb::event::{ApCreation, ApOperation};
use plinth_snp_abi::rmp::VMPLS;
use plinth_snp_abi::vmsa::{SevFeatures, Vmsa};
use runtime::abi::operation::Permissions;
use runtime::abi::status::Status;

use crate::memory::{C_BIT, Memory};
use crate::nested::Nested;

/// What there is of a VMPL below VMPL0.
#[derive(Default)]
struct Lower {
    /// Its nested tables, from its first entry on.
    nested: Option<Nested>,
    /// Where its VMSA is.
    vmsa: Option<u64>,
}

/// All VMPLs of the one vCPU.
pub struct Levels {
    first: Nested,
    lower: [Lower; VMPLS - 1],
    running: u8,
    /// Where shared memory begins for the one that runs, if its VMSA says so.
    vtom: Option<u64>,
}

/// The place of a VMPL among the lower ones.
fn index(vmpl: u8) -> Option<usize> {
    usize::from(vmpl).checked_sub(1)
}

impl Levels {
    /// VMPL0 alone, with its tables.
    pub fn new(first: Nested) -> Self {
        Self { first, lower: Default::default(), running: 0, vtom: None }
    }

    /// Which one runs.
    pub fn vmpl(&self) -> u8 {
        self.running
    }

    /// Where the VMSA of a VMPL below VMPL0 is.
    pub fn vmsa(&self, vmpl: u8) -> Option<u64> {
        self.lower.get(index(vmpl)?)?.vmsa
    }

    /// AP creation: there is one vCPU, and VMPL0's VMSA is the launch's.
    pub fn create(&mut self, creation: ApCreation, gpa: u64) -> bool {
        let lower = index(creation.vmpl).and_then(|index| self.lower.get_mut(index));
        let Some(lower) = lower.filter(|_| creation.apic_id == 0) else { return false };
        match creation.operation {
            // It was started long ago, and nobody will send it INIT.
            ApOperation::CreateOnInit => return false,
            ApOperation::Create => lower.vmsa = Some(gpa),
            ApOperation::Destroy => lower.vmsa = None,
        }
        true
    }

    /// Whether a VMPL has nested tables.
    pub fn has_tables(&self, vmpl: u8) -> bool {
        index(vmpl).is_none_or(|index| self.lower.get(index).is_some_and(|lower| lower.nested.is_some()))
    }

    /// Gives a VMPL below VMPL0 nested tables.
    pub fn set_tables(&mut self, vmpl: u8, nested: Nested) {
        if let Some(lower) = index(vmpl).and_then(|index| self.lower.get_mut(index)) {
            lower.nested = Some(nested);
        }
    }

    /// From here on a VMPL runs, with this VMSA; without one VMPL0.
    pub fn run(&mut self, vmsa: Option<&Vmsa>) {
        self.running = vmsa.map_or(0, |vmsa| vmsa.vmpl);
        let with_vtom = vmsa.filter(|vmsa| vmsa.features().contains(SevFeatures::VTOM));
        self.vtom = with_vtom.map(|vmsa| vmsa.virtual_tom);
    }

    /// Whether an address is one of private memory, as the guest says it: by vTOM, by the C-bit, or without
    /// tables that have one in all cases (APM 2, 15.34.5 and 15.36.8).
    pub fn is_private(&self, gpa: u64, has_c_bit: bool) -> bool {
        match self.vtom {
            Some(top) => gpa < top,
            None => gpa & C_BIT != 0 || !has_c_bit,
        }
    }

    fn running(&mut self) -> &mut Nested {
        let lower = index(self.running).and_then(|index| self.lower.get_mut(index));
        lower.and_then(|lower| lower.nested.as_mut()).unwrap_or(&mut self.first)
    }

    /// As [`Nested::allow`], for the one that runs.
    ///
    /// # Errors
    /// The kernel's.
    pub fn allow(&mut self, memory: &Memory, gpa: u64, permissions: Permissions) -> Result<bool, Status> {
        self.running().allow(memory, gpa, permissions)
    }

    /// As [`Nested::forbid_without_c_bit`], for the one that runs.
    ///
    /// # Errors
    /// The kernel's.
    pub fn forbid_without_c_bit(&mut self) -> Result<(), Status> {
        self.running().forbid_without_c_bit()
    }

    /// As [`Nested::forbid`], for all of them.
    ///
    /// # Errors
    /// The kernel's.
    pub fn forbid(&mut self, gpa: u64) -> Result<(), Status> {
        let lower = self.lower.iter_mut().filter_map(|lower| lower.nested.as_mut());
        core::iter::once(&mut self.first).chain(lower).try_for_each(|nested| nested.forbid(gpa))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels() -> Levels {
        Levels::new(Nested::new(1, 2))
    }

    #[test]
    fn vmsas_are_of_lower_vmpls_of_the_one_vcpu() {
        for (operation, vmpl, apic_id, is_done) in [
            (ApOperation::Create, 1, 0, true),
            (ApOperation::Create, 3, 0, true),
            (ApOperation::Create, 0, 0, false),
            (ApOperation::Create, 4, 0, false),
            (ApOperation::Create, 1, 1, false),
            (ApOperation::CreateOnInit, 1, 0, false),
        ] {
            let mut levels = levels();
            assert_eq!(levels.create(ApCreation { operation, vmpl, apic_id }, 0x5000), is_done, "{vmpl}");
            assert_eq!(levels.vmsa(vmpl), is_done.then_some(0x5000));
            let destroy = ApCreation { operation: ApOperation::Destroy, vmpl, apic_id };
            levels.create(destroy, 0);
            assert_eq!(levels.vmsa(vmpl), None);
        }
    }

    #[test]
    fn what_is_private_says_the_vmsa_of_the_one_that_runs() {
        let mut levels = levels();
        let cases = |levels: &Levels| {
            [(0, true), (C_BIT, true), (0, false)].map(|(gpa, has)| levels.is_private(gpa, has))
        };
        assert_eq!((levels.vmpl(), cases(&levels)), (0, [false, true, true]));
        let mut vmsa = Vmsa::zeroed();
        (vmsa.vmpl, vmsa.virtual_tom) = (1, C_BIT);
        levels.run(Some(&vmsa));
        assert_eq!((levels.vmpl(), cases(&levels)), (1, [false, true, true]));
        vmsa.sev_features = SevFeatures::VTOM.bits();
        levels.run(Some(&vmsa));
        assert_eq!((levels.vmpl(), cases(&levels)), (1, [true, false, true]));
        levels.run(None);
        assert_eq!((levels.vmpl(), cases(&levels)), (0, [false, true, true]));
    }
}
