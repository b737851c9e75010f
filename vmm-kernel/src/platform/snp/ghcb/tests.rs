use plinth_snp_abi::ghcb::{HvFeatures, PageOperation, Request};
use plinth_snp_abi::rmp::PageSize;
use plinth_snp_abi::vmsa::{EventInfo, EventType};
use plinth_snp_model::ghcb::{Configuration, Flow, Vmgexit};

use super::*;
use crate::platform::snp::testing::{Host, PAGE_GPA};

/// The page in the model's host's memory.
struct Modelled {
    vmgexit: Vmgexit,
    host: Host,
    /// How often the host was called.
    calls: usize,
    /// What the host changes behind the model's back: a place in the page, and what is there after a call.
    lies: Vec<(usize, u64)>,
}

impl Modelled {
    fn new() -> Self {
        let configuration =
            Configuration { min_version: 2, max_version: 2, c_bit: 51, features: HvFeatures::SNP };
        let (mut vmgexit, mut host) = (Vmgexit::new(configuration), Host::default());
        vmgexit.set_msr(Request::RegisterGhcb { gfn: PAGE_GPA >> 12 }.encode());
        assert_eq!(vmgexit.vmgexit(&mut host), Flow::Resume);
        Self { vmgexit, host, calls: 0, lies: Vec::new() }
    }

    fn lying(lies: &[(usize, u64)]) -> Self {
        Self { lies: lies.to_vec(), ..Self::new() }
    }

    fn place(&mut self, offset: usize) -> &mut [u8] {
        &mut self.host.memory[PAGE_GPA as usize + offset..][..8]
    }
}

impl CallPage for Modelled {
    fn write(&mut self, offset: usize, value: u64) {
        self.place(offset).copy_from_slice(&value.to_le_bytes());
    }

    fn read(&mut self, offset: usize) -> u64 {
        u64::from_le_bytes(self.place(offset).try_into().unwrap())
    }

    fn call(&mut self) {
        self.vmgexit.set_msr(Request::Ghcb { gpa: PAGE_GPA }.encode());
        assert_eq!(self.vmgexit.vmgexit(&mut self.host), Flow::Resume);
        self.calls += 1;
        for (offset, value) in self.lies.clone() {
            self.write(offset, value);
        }
    }

    fn gpa(&self) -> u64 {
        PAGE_GPA
    }
}

const INFO_1: usize = Field::ExitInfo1 as usize;
const INFO_2: usize = Field::ExitInfo2 as usize;

#[test]
fn ports() {
    let mut page = Modelled::new();
    for (width, value) in [(Width::Byte, 0x21), (Width::Word, 0x4321), (Width::Double, 0xabcd_4321)] {
        assert_eq!(read_port(&mut page, 0x4321, width), Ok(value), "{width:?}");
        assert_eq!(write_port(&mut page, 0x3f8, width, 0x1122_3344), Ok(()), "{width:?}");
    }
    assert_eq!(page.host.written, [(0x3f8, 0x44), (0x3f8, 0x3344), (0x3f8, 0x1122_3344)]);
    // What a host returns above the width is no part of the value.
    let rax = Field::Rax as usize;
    assert_eq!(read_port(&mut Modelled::lying(&[(rax, !0)]), 0x60, Width::Byte), Ok(0xff));
}

#[test]
fn model_specific_registers() {
    let mut page = Modelled::new();
    assert_eq!(read_msr(&mut page, 0x1b), Ok(0x1234_5678_0000_001b));
    assert_eq!(write_msr(&mut page, 0x1b, 0xffff_0000_1234_5678), Ok(()));
    assert_eq!(page.host.written, [(0x1b, 0xffff_0000_1234_5678)]);
    page.host.refuses = true;
    let gp = EventInfo::new(EventType::Exception, 13, Some(0));
    assert_eq!(read_msr(&mut page, 0x1b), Err(CallError::Exception(gp.0)));
    assert_eq!(write_msr(&mut page, 0x1b, 0), Err(CallError::Exception(gp.0)));
}

#[test]
fn a_register_that_is_not_returned_is_an_error() {
    for (lies, field) in [(VALID[0], Field::Rax), (VALID[1], Field::Rdx)] {
        // The upper word has RDX and SW_EXITINFO, the lower one RAX.
        let mut page = Modelled::lying(&[(lies, 0)]);
        assert_eq!(read_msr(&mut page, 1), Err(CallError::NotReturned(field)), "{lies:#x}");
    }
    assert_eq!(
        read_port(&mut Modelled::lying(&[(VALID[0], 0)]), 0x60, Width::Byte),
        Err(CallError::NotReturned(Field::Rax))
    );
}

#[test]
fn outcomes_that_are_no_success_are_errors() {
    let undefined = |first, second| Err(CallError::Undefined(first, second));
    for (info_1, info_2, expected) in [
        (1, 0x8000_0b0d, Err(CallError::Exception(0x8000_0b0d))),
        (2, 4, Err(CallError::Malformed(MalformedInput::MissingInput))),
        (2, 9, undefined(2, 9)),
        (3, 0, undefined(3, 0)),
        (0xffff_ffff, 1, undefined(0xffff_ffff, 1)),
    ] {
        let mut page = Modelled::lying(&[(INFO_1, info_1), (INFO_2, info_2)]);
        assert_eq!(write_port(&mut page, 0x80, Width::Byte, 0), expected, "{info_1:#x}, {info_2:#x}");
    }
}

