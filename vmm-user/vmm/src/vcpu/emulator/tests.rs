mod access;

use super::*;
use crate::vcpu::registers::fake::{FakeKernel, registers};
use alloc::boxed::Box;
use alloc::vec::Vec;
use decoder::{Exception, Features, Vendor};
use runtime::abi::registers::{Groups, Segment, SystemRegisters};

/// The guest's page tables, one page for each level; then what they map: code, data, another page of code.
const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const DIRECTORY: u64 = 0x3000;
const TABLE: u64 = 0x4000;
const CODE: u64 = 0x8000;
const DATA: u64 = 0x9000;
const OTHER: u64 = 0xa000;
const RAM_BYTES: u64 = 0x1_0000;
/// Not RAM: its linear address is the same.
const DEVICE: u64 = 0x2_0000;
/// Where `CODE` is mapped as well, by another entry.
const CODE_AGAIN: u64 = 0x3_0000;

const PRESENT: u64 = 0b11;
/// `mov qword [rdi + 8], 12345678h`, with a displacement of four bytes: eleven bytes.
const STORE: [u8; 11] = [0x48, 0xc7, 0x87, 8, 0, 0, 0, 0x78, 0x56, 0x34, 0x12];
const CMPXCHG16B: [u8; 5] = [0xf0, 0x48, 0x0f, 0xc7, 0x0f];

/// A vCPU without events, and a device that notes what is written to it.
struct Machine {
    registers: Registers<FakeKernel>,
    emulator: Emulator,
    ram: GuestRam,
    written: Vec<(u64, u64)>,
    /// The access to a port that the processor has checked, and how many there were.
    checked: Option<PortRequest>,
    ports: u32,
}

impl Surroundings for Machine {
    type Kernel = FakeKernel;

    fn parts(&self) -> (&Registers<FakeKernel>, &Emulator) {
        (&self.registers, &self.emulator)
    }

    fn registers(&mut self) -> &mut Registers<FakeKernel> {
        &mut self.registers
    }

    fn emulator(&mut self) -> &mut Emulator {
        &mut self.emulator
    }

    fn ram(&self) -> &GuestRam {
        &self.ram
    }

    fn device_read(&mut self, _: u64, width: Width) -> u64 {
        0x5a & width.mask()
    }

    fn device_write(&mut self, gpa: u64, _: Width, value: u64) {
        self.written.push((gpa, value));
    }

    fn checked_port(&self) -> Option<PortRequest> {
        self.checked
    }

    fn port_in(&mut self, _: u16, _: Width) -> u32 {
        self.ports += 1;
        0
    }

    fn port_out(&mut self, _: u16, _: Width, _: u32) {
        self.ports += 1;
    }
}

impl Machine {
    /// In 64-bit code at `CODE`, with RDI at the device.
    fn new(features: Features) -> Self {
        let memory = alloc::vec![0u64; (RAM_BYTES / 8) as usize];
        let mut machine = Self {
            registers: registers(),
            emulator: Emulator::of(Processor { vendor: Vendor::Amd, features }).unwrap(),
            ram: GuestRam::of(Box::leak(memory.into_boxed_slice())),
            written: Vec::new(),
            checked: None,
            ports: 0,
        };
        for (table, next) in [(PML4, PDPT), (PDPT, DIRECTORY), (DIRECTORY, TABLE)] {
            machine.put(table, &(next | PRESENT).to_le_bytes());
        }
        for page in [CODE, DATA, OTHER, DEVICE] {
            machine.map(page, page);
        }
        machine.map(CODE_AGAIN, CODE);
        let page = &mut machine.registers.page;
        let cs = Segment { attributes: 0x29b, ..Segment::default() };
        let ss = Segment { attributes: 0x93, ..Segment::default() };
        let (cr0, cr4, efer) = (0x8001_0031, 0x620, 0x500);
        page.set_system(SystemRegisters { cr0, cr3: PML4, cr4, efer, cs, ss, ..SystemRegisters::default() });
        page.set_exit_groups((Groups::GENERAL | Groups::SYSTEM | Groups::SEGMENTS).bits());
        page.set_rip(CODE);
        page.set_rflags(2);
        page.set_gpr(7, DEVICE);
        machine
    }

    fn put(&mut self, gpa: u64, bytes: &[u8]) {
        assert!(self.ram.copy_in(gpa, bytes));
    }

    fn map(&mut self, linear: u64, gpa: u64) {
        self.put(TABLE + linear / 0x1000 * 8, &(gpa | PRESENT).to_le_bytes());
    }

