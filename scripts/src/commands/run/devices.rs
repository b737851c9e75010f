//! The guest's disk, TPM and network.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{DiskFile, Network, Options, readable};
use crate::image::Image;
use crate::project::Project;
use crate::{disk_key, say};

/// The key of a disk. The user is told of a new one.
fn key(disk: &Path) -> Result<PathBuf> {
    let is_new = !disk_key::key_file(disk).exists();
    let key = disk_key::of_disk(disk)?;
    if is_new {
        say::say(format_args!("made the key {}: without it the disk's data are lost", key.display()));
    }
    Ok(key)
}

/// Bytes of a new disk for the TPM's state, which takes half of them.
const TPM_BYTES: u64 = 1 << 20;

/// The image with the devices that the options ask for, and the processes that drive the host's.
pub fn add(project: &Project, options: &Options, mut image: Image) -> Result<Image> {
    // The live view's configuration goes on with the ordinary one.
    let mut configs = if options.inspect { vec!["vmm", "inspect"] } else { vec!["vmm"] };
    let (mut drivers, mut more) = (Vec::new(), String::new());
    if let Some(DiskFile { file, is_ram, is_encrypted, is_nvme }) = &options.disk {
        let file = readable(file)?;
        if *is_ram {
            image = image.set("payload.disk", format_args!("file:{}", file.display()));
            more += "for vmm\ndevice virtio-blk inside\n";
        } else {
            drivers.push(("host-disk", "host-block"));
        }
        if *is_encrypted {
            image = image.with_key("disk.key", &key(&file)?);
            more += "for vmm\n  set disk-key disk.key\n";
        }
        if *is_nvme {
            // Its work is done by a thread, which is more urgent than vCPUs.
            more += "for vmm\n  set disk-front nvme\n  priority 2\n";
        }
    }
    if let Some(file) = &options.tpm {
        disk_key::make_disk(file, TPM_BYTES)?;
        // The first disk is the guest's, if that is one of the host's.
        let index = drivers.len();
        // Behind the process whose device it is.
        configs.insert(1, "tpm");
        drivers.push(("tpm-disk", "host-block"));
        image = image.with_programs(&["vtpm"]).with_key("tpm.key", &key(&readable(file)?)?);
        more += &format!("for host-pci\n  set give.tpm-function 1af4:1042 {index}\n");
    }
    if options.net.is_some() {
        drivers.push(("host-net", "host-net"));
    }
    if options.net == Some(Network::UserE1000e) {
        more += "for vmm\n  set net-front e1000e\n";
    }
    if !drivers.is_empty() {
        // Drivers of the host's devices get them from this process, which finds them.
        configs.push("host-pci");
        image = image.with_programs(&["host-pci"]);
    }
    for (config, program) in drivers {
        configs.push(config);
        image = image.with_programs(&[program]);
    }
    let is_plain = options.disk.is_none() && options.tpm.is_none() && options.net.is_none();
    // Without devices the recipe's own configuration holds.
    Ok(if is_plain { image } else { image.configs(project, &configs, &more) })
}
