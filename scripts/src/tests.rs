//! The tests of `scripts/test`, a module each, in the order in which they run.

pub mod abi;
mod barrier;
mod boot;
mod c_process;
mod caches;
mod chaos;
pub mod devices;
mod disk;
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
mod snp_sim;
pub(crate) mod source;
mod tpm;
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
}

/// All groups, in order.
pub const GROUPS: &[Group] = &[
    Group { name: "10-host", run: source::run },
    Group { name: "12-fuzz", run: fuzz::run },
    Group { name: "14-snp-images", run: snp_images::run },
    Group { name: "20-boot", run: boot::run },
    Group { name: "22-kernels", run: protocols::run },
    Group { name: "25-who-handles", run: who_handles::run },
    Group { name: "30-abi", run: abi::run },
    Group { name: "31-kernel", run: kernel::run },
    Group { name: "32-entry", run: entry::run },
    Group { name: "33-host", run: host::run },
    Group { name: "34-interrupts-off", run: interrupts_off::run },
    Group { name: "35-hostile-guest", run: hostile::run },
    Group { name: "37-late-processor", run: late::run },
    Group { name: "39-chaos", run: chaos::run },
    Group { name: "40-exit-cost", run: exit_cost::run },
    Group { name: "45-c", run: c_process::run },
    Group { name: "46-resets", run: resets::run },
    Group { name: "47-ends", run: ends::run },
    Group { name: "48-devices", run: devices::run },
    Group { name: "49-disk", run: disk::run },
    Group { name: "49-entropy", run: entropy::run },
    Group { name: "49-files", run: files::run },
    Group { name: "49-network", run: network::run },
    Group { name: "49-nvme", run: nvme::run },
    Group { name: "49-root", run: root::run },
    Group { name: "49-tpm", run: tpm::run },
    Group { name: "49-virtio", run: virtio::run },
    Group { name: "50-caches", run: caches::run },
    Group { name: "55-mmio-forms", run: mmio_forms::run },
    Group { name: "57-inspect", run: inspect::run },
    Group { name: "65-snp-sim", run: snp_sim::run },
];
