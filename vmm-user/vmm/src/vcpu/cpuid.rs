//! CPUID.

use decoder::Intercept;
use devices::cpuid::{Leaf, Live};

use runtime::abi::registers::Groups;

use super::Vcpu;

/// The leaf that depends on XCR0.
const XSAVE_LEAF: u32 = 0xd;

impl Vcpu {
    #[inline(always)]
    pub(super) fn handle_cpuid(&mut self) {
        // First: code that is no CPUID any more runs with the registers that it had.
        if !self.complete(Intercept::Cpuid) {
            return;
        }
        match self.cpuid.plain(self.registers.page.gpr(0) as u32) {
            Some(leaf) => self.registers.page.set_abcd(results(leaf)),
            None => self.handle_changing_leaf(),
        }
    }

    /// A leaf that depends on ECX or on the vCPU's state.
    #[inline(never)]
    fn handle_changing_leaf(&mut self) {
        let page = &self.registers.page;
        let (leaf, subleaf) = (page.gpr(0) as u32, page.gpr(1) as u32);
        if leaf == XSAVE_LEAF {
            // Asked for, since not every emulated processor lets XSETBV exit.
            self.registers.need(Groups::XCR0);
        }
        let is_apic_off = !self.events.lapic.is_globally_enabled();
        let live = Live { cr4: self.registers.page.cr4(), xcr0: self.registers.page.xcr0(), is_apic_off };
        let leaf = self.cpuid.lookup(leaf, subleaf, &live);
        self.registers.page.set_abcd(results(&leaf));
    }
}

/// RAX, RBX, RCX and RDX.
fn results(leaf: &Leaf) -> [u64; 4] {
    [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx].map(u64::from)
}
