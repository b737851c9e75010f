//! Registers of the local APIC by number: MSR 800h + n in x2APIC mode, offset 16 × n in xAPIC mode.

/// The first x2APIC MSR.
pub const X2APIC_MSR_BASE: u32 = 0x800;
/// IA32_APIC_BASE.
pub const MSR_APIC_BASE: u32 = 0x1b;
/// IA32_TSC_DEADLINE.
pub const MSR_TSC_DEADLINE: u32 = 0x6e0;
/// Where the xAPIC page is after reset.
pub const DEFAULT_BASE: u64 = 0xfee0_0000;

/// No address of a register page: physical addresses have fewer bits.
pub const NO_PAGE: u64 = 1 << 63;

/// Local APIC ID; read-only.
pub const ID: u32 = 0x02;
/// Version; read-only.
pub const VERSION: u32 = 0x03;
/// Task priority.
pub const TPR: u32 = 0x08;
/// Arbitration priority; read-only, xAPIC only.
pub const APR: u32 = 0x09;
/// Processor priority; read-only.
pub const PPR: u32 = 0x0a;
/// End of interrupt; write-only.
pub const EOI: u32 = 0x0b;
/// Remote read; read-only, xAPIC only, always 0.
pub const RRD: u32 = 0x0c;
/// Logical destination; read-only in x2APIC mode.
pub const LDR: u32 = 0x0d;
/// Destination format; xAPIC only.
pub const DFR: u32 = 0x0e;
/// Spurious interrupt vector, software enable, EOI broadcast suppression.
pub const SVR: u32 = 0x0f;
/// In-service, first of eight words.
pub const ISR: u32 = 0x10;
/// The last word of ISR.
pub const ISR_LAST: u32 = 0x17;
/// Trigger mode, first of eight words.
pub const TMR: u32 = 0x18;
/// The last word of TMR.
pub const TMR_LAST: u32 = 0x1f;
/// Interrupt request, first of eight words.
pub const IRR: u32 = 0x20;
/// The last word of IRR.
pub const IRR_LAST: u32 = 0x27;
/// Error status.
pub const ESR: u32 = 0x28;
/// LVT: corrected machine check.
pub const LVT_CMCI: u32 = 0x2f;
/// Interrupt command, bits 31:0 in xAPIC mode, all 64 in x2APIC mode.
pub const ICR: u32 = 0x30;
/// Interrupt command, bits 63:32; xAPIC only.
pub const ICR_HIGH: u32 = 0x31;
/// LVT: timer.
pub const LVT_TIMER: u32 = 0x32;
/// LVT: thermal sensor.
pub const LVT_THERMAL: u32 = 0x33;
/// LVT: performance counters.
pub const LVT_PERFORMANCE: u32 = 0x34;
/// LVT: LINT0 pin.
pub const LVT_LINT0: u32 = 0x35;
/// LVT: LINT1 pin.
pub const LVT_LINT1: u32 = 0x36;
/// LVT: APIC error.
pub const LVT_ERROR: u32 = 0x37;
/// Timer initial count.
pub const TIMER_INITIAL: u32 = 0x38;
/// Timer current count; read-only.
pub const TIMER_CURRENT: u32 = 0x39;
/// Timer divide configuration.
pub const TIMER_DIVIDE: u32 = 0x3e;
/// Self IPI; write-only, x2APIC only.
pub const SELF_IPI: u32 = 0x3f;

/// Version 14h, LVT entries 0 to 6, EOI broadcast suppression (bit 24).
pub const VERSION_VALUE: u32 = 0x0106_0014;

/// SVR: APIC enabled by software.
pub const SVR_ENABLE: u32 = 1 << 8;
/// SVR: do not broadcast EOIs of level-triggered vectors.
pub const SVR_SUPPRESS_EOI: u32 = 1 << 12;
/// SVR: bits software may set (vector, enable, focus checking, suppression).
pub const SVR_WRITABLE: u32 = 0x13ff;

/// DFR: bits 27:0 are always ones.
pub const DFR_ONES: u32 = 0x0fff_ffff;

/// LVT: masked.
pub const LVT_MASKED: u32 = 1 << 16;
/// LVT: delivery mode, bits 10:8.
pub const LVT_MODE: u32 = 0x700;
/// LVT: read-only bits (delivery status, remote IRR), ignored in a write.
pub const LVT_READ_ONLY: u32 = 1 << 12 | 1 << 14;
/// LVT timer: mode, bits 18:17.
pub const LVT_TIMER_MODE: u32 = 3 << 17;
/// LVT timer: one-shot.
pub const LVT_TIMER_ONE_SHOT: u32 = 0;
/// LVT timer: periodic.
pub const LVT_TIMER_PERIODIC: u32 = 1 << 17;
/// LVT timer: TSC deadline.
pub const LVT_TIMER_TSC_DEADLINE: u32 = 2 << 17;

/// ESR: an IPI with a vector below 16 was to be sent.
pub const ESR_SEND_ILLEGAL: u32 = 1 << 5;
/// ESR: an interrupt with a vector below 16 arrived.
pub const ESR_RECEIVE_ILLEGAL: u32 = 1 << 6;
/// ESR: access to a reserved register; xAPIC only.
pub const ESR_ILLEGAL_REGISTER: u32 = 1 << 7;

/// IA32_APIC_BASE: bootstrap processor.
pub const BASE_BSP: u64 = 1 << 8;
/// IA32_APIC_BASE: x2APIC mode.
pub const BASE_EXTD: u64 = 1 << 10;
/// IA32_APIC_BASE: globally enabled.
pub const BASE_ENABLE: u64 = 1 << 11;

/// The lowest vector that may be delivered as a fixed interrupt.
pub const FIRST_VECTOR: u8 = 16;