    /// Fetches the instruction at RIP.
    fn fetch(&mut self) -> Result<Instruction, FetchError> {
        let mut code = Code::EMPTY;
        fetch(self, &mut code)
    }

    fn is_known(&self) -> bool {
        self.emulator.known(self.registers.page.view()).is_some()
    }

    fn known_length(&self, intercept: Intercept) -> Option<u8> {
        self.emulator.known_length(self.registers.page.view(), intercept)
    }
}

/// A machine that knows the instruction at `CODE`.
fn knowing(code: &[u8]) -> Machine {
    let mut machine = Machine::new(Features::all());
    machine.put(CODE, code);
    assert!(!machine.is_known());
    assert!(machine.fetch().is_ok());
    assert!(machine.is_known());
    machine
}

#[test]
fn a_store_reaches_the_device() {
    let mut machine = knowing(&STORE);
    let instruction = machine.fetch().unwrap();
    assert_eq!(emulate(&mut machine, &instruction, 1), Outcome::Done { single_step: false });
    machine.registers.page.set_gpa(DEVICE + 8);
    machine.registers.page.set_rip(CODE);
    assert_eq!(emulate_at_fault(&mut machine, &instruction, 1), Outcome::Done { single_step: false });
    assert_eq!(machine.written, [(DEVICE + 8, 0x1234_5678); 2]);
    assert_eq!(machine.registers.page.rip(), CODE + STORE.len() as u64);
}

/// Every byte of the instruction that is remembered is compared with what memory holds now, and no other.
#[test]
fn every_byte_of_what_is_remembered_is_compared() {
    let mut machine = knowing(&STORE);
    for (at, byte) in (CODE..).zip(STORE) {
        machine.put(at, &[byte ^ 0x40]);
        assert!(!machine.is_known(), "{at:x}");
        machine.put(at, &[byte]);
        assert!(machine.is_known(), "{at:x}");
    }
    machine.put(CODE + STORE.len() as u64, &[0xff; 8]);
    assert!(machine.is_known());
}

#[test]
fn everything_that_decoding_depends_on_is_compared() {
    let mut machine = knowing(&STORE);
    type Change = fn(&mut crate::vcpu::page::VcpuPages, u64);
    let system = machine.registers.page.system();
    let changes: [(Change, u64); 3] = [
        (|page, value| page.set_rip(value), CODE),
        (|page, value| page.set_cr3(value), PML4),
        (|page, value| page.set_cs_attributes(value as u16), system.cs.attributes.into()),
    ];
    for (index, (change, value)) in changes.into_iter().enumerate() {
        change(&mut machine.registers.page, value ^ 0x1000);
        assert!(!machine.is_known(), "change {index}");
        change(&mut machine.registers.page, value);
        assert!(machine.is_known(), "change {index}");
    }
    for entry in [PML4, PDPT, DIRECTORY, TABLE + CODE / 0x1000 * 8] {
        let value = machine.ram.read(entry, decoder::Size::B8).unwrap();
        machine.put(entry, &(value ^ 1 << 9).to_le_bytes());
        assert!(!machine.is_known(), "entry {entry:x}");
        machine.put(entry, &value.to_le_bytes());
        assert!(machine.is_known(), "entry {entry:x}");
    }
}

/// What says how page tables and code are read is not compared: who changes it has everything forgotten.
#[test]
fn other_paging_is_a_new_beginning() {
    let before = Control { cr0: 0x8001_0031, cr4: 0x6a0, efer: 0x500, code_is_long: true };
    for (change, is_kept) in [
        (Control { ..before }, true),
        // TS, and PGE, which says nothing of what is mapped where.
        (Control { cr0: before.cr0 | 8, ..before }, true),
        (Control { cr4: before.cr4 & !0x80, ..before }, true),
        (Control { cr0: before.cr0 & !(1 << 31), ..before }, false),
        (Control { cr0: before.cr0 & !(1 << 16), ..before }, false),
        (Control { cr0: before.cr0 & !1, ..before }, false),
        (Control { cr4: before.cr4 & !0x20, ..before }, false),
        (Control { cr4: before.cr4 | 1 << 20, ..before }, false),
        (Control { efer: before.efer | 1 << 11, ..before }, false),
    ] {
        let mut machine = knowing(&STORE);
        machine.emulator.paging_changes(&before, &change);
        assert_eq!(machine.is_known(), is_kept, "{change:x?}");
    }
}

