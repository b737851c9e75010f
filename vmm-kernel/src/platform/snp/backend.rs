//! What the rest of the kernel takes from this backend.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use plinth_snp_abi::PAGE_BYTES;
use vcpu_abi::boot::BootPage;

use super::accounts;
use super::cpuid_table::TableError;
use super::pages::Violation;
use super::secrets::SecretsError;
use super::word::WordError;
use crate::cpu::features::Feature;
use crate::memory::MemoryError;
use crate::memory::entry::Marks;
use crate::memory::host_map::Range;

/// What this backend needs of a processor that CPUID would say: nothing, SEV_STATUS says it.
pub const NEEDED: [Feature; 0] = [];
/// What an image for this backend says in `BootPage::platform`.
pub const IMAGE: u32 = vcpu_abi::boot::platform::SEV_SNP;
/// The most processors that the kernel runs on: the first.
pub const CPUS_MAX: usize = 1;
/// No interrupt and no time of the host's is used.
pub const HAS_HOST_CLOCKS: bool = false;

/// Why the platform cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// The boot page does not say what this platform needs.
    Image,
    /// SEV_STATUS lacks SEV-SNP, or shows a feature that the kernel does not know.
    Status(u64),
    /// The CPUID page.
    Cpuid(TableError),
    /// The secrets page.
    Secrets(SecretsError),
    /// What the host says.
    Host(WordError),
    /// The state of a page.
    Pages(Violation),
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image => write!(f, "the image's boot page does not say what SEV-SNP needs"),
            Self::Status(status) => write!(f, "SEV_STATUS is {status:#x}"),
            Self::Cpuid(error) => write!(f, "{error}"),
            Self::Secrets(error) => write!(f, "{error}"),
            Self::Host(error) => write!(f, "{error}"),
            Self::Pages(violation) => write!(f, "{violation}"),
        }
    }
}

impl From<TableError> for Unsupported {
    fn from(error: TableError) -> Self {
        Self::Cpuid(error)
    }
}

impl From<SecretsError> for Unsupported {
    fn from(error: SecretsError) -> Self {
        Self::Secrets(error)
    }
}

impl From<WordError> for Unsupported {
    fn from(error: WordError) -> Self {
        Self::Host(error)
    }
}

impl From<Violation> for Unsupported {
    fn from(violation: Violation) -> Self {
        Self::Pages(violation)
    }
}

/// Where shared memory begins for a guest that has no C-bit in its tables.
static TOP_OF_MEMORY: AtomicU64 = AtomicU64::new(0);

/// How page-table entries tell private pages from shared ones: by the C-bit.
pub fn marks(boot: &BootPage) -> Marks {
    // Within an entry's address: `begin` has checked it.
    let marks = Marks { private: 1 << (boot.sharing_bit & 63), shared: 0 };
    TOP_OF_MEMORY.store(marks.private, Ordering::Relaxed);
    marks
}

/// Where shared memory begins for a guest that has no C-bit in its tables (vTOM): all addresses without that
/// bit are private.
pub fn top_of_memory() -> u64 {
    TOP_OF_MEMORY.load(Ordering::Relaxed)
}

/// Makes memory usable that the host says is there, before it is used for the first time.
///
/// # Errors
/// [`Unsupported::Pages`].
pub fn accept_memory(range: Range) -> Result<(), Unsupported> {
    let page = PAGE_BYTES as u64;
    accounts::accept(range.start / page..range.end / page)?;
    Ok(())
}

/// How fast the TSC counts: Secure TSC would say it, which no image asks for.
pub fn trusted_tsc_hz() -> Option<u64> {
    None
}

/// Logs what there is; once, at boot.
///
/// # Errors
/// None.
pub fn start() -> Result<(), Unsupported> {
    accounts::report();
    Ok(())
}

/// Nothing has to be done on a processor.
///
/// # Errors
/// None.
pub fn init_cpu() -> Result<(), MemoryError> {
    Ok(())
}
