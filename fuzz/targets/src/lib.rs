//! All fuzz targets: functions of an input that panic where a property does not hold. Those of the decoder
//! and of the kernel are in crates of their own; what the ABI, the loader, and the VMM and
//! devices in processes of their own do with hostile bytes is here.
#![forbid(unsafe_code)]

pub mod abi;
pub mod device_link;
pub mod e1000e;
pub mod host_devices;
pub mod loader;
pub mod nvme;
pub mod pci_bus;
pub mod tpm;
pub mod virtio;
pub mod virtio_net;

pub use ram_files::model::run as ram_files;

/// A name, and what is done with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them: each has a file of its name in `fuzz_targets`, and a corpus.
pub fn all() -> Vec<Target> {
    let own: [Target; 15] = [
        ("abi_operation", abi::operation),
        ("device_answer", device_link::answer),
        ("device_request", device_link::request),
        ("e1000e", e1000e::run),
        ("host_queue", host_devices::queue),
        ("host_scan", host_devices::scan),
        ("loader_file", loader::file),
        ("loader_host", loader::host),
        ("nvme", nvme::run),
        ("ram_files", ram_files),
        ("tpm_crb", tpm::crb),
        ("tpm_execute", tpm::execute::run),
        ("tpm_fifo", tpm::fifo),
        ("virtio_block", virtio::block),
        ("virtio_net", virtio_net::run),
    ];
    decoder_oracle::targets::TARGETS
        .into_iter()
        .chain(vmm_kernel::host::targets::TARGETS)
        .chain(own)
        .collect()
}

/// The most bytes that an input of a target makes use of, rounded up.
pub fn max_bytes(target: &str) -> usize {
    match target {
        "decode" => 18,
        "abi_operation" => 68,
        // Twenty steps, and sixteen.
        "kernel_channels" => 80,
        "kernel_mappings" => 97,
        "loader_file" | "loader_host" | "kernel_registers" => 1024,
        "kernel_elf" => 2048,
        // The four bytes in front of an XSAVE area, and all of that.
        "kernel_xsave" => 4 + 3072,
        // A few commands: their changes matter, not their number.
        "tpm_execute" => 64,
        _ => 512,
    }
}

/// About how many inputs of an ordinary target take as long as one of this: the smoke run gives it as many
/// times fewer.
pub fn slowness(target: &str) -> u64 {
    match target {
        "kernel_registers" => 20,
        // Lists of steps, with tables to be walked behind them.
        "kernel_mappings" => 2000,
        "kernel_channels" => 20,
        // Each step may copy a file.
        "ram_files" => 4,
        // It has a machine to make, and memory to clear.
        "virtio_block" => 10,
        // And pages to give to its driver.
        "nvme" | "e1000e" | "virtio_net" => 20,
        // A copy of a TPM, and commands.
        "tpm_execute" => 200,
        _ => 1,
    }
}

/// Of a target whose inputs are lists of steps: the bytes in front of the first one, those of a step, and how
/// many are a long list.
pub fn steps(target: &str) -> Option<(usize, usize, u64)> {
    match target {
        "kernel_channels" => Some((0, 4, 1000)),
        // Not more: what a machine without frames does is refuse.
        "kernel_mappings" => Some((1, 6, 200)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
