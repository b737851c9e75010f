//! A guest resets its machine, by each way there is: the machine begins anew, in the same QEMU, with nothing
//! left of the guest before, and Plinth keeps nothing of it either. Debian restarts with its disk.

use std::fs;

use anyhow::{Context, Result, ensure};
use plinth_qemu::{Outcome, Qemu};

use crate::assemble;
use crate::debian::kernel;
use crate::image::{Image, Payload, config_ended_by_reset, config_with};
use crate::initramfs::Initramfs;
use crate::testing::{Booted, Case, Suite, free_memory};

/// How often the small guest resets its machine, by four ways in turn.
const RESETS: usize = 24;
/// The most memory that may be free less in the second half of the resets than in the first: a page that is
/// lost with each reset is more.
const LOST_KIB: u64 = 16;
/// Debian's release.
const GUEST: &str = "6.1";
/// What Debian does, a file of its own: a kernel's command line is too short for it.
const SCRIPT: &str = include_str!("resets.sh");
/// How often Debian resets its machine.
const DEBIAN_RESETS: usize = 1;
/// Bytes of its disk.
const DISK_BYTES: usize = 4 << 20;

/// The small guest's count is in a port of the host's second serial port.
const COUNT: &str = "range ports 0x2ff 1 forwarded\n";
/// A disk in memory.
const RAM_DISK: &str = "device virtio-blk inside\n";
/// Devices in processes of their own.
const PROCESSES: &str = "device egg-timer process\n  file test-device-host\n  grant log w\n";

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    suite.check("resets", |case| resets(case, qemu, RESETS));
    suite.check("reset-is-the-end", |case| end(case, qemu));
    suite.check("reset-debian-1", |case| debian(case, qemu, 1, false));
    suite.check("reset-debian-2", |case| debian(case, qemu, 2, true));
    Ok(())
}

/// An image of the small guest.
fn image(case: &Case, config: &str, resets: usize) -> Result<Image> {
    let project = case.project();
    let (guests, shared) = (project.root.join("vmm-user/tests-guest"), project.root.join("benches/guest"));
    // The guest first: its entry is at the beginning.
    let sources = [guests.join("resets.S"), shared.join("setup.S"), shared.join("text.S")];
    let folder = project.scratch("resets")?;
    let kernel = assemble::guest(&shared.join("guest.ld"), &sources, &folder, &case.file("bin"))?;
    let payload = Payload { kernel, initrd: None, append: resets.to_string() };
    Ok(Image::new(project, "debian")?.payload(&payload).config(&(config.to_owned() + COUNT)))
}

fn boot(case: &mut Case, qemu: &Qemu, image: Image) -> Result<Booted> {
    let mut machine = case.machine(image.pack(&case.file("igvm"))?);
    (machine.memory_mib, machine.processors) = (256, 2);
    // That is a second serial port.
    machine.inspect = Some(std::env::temp_dir().join(format!("plinth-resets-{}", std::process::id())));
    let booted = case.boot(qemu, &machine)?;
    case.record_lines(&booted.console_text(), &["guest: resets"]);
    case.expect_no_panic(&booted)?;
    Ok(booted)
}

/// What the guest finds is the same each time, and so is the memory that is free. A triple fault ends the
/// run.
///
/// # Errors
/// When it is not so.
pub fn resets(case: &mut Case, qemu: &Qemu, resets: usize) -> Result<()> {
    let image = image(case, &config_with(case.project(), "vmm", &[])?, resets)?;
    let booted = boot(case, qemu, image)?;
    case.expect_outcome(&booted, Outcome::TripleFault)?;
    let found = found(&booted.console_text());
    ensure!(found.len() == resets + 1, "{} boots, not {}", found.len(), resets + 1);
    let first = found.first().context("no boot")?.1.clone();
    for (count, (number, places)) in found.iter().enumerate() {
        ensure!(*number == count, "boot {count} says that it is {number}");
        ensure!(*places == first, "boot {count} finds{places}, and the first one found{first}");
    }
    let free = free_kib(&booted.log_text());
    ensure!(free.len() == resets, "{} resets in the log, not {resets}", free.len());
    // At the first reset more is free, as some is taken once.
    let lost = free_memory::lost(free.get(1..).unwrap_or_default());
    case.record(format_args!("{lost} KiB less are free after {resets} resets: {free:?}"));
    ensure!(lost <= LOST_KIB, "{lost} KiB are lost after {resets} resets");
    Ok(())
}

/// Where the configuration says so, the first reset is the end of the run.
fn end(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let image = image(case, &config_ended_by_reset(case.project(), &[])?, RESETS)?;
    let booted = boot(case, qemu, image)?;
    case.expect_outcome(&booted, Outcome::Reboot)?;
    ensure!(found(&booted.console_text()).len() == 1, "the guest began more than once");
    Ok(())
}

