//! SEV_STATUS: which features are active (APM volume 2, 15.34.10). No host can change what it shows.

use plinth_snp_abi::vmsa::SevFeatures;

/// What may be shown beside SEV, SEV-ES and SEV-SNP: what changes nothing for the kernel.
const TOLERATED: SevFeatures = SevFeatures::SNP_ACTIVE
    .union(SevFeatures::DEBUG_VIRTUALIZATION)
    .union(SevFeatures::PREVENT_HOST_IBS)
    .union(SevFeatures::BTB_ISOLATION)
    .union(SevFeatures::SECURE_TSC)
    .union(SevFeatures::SMT_PROTECTION);

/// Whether the register shows what the kernel is made for, and nothing that it does not know: a feature may
/// change what an interrupt, an address or a saved register is.
pub fn is_acceptable(status: u64) -> bool {
    SevFeatures::from_sev_status(status)
        .is_some_and(|features| features.contains(SevFeatures::SNP_ACTIVE) && TOLERATED.contains(features))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_and_no_more() {
        // No machine of SEV, one of SEV, of SEV-ES, and without the first two bits.
        for status in [0, 1, 3, 4, 5, 6] {
            assert!(!is_acceptable(status), "{status:#x}");
        }
        assert!(is_acceptable(7));
        for bit in 3..64 {
            // DebugSwap, PreventHostIbs, BtbIsolation, SecureTsc, SmtProtection.
            let tolerated = matches!(bit, 7 | 8 | 9 | 11 | 17);
            assert_eq!(is_acceptable(7 | 1 << bit), tolerated, "{bit}");
            assert!(!is_acceptable(3 | 1 << bit) || bit == 2, "{bit}");
        }
    }
}
