//! Children that fault in every way, and that use every system call number: each ends with its own code, and
//! nothing else does.
#![allow(
    unsafe_code,
    reason = "instructions that a process must not execute, and addresses it must not touch"
)]

use core::arch::asm;

use runtime::abi::syscall::{SYS_END, SYS_EXIT, SYS_RUN, SYS_THREAD_EXIT, exit_code};
use runtime::{Start, syscall};

use crate::child;
use crate::random::Random;
use crate::suite::Suite;

const DIVIDE: u32 = exit_code::FAULT;
const UNDEFINED: u32 = exit_code::FAULT | 6;
const NO_FPU: u32 = exit_code::FAULT | 7;
const PROTECTION: u32 = exit_code::FAULT | 13;
const PAGE: u32 = exit_code::FAULT | 14;
/// Where emulators and processors differ (#SS or #GP; #GP or, with SMAP, #PF; #DB or #UD): any fault, or
/// none.
const SOME: u32 = u32::MAX;

/// The kernel's own area, its image, its page tables, its boot page (see `vmm-kernel/src/layout.rs`).
const KERNEL: [u64; 4] =
    [0xffff_fe00_0000_0000, 0xffff_ffff_8000_0000, 0xffff_ff00_0000_0000, 0xffff_fe80_0000_0000];

macro_rules! executes {
    ($($text:literal),+) => {{
        fn run() {
            // SAFETY: faults, or changes nothing that the compiler relies on but what is named.
            unsafe {
                asm!(
                    $($text),+, out("rax") _, out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _,
                    out("r8") _
                );
            }
        }
        run
    }};
}

fn read(address: u64) {
    // SAFETY: meant to fault; if it does not, the value is not used.
    unsafe { asm!("mov rax, [{}]", in(reg) address, out("rax") _, options(nostack)) };
}

fn write(address: u64) {
    // SAFETY: meant to fault; the process ends right afterwards if it does not.
    unsafe { asm!("mov byte ptr [{}], 0xc3", in(reg) address, options(nostack)) };
}

fn execute(address: u64) {
    // SAFETY: meant to fault at the first instruction.
    unsafe { asm!("call {}", in(reg) address) };
}

fn heap_code() -> u64 {
    let code = alloc::boxed::Box::new([0xc3u8; 16]);
    alloc::boxed::Box::into_raw(code) as u64
}

fn stack_code() {
    let code = [0xc3u8; 16];
    execute((&raw const code) as u64);
}

/// Recursion without end: the stack runs into its guard page.
fn overflow_stack() {
    // SAFETY: meant to fault.
    unsafe { asm!("2: push rax", "jmp 2b", options(noreturn)) }
}

static READ_ONLY: [u8; 16] = [0; 16];

