//! A machine that is cheap to make and to compare: little memory, seen again and again at every address.

use crate::registers::plain_registers;
use decoder::walk::Paging;
use decoder::{
    DescriptorTable, GuestMemory, Machine, PortRequest, Processor, Segment, SegmentState, Size,
    SystemSegment, Table, Vendor,
};

/// Bytes of RAM, and of device registers, that there are: few, as fuzzing copies and compares them all the
/// time.
pub const SMALL_BYTES: usize = 128;

/// Addresses with this bit are a device's.
const DEVICE: u64 = 1 << 15;

/// A [`Machine`] for fuzzing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmallMachine {
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
    /// The processor.
    pub processor: Processor,
    /// Control registers.
    pub paging: Paging,
    /// All XMM registers' value.
    pub xmm: u128,
    /// All MMX registers' value.
    pub mmx: u64,
    /// What is at every RAM address, modulo its size.
    pub ram: [u8; SMALL_BYTES],
    /// What is at every device address, modulo its size.
    pub device: [u8; SMALL_BYTES],
    /// RAM behaves as a device does.
    pub is_all_device: bool,
    /// How many bytes devices and ports have been asked for or given.
    pub device_bytes: u64,
}

impl SmallMachine {
    /// A machine at CPL 0 with flat segments, whose memory is `fill` again and again; devices have it in
    /// reverse.
    pub fn new(fill: &[u64; 8], paging: Paging) -> SmallMachine {
        let mut ram = [0; SMALL_BYTES];
        for (bytes, value) in ram.chunks_exact_mut(8).zip(fill.iter().cycle()) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        let mut device = ram;
        // So that a device and RAM are told apart.
        device.reverse();
        SmallMachine {
            gprs: [0; 16],
            rip: 0,
            rflags: 2,
            segments: [SegmentState { base: 0, limit: u32::MAX, attributes: 0xc93 }; 6],
            selectors: [0; 6],
            system_segments: [(0, SegmentState { base: 0, limit: 0, attributes: 0 }); 2],
            tables: [DescriptorTable::default(); 2],
            cpl: 0,
            processor: Processor::full(Vendor::Intel),
            paging,
            // One value for all registers: there is less to copy and to compare.
            xmm: u128::from(fill[0]) << 64 | u128::from(fill[1]),
            mmx: fill[2],
            ram,
            device,
            is_all_device: false,
            device_bytes: 0,
        }
    }

    fn bank(&mut self, gpa: u64) -> &mut [u8; SMALL_BYTES] {
        if gpa & DEVICE != 0 { &mut self.device } else { &mut self.ram }
    }

    fn load(&mut self, gpa: u64, bytes: u64) -> u128 {
        // The emulator promises never to cross a page.
        assert!(gpa % 4096 + bytes <= 4096, "access crosses a page: {gpa:x}, {bytes}");
        let start = gpa as usize % SMALL_BYTES;
        let bank = self.bank(gpa);
        // Nearly always, and faster than byte by byte.
        if let Some(window) = bank.get(start..).and_then(|rest| rest.first_chunk()) {
            return u128::from_le_bytes(*window) & u128::MAX >> (128 - 8 * bytes);
        }
        let byte = |at| u128::from(bank[(start + at) % SMALL_BYTES]) << (8 * at);
        (0..bytes as usize).map(byte).sum()
    }

    fn store(&mut self, gpa: u64, bytes: u64, value: u128) {
        assert!(gpa % 4096 + bytes <= 4096, "access crosses a page: {gpa:x}, {bytes}");
        // And to give no more bits than the size has.
        assert!(bytes == 16 || value >> (8 * bytes) == 0);
        let start = gpa as usize % SMALL_BYTES;
        let bank = self.bank(gpa);
        for at in 0..bytes as usize {
            bank[(start + at) % SMALL_BYTES] = (value >> (8 * at)) as u8;
        }
    }

    fn is_ram(&self, gpa: u64) -> bool {
        gpa & DEVICE == 0 && !self.is_all_device
    }

    fn exchange(&mut self, gpa: u64, bytes: u64, expected: u128, new: u128) -> Option<u128> {
        if !self.is_ram(gpa) {
            // No device can be exchanged with: the emulator has to read and to write.
            return None;
        }
        let found = self.load(gpa, bytes);
        if found == expected {
            self.store(gpa, bytes, new);
        }
        Some(found)
    }
}

impl GuestMemory for SmallMachine {
    fn read(&mut self, gpa: u64, size: Size) -> Option<u64> {
        assert!(size != Size::B16);
        self.is_ram(gpa).then(|| self.load(gpa, size.bytes()) as u64)
    }

    fn write(&mut self, gpa: u64, size: Size, value: u64) -> Option<()> {
        assert!(size != Size::B16);
        self.is_ram(gpa).then(|| self.store(gpa, size.bytes(), value.into()))
    }

    fn compare_exchange(&mut self, gpa: u64, size: Size, expected: u64, new: u64) -> Option<u64> {
        assert!(size != Size::B16);
        self.exchange(gpa, size.bytes(), expected.into(), new.into()).map(|value| value as u64)
    }

    fn compare_exchange_wide(&mut self, gpa: u64, expected: u128, new: u128) -> Option<u128> {
        assert_eq!(gpa % 16, 0);
        self.exchange(gpa, 16, expected, new)
    }
}

impl Machine for SmallMachine {
    plain_registers!();

    fn xmm(&mut self, number: u8) -> Option<u128> {
        assert!(number < 16);
        Some(self.xmm)
    }

    fn set_xmm(&mut self, number: u8, value: u128) -> Option<()> {
        assert!(number < 16);
        self.xmm = value;
        Some(())
    }

    fn has_x87_error(&mut self) -> Option<bool> {
        // Something that the input decides.
        Some(self.mmx & 1 != 0)
    }

    fn mmx(&mut self, number: u8) -> Option<u64> {
        assert!(number < 8);
        Some(self.mmx)
    }

    fn set_mmx(&mut self, number: u8, value: u64) -> Option<()> {
        assert!(number < 8);
        self.mmx = value;
        Some(())
    }

    fn device_read(&mut self, gpa: u64, size: Size) -> u64 {
        assert!(size != Size::B16);
        // Counted, as a device notices what is read twice.
        self.device_bytes += size.bytes();
        self.load(gpa, size.bytes()) as u64
    }

    fn device_write(&mut self, gpa: u64, size: Size, value: u64) {
        assert!(size != Size::B16);
        self.device_bytes += size.bytes();
        self.store(gpa, size.bytes(), value.into());
    }

    /// The processor has checked even ports.
    fn may_access_port(&self, request: PortRequest) -> bool {
        request.port.is_multiple_of(2)
    }

    fn port_read(&mut self, port: u16, size: Size) -> u32 {
        self.device_bytes += size.bytes();
        // A value that tells ports apart.
        (u32::from(port).wrapping_mul(0x1234_5677)) & size.mask() as u32
    }

    fn port_write(&mut self, _port: u16, size: Size, value: u32) {
        assert_eq!(u64::from(value) & !size.mask(), 0);
        self.device_bytes += size.bytes();
    }
}
