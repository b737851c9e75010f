//! What the crate needs to know of a vCPU and its memory. The VMM implements these traits over its run page
//! and its guest memory; tests implement them over arrays.

use crate::bits::{FLAG_RF, FLAG_TF};
use crate::walk::{self, Access, Paging, WalkError};
use crate::{Instruction, Mode, Processor, Segment, Size};

/// Guest physical memory.
///
/// `None` from any of these means that the address is not RAM: nothing has been done. An access never crosses
/// a 4 KiB boundary and is never [`Size::B16`], but need not be aligned.
pub trait GuestMemory {
    /// Reads a little-endian value, zero-extended.
    fn read(&mut self, gpa: u64, size: Size) -> Option<u64>;

    /// Writes the low `size` bytes of `value`.
    fn write(&mut self, gpa: u64, size: Size, value: u64) -> Option<()>;

    /// Stores `new` if memory holds `expected`; returns what it held. Atomic against other vCPUs if the
    /// address is aligned to `size`; where it isn't, as atomic as the implementation can make it.
    fn compare_exchange(&mut self, gpa: u64, size: Size, expected: u64, new: u64) -> Option<u64>;

    /// The same with sixteen bytes; `gpa` is aligned to sixteen.
    fn compare_exchange_wide(&mut self, gpa: u64, expected: u128, new: u128) -> Option<u128>;
}

/// A segment register's hidden part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentState {
    /// The base address.
    pub base: u64,
    /// The limit in bytes: the last valid offset, granularity applied.
    pub limit: u32,
    /// As in a VMCB (APM 2, 15.5.1): bits 3:0 type, 4 S, 6:5 DPL, 7 P, 8 AVL, 9 L, 10 D/B, 11 G.
    pub attributes: u16,
}

impl SegmentState {
    /// Attribute: present. A null selector's segment has it clear.
    pub const PRESENT: u16 = 1 << 7;
    /// Attribute: 64-bit code.
    pub const LONG: u16 = 1 << 9;
    /// Attribute: D or B, 32-bit code or stack.
    pub const BIG: u16 = 1 << 10;
    /// Attribute, in the type: code.
    pub const CODE: u16 = 1 << 3;
    /// Attribute, in the type: expands down, if it is data.
    pub const EXPAND_DOWN: u16 = 1 << 2;
    /// Attribute, in the type: writable data or readable code.
    pub const WRITABLE: u16 = 1 << 1;
    /// The attributes of every segment in virtual-8086 mode.
    pub const VIRTUAL: u16 = 0xf3;

    /// SS with a null selector in 64-bit code at `cpl`: not used, but it has a privilege level.
    pub(crate) const fn null_stack(cpl: u8) -> SegmentState {
        SegmentState { base: 0, limit: 0, attributes: (cpl as u16) << 5 }
    }
}

/// An access to a port that INS or OUTS makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRequest {
    /// The port.
    pub port: u16,
    /// The size of one access.
    pub size: Size,
    /// INS, which reads; else OUTS.
    pub is_in: bool,
    /// It is repeated.
    pub is_repeated: bool,
}

/// A register that a selector of a system segment is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemSegment {
    /// LDTR.
    Ldtr,
    /// TR.
    Tr,
}

/// A register that says where a descriptor table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// GDTR.
    Gdt,
    /// IDTR.
    Idt,
}

/// Where a descriptor table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DescriptorTable {
    /// The linear address.
    pub base: u64,
    /// The last valid offset.
    pub limit: u16,
}

/// One vCPU, as the emulator sees it.
///
/// General registers are numbered as in encodings: rAX 0, rCX 1, rDX 2, rBX 3, rSP 4, rBP 5, rSI 6, rDI 7, R8
/// to R15.
pub trait Machine: GuestMemory {
    /// A whole general register; `number` is below 16.
    fn gpr(&self, number: u8) -> u64;

    /// Sets a whole general register; `number` is below 16.
    fn set_gpr(&mut self, number: u8, value: u64);

    /// The offset in CS of the instruction.
    fn rip(&self) -> u64;

    /// Sets RIP; done once, when the instruction completes, and with it goes any interrupt shadow.
    fn set_rip(&mut self, value: u64);

    /// RFLAGS.
    fn rflags(&self) -> u64;

    /// Sets RFLAGS, which are legal.
    fn set_rflags(&mut self, value: u64);

    /// The hidden part of a segment register, which an implementation may have to ask for.
    fn segment(&mut self, segment: Segment) -> SegmentState;

    /// The selector in a segment register.
    fn selector(&mut self, segment: Segment) -> u16;

    /// Sets a segment register. Of CS, that is how code is read from then on.
    fn set_segment(&mut self, segment: Segment, selector: u16, state: SegmentState);

