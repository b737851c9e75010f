//! What decoding and emulating cost: pieces of work, on about as much of a vCPU as a VMM has. `decoder-cost`
//! counts their instructions, the benchmark of the decoder takes their time.
//!
//! *Cached* is what a VMM gains that remembers: the decoded instruction is kept and emulated again, and pages
//! are where they were found before. Finding out whether that is still so costs a VMM more, and is not in it.

use decoder::fetch::{Code, fetch};
use decoder::walk::{self, Access, Kind, Paging, WalkError};
use decoder::{
    DescriptorTable, GuestMemory, Instruction, Intercept, Machine, Mode, Outcome, PAGE_BYTES, PortRequest,
    Processor, Segment, SegmentState, Size, SystemSegment, Table, Vendor, decode, emulate, intercept_length,
};
use std::hint::black_box;

/// `mov [rdi + 0x80], eax`
const MOV: [u8; 16] = [0x89, 0x87, 0x80, 0, 0, 0, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90];
/// `rep movsd`
const REP_MOVS: [u8; 16] =
    [0xf3, 0xa5, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90];
/// How many elements it moves.
const ELEMENTS: u64 = 256;
/// `cpuid`
const CPUID: [u8; 16] = [0x0f, 0xa2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

const PROCESSOR: Processor = Processor::full(Vendor::Amd);
const CODE: u64 = 0x5000;
const REP_CODE: u64 = CODE + 0x40;
const DEVICE: u64 = 0xfee0_0000;
const RAM_BYTES: usize = 0x1_0000;
/// How many pages are remembered.
const PAGES: usize = 16;

/// Where a page was found, for one kind of access.
#[derive(Clone, Copy)]
struct KnownPage {
    linear: u64,
    access: Access,
    gpa: u64,
}

/// RAM as a slice, a device, and what is remembered if it is to be.
pub struct Vcpu {
    gprs: [u64; 16],
    rip: u64,
    rflags: u64,
    ram: Vec<u8>,
    device: u64,
    kept: Option<Instruction>,
    remembers_pages: bool,
    pages: [Option<KnownPage>; PAGES],
}

impl Default for Vcpu {
    fn default() -> Self {
        Vcpu::new()
    }
}

impl Vcpu {
    /// Four levels of tables at 1000h that map the code and the device where they are.
    pub fn new() -> Vcpu {
        let mut vcpu = Vcpu {
            gprs: [0; 16],
            rip: CODE,
            rflags: 2,
            ram: vec![0; RAM_BYTES],
            device: 0,
            kept: None,
            remembers_pages: false,
            pages: [None; PAGES],
        };
        // Accessed and dirty already, so that no marks are counted.
        for (at, entry) in [
            (0x1000, 0x2027),
            (0x2000, 0x3027),
            (0x2018, 0x6027),
            (0x3000, 0x4027),
            (0x4000 + (CODE >> 12) * 8, CODE | 0x67),
            (0x4000 + 0x8 * 8, 0x8067),
            (0x4000 + 0x9 * 8, 0x9067),
            (0x6000 + (DEVICE >> 21 & 0x1ff) * 8, 0x7027),
            (0x7000, DEVICE | 0x7f),
        ] {
            let _ = vcpu.write(at, Size::B8, entry);
        }
        vcpu.ram[CODE as usize..][..16].copy_from_slice(&MOV);
        vcpu.ram[REP_CODE as usize..][..16].copy_from_slice(&REP_MOVS);
        // rDI, by which both instructions store.
        vcpu.gprs[7] = DEVICE;
        vcpu
    }

    fn bytes(&mut self, gpa: u64, size: Size) -> Option<&mut [u8]> {
        let start = usize::try_from(gpa).ok()?;
        self.ram.get_mut(start..start.checked_add(size.bytes() as usize)?)
    }
}

impl GuestMemory for Vcpu {
    #[inline]
    fn read(&mut self, gpa: u64, size: Size) -> Option<u64> {
        let bytes = self.bytes(gpa, size)?;
        // By lengths that the compiler knows: copying any length is a call, and the work would be counted
        // with it.
        Some(match *bytes {
            [a] => a.into(),
            [a, b] => u16::from_le_bytes([a, b]).into(),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]).into(),
            [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => 0,
        })
    }

    #[inline]
    fn write(&mut self, gpa: u64, size: Size, value: u64) -> Option<()> {
        let value = value.to_le_bytes();
        let target = self.bytes(gpa, size)?;
        // As above, for the two lengths that the work has.
        match target.len() {
            4 => target.copy_from_slice(&value[..4]),
            8 => target.copy_from_slice(&value),
            length => target.copy_from_slice(value.get(..length)?),
        }
        Some(())
    }

    fn compare_exchange(&mut self, gpa: u64, size: Size, expected: u64, new: u64) -> Option<u64> {
        let found = self.read(gpa, size)?;
        if found == expected {
            self.write(gpa, size, new)?;
        }
        Some(found)
    }

    fn compare_exchange_wide(&mut self, _gpa: u64, _expected: u128, _new: u128) -> Option<u128> {
        None
    }
}

