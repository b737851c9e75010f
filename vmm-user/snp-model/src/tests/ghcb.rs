//! VMGEXIT, word by word and event by event, against a host that notes what it is asked.

mod events;
mod memory;

use std::format;
use std::string::String;
use std::vec::Vec;

use plinth_snp_abi::ghcb::event::ApCreation;
use plinth_snp_abi::ghcb::{Field, Ghcb, HvFeatures, PageOperation};
use plinth_snp_abi::rmp::PageSize;
use zerocopy::{FromBytes, IntoBytes};

use crate::ghcb::{Configuration, Flow, GuestRequest, GuestRequestResult, Host, Vmgexit};

const GHCB: u64 = 0x3000;
const BUFFER: u64 = GHCB + 0x800;
const CONFIGURATION: Configuration =
    Configuration { min_version: 1, max_version: 2, c_bit: 51, features: HvFeatures::all() };

/// Eight pages of shared memory, and a diary.
struct Fake {
    memory: Vec<u8>,
    asked: Vec<String>,
    agrees: bool,
    request_result: GuestRequestResult,
}

impl Fake {
    fn new() -> Self {
        let request_result = GuestRequestResult::default();
        Self { memory: std::vec![0; 0x8000], asked: Vec::new(), agrees: true, request_result }
    }

    fn ghcb(&self) -> Ghcb {
        Ghcb::read_from_bytes(&self.memory[GHCB as usize..][..4096]).unwrap()
    }

    fn put(&mut self, gpa: u64, bytes: &[u8]) {
        self.memory[gpa as usize..][..bytes.len()].copy_from_slice(bytes);
    }
}

impl Host for Fake {
    fn cpuid(&mut self, function: u32, subfunction: u32, xcr0: u64, xss: u64) -> [u32; 4] {
        self.asked.push(format!("cpuid {function:x} {subfunction} {xcr0} {xss}"));
        [10, 11, 12, 13]
    }

    fn read_msr(&mut self, number: u32) -> Option<u64> {
        self.agrees.then_some(0x1234_0000_0000 + u64::from(number))
    }

    fn write_msr(&mut self, number: u32, value: u64) -> bool {
        self.asked.push(format!("wrmsr {number:x} {value:x}"));
        self.agrees
    }

    fn read_port(&mut self, port: u16, bytes: u8) -> u32 {
        self.asked.push(format!("in {port:x} {bytes}"));
        0x4433_2211
    }

    fn write_port(&mut self, port: u16, bytes: u8, value: u32) {
        self.asked.push(format!("out {port:x} {bytes} {value:x}"));
    }

    fn read_device(&mut self, gpa: u64, bytes: &mut [u8]) {
        self.asked.push(format!("read {gpa:x} {}", bytes.len()));
        bytes.fill(0xaa);
    }

    fn write_device(&mut self, gpa: u64, bytes: &[u8]) {
        self.asked.push(format!("write {gpa:x} {bytes:x?}"));
    }

    fn read_shared(&mut self, gpa: u64, bytes: &mut [u8]) -> bool {
        let source = self.memory.get(gpa as usize..gpa as usize + bytes.len());
        source.is_some_and(|source| {
            bytes.copy_from_slice(source);
            true
        })
    }

    fn write_shared(&mut self, gpa: u64, bytes: &[u8]) -> bool {
        let place = self.memory.get_mut(gpa as usize..gpa as usize + bytes.len());
        place.is_some_and(|place| {
            place.copy_from_slice(bytes);
            true
        })
    }

    fn change_page(&mut self, gfn: u64, operation: PageOperation, size: PageSize) -> bool {
        self.asked.push(format!("{operation:?} {size:?} {gfn:x}"));
        self.agrees
    }

    fn tsc(&mut self) -> (u64, u32) {
        (0x5_0000_0006, 7)
    }

    fn hypercall(&mut self, rax: u64, cpl: u8) -> u64 {
        rax + 100 + u64::from(cpl)
    }

    fn create_processor(&mut self, creation: ApCreation, vmsa_gpa: u64, features: u64) -> bool {
        let ApCreation { operation, vmpl, apic_id } = creation;
        self.asked.push(format!("{operation:?} {vmpl} {apic_id} {vmsa_gpa:x} {features:x}"));
        self.agrees
    }

    fn has_vmpl(&mut self, vmpl: u8) -> bool {
        vmpl != 1
    }

    fn apic_ids(&mut self) -> Vec<u32> {
        std::vec![0, 2, 5]
    }

    fn guest_request(&mut self, request: &GuestRequest) -> GuestRequestResult {
        self.asked.push(format!("{request:x?}"));
        self.request_result
    }

    fn send_ipi(&mut self, icr: u64) {
        self.asked.push(format!("ipi {icr:x}"));
    }

    fn nmi_complete(&mut self) {
        self.asked.push("nmi complete".into());
    }
}

