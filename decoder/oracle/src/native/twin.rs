//! The emulator's side of a case: the same registers, and a copy of the same memory.

use super::descriptors::{self, LDT_AT};
use super::mapping::{self, DATA, DATA_BYTES, PAGE};
use super::processor::Registers;
use decoder::walk::{Access, Paging, WalkError};
use decoder::{
    DescriptorTable, GuestMemory, Machine, PortRequest, Processor, Segment, SegmentState, Size,
    SystemSegment, Table,
};

/// A selector that the kernel has for the local descriptor table, and the table.
const LDT_SELECTOR: u16 = 0x50;
const LDT: SegmentState = SegmentState { base: LDT_AT, limit: 8 * 16 - 1, attributes: 0x82 };

/// A [`Machine`] with user rights to the pages of data.
#[derive(Clone)]
pub(super) struct Twin {
    pub(super) registers: Registers,
    pub(super) segments: [SegmentState; 6],
    pub(super) selectors: [u16; 6],
    pub(super) data: Box<[u8; DATA_BYTES]>,
    /// An address was translated that might be mapped in this process.
    pub(super) is_unsafe: bool,
    pub(super) processor: Processor,
    pub(super) paging: Paging,
}

impl Twin {
    pub(super) fn new(processor: Processor) -> Twin {
        let flat = SegmentState { base: 0, limit: u32::MAX, attributes: 0 };
        Twin {
            registers: Registers::default(),
            segments: [flat; 6],
            selectors: [0; 6],
            data: Box::new([0; DATA_BYTES]),
            is_unsafe: false,
            processor,
            // Linux's. No walk is made by them: they say that alignment is checked and that this is long
            // mode.
            paging: Paging {
                cr0: 0x8005_0033,
                cr3: 0,
                cr4: 0x6f0,
                efer: 0xd01,
                pkru: 0,
                physical_bits: 46,
                gigabyte_pages: true,
            },
        }
    }

    fn bytes(&mut self, gpa: u64, bytes: u64) -> Option<&mut [u8]> {
        let offset = usize::try_from(gpa.checked_sub(DATA)?).ok()?;
        self.data.get_mut(offset..offset + bytes as usize)
    }

    fn load(&mut self, gpa: u64, bytes: u64) -> Option<u128> {
        let mut value = [0; 16];
        let found = self.bytes(gpa, bytes)?;
        value[..found.len()].copy_from_slice(found);
        Some(u128::from_le_bytes(value))
    }

    fn exchange(&mut self, gpa: u64, bytes: u64, expected: u128, new: u128) -> Option<u128> {
        let found = self.load(gpa, bytes)?;
        // There is one thread: nobody gets in between.
        if found == expected {
            self.bytes(gpa, bytes)?.copy_from_slice(&new.to_le_bytes()[..bytes as usize]);
        }
        Some(found)
    }
}

impl GuestMemory for Twin {
    fn read(&mut self, gpa: u64, size: Size) -> Option<u64> {
        // The tables are the kernel's: user code reaches them only by loading selectors.
        if let Some(value) = descriptors::read(gpa, size) {
            return Some(value);
        }
        self.load(gpa, size.bytes()).map(|value| value as u64)
    }

    fn write(&mut self, gpa: u64, size: Size, value: u64) -> Option<()> {
        // Data alone: descriptors are marked as accessed from the start, so nobody writes to them.
        let target = self.bytes(gpa, size.bytes())?;
        target.copy_from_slice(&value.to_le_bytes()[..size.bytes() as usize]);
        Some(())
    }

    fn compare_exchange(&mut self, gpa: u64, size: Size, expected: u64, new: u64) -> Option<u64> {
        self.exchange(gpa, size.bytes(), expected.into(), new.into()).map(|value| value as u64)
    }

    fn compare_exchange_wide(&mut self, gpa: u64, expected: u128, new: u128) -> Option<u128> {
        self.exchange(gpa, 16, expected, new)
    }
}

impl Machine for Twin {
    fn gpr(&self, number: u8) -> u64 {
        self.registers.gprs[usize::from(number)]
    }

    fn set_gpr(&mut self, number: u8, value: u64) {
        self.registers.gprs[usize::from(number)] = value;
    }

