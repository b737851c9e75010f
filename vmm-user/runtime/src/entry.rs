//! The entry of a process, and what a panic does.
#![allow(unsafe_code, reason = "the entry is called by nobody, and gets the start page's address")]

use crate::start::Start;
use crate::{logger, syscall};

/// Makes `$main`, an `fn(&Start) -> u32`, the program: its result is the process's exit code.
#[macro_export]
macro_rules! main {
    ($main:path) => {
        #[cfg(target_os = "none")]
        #[allow(unsafe_code, reason = "the name by which the runtime finds the program")]
        #[unsafe(no_mangle)]
        fn plinth_main(start: &$crate::Start) -> u32 {
            $main(start)
        }

        #[cfg(not(target_os = "none"))]
        fn main() {
            // Built for the host only to be checked.
            let _: fn(&$crate::Start) -> u32 = $main;
        }
    };
}

#[cfg(target_os = "none")]
unsafe extern "Rust" {
    safe fn plinth_main(start: &Start) -> u32;
}

#[cfg(target_os = "none")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.entry")]
unsafe extern "C" fn process_entry() -> ! {
    // A zero RBP ends a debugger's walk up the stack, which is aligned as a CALL wants it (System V ABI,
    // 3.2.2).
    core::arch::naked_asm!("xor ebp, ebp", "and rsp, -16", "call {}", "ud2", sym begin)
}

/// The first Rust code of a process.
#[cfg_attr(
    not(target_os = "none"),
    expect(dead_code, reason = "a process begins only on the bare-metal target")
)]
extern "C" fn begin(start_page: *const u8) -> ! {
    // SAFETY: the kernel maps one page there, read-only, for the life of the process.
    let page = unsafe { core::slice::from_raw_parts(start_page, vcpu_abi::run_page::PAGE_BYTES) };
    let start = Start::parse(page);
    logger::start(&start);
    #[cfg(target_os = "none")]
    let code = plinth_main(&start);
    #[cfg(not(target_os = "none"))]
    let code = 0;
    syscall::exit(code)
}

/// The exit code of a process that panicked.
pub const PANIC_EXIT: u32 = 101;

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    log::error!("panic: {info}");
    syscall::exit(PANIC_EXIT)
}
