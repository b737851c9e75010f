//! CPUID.

use decoder::Intercept;
use devices::cpuid::Live;

use runtime::abi::registers::Groups;

use super::Vcpu;

/// The leaf that depends on XCR0.
const XSAVE_LEAF: u32 = 0xd;

impl Vcpu {
    pub(super) fn handle_cpuid(&mut self) {
        if self.page.gpr(0) as u32 == XSAVE_LEAF {
            // Asked for, since not every emulated processor lets XSETBV exit.
            self.fetch(Groups::XCR0);
        }
        let page = &self.page;
        let live = Live { cr4: page.cr4(), xcr0: page.xcr0() };
        let leaf = self.cpuid.lookup(page.gpr(0) as u32, page.gpr(1) as u32, &live);
        if self.complete(Intercept::Cpuid) {
            self.page.set_abcd([leaf.eax, leaf.ebx, leaf.ecx, leaf.edx].map(u64::from));
        }
    }
}
