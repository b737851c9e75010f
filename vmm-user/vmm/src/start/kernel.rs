//! The guest's kernel: placed by the boot protocol that it knows, with what it is told of memory and command
//! line.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use devices::acpi::{FIRMWARE_BYTES, FIRMWARE_GPA};
use devices::boot::elf::{self, ElfKernel, HEADER_BYTES, Protocol};
use devices::boot::linux::{self, BzImage, ImageError};
use devices::boot::{BootPlan, BootRequest, MemoryKind, MemoryRange, Placement, Source};
use devices::pci::spec::{ECAM_BYTES, ECAM_GPA};
use runtime::abi::operation::FileInfo;
use runtime::abi::status::Status;
use runtime::process;

use super::{Result, StartError, kernel};
use crate::guest_memory::GuestRam;
use crate::handles::Handles;
use crate::vcpu::EntryRegisters;

/// The longest command line that is read.
const COMMAND_LINE_MAX: u64 = 65536;

/// A payload file that the image must have.
pub fn payload(handles: &Handles, name: &'static str) -> Result<FileInfo> {
    let file = process::open(handles.files, name).map_err(|_| StartError::File(name))?;
    let info = process::info(file).map_err(kernel("a payload file"));
    // Closed before the result is looked at, so that a failure leaves no handle behind.
    process::close(file).map_err(kernel("a payload file"))?;
    let info = info?;
    // No payload lies at 0: the kernel says so where the host has no memory for it.
    if info.gpa == 0 && info.bytes > 0 { Err(StartError::File(name)) } else { Ok(info) }
}

/// The same; an empty one when the image has none.
pub fn optional_payload(handles: &Handles, name: &'static str) -> Result<FileInfo> {
    match process::open(handles.files, name) {
        Err(Status::NotFound) => Ok(FileInfo::default()),
        Err(status) => Err(StartError::Kernel("a payload file", status)),
        Ok(file) => {
            process::close(file).map_err(kernel("a payload file"))?;
            payload(handles, name)
        }
    }
}

/// The memory map that the guest is told. A device's addresses are in none of its ranges.
fn memory_map(ram: &GuestRam) -> Vec<MemoryRange> {
    let mut map: Vec<MemoryRange> = ram
        .ranges()
        .iter()
        .map(|r| MemoryRange { gpa: r.gpa, bytes: r.bytes, kind: MemoryKind::Ram })
        .collect();
    map.push(MemoryRange { gpa: FIRMWARE_GPA, bytes: FIRMWARE_BYTES as u64, kind: MemoryKind::Reserved });
    // Linux believes in the ECAM window only where it is reserved (PCI firmware specification 3.3, 4.1.2).
    map.push(MemoryRange { gpa: ECAM_GPA, bytes: ECAM_BYTES, kind: MemoryKind::Reserved });
    map.sort_unstable_by_key(|r| r.gpa);
    map
}

/// How the guest's kernel is to be started, by the protocol that it knows.
fn plan(
    handles: &Handles,
    image: &GuestRam,
    memory: &[MemoryRange],
    files: &Files,
    rsdp_gpa: u64,
    tsc_hz: u64,
) -> Result<BootPlan> {
    let Files { linux, initrd } = *files;
    let initrd_bytes = initrd.bytes;
    let command_line = payload(handles, "cmdline")?;
    // The header alone: the kernel is moved within guest memory, and the heap need not have room for it.
    let mut head = vec![0; HEADER_BYTES.min(linux.bytes as usize)];
    let mut text = vec![0; command_line.bytes.min(COMMAND_LINE_MAX) as usize];
    if !image.copy_out(linux.gpa, &mut head) || !image.copy_out(command_line.gpa, &mut text) {
        return Err(StartError::File("linux"));
    }
    // The newline that ends a text file is none of the parameters, and one may come to stand behind it.
    text.truncate(text.trim_ascii_end().len());
    match BzImage::parse(&head, linux.bytes) {
        Ok(kernel) => {
            add_tsc_frequency(&mut text, tsc_hz);
            let (kernel, command_line) = (&kernel, &text[..]);
            let request = BootRequest { kernel, initrd_bytes, command_line, memory, rsdp_gpa };
            linux::plan(&request).map_err(|e| guest(&e))
        }
        Err(ImageError::NotLinux | ImageError::Truncated) => {
            let read = |offset, bytes: &mut [u8]| image.copy_out(linux.gpa.wrapping_add(offset), bytes);
            let kernel = &ElfKernel::parse(&head, linux.bytes, &read).map_err(|e| guest(&e))?;
            if kernel.protocol == Protocol::Pvh {
                // That is Linux in most cases, which a kernel with a multiboot header is not.
                add_tsc_frequency(&mut text, tsc_hz);
            }
            log::info!("the kernel is started by {:?}", kernel.protocol);
            let command_line = &text;
            let request = BootRequest { kernel, initrd_bytes, command_line, memory, rsdp_gpa };
            elf::plan(&request).map_err(|e| guest(&e))
        }
        Err(error) => Err(guest(&error)),
    }
}

fn guest(error: &dyn fmt::Display) -> StartError {
    StartError::Guest(alloc::format!("{error}"))
}

