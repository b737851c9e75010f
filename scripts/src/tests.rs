//! The tests of `scripts/test`, a module each, in the order in which they run.

pub mod abi;
mod barrier;
mod boot;
mod c_process;
mod caches;
mod chaos;
pub mod devices;
pub mod disk;
mod ends;
mod entropy;
mod entry;
mod exit_cost;
mod files;
mod fuzz;
pub mod host;
pub mod hostile;
mod inspect;
mod interrupts_off;
mod kernel;
mod late;
mod mmio_forms;
mod network;
mod nvme;
mod protocols;
mod registers;
pub mod resets;
pub mod root;
mod snp_images;
mod snp_kernel;
mod snp_sim;
pub(crate) mod source;
mod tpm;
mod tpm_host;
mod virtio;
mod who_handles;

use anyhow::Result;
use plinth_qemu::Qemu;

use crate::testing::Suite;

/// A group of checks under one name.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// What a pattern of the command line is compared with, such as `30-abi`.
    pub name: &'static str,
    /// Runs its checks with this QEMU. An error is one of the group's set-up, and counts as a failed check.
    pub run: fn(&mut Suite, &Qemu) -> Result<()>,
    /// Beside which others it runs.
    pub lane: Lane,
}

/// Groups of one lane run one after the other, beside those of the other lane: most boots keep one core busy,
/// and so does most of what computes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// What has virtual processors that run at the same time, waits for other programs, or takes all cores.
    Boots,
    /// What takes one core, and is the same however slowly it runs: also boots with one processor at a time.
    Computes,
}

/// All groups, in order.
pub const GROUPS: &[Group] = &[
    group("10-host", source::run, Lane::Boots),
    group("11-interpreter", source::interpreter, Lane::Computes),
    group("12-fuzz", fuzz::run, Lane::Computes),
    group("13-tpm-host", tpm_host::run, Lane::Computes),
    group("14-snp-images", snp_images::run, Lane::Computes),
    group("20-boot", boot::run, Lane::Boots),
    group("22-kernels", protocols::run, Lane::Boots),
    group("25-who-handles", who_handles::run, Lane::Boots),
    group("30-abi", abi::run, Lane::Boots),
    group("31-kernel", kernel::run, Lane::Boots),
    group("32-entry", entry::run, Lane::Boots),
    group("33-host", host::run, Lane::Boots),
    group("34-interrupts-off", interrupts_off::run, Lane::Boots),
    group("35-hostile-guest", hostile::run, Lane::Boots),
    group("37-late-processor", late::run, Lane::Boots),
    group("39-chaos", chaos::run, Lane::Boots),
    group("40-exit-cost", exit_cost::run, Lane::Computes),
    group("45-c", c_process::run, Lane::Boots),
    group("46-resets", resets::run, Lane::Boots),
    group("47-ends", ends::run, Lane::Boots),
    group("48-devices", devices::run, Lane::Boots),
    group("49-disk", disk::run, Lane::Boots),
    group("49-entropy", entropy::run, Lane::Boots),
    group("49-files", files::run, Lane::Boots),
    group("49-network", network::run, Lane::Boots),
    group("49-nvme", nvme::run, Lane::Boots),
    group("49-root", root::run, Lane::Boots),
    group("49-tpm", tpm::run, Lane::Boots),
    group("49-virtio", virtio::run, Lane::Boots),
    group("50-caches", caches::run, Lane::Boots),
    group("55-mmio-forms", mmio_forms::run, Lane::Computes),
    group("57-inspect", inspect::run, Lane::Boots),
    group("65-snp-sim", snp_sim::run, Lane::Computes),
];

/// A group of a lane.
pub const fn group(name: &'static str, run: fn(&mut Suite, &Qemu) -> Result<()>, lane: Lane) -> Group {
    Group { name, run, lane }
}
