//! The secrets page, which the firmware has filled at launch (SNP ABI, 8.17.2.5): the keys for messages to
//! it. The page stays where it is; here is what the kernel needs to know of it.

use core::fmt;

use plinth_snp_abi::secrets::SecretsPage;

/// The oldest layout that has all that is read here.
const VERSION_MIN: u32 = 2;

/// Why the page is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretsError {
    /// Its layout is older than any that is known.
    Version(u32),
    /// VMPL0's key is not there: somebody has taken it away, so the kernel is not the first to run.
    NoKey,
    /// It names an SVSM: the kernel is not what runs at VMPL0.
    Svsm(u64),
}

impl fmt::Display for SecretsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "the secrets page has the layout {version}"),
            Self::NoKey => write!(f, "the secrets page has no key of VMPL0"),
            Self::Svsm(base) => write!(f, "the secrets page names an SVSM at {base:#x}"),
        }
    }
}

/// What is not secret of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The version of its layout.
    pub version: u32,
    /// The guest was started with an initial migration image.
    pub has_migration_image: bool,
}

/// Checks the page.
///
/// # Errors
/// [`SecretsError`].
pub fn check(page: &SecretsPage) -> Result<Facts, SecretsError> {
    if page.version < VERSION_MIN {
        return Err(SecretsError::Version(page.version));
    }
    if page.svsm_size != 0 {
        return Err(SecretsError::Svsm(page.svsm_base));
    }
    // All of it is looked at, however it begins: how long that takes says nothing of the key.
    let [own, ..] = &page.vmpck;
    if own.iter().fold(0, |bits, byte| bits | byte) == 0 {
        return Err(SecretsError::NoKey);
    }
    Ok(Facts { version: page.version, has_migration_image: page.imi_enabled & 1 != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> SecretsPage {
        let mut page = SecretsPage::zeroed();
        page.version = 3;
        page.vmpck = [[0x5a; 32]; 4];
        page
    }

    #[test]
    fn pages_as_firmware_makes_them() {
        assert_eq!(check(&page()), Ok(Facts { version: 3, has_migration_image: false }));
        let migrated = SecretsPage { imi_enabled: 1, version: 2, ..page() };
        assert_eq!(check(&migrated), Ok(Facts { version: 2, has_migration_image: true }));
        // One bit anywhere is a key.
        let mut least = page();
        least.vmpck[0] = [0; 32];
        least.vmpck[0][31] = 1;
        assert!(check(&least).is_ok());
    }

    #[test]
    fn pages_that_are_not_believed() {
        for (page, error) in [
            (SecretsPage { version: 0, ..page() }, SecretsError::Version(0)),
            (SecretsPage { version: 1, ..page() }, SecretsError::Version(1)),
            (SecretsPage { svsm_size: 1, svsm_base: 0x8000, ..page() }, SecretsError::Svsm(0x8000)),
            (page().for_vmpl(1), SecretsError::NoKey),
        ] {
            assert_eq!(check(&page), Err(error));
        }
        for (error, words) in [
            (SecretsError::Version(1), "layout 1"),
            (SecretsError::NoKey, "no key of VMPL0"),
            (SecretsError::Svsm(0x8000), "SVSM at 0x8000"),
        ] {
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