/// Debian restarts, with a disk in memory and all devices inside, or with a disk of the host's and devices in
/// processes.
fn debian(case: &mut Case, qemu: &Qemu, processors: u32, apart: bool) -> Result<()> {
    let project = case.project().clone();
    let mut initramfs = Initramfs::new(&project)?;
    initramfs.add_drivers(&project, GUEST)?;
    let script = SCRIPT.replace("LAST=2", &format!("LAST={DEBIAN_RESETS}"));
    initramfs.program("bin/resets", script.into_bytes());
    let initrd = Some(initramfs.pack(&case.file("initrd.gz"))?);
    // The kernel's own check of its timer is about time, of which a busy machine has none.
    let append = "console=ttyS0 no_timer_check plinth.test=resets".to_owned();
    let payload = Payload { kernel: kernel::fetch(&project, GUEST)?, initrd, append };
    let mut disk = vec![0; DISK_BYTES];
    disk[0] = b'0';
    let file = case.file("disk");
    fs::write(&file, disk)?;
    let image = Image::new(&project, "debian")?.payload(&payload);
    let image = if apart {
        let host = project.programs().join("test-device-host");
        image
            .configs(&project, &["vmm", "host-pci", "host-disk"], PROCESSES)
            .with_programs(&["host-pci", "host-block"])
            .set("files.vmm.conf", format_args!("text:{}", in_processes(case)?))
            .set("files.test-device-host", host.display())
    } else {
        let config = config_with(&project, "vmm", &[])? + RAM_DISK;
        image.config(&config).set("payload.disk", file.display())
    };
    let mut machine = case.machine(image.pack(&case.file("igvm"))?);
    machine.processors = processors;
    machine.disk = apart.then(|| file.clone());
    let booted = case.boot(qemu, &machine)?;
    case.record_lines(&booted.console_text(), &["resets: ", "user space reached"]);
    case.record_lines(&booted.log_text(), &["was reset", "device "]);
    case.expect_outcome(&booted, Outcome::PowerOff)?;
    case.expect_no_panic(&booted)?;
    check_debian(case, &booted, processors)
}

/// The ordinary configuration with serial port and clock in processes.
fn in_processes(case: &Case) -> Result<String> {
    let text = config_with(case.project(), "vmm", &[])?;
    ensure!(text.contains("device rtc inside\n"), "vmm.conf has no clock");
    Ok(text.replace("serial-port inside", "serial-port process").replace("rtc inside", "rtc process"))
}

/// What the guest's kernel complains of. Before it resets the machine it takes its devices from their
/// drivers, and says of a write under way that it failed.
fn complaint(console: &str) -> Option<&str> {
    let mut is_down = false;
    console.lines().find(|line| {
        is_down = match line {
            line if line.contains("resets: boot ") => true,
            line if line.contains("] Linux version ") => false,
            _ => is_down,
        };
        line.contains("Call Trace") || line.contains("I/O error") && !is_down
    })
}

fn check_debian(case: &mut Case, booted: &Booted, processors: u32) -> Result<()> {
    for boot in 0..=DEBIAN_RESETS {
        let line = format!("resets: boot {boot} of {DEBIAN_RESETS}, {processors} processors, a clock");
        case.expect(&booted.console, &line)?;
    }
    case.expect(&booted.console, "resets: enough")?;
    case.expect(&booted.console, "guest: test status 0")?;
    let console = booted.console_text();
    let reached = console.matches("user space reached").count();
    ensure!(reached == 1 + DEBIAN_RESETS, "user space was reached {reached} times");
    let complaint = complaint(&console);
    ensure!(complaint.is_none(), "the guest complains: {complaint:?}");
    let resets = free_kib(&booted.log_text()).len();
    ensure!(resets == DEBIAN_RESETS, "{resets} resets in the log");
    Ok(())
}

/// What the guest found at each boot: the number of resets before, and the rest of the line.
fn found(console: &str) -> Vec<(usize, String)> {
    let of_line = |line: &str| {
        let (number, places) = line.split_once("guest: resets ")?.1.split_once(", finds")?;
        Some((number.parse().ok()?, places.to_owned()))
    };
    console.lines().filter_map(of_line).collect()
}

/// What init says is free, at each reset.
fn free_kib(log: &str) -> Vec<u64> {
    let of_line = |line: &str| {
        let (_, rest) = line.split_once("its machine begins anew, ")?;
        rest.split_once(" KiB")?.0.parse().ok()
    };
    log.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_and_what_is_free_is_read() {
        let console = "0.1 guest: resets 0, finds 1 2\n0.2 x\n0.3 guest: resets 1, finds 1 3\n";
        assert_eq!(found(console), [(0, " 1 2".to_owned()), (1, " 1 3".to_owned())]);
        let log = "init: the guest was reset (1): its machine begins anew, 500 KiB are free\nx\n";
        assert_eq!(free_kib(log), [500]);
    }

    #[test]
    fn a_write_may_fail_while_the_machine_goes_down() {
        let down = "resets: boot 0 of 2\n[ 5] I/O error, dev vda\n";
        assert_eq!(complaint(down), None);
        for bad in ["[ 3] I/O error, dev vda", "[ 4.4] Call Trace:"] {
            assert_eq!(complaint(&format!("{bad}\n{down}")), Some(bad));
            assert_eq!(complaint(&format!("{down}[ 0.0] Linux version 6\n{bad}\n")), Some(bad));
        }
    }
}