    /// The selector in LDTR or TR, and what it means.
    fn system_segment(&mut self, which: SystemSegment) -> (u16, SegmentState);

    /// Sets LDTR or TR.
    fn set_system_segment(&mut self, which: SystemSegment, selector: u16, state: SegmentState);

    /// Where a descriptor table is.
    fn descriptor_table(&mut self, which: Table) -> DescriptorTable;

    /// Sets where a descriptor table is.
    fn set_descriptor_table(&mut self, which: Table, value: DescriptorTable);

    /// The current privilege level, 0 to 3.
    fn cpl(&self) -> u8;

    /// Sets the privilege level, after CS and SS.
    fn set_cpl(&mut self, cpl: u8);

    /// The guest's processor, by what its CPUID says; always the same.
    fn processor(&self) -> Processor;

    /// Control registers and what else paging depends on.
    fn paging(&self) -> Paging;

    /// CR0, whole. A machine whose guest writes TS by itself has it here, but not in [`Self::paging`].
    fn cr0(&mut self) -> u64 {
        self.paging().cr0
    }

    /// An XMM register, or `None` if the FPU state can't be had now: the emulation ends with
    /// [`Stop::FpuState`](crate::Stop::FpuState), nothing done. `number` is below 16.
    fn xmm(&mut self, number: u8) -> Option<u128>;

    /// Sets an XMM register; upper lanes of wider registers stay. `None` as for [`Machine::xmm`].
    fn set_xmm(&mut self, number: u8, value: u128) -> Option<()>;

    /// Whether an x87 error waits to be reported (FSW.ES, with CR0.NE), or `None` as for [`Machine::xmm`].
    fn has_x87_error(&mut self) -> Option<bool>;

    /// An MMX register, or `None` as for [`Machine::xmm`]. `number` is below 8.
    fn mmx(&mut self, number: u8) -> Option<u64>;

    /// Sets an MMX register, as an MMX instruction does: bits 79:64 of the x87 register that it is part of
    /// are set, all x87 registers are valid, and the top of their stack is 0. `None` as for
    /// [`Machine::xmm`].
    fn set_mmx(&mut self, number: u8, value: u64) -> Option<()>;

    /// Reads a device register, or absent memory, at an address that is not RAM. Never [`Size::B16`].
    fn device_read(&mut self, gpa: u64, size: Size) -> u64;

    /// Writes to a device, or to absent memory, at an address that is not RAM. Never [`Size::B16`].
    fn device_write(&mut self, gpa: u64, size: Size, value: u64);

    /// Whether the processor has checked the guest's right to just this access (CPL, IOPL, and the TSS's
    /// permission map), which it does before the intercept. The bytes may be others since: INS and OUTS are
    /// carried out behind an exit for such an access only. Else the guest is run again, and the processor
    /// checks.
    fn may_access_port(&self, request: PortRequest) -> bool;

    /// Reads a port, for INS, after [`Machine::may_access_port`].
    fn port_read(&mut self, port: u16, size: Size) -> u32;

    /// Writes a port, for OUTS, after [`Machine::may_access_port`].
    fn port_write(&mut self, port: u16, size: Size, value: u32);

    /// Whether an address is known to be no RAM, so that nobody need look. `false` says nothing.
    #[inline]
    fn is_device(&self, gpa: u64) -> bool {
        let _ = gpa;
        false
    }

    /// Translates a linear address to a guest physical one. By default a full walk; an implementation that
    /// caches translations overrides this.
    #[inline]
    fn translate(&mut self, linear: u64, access: Access) -> Result<u64, WalkError> {
        let paging = self.paging();
        walk::translate(self, &paging, linear, access).map(|translation| translation.gpa)
    }

    /// How CS makes the processor read code.
    #[inline]
    fn mode(&mut self) -> Mode {
        Mode::new(self.paging().efer, self.segment(Segment::Cs).attributes)
    }
}

impl Instruction {
    /// Moves RIP behind the instruction, as the processor does when it completes; for those the VMM carries
    /// out. Returns whether the guest is single-stepping, so that #DB (DR6.BS) is due.
    #[inline]
    pub fn advance(&self, machine: &mut impl Machine) -> bool {
        self.mode.advance(machine, self.length)
    }
}

impl Mode {
    /// [`Instruction::advance`] where only the length is known. RF is cleared, as by every instruction that
    /// completes.
    #[inline]
    pub fn advance(self, machine: &mut impl Machine, length: u8) -> bool {
        // Outside 64-bit code addresses have 32 bits, and wrap.
        let next = machine.rip().wrapping_add(u64::from(length)) & self.linear_mask();
        machine.set_rip(next);
        let flags = machine.rflags();
        if flags & FLAG_RF != 0 {
            machine.set_rflags(flags & !FLAG_RF);
        }
        flags & FLAG_TF != 0
    }
}