impl Machine for Vcpu {
    #[inline]
    fn gpr(&self, number: u8) -> u64 {
        self.gprs[usize::from(number & 15)]
    }

    #[inline]
    fn set_gpr(&mut self, number: u8, value: u64) {
        self.gprs[usize::from(number & 15)] = value;
    }

    #[inline]
    fn rip(&self) -> u64 {
        self.rip
    }

    #[inline]
    fn set_rip(&mut self, value: u64) {
        self.rip = value;
    }

    #[inline]
    fn rflags(&self) -> u64 {
        self.rflags
    }

    #[inline]
    fn set_rflags(&mut self, value: u64) {
        self.rflags = value;
    }

    #[inline]
    fn segment(&mut self, segment: Segment) -> SegmentState {
        let attributes = if segment == Segment::Cs { 0xa9b } else { 0xc93 };
        SegmentState { base: 0, limit: u32::MAX, attributes }
    }

    #[inline]
    fn cpl(&self) -> u8 {
        0
    }

    #[inline]
    fn processor(&self) -> Processor {
        PROCESSOR
    }

    #[inline]
    fn paging(&self) -> Paging {
        Paging {
            cr0: 0x8001_0033,
            cr3: 0x1000,
            cr4: 0x6b0,
            efer: 0xd01,
            pkru: 0,
            physical_bits: 40,
            gigabyte_pages: true,
        }
    }

    // No work comes here, nor to the others that do nothing.
    fn xmm(&mut self, _number: u8) -> Option<u128> {
        None
    }

    fn selector(&mut self, _segment: Segment) -> u16 {
        0
    }

    fn set_segment(&mut self, _segment: Segment, _selector: u16, _state: SegmentState) {}

    fn system_segment(&mut self, _which: SystemSegment) -> (u16, SegmentState) {
        (0, SegmentState { base: 0, limit: 0, attributes: 0 })
    }

    fn set_system_segment(&mut self, _which: SystemSegment, _selector: u16, _state: SegmentState) {}

    fn descriptor_table(&mut self, _which: Table) -> DescriptorTable {
        DescriptorTable::default()
    }

    fn set_descriptor_table(&mut self, _which: Table, _value: DescriptorTable) {}

    fn set_cpl(&mut self, _cpl: u8) {}

    fn has_x87_error(&mut self) -> Option<bool> {
        None
    }

    fn mmx(&mut self, _number: u8) -> Option<u64> {
        None
    }

    fn set_mmx(&mut self, _number: u8, _value: u64) -> Option<()> {
        None
    }

    fn set_xmm(&mut self, _number: u8, _value: u128) -> Option<()> {
        None
    }

    #[inline]
    fn device_read(&mut self, _gpa: u64, _size: Size) -> u64 {
        self.device
    }

    #[inline]
    fn device_write(&mut self, _gpa: u64, _size: Size, value: u64) {
        self.device = value;
    }

