//! Guest memory as nested tables have it, whose entries have the form of a process's (APM volume 2, 15.25.5).

use vcpu_abi::operation::Permissions;
use x86_64::structures::paging::PageTableFlags as Flags;

/// The flags of a page with these permissions; `None` where an entry cannot say so: what can be written or
/// executed can be read. Nested tables treat every access as a user's.
pub fn flags(permissions: Permissions) -> Option<Flags> {
    if permissions.is_empty() {
        return Some(Flags::empty());
    }
    let mut flags = Flags::PRESENT | Flags::USER_ACCESSIBLE;
    flags.set(Flags::WRITABLE, permissions.contains(Permissions::WRITE));
    flags.set(Flags::NO_EXECUTE, !permissions.contains(Permissions::EXECUTE));
    permissions.contains(Permissions::READ).then_some(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_done_is_what_is_said() {
        for permissions in (0..8).map(Permissions::from_bits_truncate) {
            let readable = permissions.contains(Permissions::READ);
            let Some(flags) = flags(permissions) else {
                assert!(!readable, "{permissions:?}");
                continue;
            };
            assert_eq!(permissions.is_empty(), flags.is_empty(), "{permissions:?}");
            assert_eq!(readable, flags.contains(Flags::PRESENT | Flags::USER_ACCESSIBLE), "{permissions:?}");
            assert_eq!(flags.contains(Flags::WRITABLE), permissions.contains(Permissions::WRITE));
            let executable = flags.contains(Flags::PRESENT) && !flags.contains(Flags::NO_EXECUTE);
            assert_eq!(executable, permissions.contains(Permissions::EXECUTE), "{permissions:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_cannot_be_written_or_executed() {
        for permissions in [Permissions::WRITE, Permissions::EXECUTE, Permissions::all() - Permissions::READ]
        {
            assert_eq!(flags(permissions), None, "{permissions:?}");
        }
    }
}
