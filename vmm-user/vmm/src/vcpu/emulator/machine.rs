//! The decoder's view of a vCPU: its registers in the run page, the guest's memory, and the devices.

use decoder::walk::{self, Paging, WalkError};
use decoder::{
    DescriptorTable, GuestMemory, Machine, Mode, PortRequest, Processor, Segment, SegmentState, Size,
    SystemSegment, Table,
};
use devices::capability::Width;
use runtime::abi::registers::{self, Groups};

use super::Surroundings;
use super::page_cache::KnownPage;
use super::table_path::TablePath;
use crate::guest_memory::GuestRam;
use crate::vcpu::PHYSICAL_BITS;
use crate::vcpu::page::VcpuPages;

/// A vCPU during an emulation.
pub struct VcpuMachine<'a, S> {
    vcpu: &'a mut S,
    /// An address that is known not to be RAM: the exit said so.
    not_ram: u64,
}

/// No guest physical address.
const NOWHERE: u64 = u64::MAX;

impl<'a, S: Surroundings> VcpuMachine<'a, S> {
    /// Begins one.
    #[inline]
    pub fn new(vcpu: &'a mut S) -> Self {
        Self { vcpu, not_ram: NOWHERE }
    }

    /// Begins that of the instruction that caused a nested page fault.
    #[inline]
    pub fn at_fault(vcpu: &'a mut S) -> Self {
        Self { not_ram: vcpu.parts().0.page.gpa(), vcpu }
    }

    /// The vCPU's pages.
    #[inline(always)]
    pub fn page(&self) -> &VcpuPages {
        &self.vcpu.parts().0.page
    }

    #[inline(always)]
    fn page_mut(&mut self) -> &mut VcpuPages {
        &mut self.vcpu.registers().page
    }

    /// The guest's memory.
    pub fn ram(&self) -> &GuestRam {
        self.vcpu.ram()
    }

    fn segment_register(&mut self, segment: Segment) -> registers::Segment {
        match segment {
            // Every exit that is decoded for has stored CS; of SS only the privilege level comes with it.
            Segment::Cs => return self.page().system().cs,
            Segment::Ss => {
                self.vcpu.registers().need_rest_of_system();
                return self.page().system().ss;
            }
            _ => self.vcpu.registers().need(Groups::SEGMENTS),
        }
        let segments = self.page().segments();
        match segment {
            Segment::Es => segments.es,
            Segment::Fs => segments.fs,
            Segment::Gs => segments.gs,
            _ => segments.ds,
        }
    }

    #[cold]
    fn look_up(&mut self, linear: u64, access: walk::Access) -> Result<u64, WalkError> {
        let paging = self.paging();
        let found = walk::translate(self, &paging, linear, access)?;
        // Other modes have entries of four bytes, too; a path compares eight.
        if self.mode() == Mode::Bits64
            && let Some(path) = TablePath::of(&found.trace, self.ram())
        {
            let known = KnownPage::new(self.page().view(), linear, access, &found, path);
            self.vcpu.emulator().pages.insert(known);
        }
        Ok(found.gpa)
    }
}

const fn width(size: Size) -> Width {
    match size {
        Size::B1 => Width::Byte,
        Size::B2 => Width::Word,
        Size::B4 => Width::Dword,
        // The decoder takes sixteen bytes apart before it comes to a device.
        Size::B8 | Size::B16 => Width::Qword,
    }
}

impl<S: Surroundings> GuestMemory for VcpuMachine<'_, S> {
    #[inline]
    fn read(&mut self, gpa: u64, size: Size) -> Option<u64> {
        // The exit has said that there is no RAM: nobody need search.
        if gpa == self.not_ram {
            return None;
        }
        self.vcpu.ram().read(gpa, size)
    }

    #[inline]
    fn write(&mut self, gpa: u64, size: Size, value: u64) -> Option<()> {
        if gpa == self.not_ram {
            return None;
        }
        self.vcpu.ram().write(gpa, size, value)
    }

    fn compare_exchange(&mut self, gpa: u64, size: Size, expected: u64, new: u64) -> Option<u64> {
        // Not told by the exit's address, as a load is: it is rare, and memory that is not there is none here
        // either.
        self.vcpu.ram().compare_exchange(gpa, size, expected, new)
    }

    fn compare_exchange_wide(&mut self, gpa: u64, expected: u128, new: u128) -> Option<u128> {
        self.vcpu.ram().compare_exchange_wide(gpa, expected, new)
    }
}

fn state(segment: registers::Segment) -> SegmentState {
    SegmentState { base: segment.base, limit: segment.limit, attributes: segment.attributes }
}

fn register(selector: u16, state: SegmentState) -> registers::Segment {
    let SegmentState { base, limit, attributes } = state;
    registers::Segment { selector, attributes, limit, base }
}

