//! The decoder's view of a vCPU: its registers in the run page, the guest's memory, and the devices.

use decoder::walk::{self, Paging, WalkError};
use decoder::{GuestMemory, Machine, Mode, PortRequest, Processor, Segment, SegmentState, Size};
use devices::capability::Width;
use runtime::abi::registers::{self, Groups};

use super::page::VcpuPages;
use super::page_cache::KnownPage;
use super::table_path::TablePath;
use super::{Bus, PHYSICAL_BITS, Vcpu};

/// A vCPU during an emulation.
pub struct Emulation<'a> {
    vcpu: &'a mut Vcpu,
    /// An address that is known not to be RAM: the exit said so.
    not_ram: u64,
}

/// No guest physical address.
const NOWHERE: u64 = u64::MAX;

impl<'a> Emulation<'a> {
    /// Begins one.
    #[inline]
    pub fn new(vcpu: &'a mut Vcpu) -> Self {
        Self { vcpu, not_ram: NOWHERE }
    }

    /// Begins that of the instruction that caused a nested page fault.
    #[inline]
    pub fn at_fault(vcpu: &'a mut Vcpu) -> Self {
        Self { not_ram: vcpu.registers.page.gpa(), vcpu }
    }

    /// The vCPU's pages.
    #[inline(always)]
    pub fn page(&self) -> &VcpuPages {
        &self.vcpu.registers.page
    }

    #[cold]
    fn look_up(&mut self, linear: u64, access: walk::Access) -> Result<u64, WalkError> {
        let paging = self.paging();
        let found = walk::translate(self, &paging, linear, access)?;
        if self.mode() == Mode::Bits64
            && let Some(path) = TablePath::of(&found.trace, self)
        {
            let known = KnownPage::new(self.page().view(), linear, access, &found, path);
            self.vcpu.pages.insert(known);
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

impl GuestMemory for Emulation<'_> {
    #[inline]
    fn read(&mut self, gpa: u64, size: Size) -> Option<u64> {
        if gpa == self.not_ram {
            return None;
        }
        self.vcpu.shared.ram.read(gpa, size)
    }

    #[inline]
    fn write(&mut self, gpa: u64, size: Size, value: u64) -> Option<()> {
        if gpa == self.not_ram {
            return None;
        }
        self.vcpu.shared.ram.write(gpa, size, value)
    }

    fn compare_exchange(&mut self, gpa: u64, size: Size, expected: u64, new: u64) -> Option<u64> {
        self.vcpu.shared.ram.compare_exchange(gpa, size, expected, new)
    }

    fn compare_exchange_wide(&mut self, gpa: u64, expected: u128, new: u128) -> Option<u128> {
        self.vcpu.shared.ram.compare_exchange_wide(gpa, expected, new)
    }
}

fn state(segment: registers::Segment) -> SegmentState {
    SegmentState { base: segment.base, limit: segment.limit, attributes: segment.attributes }
}

impl Machine for Emulation<'_> {
    #[inline]
    fn gpr(&self, number: u8) -> u64 {
        self.vcpu.registers.page.gpr(usize::from(number))
    }

    #[inline]
    fn set_gpr(&mut self, number: u8, value: u64) {
        self.vcpu.registers.page.set_gpr(usize::from(number), value);
        self.vcpu.registers.page.mark(Groups::GENERAL);
    }

    #[inline]
    fn rip(&self) -> u64 {
        self.vcpu.registers.page.rip()
    }

    #[inline]
    fn set_rip(&mut self, value: u64) {
        self.vcpu.registers.page.set_rip(value);
        self.vcpu.registers.page.mark(Groups::GENERAL);
    }

    #[inline]
    fn rflags(&self) -> u64 {
        self.vcpu.registers.page.rflags()
    }

    #[inline]
    fn set_rflags(&mut self, value: u64) {
        self.vcpu.registers.page.set_rflags(value);
        self.vcpu.registers.page.mark(Groups::GENERAL);
    }

    fn segment(&mut self, segment: Segment) -> SegmentState {
        match segment {
            Segment::Cs => return state(self.vcpu.registers.page.system().cs),
            Segment::Ss => return state(self.vcpu.registers.page.system().ss),
            _ => self.vcpu.registers.need(Groups::SEGMENTS),
        }
        let segments = self.vcpu.registers.page.segments();
        state(match segment {
            Segment::Es => segments.es,
            Segment::Fs => segments.fs,
            Segment::Gs => segments.gs,
            _ => segments.ds,
        })
    }

    #[inline]
    fn cpl(&self) -> u8 {
        self.vcpu.registers.cpl()
    }

    #[inline]
    fn processor(&self) -> Processor {
        self.vcpu.processor
    }

    #[inline]
    fn paging(&self) -> Paging {
        let page = &self.vcpu.registers.page;
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

    fn xmm(&mut self, number: u8) -> Option<u128> {
        self.vcpu.registers.xmm(number)
    }

    fn set_xmm(&mut self, number: u8, value: u128) -> Option<()> {
        self.vcpu.registers.set_xmm(number, value)
    }

    #[inline(always)]
    fn translate(&mut self, linear: u64, access: walk::Access) -> Result<u64, WalkError> {
        if let Some(gpa) = self.vcpu.pages.find(self.vcpu.registers.page.view(), linear, access) {
            return Ok(gpa);
        }
        self.look_up(linear, access)
    }

    #[inline]
    fn device_read(&mut self, gpa: u64, size: Size) -> u64 {
        let vcpu = &mut *self.vcpu;
        let board = &vcpu.shared.board;
        let mut access = board.access();
        let value = match vcpu.events.lapic_offset(gpa) {
            Some(offset) => {
                vcpu.events.lapic.mmio_read(offset, width(size), &Bus { board, access: &mut access })
            }
            None => board.mmio_read(gpa, width(size), &mut access),
        };
        vcpu.finish(&access);
        value
    }

    #[inline]
    fn device_write(&mut self, gpa: u64, size: Size, value: u64) {
        let vcpu = &mut *self.vcpu;
        let board = &vcpu.shared.board;
        let mut access = board.access();
        match vcpu.events.lapic_offset(gpa) {
            Some(offset) => {
                vcpu.events.lapic.mmio_write(
                    offset,
                    width(size),
                    value,
                    &mut Bus { board, access: &mut access },
                );
                vcpu.events.lapic_written(&mut vcpu.registers);
            }
            None => board.mmio_write(gpa, width(size), value, &mut access),
        }
        vcpu.finish(&access);
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
