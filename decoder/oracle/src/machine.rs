//! A vCPU and its memory as plain arrays and maps.

use crate::registers::plain_registers;
use decoder::walk::Paging;
use decoder::{
    DescriptorTable, Exception, GuestMemory, Machine, Mode, Outcome, PortRequest, Processor, Segment,
    SegmentState, Size, SystemSegment, Table, Vendor,
};
use std::collections::BTreeMap;

const PAGE_BYTES: u64 = 4096;

/// One access that reached a device or a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceAccess {
    /// The guest physical address, or the port.
    pub address: u64,
    /// The size of the access.
    pub size: Size,
    /// What was written; `None` for a read.
    pub written: Option<u64>,
}

/// A [`Machine`] whose every part is open to the test.
#[derive(Clone, Debug)]
pub struct TestMachine {
    /// General registers.
    pub gprs: [u64; 16],
    /// RIP.
    pub rip: u64,
    /// RFLAGS.
    pub rflags: u64,
    /// ES, CS, SS, DS, FS, GS.
    pub segments: [SegmentState; 6],
    /// Their selectors.
    pub selectors: [u16; 6],
    /// LDTR and TR: selector, and what it means.
    pub system_segments: [(u16, SegmentState); 2],
    /// GDTR and IDTR.
    pub tables: [DescriptorTable; 2],
    /// The privilege level.
    pub cpl: u8,
    /// The processor: Intel's, with everything, unless the test wants another.
    pub processor: Processor,
    /// Control registers.
    pub paging: Paging,
    /// XMM registers.
    pub xmm: [u128; 16],
    /// MMX registers.
    pub mmx: [u64; 8],
    /// An x87 error waits to be reported.
    pub has_x87_error: bool,
    /// Whether XMM and MMX registers can be had.
    pub has_fpu: bool,
    /// RAM, by page number.
    pub ram: BTreeMap<u64, Box<[u8; PAGE_BYTES as usize]>>,
    /// What devices read as, by address of the byte; all-ones where there is nothing.
    pub device: BTreeMap<u64, u8>,
    /// The machine knows addresses without RAM by themselves ([`Machine::is_device`]).
    pub knows_devices: bool,
    /// Accesses to devices, in order.
    pub device_log: Vec<DeviceAccess>,
    /// The access to a port that the processor has checked, if the exit was for one.
    pub port_exit: Option<PortRequest>,
    /// Accesses to ports, in order.
    pub port_log: Vec<DeviceAccess>,
    /// What ports read as.
    pub port_value: u32,
    /// This many compare-exchanges find that another vCPU has just added 0x100 to the value, to a byte 0x20.
    pub interference: u32,
}

impl TestMachine {
    /// A machine in `mode` at CPL 0 with paging off (which long mode can't have, but the emulator doesn't
    /// mind), flat segments, everything enabled, and no memory.
    pub fn new(mode: Mode) -> TestMachine {
        let (attributes, efer) = match mode {
            Mode::Bits16 => (0x93, 0),
            Mode::Bits32 => (0xc93, 0),
            Mode::Bits64 => (0xc93, 0xd01),
        };
        let flat = SegmentState { base: 0, limit: u32::MAX, attributes };
        let code = match mode {
            Mode::Bits16 => 0x9b,
            Mode::Bits32 => 0xc9b,
            Mode::Bits64 => 0xa9b,
        };
        let mut segments = [flat; 6];
        segments[Segment::Cs as usize].attributes = code;
        TestMachine {
            gprs: [0; 16],
            rip: 0x1000,
            rflags: 2,
            segments,
            selectors: [0; 6],
            system_segments: [(0, SegmentState { base: 0, limit: 0, attributes: 0 }); 2],
            tables: [DescriptorTable::default(); 2],
            cpl: 0,
            processor: Processor::full(Vendor::Intel),
            paging: Paging {
                cr0: 0x0005_0033 & !0x2c,
                cr3: 0,
                cr4: 0x6b0,
                efer,
                pkru: 0,
                physical_bits: 40,
                gigabyte_pages: true,
            },
            xmm: [0; 16],
            mmx: [0; 8],
            has_x87_error: false,
            has_fpu: true,
            ram: BTreeMap::new(),
            device: BTreeMap::new(),
            knows_devices: false,
            device_log: Vec::new(),
            port_exit: None,
            port_log: Vec::new(),
            port_value: 0,
            interference: 0,
        }
    }

