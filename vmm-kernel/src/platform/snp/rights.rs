//! What a guest may do with a page: as the ABI says it, as an entry of a VM's tables has it, and as the
//! reverse map does (APM volume 2, 15.36.7).

use plinth_snp_abi::rmp::Permissions as RmpPermissions;
use vcpu_abi::operation::Permissions;
use x86_64::structures::paging::PageTableFlags as Flags;

/// The flags of a page with these permissions, in tables that no processor reads; `None` where a page can't
/// have them: what can be written or executed can be read.
pub fn flags(permissions: Permissions) -> Option<Flags> {
    if permissions.is_empty() {
        return Some(Flags::empty());
    }
    let mut flags = Flags::PRESENT | Flags::USER_ACCESSIBLE;
    flags.set(Flags::WRITABLE, permissions.contains(Permissions::WRITE));
    flags.set(Flags::NO_EXECUTE, !permissions.contains(Permissions::EXECUTE));
    permissions.contains(Permissions::READ).then_some(flags)
}

/// What the reverse map says for an entry with these flags.
pub fn permissions(flags: Flags) -> RmpPermissions {
    let mut permissions = RmpPermissions::empty();
    if flags.contains(Flags::PRESENT) {
        permissions |= RmpPermissions::READ;
        permissions.set(RmpPermissions::WRITE, flags.contains(Flags::WRITABLE));
        let executes = RmpPermissions::USER_EXECUTE | RmpPermissions::SUPERVISOR_EXECUTE;
        permissions.set(executes, !flags.contains(Flags::NO_EXECUTE));
    }
    permissions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_reverse_map_says_is_what_the_tables_say() {
        for asked in (0..8).map(Permissions::from_bits_truncate) {
            let is_readable = asked.contains(Permissions::READ);
            let Some(flags) = flags(asked) else {
                assert!(!is_readable && !asked.is_empty(), "{asked:?}");
                continue;
            };
            let found = permissions(flags);
            assert_eq!(found.contains(RmpPermissions::READ), is_readable, "{asked:?}");
            assert_eq!(found.contains(RmpPermissions::WRITE), asked.contains(Permissions::WRITE));
            for executes in [RmpPermissions::USER_EXECUTE, RmpPermissions::SUPERVISOR_EXECUTE] {
                assert_eq!(found.contains(executes), asked.contains(Permissions::EXECUTE), "{asked:?}");
            }
            assert!(!found.contains(RmpPermissions::SHADOW_STACK));
        }
    }
}