/// The same bytes at another address are another entry; and what lies in two pages is not remembered.
#[test]
fn only_what_can_be_compared_is_remembered() {
    let mut machine = knowing(&STORE);
    machine.registers.page.set_rip(CODE_AGAIN);
    assert!(!machine.is_known());
    assert!(machine.fetch().is_ok() && machine.is_known());
    machine.registers.page.set_rip(OTHER - 4);
    machine.put(OTHER - 4, &STORE);
    assert!(machine.fetch().is_ok());
    assert!(!machine.is_known());
    machine.emulator.forget();
    machine.registers.page.set_rip(CODE);
    assert!(!machine.is_known());
}

#[test]
fn a_length_is_that_of_the_intercepted_instruction() {
    let mut machine = Machine::new(Features::all());
    machine.put(CODE, &[0x0f, 0xa2, 0xf4]);
    assert_eq!(machine.known_length(Intercept::Cpuid), None);
    assert_eq!(find_length(&mut machine, Intercept::Cpuid), Ok(Some(2)));
    assert_eq!(machine.known_length(Intercept::Cpuid), Some(2));
    assert_eq!(machine.known_length(Intercept::Hlt), None);
    assert_eq!(find_length(&mut machine, Intercept::Hlt), Ok(None));
    machine.put(CODE + 1, &[0x30]);
    assert_eq!(machine.known_length(Intercept::Cpuid), None);
    // Eight bytes are compared; an instruction with more prefixes is found anew each time.
    machine.put(CODE, &[0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x0f, 0xa2]);
    assert_eq!(find_length(&mut machine, Intercept::Cpuid), Ok(Some(9)));
    assert_eq!(machine.known_length(Intercept::Cpuid), None);
}

/// CR0.TS may be another than the VMM last knew, and #NM depends on it.
#[test]
fn an_sse_move_asks_for_the_whole_of_cr0() {
    let mut machine = Machine::new(Features::all());
    machine.registers.page.set_exit_groups((Groups::GENERAL | Groups::DECODING).bits());
    machine.registers.page.set_gpr(7, DATA);
    // `movaps [rdi], xmm0`
    machine.put(CODE, &[0x0f, 0x29, 0x07]);
    let instruction = machine.fetch().unwrap();
    assert_eq!(machine.registers.kernel.0.borrow().fetched, []);
    assert_eq!(emulate(&mut machine, &instruction, 1), Outcome::Done { single_step: false });
    assert_eq!(machine.registers.kernel.0.borrow().fetched, [Groups::SYSTEM, Groups::FPU]);
}

/// A page that is remembered is looked for again when the guest's tables say something else.
#[test]
fn a_changed_page_table_is_seen_at_once() {
    let mut machine = knowing(&STORE);
    let instruction = machine.fetch().unwrap();
    let store = |machine: &mut Machine| {
        machine.registers.page.set_rip(CODE);
        emulate(machine, &instruction, 1)
    };
    assert_eq!(store(&mut machine), Outcome::Done { single_step: false });
    machine.map(DEVICE, DATA);
    assert_eq!(store(&mut machine), Outcome::Done { single_step: false });
    assert_eq!(machine.written.len(), 1);
    assert_eq!(machine.ram.read(DATA + 8, decoder::Size::B8), Some(0x1234_5678));
    // Read-only, and CR0.WP is set.
    machine.put(TABLE + DEVICE / 0x1000 * 8, &(DATA | 1).to_le_bytes());
    let fault = Exception::page_fault(0b11, DEVICE + 8);
    assert_eq!(store(&mut machine), Outcome::Exception(fault));
}

/// Code that another vCPU has put in the place of what made the exit: a guest without CMPXCHG16B, whose host
/// may not have it either, gets #UD, and nothing is executed for it.
#[test]
fn what_the_guests_processor_lacks_is_not_carried_out() {
    let undefined = FetchError::Exception(Exception::UNDEFINED_OPCODE);
    for (features, code) in [
        (Features::all() - Features::CX16, &CMPXCHG16B[..]),
        (Features::all() - Features::CX8, &[0xf0, 0x0f, 0xc7, 0x0f]),
        (Features::all() - Features::MOVBE, &[0x0f, 0x38, 0xf1, 0x07]),
    ] {
        let mut machine = Machine::new(features);
        machine.registers.page.set_gpr(7, DATA);
        machine.put(CODE, code);
        assert_eq!(machine.fetch(), Err(undefined), "{code:02x?}");
        assert!(!machine.is_known());
        let mut other = Machine::new(Features::all());
        other.put(CODE, code);
        assert!(other.fetch().is_ok(), "{code:02x?}");
    }
}