    /// Makes the pages that hold `bytes` at `address` RAM, if they aren't, and fills them.
    pub fn put(&mut self, address: u64, bytes: &[u8]) {
        for (address, &byte) in (address..).zip(bytes) {
            // Pages come by what is put there: all else is no RAM, as most of a machine's addresses are.
            let page = self.ram.entry(address / PAGE_BYTES).or_insert_with(|| Box::new([0; 4096]));
            page[(address % PAGE_BYTES) as usize] = byte;
        }
    }

    /// Reads RAM; what is none reads as zeros.
    pub fn get(&self, address: u64, length: usize) -> Vec<u8> {
        let byte = |address: u64| {
            self.ram.get(&(address / PAGE_BYTES)).map_or(0, |page| page[(address % PAGE_BYTES) as usize])
        };
        (address..).take(length).map(byte).collect()
    }

    /// A little-endian value in RAM.
    pub fn value(&self, address: u64, size: Size) -> u64 {
        let mut bytes = [0; 8];
        let found = self.get(address, size.bytes() as usize);
        bytes[..found.len()].copy_from_slice(&found);
        u64::from_le_bytes(bytes)
    }

    /// Makes `bytes` what devices read as at `address`.
    pub fn put_device(&mut self, address: u64, bytes: &[u8]) {
        self.device.extend((address..).zip(bytes.iter().copied()));
    }

    /// Decodes and emulates the instruction `code`, without fetching it; at most `max_iterations`.
    ///
    /// # Panics
    /// If `code` is rejected, or is longer than the instruction.
    pub fn run(&mut self, code: &[u8], max_iterations: u32) -> Outcome {
        let instruction = decoder::decode(code, self.mode(), self.processor);
        let instruction = instruction.unwrap_or_else(|error| panic!("{code:02x?}: {error:?}"));
        // A test that gives more bytes means another instruction than it gets.
        assert_eq!(usize::from(instruction.length), code.len(), "{code:02x?}");
        decoder::emulate(&instruction, self, max_iterations)
    }

    /// Like [`TestMachine::run`], for what must complete.
    ///
    /// # Panics
    /// If it doesn't.
    pub fn complete(&mut self, code: &[u8]) {
        let outcome = self.run(code, u32::MAX);
        assert_eq!(outcome, Outcome::Done { single_step: false }, "{code:02x?}");
    }

    /// Like [`TestMachine::run`], for what must fault.
    ///
    /// # Panics
    /// If it doesn't.
    pub fn fault(&mut self, code: &[u8]) -> Exception {
        match self.run(code, u32::MAX) {
            Outcome::Exception(exception) => exception,
            outcome => panic!("{code:02x?}: {outcome:?}"),
        }
    }

    fn bytes_mut(&mut self, gpa: u64, bytes: u64) -> Option<&mut [u8]> {
        let offset = (gpa % PAGE_BYTES) as usize;
        let end = offset + bytes as usize;
        // The emulator promises never to cross a page: neighbours may be anything.
        assert!(end <= PAGE_BYTES as usize, "access crosses a page: {gpa:x}, {bytes}");
        self.ram.get_mut(&(gpa / PAGE_BYTES)).map(|page| &mut page[offset..end])
    }

    fn read_ram(&mut self, gpa: u64, bytes: u64) -> Option<u128> {
        let found = self.bytes_mut(gpa, bytes)?;
        let mut value = [0; 16];
        value[..found.len()].copy_from_slice(found);
        Some(u128::from_le_bytes(value))
    }

    fn write_ram(&mut self, gpa: u64, bytes: u64, value: u128) -> Option<()> {
        let target = self.bytes_mut(gpa, bytes)?;
        target.copy_from_slice(&value.to_le_bytes()[..bytes as usize]);
        Some(())
    }