/// What a child does, and the code it must end with.
type Fault = (&'static str, u32, fn());

/// Every fault. The order is only for the log.
const FAULTS: &[Fault] = &[
    ("read of null", PAGE, || read(0)),
    ("write to null", PAGE, || write(0)),
    ("call of null", PAGE, || execute(0)),
    ("read of the kernel's area", PAGE, || read(KERNEL[0])),
    ("read of the kernel's image", PAGE, || read(KERNEL[1])),
    ("read of the page tables", PAGE, || read(KERNEL[2])),
    ("read of the boot page", PAGE, || read(KERNEL[3])),
    ("write to the kernel's area", PAGE, || write(KERNEL[0])),
    ("write to the kernel's image", PAGE, || write(KERNEL[1])),
    ("write to the page tables", PAGE, || write(KERNEL[2])),
    ("call of the kernel", PAGE, || execute(KERNEL[1])),
    ("read of a non-canonical address", PROTECTION, || read(0x8000_0000_0000_0000)),
    (
        "push to a non-canonical stack",
        SOME,
        executes!("mov r8, rsp", "mov rsp, 0x4000000000000000", "push rax"),
    ),
    ("read of the last user page", PAGE, || read(0x7fff_ffff_f000)),
    ("write to text", PAGE, || write(overflow_stack as *const () as u64)),
    ("write to read-only data", PAGE, || write((&raw const READ_ONLY) as u64)),
    ("write to the start page", PAGE, || write(0x7fff_fff8_0000)),
    ("execution of the stack", PAGE, stack_code),
    ("execution of the heap", PAGE, || execute(heap_code())),
    ("stack overflow", PAGE, overflow_stack),
    ("division by zero", DIVIDE, executes!("xor ecx, ecx", "div ecx")),
    ("division overflow", DIVIDE, executes!("mov edx, 5", "mov ecx, 1", "div ecx")),
    ("ud2", UNDEFINED, executes!("ud2")),
    ("an invalid opcode", UNDEFINED, executes!(".byte 0x06")),
    ("hlt", PROTECTION, executes!("hlt")),
    ("cli", PROTECTION, executes!("cli")),
    ("sti", PROTECTION, executes!("sti")),
    ("in", PROTECTION, executes!("mov edx, 0x3f8", "in al, dx")),
    ("out", PROTECTION, executes!("mov edx, 0xf4", "out dx, al")),
    ("insb", PROTECTION, executes!("mov edx, 0x3f8", "lea rdi, [rsp - 64]", "insb")),
    ("rdmsr", PROTECTION, executes!("mov ecx, 0xc0000101", "rdmsr")),
    ("wrmsr", PROTECTION, executes!("mov ecx, 0xc0000101", "wrmsr")),
    ("mov from cr3", PROTECTION, executes!("mov rax, cr3")),
    ("mov to cr0", PROTECTION, executes!("mov cr0, rax")),
    ("mov to cr8", PROTECTION, executes!("mov cr8, rax")),
    ("mov to dr7", PROTECTION, executes!("mov dr7, rax")),
    ("lgdt", PROTECTION, executes!("lgdt [rsp - 64]")),
    ("lidt", PROTECTION, executes!("lidt [rsp - 64]")),
    ("ltr", PROTECTION, executes!("xor eax, eax", "ltr ax")),
    ("clts", PROTECTION, executes!("clts")),
    ("lmsw", PROTECTION, executes!("xor eax, eax", "lmsw ax")),
    ("invlpg", PROTECTION, executes!("invlpg [rsp]")),
    ("wbinvd", PROTECTION, executes!("wbinvd")),
    ("swapgs", PROTECTION, executes!("swapgs")),
    ("sysret", PROTECTION, executes!("xor ecx, ecx", "sysretq")),
    ("vmrun", PROTECTION, executes!("vmrun rax")),
    ("vmload", PROTECTION, executes!("vmload rax")),
    ("clgi", PROTECTION, executes!("clgi")),
    ("stgi", PROTECTION, executes!("stgi")),
    ("vmmcall", UNDEFINED, executes!("vmmcall")),
    ("rdpmc", PROTECTION, executes!("mov ecx, 0", "rdpmc")),
    ("xsetbv", PROTECTION, executes!("xor ecx, ecx", "xsetbv")),
    ("wrgsbase", UNDEFINED, executes!("mov rax, -1", "wrgsbase rax")),
    ("int 80h", PROTECTION, executes!("int 0x80")),
    ("int 2", PROTECTION, executes!("int 2")),
    ("int 8", PROTECTION, executes!("int 8")),
    ("int 20h", PROTECTION, executes!("int 0x20")),
    ("int3", PROTECTION, executes!("int3")),
    ("a kernel code segment", SOME, executes!("push 8", "push 0", "retfq")),
    ("iretq to the kernel", SOME, executes!("push 16", "push rsp", "push 2", "push 8", "push 0", "iretq")),
    ("a kernel stack segment", PROTECTION, executes!("mov eax, 16", "mov ss, eax")),
    ("x87 without asking", NO_FPU, executes!("fninit")),
    ("sse without asking", NO_FPU, executes!("xorps xmm0, xmm0")),
    ("fxsave without asking", NO_FPU, executes!("fxsave64 [rsp - 1024]")),
    ("a single step", 0, executes!("pushfq", "or dword ptr [rsp], 0x100", "popfq", "nop", "nop")),
    (
        "one step and no more",
        0,
        executes!(
            "pushfq",
            "or dword ptr [rsp], 0x100",
            "popfq",
            "nop",
            "pushfq",
            "test dword ptr [rsp], 0x100",
            "jz 2f",
            "ud2",
            "2: popfq"
        ),
    ),
    (
        "a system call under single step",
        0,
        executes!(
            "pushfq",
            "or dword ptr [rsp], 0x100",
            "popfq",
            "mov eax, 3",
            "mov r8, r11",
            "syscall",
            "nop"
        ),
    ),
    ("icebp", SOME, executes!(".byte 0xf1")),
    (
        "alignment check",
        0,
        executes!("pushfq", "or dword ptr [rsp], 0x40000", "popfq", "mov eax, [rsp - 63]"),
    ),
    (
        "nested task and direction at a system call",
        0,
        executes!(
            "pushfq",
            "or dword ptr [rsp], 0x4400",
            "popfq",
            "mov eax, 3",
            "mov r8, r11",
            "syscall",
            "cld",
            "pushfq",
            "and dword ptr [rsp], 0xffffbbff",
            "popfq"
        ),
    ),
    ("null segments at a system call", 0, || {
        executes!("xor eax, eax", "mov ds, eax", "mov es, eax", "mov fs, eax", "mov gs, eax")();
        syscall::yield_now();
    }),
];

/// The child: does what it was told.
pub fn victim(start: &Start) -> u32 {
    let index = child::number(start, "which") as usize;
    if let Some((_, _, fault)) = FAULTS.get(index) {
        fault();
    }
    0
}

/// The child: one system call.
pub fn caller(start: &Start) -> u32 {
    let (number, argument) = (child::number(start, "number"), child::number(start, "argument"));
    // SAFETY: the arguments name no memory that anything else uses.
    unsafe { syscall::raw(number, argument, argument) };
    7
}

/// Makes system calls with all flags set that could harm the kernel, DF, NT and AC, for a test that looks at
/// the processor from outside.
pub fn flags() -> u32 {
    log::info!("flags are set");
    let call = executes!(
        "pushfq",
        "or dword ptr [rsp], 0x44400",
        "popfq",
        "mov eax, 3",
        "mov r8, r11",
        "syscall",
        "cld",
        "pushfq",
        "and dword ptr [rsp], 0xfffbbbff",
        "popfq"
    );
    loop {
        call();
    }
}

/// Every fault, each in a child of its own.
pub fn test(suite: &mut Suite<'_>) {
    for (index, (name, code, _)) in FAULTS.iter().enumerate() {
        match child::run(suite, "fault", ("which", index as u64)) {
            Ok(state) => {
                let what =
                    format_args!("{name}: state {} code {:#x}, not {code:#x}", state.state, state.code);
                let holds = if *code == SOME {
                    state.code == 0 || state.code & exit_code::FAULT != 0
                } else {
                    state.code == *code
                };
                suite.check(state.state == 2 && holds, what);
            }
            Err(status) => suite.check(false, format_args!("{name}: {status:?}")),
        }
    }
}

/// The exit code of a child that makes one system call with nonsense and then ends with 7.
fn code_of_call(number: u64, argument: u64) -> u32 {
    match number {
        SYS_EXIT => argument as u32 & 0x7fff_ffff,
        SYS_THREAD_EXIT => 0,
        _ if number < SYS_END => 7,
        _ => exit_code::BAD_CALL,
    }
}

/// Every system call number: the first ones, those around powers of two, and some by chance.
pub fn test_calls(suite: &mut Suite<'_>) {
    let mut random = Random::new(1);
    let powers = (4..64).flat_map(|bit| [1u64 << bit, (1 << bit) + SYS_RUN]);
    let some = core::iter::repeat_with(|| random.next()).take(8);
    for number in (0..16).chain(powers).chain([u64::MAX]).chain(some) {
        let argument = if number < SYS_END { 0xdead_beef_0000 + number } else { 0 };
        let run = || {
            child::Child::new(suite, "call")?
                .set("number", number)
                .set("argument", argument)
                .start(0, 1)?
                .join(suite)
        };
        let code = run().map(|s| s.code);
        let want = code_of_call(number, argument);
        suite.check(code == Ok(want), format_args!("system call {number:#x}: {code:x?}, not {want:#x}"));
    }
}

/// Where a fault is in the list.
pub fn index_of(name: &str) -> Option<u64> {
    FAULTS.iter().position(|(n, _, _)| *n == name).map(|i| i as u64)
}