/// A vCPU whose GHCB is registered.
fn machine() -> (Vmgexit, Fake) {
    let (mut vcpu, mut host) = (Vmgexit::new(CONFIGURATION), Fake::new());
    vcpu.set_msr(GHCB | 0x12);
    assert_eq!((vcpu.vmgexit(&mut host), vcpu.msr()), (Flow::Resume, GHCB | 0x13));
    (vcpu, host)
}

/// Fills in the GHCB and exits; returns how the guest goes on and what it finds.
fn call(vcpu: &mut Vmgexit, host: &mut Fake, fields: &[(Field, u64)]) -> (Flow, Ghcb) {
    let mut ghcb = host.ghcb();
    ghcb.invalidate();
    for field in [Field::ExitInfo1, Field::ExitInfo2] {
        ghcb.set(field, 0);
    }
    for (field, value) in fields {
        ghcb.set(*field, *value);
    }
    host.put(GHCB, ghcb.as_bytes());
    vcpu.set_msr(GHCB);
    let flow = vcpu.vmgexit(host);
    (flow, host.ghcb())
}

#[test]
fn words() {
    for (word, agrees, response, flow, asked) in [
        (0x002, true, 0x0002_0001_3300_0001, Flow::Resume, ""),
        (0x8000_001f_0000_0004, true, 0xa_0000_0005, Flow::Resume, "cpuid 8000001f 0 1 0"),
        (0x1_c000_0004, true, 0xd_c000_0005, Flow::Resume, "cpuid 1 0 1 0"),
        (0x010, true, 0xffff_ffff_ffff_f011, Flow::Resume, ""),
        (0x80_9012, true, 0x80_9013, Flow::Resume, ""),
        (0x0010_0000_0080_9014, true, 0x015, Flow::Resume, "Private Small 809"),
        (0x0020_0000_0080_9014, true, 0x015, Flow::Resume, "Shared Small 809"),
        (0x0010_0000_0080_9014, false, 0x1_0000_0015, Flow::Resume, "Private Small 809"),
        (0x2_0000_0016, true, 0x017, Flow::RunVmpl(2), ""),
        (0x1_0000_0016, true, 0x1_0000_0017, Flow::Resume, ""),
        (0x4_0000_0016, true, 0x1_0000_0017, Flow::Resume, ""),
        (0x080, true, HvFeatures::all().bits() << 12 | 0x81, Flow::Resume, ""),
        (0x2_1100, true, 0x2_1100, Flow::Terminate { set: 1, reason: 2 }, ""),
        (0x003, true, 0x003, Flow::Broken, ""),
        (0x0030_0000_0000_0014, true, 0x0030_0000_0000_0014, Flow::Broken, ""),
        // A GHCB that is not shared memory.
        (0x8_0000, true, 0x8_0000, Flow::Broken, ""),
    ] {
        let (mut vcpu, mut host) = (Vmgexit::new(CONFIGURATION), Fake::new());
        host.agrees = agrees;
        assert_eq!(vcpu.msr(), 0x0002_0001_3300_0001);
        vcpu.set_msr(word);
        assert_eq!((vcpu.vmgexit(&mut host), vcpu.msr()), (flow, response), "{word:#x}");
        assert_eq!(host.asked.join(", "), asked, "{word:#x}");
    }
}

#[test]
fn holding() {
    let (mut vcpu, mut host) = machine();
    assert!(!vcpu.wake(&mut host));
    vcpu.set_msr(0x006);
    assert_eq!(vcpu.vmgexit(&mut host), Flow::ResetHold);
    assert!(vcpu.wake(&mut host) && vcpu.msr() == 0x1007 && !vcpu.wake(&mut host));
    let (flow, ghcb) = call(&mut vcpu, &mut host, &[(Field::ExitCode, 0x8000_0004)]);
    assert_eq!((flow, ghcb.get(Field::ExitInfo2)), (Flow::ResetHold, Some(0)));
    assert!(vcpu.wake(&mut host));
    assert_eq!(host.ghcb().get(Field::ExitInfo2), Some(1));
}

/// A host of one VMPL runs no other.
#[test]
fn features_that_are_not_there() {
    let configuration = Configuration { features: HvFeatures::SNP, ..CONFIGURATION };
    let (mut vcpu, mut host) = (Vmgexit::new(configuration), Fake::new());
    vcpu.set_msr(0x1_0000_0016);
    assert_eq!((vcpu.vmgexit(&mut host), vcpu.msr()), (Flow::Resume, 0x1_0000_0017));
    vcpu.set_msr(GHCB | 0x12);
    vcpu.vmgexit(&mut host);
    for code in [0x8000_0013, 0x8000_0014, 0x8000_0015, 0x8000_0017, 0x8000_0018] {
        let (flow, ghcb) = call(&mut vcpu, &mut host, &[(Field::ExitCode, code), (Field::Rax, 1)]);
        let result = (ghcb.get(Field::ExitInfo1), ghcb.get(Field::ExitInfo2));
        assert_eq!((flow, result), (Flow::Resume, (Some(2), Some(6))), "{code:#x}");
    }
    assert!(host.asked.is_empty());
}