    fn exchange(&mut self, gpa: u64, bytes: u64, expected: u128, new: u128) -> Option<u128> {
        let mut found = self.read_ram(gpa, bytes)?;
        // As if another vCPU's store came between the emulator's read and this.
        if self.interference > 0 {
            self.interference -= 1;
            let mask = u128::MAX >> (128 - 8 * bytes);
            found = found.wrapping_add(if bytes == 1 { 0x20 } else { 0x100 }) & mask;
            self.write_ram(gpa, bytes, found)?;
        }
        if found == expected {
            self.write_ram(gpa, bytes, new)?;
        }
        Some(found)
    }
}

impl GuestMemory for TestMachine {
    fn read(&mut self, gpa: u64, size: Size) -> Option<u64> {
        // Sixteen bytes are exchanged, and otherwise come in two halves.
        assert!(size != Size::B16);
        self.read_ram(gpa, size.bytes()).map(|value| value as u64)
    }

    fn write(&mut self, gpa: u64, size: Size, value: u64) -> Option<()> {
        assert!(size != Size::B16);
        // The emulator promises to give no more bits than the size has.
        assert_eq!(value & !size.mask(), 0);
        self.write_ram(gpa, size.bytes(), value.into())
    }

    fn compare_exchange(&mut self, gpa: u64, size: Size, expected: u64, new: u64) -> Option<u64> {
        assert!(size != Size::B16);
        self.exchange(gpa, size.bytes(), expected.into(), new.into()).map(|value| value as u64)
    }

    fn compare_exchange_wide(&mut self, gpa: u64, expected: u128, new: u128) -> Option<u128> {
        // As CMPXCHG16B demands it; the emulator has to fault otherwise.
        assert_eq!(gpa % 16, 0);
        self.exchange(gpa, 16, expected, new)
    }
}

impl Machine for TestMachine {
    plain_registers!();

    fn xmm(&mut self, number: u8) -> Option<u128> {
        self.has_fpu.then(|| self.xmm[usize::from(number)])
    }

    fn set_xmm(&mut self, number: u8, value: u128) -> Option<()> {
        self.has_fpu.then(|| self.xmm[usize::from(number)] = value)
    }

    fn has_x87_error(&mut self) -> Option<bool> {
        self.has_fpu.then_some(self.has_x87_error)
    }

    fn mmx(&mut self, number: u8) -> Option<u64> {
        self.has_fpu.then(|| self.mmx[usize::from(number)])
    }

    fn set_mmx(&mut self, number: u8, value: u64) -> Option<()> {
        self.has_fpu.then(|| self.mmx[usize::from(number)] = value)
    }

    fn device_read(&mut self, gpa: u64, size: Size) -> u64 {
        // The emulator promises devices no more than eight bytes, of one page.
        assert!(size != Size::B16 && gpa % PAGE_BYTES + size.bytes() <= PAGE_BYTES);
        self.device_log.push(DeviceAccess { address: gpa, size, written: None });
        let byte = |at| u64::from(*self.device.get(&gpa.wrapping_add(at)).unwrap_or(&0xff)) << (8 * at);
        (0..size.bytes()).map(byte).sum()
    }

    fn device_write(&mut self, gpa: u64, size: Size, value: u64) {
        assert!(size != Size::B16 && gpa % PAGE_BYTES + size.bytes() <= PAGE_BYTES);
        self.device_log.push(DeviceAccess { address: gpa, size, written: Some(value) });
        let bytes = value.to_le_bytes();
        for at in 0..size.bytes() {
            // A device has the bytes that the test has put; writes to others are logged and change nothing.
            if let Some(byte) = self.device.get_mut(&gpa.wrapping_add(at)) {
                *byte = bytes[at as usize];
            }
        }
    }

    fn is_device(&self, gpa: u64) -> bool {
        self.knows_devices && !self.ram.contains_key(&(gpa / PAGE_BYTES))
    }

    fn may_access_port(&self, request: PortRequest) -> bool {
        self.port_exit == Some(request)
    }

    fn port_read(&mut self, port: u16, size: Size) -> u32 {
        self.port_log.push(DeviceAccess { address: port.into(), size, written: None });
        self.port_value & size.mask() as u32
    }

    fn port_write(&mut self, port: u16, size: Size, value: u32) {
        self.port_log.push(DeviceAccess { address: port.into(), size, written: Some(value.into()) });
    }
}
