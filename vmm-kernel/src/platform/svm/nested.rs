//! Guest memory as nested tables have it, whose entries have the form of a process's (APM volume 2, 15.25.5).

use x86_64::structures::paging::PageTableFlags as Flags;

/// The flags of a page that the guest may read and execute, and write where that is said. Nested tables treat
/// every access as a user's.
pub fn flags(writable: bool) -> Flags {
    let mut flags = Flags::PRESENT | Flags::USER_ACCESSIBLE;
    flags.set(Flags::WRITABLE, writable);
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_may_read_and_execute_and_write_where_that_is_said() {
        for writable in [false, true] {
            let flags = flags(writable);
            assert!(flags.contains(Flags::PRESENT | Flags::USER_ACCESSIBLE));
            assert!(!flags.contains(Flags::NO_EXECUTE));
            assert_eq!(flags.contains(Flags::WRITABLE), writable);
        }
    }
}
