//! The decoder's view of a vCPU: its registers in the run page, the guest's memory, and the devices.

use decoder::walk::{self, Paging, WalkError};
use decoder::{GuestMemory, Machine, Mode, PortRequest, Processor, Segment, SegmentState, Size};
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

    #[cold]
    fn look_up(&mut self, linear: u64, access: walk::Access) -> Result<u64, WalkError> {
        let paging = self.paging();
        let found = walk::translate(self, &paging, linear, access)?;
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
        Size::B8 | Size::B16 => Width::Qword,
    }
}

impl<S: Surroundings> GuestMemory for VcpuMachine<'_, S> {
    #[inline]
    fn read(&mut self, gpa: u64, size: Size) -> Option<u64> {
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
        self.vcpu.ram().compare_exchange(gpa, size, expected, new)
    }

    fn compare_exchange_wide(&mut self, gpa: u64, expected: u128, new: u128) -> Option<u128> {
        self.vcpu.ram().compare_exchange_wide(gpa, expected, new)
    }
}

fn state(segment: registers::Segment) -> SegmentState {
    SegmentState { base: segment.base, limit: segment.limit, attributes: segment.attributes }
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
        match segment {
            Segment::Cs => return state(self.page().system().cs),
            Segment::Ss => {
                self.vcpu.registers().need_rest_of_system();
                return state(self.page().system().ss);
            }
            _ => self.vcpu.registers().need(Groups::SEGMENTS),
        }
        let segments = self.page().segments();
        state(match segment {
            Segment::Es => segments.es,
            Segment::Fs => segments.fs,
            Segment::Gs => segments.gs,
            _ => segments.ds,
        })
    }

    #[inline]
    fn cpl(&self) -> u8 {
        self.vcpu.parts().0.cpl()
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

    #[inline(always)]
    fn is_device(&self, gpa: u64) -> bool {
        gpa == self.not_ram
    }

    #[inline(always)]
    fn translate(&mut self, linear: u64, access: walk::Access) -> Result<u64, WalkError> {
        let (registers, emulator) = self.vcpu.parts();
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
        self.vcpu.checked_port() == Some(request)
    }

    fn port_read(&mut self, port: u16, size: Size) -> u32 {
        self.vcpu.port_in(port, width(size))
    }

    fn port_write(&mut self, port: u16, size: Size, value: u32) {
        self.vcpu.port_out(port, width(size), value);
    }
}