    fn may_access_port(&self, _request: PortRequest) -> bool {
        false
    }

    fn port_read(&mut self, _port: u16, _size: Size) -> u32 {
        0
    }

    fn port_write(&mut self, _port: u16, _size: Size, _value: u32) {}

    #[inline]
    fn translate(&mut self, linear: u64, access: Access) -> Result<u64, WalkError> {
        let offset = linear % PAGE_BYTES;
        // The work's pages have places of their own, so one place a page number will do.
        let place = (linear / PAGE_BYTES) as usize % PAGES;
        if self.remembers_pages
            && let Some(known) = self.pages[place]
            && (known.linear, known.access) == (linear - offset, access)
        {
            return Ok(known.gpa + offset);
        }
        let paging = self.paging();
        let gpa = walk::translate(self, &paging, linear, access)?.gpa;
        if self.remembers_pages {
            self.pages[place] = Some(KnownPage { linear: linear - offset, access, gpa: gpa - offset });
        }
        Ok(gpa)
    }
}

/// Something to be measured.
pub struct Work {
    /// What it is.
    pub name: &'static str,
    /// The work, with nothing known of the instruction or of pages.
    pub anew: fn(&mut Vcpu),
    /// The same once more, from the second time on with what is known then.
    pub cached: Option<fn(&mut Vcpu)>,
}

/// What can be measured.
pub const WORK: [Work; 5] = [
    Work {
        name: "`intercept_length` of CPUID",
        anew: |_| {
            black_box(intercept_length(Intercept::Cpuid, black_box(&CPUID), Mode::Bits64));
        },
        cached: None,
    },
    Work {
        name: "decode `mov [rdi+0x80], eax`",
        anew: |_| {
            // Behind black boxes, or the compiler would decode while it builds this.
            let _ = black_box(decode(black_box(&MOV), Mode::Bits64, PROCESSOR));
        },
        cached: None,
    },
    Work {
        name: "translate an address through four levels of tables",
        anew: |vcpu| {
            let paging = vcpu.paging();
            let access = Access::explicit(Kind::Write, 0, 2);
            let _ = black_box(walk::translate(vcpu, &paging, black_box(DEVICE), access));
        },
        cached: None,
    },
    Work {
        name: "decode and emulate `mov [rdi+0x80], eax`, to a device",
        anew: |vcpu| anew(vcpu, CODE),
        cached: Some(|vcpu| again(vcpu, CODE)),
    },
    Work {
        name: "decode and emulate `rep movsd` of 256 elements, RAM to RAM",
        anew: |vcpu| {
            point_to_ram(vcpu);
            anew(vcpu, REP_CODE);
        },
        cached: Some(|vcpu| {
            point_to_ram(vcpu);
            again(vcpu, REP_CODE);
        }),
    },
];

/// Fetches, decodes and emulates.
fn anew(vcpu: &mut Vcpu, rip: u64) {
    vcpu.rip = rip;
    if let Ok(instruction) = fetch(vcpu, &mut { Code::EMPTY }) {
        done(emulate(&instruction, vcpu, u32::MAX));
    }
}

/// Emulates what was fetched and decoded the first time.
fn again(vcpu: &mut Vcpu, rip: u64) {
    vcpu.rip = rip;
    // Only from here on: a vCPU that works anew must not gain by it.
    vcpu.remembers_pages = true;
    // While the work is warmed up, so that none of this is counted.
    if vcpu.kept.is_none() {
        vcpu.kept = fetch(vcpu, &mut { Code::EMPTY }).ok();
    }
    if let Some(instruction) = vcpu.kept {
        done(emulate(&instruction, vcpu, u32::MAX));
    }
}

fn point_to_ram(vcpu: &mut Vcpu) {
    vcpu.gprs[1] = ELEMENTS;
    vcpu.gprs[6] = 0x8000;
    vcpu.gprs[7] = 0x9000;
}

fn done(outcome: Outcome) {
    assert!(matches!(black_box(outcome), Outcome::Done { .. }), "{outcome:?}");
}
