use plinth_snp_model::ghcb::{Configuration, Flow, Vmgexit};

use super::*;
use crate::platform::snp::testing::Host;

const C_BIT: u32 = 51;

/// A host that replies the same to everything.
struct Always(u64);

impl Exchange for Always {
    fn exchange(&mut self, _: u64) -> u64 {
        self.0
    }
}

/// The model's host.
struct Modelled {
    vmgexit: Vmgexit,
    host: Host,
    flow: Flow,
}

impl Modelled {
    fn new(min_version: u16, max_version: u16, c_bit: u8, features: HvFeatures) -> Self {
        let configuration = Configuration { min_version, max_version, c_bit, features };
        Self { vmgexit: Vmgexit::new(configuration), host: Host::default(), flow: Flow::Resume }
    }
}

impl Exchange for Modelled {
    fn exchange(&mut self, word: u64) -> u64 {
        self.vmgexit.set_msr(word);
        self.flow = self.vmgexit.vmgexit(&mut self.host);
        self.vmgexit.msr()
    }
}

#[test]
fn a_host_that_follows_the_protocol_is_understood() {
    let mut host = Modelled::new(1, 3, C_BIT as u8, HvFeatures::SNP | HvFeatures::AP_CREATION);
    assert_eq!(negotiate(&mut host, C_BIT), Ok(()));
    assert_eq!(features(&mut host), Ok(HvFeatures::SNP | HvFeatures::AP_CREATION));
    assert_eq!(change_page(&mut host, 0x123, PageOperation::Shared), Ok(()));
    assert_eq!(host.host.changed, [(0x123, PageOperation::Shared)]);
    assert_eq!(register(&mut host, 0x123), Ok(()));
    assert_eq!(host.vmgexit.registered(), Some(0x12_3000));
    terminate(&mut host, 7);
    assert_eq!(host.flow, Flow::Terminate { set: REASONS, reason: 7 });
}

#[test]
fn versions_and_c_bit() {
    for (min, max, c_bit, expected) in [
        (2, 2, 51, Ok(())),
        (1, 2, 51, Ok(())),
        (2, 9, 51, Ok(())),
        (1, 1, 51, Err(WordError::Versions { min: 1, max: 1 })),
        (3, 4, 51, Err(WordError::Versions { min: 3, max: 4 })),
        (3, 1, 51, Err(WordError::Versions { min: 3, max: 1 })),
        (1, 2, 47, Err(WordError::CBit { image: 51, host: 47 })),
        (1, 2, 0, Err(WordError::CBit { image: 51, host: 0 })),
    ] {
        let mut host = Modelled::new(min, max, c_bit, HvFeatures::SNP);
        assert_eq!(negotiate(&mut host, C_BIT), expected, "{min} to {max}, {c_bit}");
    }
}

#[test]
fn a_host_without_snp_or_that_refuses_is_an_error() {
    let mut host = Modelled::new(1, 2, 51, HvFeatures::AP_CREATION);
    assert_eq!(features(&mut host), Err(WordError::Features(HvFeatures::AP_CREATION)));
    host.host.refuses = true;
    let refused = change_page(&mut host, 5, PageOperation::Private);
    assert_eq!(refused, Err(WordError::PageState { gfn: 5, error: 1 }));
    for said in [4, 0, !0 >> 12] {
        let word = Response::RegisterGhcb { gfn: said }.encode();
        assert_eq!(register(&mut Always(word), 5), Err(WordError::OtherPage { asked: 5, said }));
    }
}

/// Every code of a response, defined or not, but the one that was asked for.
#[test]
fn responses_of_another_kind_are_errors() {
    type Ask = fn(&mut Always) -> Result<(), WordError>;
    let asks: [(u64, Ask); 4] = [
        (0x001, |host| negotiate(host, 0)),
        (0x013, |host| register(host, 0)),
        (0x015, |host| change_page(host, 0, PageOperation::Shared)),
        (0x081, |host| features(host).map(drop)),
    ];
    for (own, ask) in asks {
        for code in (0..0x1000).filter(|code| *code != own) {
            let error = ask(&mut Always(code));
            assert!(
                matches!(error, Err(WordError::OtherResponse { response, .. }) if response == code),
                "{own:#x}, {code:#x}: {error:?}"
            );
        }
    }
}

#[test]
fn what_is_said_of_an_error_names_it() {
    for (error, words) in [
        (WordError::OtherResponse { request: 2, response: 5 }, "response to 0x2 is 0x5"),
        (WordError::Versions { min: 1, max: 1 }, "versions 1 to 1, and not 2"),
        (WordError::CBit { image: 51, host: 47 }, "C-bit at 51, and the host says 47"),
        (WordError::Features(HvFeatures::empty()), "lacks SEV-SNP"),
        (WordError::OtherPage { asked: 1, said: 2 }, "frame 0x2 for calls where 0x1"),
        (WordError::PageState { gfn: 3, error: 4 }, "frame 0x3: error 0x4"),
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn another_vmpl_runs_where_the_host_has_one() {
    let mut host = Modelled::new(1, 3, C_BIT as u8, HvFeatures::SNP | HvFeatures::MULTI_VMPL);
    assert_eq!(run_vmpl(&mut host, 1), Ok(()));
    assert_eq!(host.flow, Flow::RunVmpl(1));
    assert_eq!(run_vmpl(&mut host, 2), Err(WordError::Vmpl { vmpl: 2, error: 1 }));
    let other = WordError::OtherResponse { request: 0x1_0000_0016, response: 0x013 };
    assert_eq!(run_vmpl(&mut Always(0x013), 1), Err(other));
}
