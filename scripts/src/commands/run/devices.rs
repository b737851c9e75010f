//! The guest's disk and network.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{DiskFile, Options, readable};
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

/// The image with the devices that the options ask for, and the processes that drive the host's.
pub fn add(project: &Project, options: &Options, mut image: Image) -> Result<Image> {
    // The live view's configuration goes on with the ordinary one.
    let mut configs = if options.inspect { vec!["vmm", "inspect"] } else { vec!["vmm"] };
    let (mut drivers, mut more) = (Vec::new(), String::new());
    if let Some(DiskFile { file, is_ram, is_encrypted }) = &options.disk {
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
    }
    if options.net.is_some() {
        drivers.push(("host-net", "host-net"));
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
    let is_plain = options.disk.is_none() && options.net.is_none();
    // Without devices the recipe's own configuration holds.
    Ok(if is_plain { image } else { image.configs(project, &configs, &more) })
}
