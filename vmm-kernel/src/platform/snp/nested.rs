//! Guest memory: what a lower VMPL may do is to be said by RMPADJUST, and nothing is yet.

use vcpu_abi::operation::Permissions;
use x86_64::structures::paging::PageTableFlags as Flags;

/// The flags of a page with these permissions: no entry can say any.
pub fn flags(permissions: Permissions) -> Option<Flags> {
    permissions.is_empty().then_some(Flags::empty())
}
