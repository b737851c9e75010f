//! Running one case: registers in, registers and fault out.

use std::cell::UnsafeCell;

/// Registers as they go in and come out. General registers are numbered as in encodings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Registers {
    pub(super) gprs: [u64; 16],
    pub(super) rip: u64,
    pub(super) rflags: u64,
    pub(super) xmm: [u128; 16],
    pub(super) mmx: [u64; 8],
}

/// Selectors a case runs with, and where GS is based if its selector is 0.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Selectors {
    pub(super) cs: u16,
    pub(super) ss: u16,
    pub(super) ds: u16,
    pub(super) es: u16,
    pub(super) gs: u16,
    pub(super) gs_base: u64,
}

/// How a case ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ending {
    pub(super) registers: Registers,
    pub(super) vector: u8,
    pub(super) error_code: u32,
    pub(super) cr2: u64,
    /// ES, CS, SS, DS, GS.
    pub(super) selectors: [u16; 5],
}

/// The registers' places in a signal's context, in the order of their numbers.
const PLACES: [libc::c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// What the handler and [`run`] share.
struct Shared {
    is_running: bool,
    registers: Registers,
    selectors: Selectors,
    ending: Ending,
    /// The context that was interrupted, to return to.
    saved: [libc::greg_t; 23],
    saved_xmm: [u128; 16],
}

struct Cell(UnsafeCell<Option<Shared>>);

// SAFETY: the process has one thread, and `run` doesn't touch the cell while a signal may be handled.
unsafe impl Sync for Cell {}

static SHARED: Cell = Cell(UnsafeCell::new(None));

/// Takes over the signals of faults and breakpoints, on a stack of their own. Once a process.
pub(super) fn set_up() {
    let stack = Box::leak(vec![0_u8; 1 << 16].into_boxed_slice());
    let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: stack.len() };
    // SAFETY: the stack is leaked, so it stays.
    assert_eq!(unsafe { libc::sigaltstack(&raw const stack, core::ptr::null_mut()) }, 0);
    for signal in [libc::SIGUSR1, libc::SIGTRAP, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
        // SAFETY: all-zeros is a valid `sigaction`.
        let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: `handle` has the signature that SA_SIGINFO asks for.
        assert_eq!(unsafe { libc::sigaction(signal, &raw const action, core::ptr::null_mut()) }, 0);
    }
}

/// Runs the code at `registers.rip` until it faults or reaches a breakpoint.
pub(super) fn run(registers: &Registers, selectors: &Selectors) -> Ending {
    let shared = Shared {
        is_running: false,
        registers: *registers,
        selectors: *selectors,
        ending: Ending::default(),
        saved: [0; 23],
        saved_xmm: [0; 16],
    };
    // SAFETY: no signal is being handled, and there is one thread.
    unsafe { *SHARED.0.get() = Some(shared) };
    load_segments(selectors);
    // SAFETY: the handler changes nothing of this thread's state that it doesn't restore before the second
    // return.
    unsafe { libc::raise(libc::SIGUSR1) };
    // Rust's code goes on with flat segments.
    load_segments(&Selectors::default());
    // SAFETY: as above.
    let shared = unsafe { (*SHARED.0.get()).as_ref() };
    shared.map_or_else(Ending::default, |shared| shared.ending)
}

/// Loads the segments that a signal's return doesn't. 64-bit code uses none of them.
fn load_segments(selectors: &Selectors) {
    const ARCH_SET_GS: libc::c_int = 0x1001;
    // SAFETY: DS and ES mean nothing to 64-bit code, and GS nothing to Rust's on Linux; the selectors are
    // valid.
    unsafe {
        core::arch::asm!("mov ds, {0:x}", "mov es, {1:x}", in(reg) selectors.ds, in(reg) selectors.es);
        if selectors.gs != 0 {
            core::arch::asm!("mov gs, {0:x}", in(reg) selectors.gs);
        } else {
            let status = libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, selectors.gs_base);
            assert_eq!(status, 0);
        }
    }
}