/// Where the image has what is moved to its place.
struct Files {
    linux: FileInfo,
    initrd: FileInfo,
}

/// Loads the guest's kernel as its boot protocol says; returns how to enter it. The payload is in `image`,
/// all of the guest's memory and maybe more than that.
pub fn place_kernel(
    handles: &Handles,
    ram: &GuestRam,
    image: &GuestRam,
    rsdp_gpa: u64,
    tsc_hz: u64,
) -> Result<EntryRegisters> {
    let (linux, initrd) = (payload(handles, "linux")?, optional_payload(handles, "initrd")?);
    let map = memory_map(ram);
    let plan = plan(handles, image, &map, &Files { linux, initrd }, rsdp_gpa, tsc_hz)?;
    log::info!("kernel at {:#x?}, initrd at {:#x?}", plan.kernel, plan.initrd);
    if let Some(file) = overwritten(&plan.placements, &linux, &initrd) {
        return Err(StartError::Guest(alloc::format!(
            "the guest's parts would be loaded over the file {file}: give the image another payload_base"
        )));
    }
    // In the plan's order: the RAM disk may come to lie where the kernel's file was, which has been moved by
    // then.
    for placement in &plan.placements {
        let done = match &placement.source {
            Source::Bytes(bytes) => ram.copy_in(placement.gpa, bytes),
            Source::Kernel(range) => {
                image.move_within(placement.gpa, linux.gpa + range.start, range.end - range.start)
            }
            Source::Initrd => image.move_within(placement.gpa, initrd.gpa, initrd.bytes),
            Source::Zeroes(bytes) => ram.clear(placement.gpa, *bytes),
        };
        if !done {
            return Err(StartError::Guest(alloc::format!("no guest memory at {:#x}", placement.gpa)));
        }
    }
    Ok(plan.entry)
}

/// Where a placement's bytes come from, if from a file, and how many there are.
fn origin(placement: &Placement, linux: &FileInfo, initrd: &FileInfo) -> (Option<(&'static str, u64)>, u64) {
    match &placement.source {
        Source::Bytes(bytes) => (None, bytes.len() as u64),
        Source::Kernel(range) => (Some(("linux", linux.gpa + range.start)), range.end - range.start),
        Source::Initrd => (Some(("initrd", initrd.gpa)), initrd.bytes),
        Source::Zeroes(bytes) => (None, *bytes),
    }
}

/// The file of which something would be overwritten before it is moved: the plan goes by what is guest
/// memory, and the files lie in that, wherever the image's recipe put them.
fn overwritten(placements: &[Placement], linux: &FileInfo, initrd: &FileInfo) -> Option<&'static str> {
    let of = |placement| origin(placement, linux, initrd);
    placements.iter().enumerate().find_map(|(index, placement)| {
        let (gpa, bytes) = (placement.gpa, of(placement).1);
        // What comes later is still in its file; a part is moved onto itself without harm.
        placements.iter().skip(index + 1).find_map(|later| {
            let (from, length) = of(later);
            let (name, from) = from?;
            (from < gpa.saturating_add(bytes) && gpa < from.saturating_add(length)).then_some(name)
        })
    })
}

/// Tells Linux the TSC's frequency, as a boot loader may, unless the user has. Linux reads CPUID leaf 15h on
/// Intel's processors only, and its measurements fail where an exit takes as long as it does under emulation:
/// the TSC would then be called unstable.
fn add_tsc_frequency(command_line: &mut Vec<u8>, tsc_hz: u64) {
    let parameter = b"tsc_early_khz=";
    let said = command_line.windows(parameter.len()).any(|w| w == parameter);
    if !said {
        command_line.extend_from_slice(alloc::format!(" tsc_early_khz={}", tsc_hz / 1000).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_overwritten_before_it_is_moved() {
        const MIB: u64 = 1 << 20;
        let placed = |gpa, source| Placement { gpa, source };
        let plan = [
            placed(0x1_0000, Source::Bytes(vec![0; 4096])),
            placed(16 * MIB, Source::Kernel(0x4000..8 * MIB)),
            placed(64 * MIB, Source::Initrd),
        ];
        let file = |gpa, bytes| FileInfo { gpa, bytes, ..FileInfo::default() };
        for (linux, initrd, expected) in [
            // The kernel's file, the RAM disk's, and which is lost.
            (160 * MIB, 180 * MIB, None),
            (160 * MIB, 20 * MIB, Some("initrd")),
            (160 * MIB, 24 * MIB - 0x4001, Some("initrd")),
            (160 * MIB, 24 * MIB - 0x4000, None),
            (160 * MIB, 12 * MIB, None),
            (160 * MIB, 12 * MIB + 1, Some("initrd")),
            // Each onto itself, and the RAM disk to where the kernel's file was.
            (16 * MIB, 64 * MIB, None),
            (64 * MIB, 180 * MIB, None),
            (0x1_0000 - 0x4000, 180 * MIB, Some("linux")),
        ] {
            let (linux, initrd) = (file(linux, 8 * MIB), file(initrd, 4 * MIB));
            assert_eq!(overwritten(&plan, &linux, &initrd), expected, "{:x?} {:x?}", linux.gpa, initrd.gpa);
        }
    }
}