impl<S: Surroundings> Machine for VcpuMachine<'_, S> {
    #[inline]
    fn gpr(&self, number: u8) -> u64 {
        self.page().gpr(usize::from(number))
    }

    #[inline]
    fn set_gpr(&mut self, number: u8, value: u64) {
        self.page_mut().change_gpr(usize::from(number), value);
    }

    #[inline]
    fn rip(&self) -> u64 {
        self.page().rip()
    }

    #[inline]
    fn set_rip(&mut self, value: u64) {
        self.page_mut().change_rip(value);
    }

    #[inline]
    fn rflags(&self) -> u64 {
        self.page().rflags()
    }

    #[inline]
    fn set_rflags(&mut self, value: u64) {
        self.page_mut().set_rflags(value);
        self.page_mut().mark(Groups::GENERAL);
    }

    fn segment(&mut self, segment: Segment) -> SegmentState {
        state(self.segment_register(segment))
    }

    fn selector(&mut self, segment: Segment) -> u16 {
        self.segment_register(segment).selector
    }

    fn set_segment(&mut self, segment: Segment, selector: u16, state: SegmentState) {
        let value = register(selector, state);
        let registers = self.vcpu.registers();
        match segment {
            Segment::Cs => registers.change_system(|system| system.cs = value),
            Segment::Ss => registers.change_system(|system| system.ss = value),
            Segment::Es => registers.change_segments(|segments| segments.es = value),
            Segment::Ds => registers.change_segments(|segments| segments.ds = value),
            Segment::Fs => registers.change_segments(|segments| segments.fs = value),
            Segment::Gs => registers.change_segments(|segments| segments.gs = value),
        }
    }

    fn system_segment(&mut self, which: SystemSegment) -> (u16, SegmentState) {
        self.vcpu.registers().need(Groups::SEGMENTS);
        let segments = self.page().segments();
        let found = match which {
            SystemSegment::Ldtr => segments.ldtr,
            SystemSegment::Tr => segments.tr,
        };
        (found.selector, state(found))
    }

    fn set_system_segment(&mut self, which: SystemSegment, selector: u16, state: SegmentState) {
        let value = register(selector, state);
        self.vcpu.registers().change_segments(|segments| match which {
            SystemSegment::Ldtr => segments.ldtr = value,
            SystemSegment::Tr => segments.tr = value,
        });
    }

    fn descriptor_table(&mut self, which: Table) -> DescriptorTable {
        self.vcpu.registers().need(Groups::SEGMENTS);
        let segments = self.page().segments();
        let found = match which {
            Table::Gdt => segments.gdtr,
            Table::Idt => segments.idtr,
        };
        // The run page keeps a table in the form of a segment. Its register has 16 bits for the limit.
        DescriptorTable { base: found.base, limit: found.limit as u16 }
    }

    fn set_descriptor_table(&mut self, which: Table, value: DescriptorTable) {
        let value = registers::Segment {
            base: value.base,
            limit: value.limit.into(),
            ..registers::Segment::default()
        };
        self.vcpu.registers().change_segments(|segments| match which {
            Table::Gdt => segments.gdtr = value,
            Table::Idt => segments.idtr = value,
        });
    }

    #[inline]
    fn cpl(&self) -> u8 {
        self.vcpu.parts().0.cpl()
    }

    fn set_cpl(&mut self, cpl: u8) {
        self.vcpu.registers().set_cpl(cpl);
    }

    #[inline]
    fn processor(&self) -> Processor {
        self.vcpu.parts().1.processor
    }

    #[inline]
    fn paging(&self) -> Paging {
        let page = self.page();
        Paging {
            cr0: page.cr0(),
            cr3: page.cr3(),
            cr4: page.cr4(),
            efer: page.efer(),
            // CPUID does not offer protection keys.
            pkru: 0,
            physical_bits: PHYSICAL_BITS,
            gigabyte_pages: true,
        }
    }

    fn cr0(&mut self) -> u64 {
        // A processor lets the guest write TS by itself.
        self.vcpu.registers().need_rest_of_system();
        self.page().cr0()
    }

    fn xmm(&mut self, number: u8) -> Option<u128> {
        self.vcpu.registers().xmm(number)
    }

    fn set_xmm(&mut self, number: u8, value: u128) -> Option<()> {
        self.vcpu.registers().set_xmm(number, value)
    }

    fn has_x87_error(&mut self) -> Option<bool> {
        self.vcpu.registers().has_x87_error()
    }

    fn mmx(&mut self, number: u8) -> Option<u64> {
        self.vcpu.registers().mmx(number)
    }

    fn set_mmx(&mut self, number: u8, value: u64) -> Option<()> {
        self.vcpu.registers().set_mmx(number, value)
    }

    #[inline(always)]
    fn is_device(&self, gpa: u64) -> bool {
        gpa == self.not_ram
    }

    #[inline(always)]
    fn translate(&mut self, linear: u64, access: walk::Access) -> Result<u64, WalkError> {
        let (registers, emulator) = self.vcpu.parts();
        // Its entry is held against the tables each time, so no flush of the guest's has to be seen.
        if let Some(gpa) = emulator.pages.find(registers.page.view(), linear, access) {
            return Ok(gpa);
        }
        self.look_up(linear, access)
    }

    #[inline]
    fn device_read(&mut self, gpa: u64, size: Size) -> u64 {
        self.vcpu.device_read(gpa, width(size))
    }

    #[inline]
    fn device_write(&mut self, gpa: u64, size: Size, value: u64) {
        self.vcpu.device_write(gpa, width(size), value);
    }

    fn may_access_port(&self, request: PortRequest) -> bool {
        // IOPL and the TSS's bit map are not looked at here, so nothing goes but what the processor has let
        // through: the guest's bytes may be another INS or OUTS by now, and of a user program.
        self.vcpu.checked_port() == Some(request)
    }

    fn port_read(&mut self, port: u16, size: Size) -> u32 {
        self.vcpu.port_in(port, width(size))
    }

    fn port_write(&mut self, port: u16, size: Size, value: u32) {
        self.vcpu.port_out(port, width(size), value);
    }
}
