//! CPUID.

use decoder::Intercept;
use devices::cpuid::Live;

use runtime::abi::registers::Groups;

use super::Vcpu;

/// The leaf that depends on XCR0.
const XSAVE_LEAF: u32 = 0xd;

impl Vcpu {
    pub(super) fn handle_cpuid(&mut self) {
        let page = self.page;
        if page.gpr(0) as u32 == XSAVE_LEAF {
            // Asked for, since not every emulated processor lets XSETBV exit.
            self.fetch(Groups::XCR0);
        }
        let live = Live { cr4: page.cr4(), xcr0: page.xcr0() };
        let leaf = self.cpuid.lookup(page.gpr(0) as u32, page.gpr(1) as u32, &live);
        if self.complete(Intercept::Cpuid) {
            page.set_gpr(0, u64::from(leaf.eax));
            page.set_gpr(3, u64::from(leaf.ebx));
            page.set_gpr(1, u64::from(leaf.ecx));
            page.set_gpr(2, u64::from(leaf.edx));
        }
    }
}
