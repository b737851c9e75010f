//! Where the kernel's entry code is.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;

use crate::symbol;

/// Bytes of an interrupt's stub.
const STUB_BYTES: u64 = 16;
/// The vector of NMIs.
pub const NMI: u64 = 2;
/// The vectors whose entry code is not the common one: #DB, NMI, #DF, #MC, and #HV and #VC, which never come
/// here.
const PARANOID: [u64; 6] = [1, 2, 8, 18, 28, 29];
/// Where the entry code is.
#[derive(Clone, Debug)]
pub struct Places {
    stubs: Range<u64>,
    common: Range<u64>,
    paranoid: Range<u64>,
    /// System calls, and the entry of a guest.
    calls: Vec<Range<u64>>,
}

impl Places {
    /// Of this kernel.
    ///
    /// # Errors
    /// When it lacks one of the symbols.
    pub fn of(kernel: &Path) -> Result<Self> {
        let place = |name: &str| symbol::range(kernel, name);
        let calls = ["syscall_entry", "sys_run_entry", "svm_enter"];
        // The twins with mitigations are entered instead of the plain ones where those are on.
        let guarded = calls.map(|name| place(&format!("{name}_guarded")));
        Ok(Self {
            stubs: place("interrupt_stubs")?,
            common: place("interrupt_common")?,
            paranoid: place("interrupt_paranoid")?,
            calls: calls.into_iter().map(place).chain(guarded).collect::<Result<_>>()?,
        })
    }

    /// Where every ordinary interrupt comes, behind its stub.
    pub fn common(&self) -> u64 {
        self.common.start
    }

    /// Where the handler of a vector begins.
    pub fn stub(&self, vector: u64) -> u64 {
        self.stubs.start + vector * STUB_BYTES
    }

    /// The handlers of NMI and of what else may come at any instruction.
    pub fn is_paranoid(&self, rip: u64) -> bool {
        let in_stub = |vector: &u64| (self.stub(*vector)..self.stub(vector + 1)).contains(&rip);
        self.paranoid.contains(&rip) || PARANOID.iter().any(in_stub)
    }

    /// The entry code of system calls, guests and ordinary interrupts.
    pub fn is_walked(&self, rip: u64) -> bool {
        let contain =
            [&self.stubs, &self.common].into_iter().chain(&self.calls).any(|range| range.contains(&rip));
        // Their stubs lie among the others.
        contain && !self.is_paranoid(rip)
    }

    /// Whether SYSCALL leads there.
    pub fn is_start_of_call(&self, rip: u64) -> bool {
        self.system_calls().iter().any(|range| range.start == rip)
    }

    /// Of system calls that are not `SYS_RUN`, with the guarded twin.
    pub fn system_calls(&self) -> Vec<Range<u64>> {
        // Three plain ones, and their three twins in the same order.
        [self.calls.first(), self.calls.get(3)].into_iter().flatten().cloned().collect()
    }

    /// Of `SYS_RUN`, and of the entry of a guest that Rust asks for.
    pub fn guest_entries(&self) -> Vec<Range<u64>> {
        [1, 2, 4, 5].into_iter().filter_map(|index| self.calls.get(index)).cloned().collect()
    }

    /// Of interrupts.
    pub fn interrupts(&self) -> Vec<Range<u64>> {
        vec![self.stubs.clone(), self.common.clone()]
    }

    /// Of NMI and the like.
    pub fn nmi(&self) -> Vec<Range<u64>> {
        vec![self.paranoid.clone()]
    }
}
