//! The kernel's floors: an import goes down, or stays within its folder.
//!
//! [`FLOORS`] says which folder stands on which; [`source`] reads which file of `vmm-kernel/src` names what
//! of which other file, through `use`, paths in code and in macros, and re-exports; [`circles`] finds the
//! files that name each other. A method's own file is not seen where nothing names its type: the value came
//! from somewhere, and that import is seen.
//!
//! A file `tests.rs` may name whatever it needs, and is left out.

mod circles;
mod source;
#[cfg(test)]
mod tests;

/// The floors of `vmm-kernel/src`, from the ground up: the folders and files of each, by the beginning of
/// their paths, of which the longest counts. Those of one floor know nothing of each other.
const FLOORS: &[&[&str]] = &[
    // What knows nothing of the kernel.
    &["volatile", "sync", "layout", "image", "run_page", "no_heap"],
    // Counted references to objects, and the handles that name them.
    &["object"],
    // The processor.
    &["cpu"],
    // What it says, and what a kernel for tests looks after.
    &["log_ring", "checks"],
    &["console"],
    &["memory"],
    // The platforms that a vCPU may run on, and the choice of one.
    &["platform/snp", "platform/svm"],
    &["platform"],
    // The end of the machine.
    &["machine"],
    // Processes, threads and the scheduler.
    &["task"],
    // Virtual machines and processors.
    &["guest"],
    // Channels, over which threads call each other.
    &["channel"],
    // Events, which wake threads, kick virtual processors and notify servers.
    &["event"],
    // Functions of the host's PCI bus, with their registers, messages and memory.
    &["pci"],
    // How processes and threads begin and end.
    &["life"],
    // What a process may ask.
    &["abi"],
    // What an interrupt or exception means.
    &["trap"],
    &["start"],
    // What stands for the machine in tests; and the roof.
    &["host"],
    &["lib", "main"],
];

/// What only the backends may name, and who chooses one of them: a platform's words.
const OF_PLATFORMS: Words = Words {
    words: &[
        "svm",
        "vmcb",
        "vmrun",
        "vmexit",
        "vmload",
        "vmsave",
        "vmmcall",
        "clgi",
        "stgi",
        "asid",
        "npt",
        "npf",
        "vintr",
        "exitinfo1",
        "exitinfo2",
        "exitintinfo",
        "eventinj",
        "intercept",
        "intercepts",
        "intercepted",
        "vmsa",
        "ghcb",
        "vmgexit",
        "pvalidate",
        "rmpadjust",
        "rmpupdate",
        "svme",
        "hsave",
        "nested_cr3",
        "ncr3",
        "iopm",
        "msrpm",
        "v_irq",
        "v_tpr",
        "tdcall",
    ],
    within: &["platform"],
};

/// What turns interrupts on and off, of which a platform may have to make software state.
const OF_MASKING: Words = Words {
    words: &[
        "sti",
        "cli",
        "hlt",
        "enable_and_hlt",
        "interrupts::enable",
        "interrupts::disable",
        "without_interrupts",
    ],
    within: &[
        "cpu/masking",
        "platform",
        // Processors in real mode, and one that lacks what all compiled code needs.
        "start",
    ],
};

/// What asks the host for something, which a platform may have to do by a call: in Rust and in assembly.
const OF_HOST_CALLS: Words = Words {
    words: &["msr::new", "port::new", "__cpuid", "__cpuid_count", "model_specific", "rdmsr", "wrmsr"],
    within: &[
        "cpu/host_call",
        "platform",
        // The GS base, before the first Rust code of an interrupt may run; a processor in real mode.
        "cpu/interrupts",
        "start/smp",
    ],
};

/// Words that belong to some files alone, comments included.
#[derive(Clone, Copy, Debug)]
struct Words {
    /// In small letters. What joins a word to others in a name, an underscore, ends it too.
    words: &'static [&'static str],
    /// Files and folders.
    within: &'static [&'static str],
}

/// The ways up: functions that the entry code of a lower floor calls by their names alone. An interrupt, a
/// system call and a new thread come in at the bottom, and what they mean is decided above.
const CALLED_FROM_BELOW: &[&str] = &[
    "begin_thread",
    "kernel_entry",
    "handle_paranoid_trap",
    "handle_trap",
    "sys_run",
    "sys_run_resume",
    "syscall_dispatch",
    "words_dispatch",
];