/// Enters the case at the first signal, leaves it at the second.
extern "C" fn handle(_signal: libc::c_int, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: clears RFLAGS.AC, which a case may have set, before anything is accessed misaligned; and ID and
    // NT, which the kernel would leave to the next case.
    unsafe { core::arch::asm!("pushfq", "and dword ptr [rsp], {0}", "popfq", const !0x24_4000_i32) };
    // SAFETY: the kernel passes a context; it and the cell are nobody else's while this runs.
    let (context, shared) = unsafe { (&mut *context.cast::<libc::ucontext_t>(), &mut *SHARED.0.get()) };
    let Some(shared) = shared else { return };
    let machine = &mut context.uc_mcontext;
    // The kernel always passes FPU state to 64-bit handlers, in the frame this handler owns.
    let fpu = machine.fpregs;
    // SAFETY: sixteen registers of sixteen bytes each, without padding or invalid values; nobody else refers
    // to them.
    let xmm = unsafe { &mut *(&raw mut (*fpu)._xmm).cast::<[[u8; 16]; 16]>() };
    if shared.is_running {
        shared.ending = leave(&machine.gregs, xmm);
        shared.ending.registers.mmx = mmx(fpu);
        let [es, _, _, ds, gs] = data_selectors();
        let stored = machine.gregs[libc::REG_CSGSFS as usize] as u64;
        shared.ending.selectors = [es, stored as u16, (stored >> 48) as u16, ds, gs];
        machine.gregs = shared.saved;
        *xmm = shared.saved_xmm.map(u128::to_le_bytes);
    } else {
        shared.saved = machine.gregs;
        shared.saved_xmm = xmm.map(u128::from_le_bytes);
        enter(&mut machine.gregs, &shared.registers, &shared.selectors);
        *xmm = shared.registers.xmm.map(u128::to_le_bytes);
        set_mmx(fpu, &shared.registers.mmx);
    }
    // The first signal enters, the second leaves.
    shared.is_running = !shared.is_running;
}

/// The x87 registers' places in the FPU state: sixteen bytes each, the first eight of them MMX registers.
const X87: usize = 32;
/// The place of the status word, and of the tag word, of which each bit says that a register is valid.
const STATUS_WORD: usize = 2;
const TAGS: usize = 4;
/// What of the state is not as after a reset: x87 and SSE are the lowest bits.
const STATES: usize = 512;

fn mmx(fpu: *const libc::_libc_fpstate) -> [u64; 8] {
    core::array::from_fn(|number| {
        // SAFETY: within the FPU state, which this handler owns.
        unsafe { fpu.byte_add(X87 + 16 * number).cast::<u64>().read_unaligned() }
    })
}

/// The registers, and the state that an MMX instruction leaves.
fn set_mmx(fpu: *mut libc::_libc_fpstate, values: &[u64; 8]) {
    for (number, value) in values.iter().enumerate() {
        // SAFETY: as above.
        unsafe {
            fpu.byte_add(X87 + 16 * number).cast::<u64>().write_unaligned(*value);
            fpu.byte_add(X87 + 16 * number + 8).cast::<u16>().write_unaligned(0xffff);
        }
    }
    // SAFETY: as above; the kernel stores the header of the extended state behind it.
    unsafe {
        // Or the kernel would load the state of a reset instead of what is here.
        *fpu.byte_add(STATES).cast::<u64>() |= 3;
        fpu.byte_add(STATUS_WORD).cast::<u16>().write_unaligned(0);
        fpu.byte_add(TAGS).cast::<u16>().write_unaligned(0xff);
    }
}

/// ES, two of no interest, DS and GS, which a signal leaves as they are.
fn data_selectors() -> [u16; 5] {
    let (es, ds, gs): (u16, u16, u16);
    // SAFETY: reads registers.
    unsafe {
        core::arch::asm!(
            "mov {0:x}, es", "mov {1:x}, ds", "mov {2:x}, gs",
            out(reg) es, out(reg) ds, out(reg) gs, options(nomem, nostack),
        );
    }
    [es, 0, 0, ds, gs]
}

fn enter(gregs: &mut [libc::greg_t; 23], registers: &Registers, selectors: &Selectors) {
    for (place, value) in PLACES.into_iter().zip(registers.gprs) {
        gregs[place as usize] = value as i64;
    }
    gregs[libc::REG_RIP as usize] = registers.rip as i64;
    gregs[libc::REG_EFL as usize] = registers.rflags as i64;
    // CS, GS, FS, SS from the lowest word up; GS and FS are not loaded from here.
    let segments = u64::from(selectors.cs) | u64::from(selectors.ss) << 48;
    gregs[libc::REG_CSGSFS as usize] = segments as i64;
}

fn leave(gregs: &[libc::greg_t; 23], xmm: &[[u8; 16]; 16]) -> Ending {
    Ending {
        registers: Registers {
            gprs: PLACES.map(|place| gregs[place as usize] as u64),
            rip: gregs[libc::REG_RIP as usize] as u64,
            rflags: gregs[libc::REG_EFL as usize] as u64,
            xmm: xmm.map(u128::from_le_bytes),
            mmx: [0; 8],
        },
        vector: gregs[libc::REG_TRAPNO as usize] as u8,
        error_code: gregs[libc::REG_ERR as usize] as u32,
        cr2: gregs[libc::REG_CR2 as usize] as u64,
        selectors: [0; 5],
    }
}