    fn rip(&self) -> u64 {
        self.registers.rip
    }

    fn set_rip(&mut self, value: u64) {
        self.registers.rip = value;
    }

    fn rflags(&self) -> u64 {
        self.registers.rflags
    }

    fn set_rflags(&mut self, value: u64) {
        self.registers.rflags = value;
    }

    fn segment(&mut self, segment: Segment) -> SegmentState {
        self.segments[segment as usize]
    }

    fn selector(&mut self, segment: Segment) -> u16 {
        self.selectors[segment as usize]
    }

    fn set_segment(&mut self, segment: Segment, selector: u16, state: SegmentState) {
        self.selectors[segment as usize] = selector;
        self.segments[segment as usize] = state;
    }

    fn system_segment(&mut self, which: SystemSegment) -> (u16, SegmentState) {
        match which {
            SystemSegment::Ldtr => (LDT_SELECTOR, LDT),
            // Nothing that user code does here comes to look at the task's state.
            SystemSegment::Tr => (0, SegmentState { base: 0, limit: 0, attributes: 0 }),
        }
    }

    fn set_system_segment(&mut self, _which: SystemSegment, _selector: u16, _state: SegmentState) {
        unreachable!("user code can't")
    }

    fn descriptor_table(&mut self, which: Table) -> DescriptorTable {
        match which {
            Table::Gdt => DescriptorTable { base: descriptors::GDT_AT, limit: descriptors::GDT_LIMIT },
            Table::Idt => DescriptorTable::default(),
        }
    }

    fn set_descriptor_table(&mut self, _which: Table, _value: DescriptorTable) {
        unreachable!("user code can't")
    }

    fn cpl(&self) -> u8 {
        3
    }

    fn set_cpl(&mut self, cpl: u8) {
        // User code leaves its level by faults alone, which the emulator only reports.
        assert_eq!(cpl, 3);
    }

    fn processor(&self) -> Processor {
        self.processor
    }

    fn paging(&self) -> Paging {
        self.paging
    }

    fn xmm(&mut self, number: u8) -> Option<u128> {
        Some(self.registers.xmm[usize::from(number)])
    }

    fn set_xmm(&mut self, number: u8, value: u128) -> Option<()> {
        self.registers.xmm[usize::from(number)] = value;
        Some(())
    }

    fn has_x87_error(&mut self) -> Option<bool> {
        Some(false)
    }

    fn mmx(&mut self, number: u8) -> Option<u64> {
        Some(self.registers.mmx[usize::from(number)])
    }

    fn set_mmx(&mut self, number: u8, value: u64) -> Option<()> {
        self.registers.mmx[usize::from(number)] = value;
        Some(())
    }

    /// Nothing is a device: [`Twin::translate`] only lets data through.
    fn device_read(&mut self, _gpa: u64, _size: Size) -> u64 {
        unreachable!("no devices")
    }

    fn device_write(&mut self, _gpa: u64, _size: Size, _value: u64) {
        unreachable!("no devices")
    }

    /// Ports are for cases that only a guest runs, where it matters that they complete, but not what they
    /// read.
    fn may_access_port(&self, _request: PortRequest) -> bool {
        true
    }

    fn port_read(&mut self, _port: u16, _size: Size) -> u32 {
        0
    }

    fn port_write(&mut self, _port: u16, _size: Size, _value: u32) {}

    fn translate(&mut self, linear: u64, access: Access) -> Result<u64, WalkError> {
        if descriptors::contains(linear) {
            return Ok(linear);
        }
        let write = if access.kind() == decoder::walk::Kind::Write { 2 } else { 0 };
        match mapping::right(linear) {
            Some(right) if mapping::allows(right, access.kind()) => Ok(linear),
            Some(right) => {
                // What has no rights at all is not present to the processor, whatever Linux keeps there.
                let present = u32::from(right != mapping::Right::Nothing);
                Err(WalkError::Fault { error_code: 4 | write | present, address: linear })
            }
            None => {
                // The first page is never mapped; anything else might be.
                self.is_unsafe |= linear >= PAGE;
                Err(WalkError::Fault { error_code: 4 | write, address: linear })
            }
        }
    }
}