fn entries(count: u64) -> impl ExactSizeIterator<Item = PageStateEntry> {
    let entry = |gfn: u32| PageStateEntry::new(gfn.into(), PageOperation::Private, PageSize::Small);
    (0x100..0x100 + count as u32).map(entry)
}

#[test]
fn page_states() {
    for count in [1, 2, MAX_ENTRIES as u64] {
        let mut page = Modelled::new();
        assert_eq!(change_pages(&mut page, entries(count)), Ok(()), "{count}");
        let expected: Vec<_> = (0..count).map(|gfn| (0x100 + gfn, PageOperation::Private)).collect();
        assert_eq!((page.host.changed, page.calls), (expected, 1), "{count}");
    }
    for count in [0, MAX_ENTRIES + 1] {
        let mut page = Modelled::new();
        assert_eq!(change_pages(&mut page, entries(count as u64)), Err(CallError::Entries(count)));
        assert_eq!(page.calls, 0);
    }
}

#[test]
fn page_states_of_a_host_that_lies() {
    let word = |current: u64, end: u64, reserved: u64| current | end << 16 | reserved << 32;
    let header = |current_entry, end_entry, reserved| {
        Err(CallError::Header(PageStateHeader { current_entry, end_entry, reserved }))
    };
    for (said, expected) in [
        // It does not come further, for ever.
        (word(0, 2, 0), Err(CallError::PageStates { entry: 0, error: 0 })),
        // Past the end; another end; reserved bits.
        (word(4, 2, 0), header(4, 2, 0)),
        (word(9, 9, 0), header(9, 9, 0)),
        (word(3, 2, 1), header(3, 2, 1)),
        (word(3, 1, 0), header(3, 1, 0)),
    ] {
        let mut page = Modelled::lying(&[(BUFFER_OFFSET, said)]);
        assert_eq!(change_pages(&mut page, entries(3)), expected, "{said:#x}");
        assert_eq!(page.calls, 1);
    }
    let mut page = Modelled::new();
    page.host.refuses = true;
    let refused = change_pages(&mut page, entries(3));
    assert!(matches!(refused, Err(CallError::PageStates { entry: 0, error }) if error != 0), "{refused:?}");
}

/// A host that handles one entry in each call, and then goes back.
#[test]
fn page_states_piece_by_piece() {
    struct Slow {
        words: Vec<u64>,
        says: Vec<u64>,
        calls: usize,
    }
    impl CallPage for Slow {
        fn write(&mut self, offset: usize, value: u64) {
            self.words[offset / 8] = value;
        }
        fn read(&mut self, offset: usize) -> u64 {
            self.words[offset / 8]
        }
        fn call(&mut self) {
            (self.words[INFO_1 / 8], self.words[INFO_2 / 8]) = (0, 0);
            self.words[BUFFER_OFFSET / 8] = self.says[self.calls] | 2 << 16;
            self.calls += 1;
        }
        fn gpa(&self) -> u64 {
            PAGE_GPA
        }
    }
    let slow = |says: &[u64]| Slow { words: vec![0; 512], says: says.to_vec(), calls: 0 };
    let mut page = slow(&[1, 2, 3]);
    assert_eq!((change_pages(&mut page, entries(3)), page.calls), (Ok(()), 3));
    let mut page = slow(&[2, 1]);
    let back = PageStateHeader { current_entry: 1, end_entry: 2, reserved: 0 };
    assert_eq!(change_pages(&mut page, entries(3)), Err(CallError::Header(back)));
}

#[test]
fn what_is_said_of_an_error_names_it() {
    for (error, words) in [
        (CallError::Exception(0x80), "exception 0x80"),
        (CallError::Malformed(MalformedInput::InvalidUsage), "InvalidUsage"),
        (CallError::Undefined(3, 4), "0x3 and 0x4"),
        (CallError::NotReturned(Field::Rdx), "Rdx"),
        (CallError::PageStates { entry: 7, error: 1 }, "page state 7: error 0x1"),
        (CallError::Header(PageStateHeader::default()), "header"),
        (CallError::Entries(0), "0 page states"),
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn the_host_is_told_of_a_vmsa_and_forgets_it() {
    let mut page = Modelled::new();
    page.vmgexit = Vmgexit::new(Configuration {
        min_version: 2,
        max_version: 2,
        c_bit: 51,
        features: HvFeatures::SNP | HvFeatures::AP_CREATION,
    });
    page.vmgexit.set_msr(Request::RegisterGhcb { gfn: PAGE_GPA >> 12 }.encode());
    page.vmgexit.vmgexit(&mut page.host);
    assert_eq!(set_vmsa(&mut page, 1, 0x5000, 0x17), Ok(()));
    assert_eq!(forget_vmsa(&mut page, 1), Ok(()));
    assert_eq!(page.host.created, [(1, 0x5000, 0x17), (1, 0, 0)]);
    page.host.refuses = true;
    let refused = Err(CallError::Malformed(MalformedInput::InvalidInput));
    assert_eq!(set_vmsa(&mut page, 1, 0x5000, 0x17), refused);
    // KVM takes no VMSA there.
    page.host.refuses = false;
    assert_eq!(set_vmsa(&mut page, 1, 0x20_0000, 0x17), refused);
}
