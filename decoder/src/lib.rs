//! The restricted x86 decoder and emulator.
//!
//! A guest's device access arrives as a nested-page fault with an address and nothing else: no bytes, no
//! length, no linear address. This crate walks the guest's page tables, fetches the instruction, decodes it
//! and carries it out:
//!
//! * [`walk`]: guest virtual to guest physical, every paging mode, with the architected fault where it fails;
//! * [`fetch`]: at most 15 bytes at CS:RIP, copied once;
//! * [`intercept_length`]: for intercepts that need a length only, without decoding more than prefixes and
//!   opcode;
//! * [`decode`]: bytes to an [`Instruction`], a small `Copy` value that may be kept and emulated again;
//! * [`emulate`]: an [`Instruction`] over the [`Machine`] trait.
//!
//! What is decoded is what may fault or is intercepted, and nothing else: an instruction without a memory
//! operand is a [`Rejection`], as it can't be why the guest left. The crate allocates nothing but the full
//! decoder's tables, once ([`prepare`]), knows no platform and never panics: everything it reads from a guest
//! is hostile. Manuals named in comments: *APM*
//! is AMD's Architecture Programmer's Manual, *SDM* Intel's Software Developer's Manual.
#![no_std]
#![forbid(unsafe_code)]

mod decode;
mod emulate;
mod exception;
pub mod fetch;
mod instruction;
mod intercept;
mod machine;
mod processor;
mod size;
pub mod walk;

pub use decode::{Rejection, decode, prepare};
pub use emulate::{Combined, Event, Outcome, Plain, Stop, combine, deliver, emulate};
pub use exception::{Exception, vector};
pub use instruction::{Attributes, Instruction, Mode, Operand, Operation, Register, Segment};
pub use intercept::{Intercept, intercept_length};
pub use machine::{DescriptorTable, GuestMemory, Machine, PortRequest, SegmentState, SystemSegment, Table};
pub use processor::{Features, Processor, Vendor};
pub use size::Size;

/// The size of the smallest page in bytes; an access that crosses such a boundary is translated twice.
pub const PAGE_BYTES: u64 = 4096;

/// The bits of control registers and RFLAGS that the crate looks at (APM 2, 3.1).
pub mod bits {
    /// CR0: protected mode.
    pub const CR0_PE: u64 = 1 << 0;
    /// CR0: no x87 or SSE; their instructions are undefined.
    pub const CR0_EM: u64 = 1 << 2;
    /// CR0: task switched; x87 and SSE raise #NM.
    pub const CR0_TS: u64 = 1 << 3;
    /// CR0: supervisor writes respect read-only pages.
    pub const CR0_WP: u64 = 1 << 16;
    /// CR0: alignment checks are possible.
    pub const CR0_AM: u64 = 1 << 18;
    /// CR0: paging.
    pub const CR0_PG: u64 = 1 << 31;
    /// CR4: virtual-8086 code has an IF of its own.
    pub const CR4_VME: u64 = 1 << 0;
    /// CR4: 4 MiB pages in 32-bit paging.
    pub const CR4_PSE: u64 = 1 << 4;
    /// CR4: physical address extension.
    pub const CR4_PAE: u64 = 1 << 5;
    /// CR4: SSE is enabled.
    pub const CR4_OSFXSR: u64 = 1 << 9;
    /// CR4: no SGDT, SIDT, SLDT, STR and SMSW in user code.
    pub const CR4_UMIP: u64 = 1 << 11;
    /// CR4: 5-level paging.
    pub const CR4_LA57: u64 = 1 << 12;
    /// CR4: no supervisor execution of user pages.
    pub const CR4_SMEP: u64 = 1 << 20;
    /// CR4: no supervisor access to user pages.
    pub const CR4_SMAP: u64 = 1 << 21;
    /// CR4: protection keys for user pages.
    pub const CR4_PKE: u64 = 1 << 22;
    /// EFER: long mode is active.
    pub const EFER_LMA: u64 = 1 << 10;
    /// EFER: no-execute pages.
    pub const EFER_NXE: u64 = 1 << 11;
    /// RFLAGS: carry.
    pub const FLAG_CF: u64 = 1 << 0;
    /// RFLAGS: parity of the low byte.
    pub const FLAG_PF: u64 = 1 << 2;
    /// RFLAGS: carry out of bit 3.
    pub const FLAG_AF: u64 = 1 << 4;
    /// RFLAGS: zero.
    pub const FLAG_ZF: u64 = 1 << 6;
    /// RFLAGS: sign.
    pub const FLAG_SF: u64 = 1 << 7;
    /// RFLAGS: single step.
    pub const FLAG_TF: u64 = 1 << 8;
    /// RFLAGS: interrupts are taken.
    pub const FLAG_IF: u64 = 1 << 9;
    /// RFLAGS: string operations go downwards.
    pub const FLAG_DF: u64 = 1 << 10;
    /// RFLAGS: signed overflow.
    pub const FLAG_OF: u64 = 1 << 11;
    /// RFLAGS: the privilege level that ports and IF need.
    pub const FLAG_IOPL: u64 = 3 << 12;
    /// RFLAGS: the task was called by another one.
    pub const FLAG_NT: u64 = 1 << 14;
    /// RFLAGS: resume, no instruction breakpoint.
    pub const FLAG_RF: u64 = 1 << 16;
    /// RFLAGS: virtual-8086 mode.
    pub const FLAG_VM: u64 = 1 << 17;
    /// RFLAGS: alignment check, and access to user pages under SMAP.
    pub const FLAG_AC: u64 = 1 << 18;
    /// RFLAGS: IF as virtual-8086 code sees it.
    pub const FLAG_VIF: u64 = 1 << 19;
    /// RFLAGS: an interrupt waits for virtual-8086 code to set IF.
    pub const FLAG_VIP: u64 = 1 << 20;
    /// RFLAGS: can be changed, which says that there is CPUID.
    pub const FLAG_ID: u64 = 1 << 21;
}
