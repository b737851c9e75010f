//! Exit code by exit code.

use plinth_snp_abi::exit;
use plinth_snp_abi::vmsa::SevFeatures;

use crate::vc::Disposition::{Automatic, Exception, NotIntercepted, Reflected};
use crate::vc::{disposition, is_automatic};

#[test]
fn automatic_exits() {
    let automatic = [
        0x52, 0x60, 0x61, 0x62, 0x63, 0x64, 0x77, 0x78, 0x7f, 0x8f, 0x90, 0x94, 0x9f, 0xa5, 0xa6, 0x401,
        0x402, 0x403, 0x406, !0, !1,
    ];
    for code in automatic {
        assert!(is_automatic(code), "{code:#x}");
        let all = SevFeatures::SNP_ACTIVE | SevFeatures::REFLECT_VC;
        assert_eq!(disposition(code, 0, all, 2), Automatic, "{code:#x}");
    }
    let others = [
        0x00, 0x10, 0x27, 0x37, 0x41, 0x51, 0x65, 0x6e, 0x6f, 0x72, 0x76, 0x79, 0x7b, 0x7c, 0x80, 0x81, 0x87,
        0x89, 0x8a, 0x8b, 0x8d, 0xa0, 0x404, !2,
    ];
    for code in others {
        assert_eq!(disposition(code, 0, SevFeatures::SNP_ACTIVE, 0), Exception, "{code:#x}");
    }
}

#[test]
fn by_features() {
    let reflect = SevFeatures::SNP_ACTIVE | SevFeatures::REFLECT_VC;
    let debug = SevFeatures::SNP_ACTIVE | SevFeatures::DEBUG_VIRTUALIZATION;
    let none = SevFeatures::SNP_ACTIVE;
    for (code, info, features, vmpl, result) in [
        (exit::CPUID, 0, none, 1, Exception),
        (exit::CPUID, 0, reflect, 1, Reflected),
        // There is nobody above VMPL0.
        (exit::CPUID, 0, reflect, 0, Exception),
        (exit::PAGE_NOT_VALIDATED, 0, reflect, 2, Reflected),
        (exit::NPF, 0x1_0000_0007, none, 0, Automatic),
        (exit::NPF, 0x1_0000_000d, none, 0, Exception),
        (exit::NPF, 0x1_0000_000d, reflect, 1, Reflected),
        (exit::DR7_WRITE, 0, none, 0, Exception),
        (exit::DR7_WRITE, 0, debug, 0, NotIntercepted),
        (exit::EXCEPTION + 1, 0, debug, 0, NotIntercepted),
        (exit::MSR, 0, debug, 0, Exception),
    ] {
        assert_eq!(
            disposition(code, info, features, vmpl),
            result,
            "{code:#x} {info:#x} {features:?} {vmpl}"
        );
    }
}
