//! The pages that cases use, at addresses that 32-bit code reaches too.

use decoder::walk::Kind;

/// Where the page of code is.
pub(super) const CODE: u64 = 0x1000_0000;
/// Where the pages of data start.
pub(super) const DATA: u64 = 0x2000_0000;
pub(super) const PAGE: u64 = 4096;

/// What the guest may do to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    Nothing,
    Read,
    Write,
}

/// The pages of data: neighbours of every kind.
pub(super) const RIGHTS: [Right; 7] =
    [Right::Nothing, Right::Write, Right::Write, Right::Read, Right::Write, Right::Nothing, Right::Nothing];

pub(super) const DATA_BYTES: usize = RIGHTS.len() * PAGE as usize;

/// The right to the page of `address`; `None` outside of the data.
pub(super) fn right(address: u64) -> Option<Right> {
    let page = address.checked_sub(DATA)? / PAGE;
    RIGHTS.get(usize::try_from(page).ok()?).copied()
}

pub(super) fn allows(right: Right, kind: Kind) -> bool {
    match right {
        Right::Nothing => false,
        Right::Read => kind != Kind::Write,
        Right::Write => true,
    }
}

fn map(address: u64, bytes: usize) {
    let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    // Fixed, since segments and cases name the addresses; never over what is there.
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE | libc::MAP_POPULATE;
    // SAFETY: a new mapping, which fails if there is one already.
    let found = unsafe { libc::mmap(address as *mut libc::c_void, bytes, protection, flags, -1, 0) };
    assert_eq!(found as u64, address, "the address is taken");
}

fn protect(address: u64, right: Right) {
    let protection = match right {
        Right::Nothing => libc::PROT_NONE,
        Right::Read => libc::PROT_READ,
        Right::Write => libc::PROT_READ | libc::PROT_WRITE,
    };
    // SAFETY: the page belongs to the data mapped by `set_up`, to which no reference is held.
    let status = unsafe { libc::mprotect(address as *mut libc::c_void, PAGE as usize, protection) };
    assert_eq!(status, 0);
}

/// Maps code and data. Once a process.
pub(super) fn set_up() {
    map(CODE, PAGE as usize);
    map(DATA, DATA_BYTES);
    for (page, &right) in (0..).zip(&RIGHTS) {
        let address = DATA + page * PAGE;
        // Before its right is taken away.
        store(address, &[0; PAGE as usize]);
        protect(address, right);
    }
}

/// Writes the code, and a breakpoint behind it.
pub(super) fn set_code(offset: u64, code: &[u8]) {
    store(CODE + offset, code);
    store(CODE + offset + code.len() as u64, &[0xcc]);
}

/// Writes bytes to writable pages.
pub(super) fn store(address: u64, bytes: &[u8]) {
    // SAFETY: the callers' addresses are within pages mapped writable by `set_up`, to which no reference is
    // held.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) };
}

/// Reads bytes of readable pages.
pub(super) fn load(address: u64, bytes: &mut [u8]) {
    // SAFETY: the callers' addresses are within pages mapped readable by `set_up`, to which no reference is
    // held.
    unsafe { core::ptr::copy_nonoverlapping(address as *const u8, bytes.as_mut_ptr(), bytes.len()) };
}
