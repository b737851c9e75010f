//! Devices in processes of their own: the guest sees no difference, and when such a process ends, hangs or
//! talks nonsense, the guest lives and the device comes back.

use anyhow::{Context, Result, ensure};
use plinth_qemu::{Outcome, Qemu};

use crate::debian::kernel;
use crate::image::{Image, Payload};
use crate::initramfs::Initramfs;
use crate::matrix;
use crate::project::read;
use crate::testing::{Booted, Case, Suite, free_memory};
use crate::tests::c_process;

mod faults;
mod kills;

pub use kills::kills;

/// The guest's release.
const GUEST: &str = "newest";

/// What the guest does: work on each processor, the clock by its driver, and boiling an egg.
const EVERYTHING: &str = "plinth.test=\"\
    for i in $(seq 0 $(($(nproc)-1))); do taskset -c $i md5sum /bin/busybox; done; hwclock -r -u; \
    port write32 0x520 200; sleep 1; echo egg $(port read8 0x524) $(port read32 0x520)\"";

/// What the guest does while its egg timer goes wrong: reads it on each processor until it was gone and there
/// again so many times, then boils an egg if it can.
const OUTLAST: &str = "plinth.test=\"\
    for i in $(seq 0 $(($(nproc)-1))); do taskset -c $i port outlast32 0x520 TIMES & done; \
    wait; echo outlasted\"";

/// How a guest sets up its serial port anew. A driver with words still to send waits for an interrupt that
/// the new port was never told to raise, and `stty` waits for the driver: so the port is told first, by its
/// interrupt enable register and by OUT2 of its modem control.
const PORT_ANEW: &str = "port write8 0x3fc 0x0b; port write8 0x3f9 7; \
    stty -F /dev/ttyS0 9600; stty -F /dev/ttyS0 115200";

/// The most that Plinth may keep of the machine's memory, with one processor and all three as processes.
const KEPT_KIB: u64 = 16 << 10;

/// Two parts of guest memory, of which the egg timer's process is granted the first, without a use for it.
const NAMED_MEMORY: &str = "memory window 0x20000 8K\nmemory beside 0x22000 4K\n";
const MEMORY_OF_TIMER: &str = "  grant window rm\n  set memory window 20000 2000\n";

/// How the egg timer's process goes wrong: name, what it is told, how long a call may take, processors, how
/// often each of them is to see it gone.
const FAULTS: [(&str, &str, u32, u32, u32); 3] = [
    ("devices-dying", "set dies 60", 2000, 4, 12),
    ("devices-hanging", "set hangs 400", 200, 2, 4),
    ("devices-lying", "set lies 50", 2000, 4, 12),
];

/// How often a device's process is ended; `scripts/soak` does it more often.
const KILLS: u32 = 20;

/// How often a process that goes wrong is started again: for ever, as far as a test goes.
const RESTARTS: u32 = 1_000_000;

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    for processors in [1, 4] {
        let mut kept = None;
        suite.check(&format!("devices-{processors}"), |case| {
            kept = Some(everything(case, qemu, processors)?);
            Ok(())
        });
        if let Some((kept, free)) = kept {
            let what = format!("memory kept with three devices in processes, {processors} vCPU(s)");
            suite
                .measure(&what, &format!("{kept} KiB, {free} KiB of them free (1 vCPU: at most {KEPT_KIB})"));
        }
    }
    suite.check("devices-inside", |case| inside(case, qemu));
    for (name, fault, limit_ms, processors, times) in FAULTS {
        suite.check(name, |case| faulty(case, qemu, fault, limit_ms, processors, times));
    }
    for (name, fault, once_in, limit_ms) in faults::FAULTS {
        suite.check(name, |case| faults::on_board(case, qemu, fault, once_in, limit_ms));
    }
    suite.check("devices-killed", |case| kills(case, qemu, KILLS, 2));
    suite.check("devices-given-up", |case| given_up(case, qemu));
    suite.check("devices-c", |case| in_c(case, qemu));
    suite.check("devices-ranges", |case| ranges(case, qemu));
    Ok(())
}

/// Boots with all three devices as processes. For `scripts/soak`, too. Returns how many KiB Plinth keeps, and
/// how many of them are free when all is there.
///
/// # Errors
/// When it does not hold, or one processor needs too much memory.
pub fn everything(case: &mut Case, qemu: &Qemu, processors: u32) -> Result<(u64, u64)> {
    let booted = use_devices(case, qemu, "process", processors)?;
    case.expect(&booted.log, "memory window 20000 2000 is reached, and nothing else")?;
    let log = booted.log_text();
    for name in ["serial-port", "rtc", "egg-timer"] {
        let calls = report(&log, name).with_context(|| format!("no report of {name}"))?;
        ensure!(calls.calls > 0 && calls.lost == [0; 3] && calls.absent == 0, "{name}: {calls:?}");
    }
    let (free, kept) = memory(&log).context("the log does not say what Plinth keeps")?;
    ensure!(processors > 1 || kept <= KEPT_KIB, "{kept} KiB are kept, not {KEPT_KIB}");
    Ok((kept, free))
}

/// An ordinary image's configuration with serial port, clock and egg timer in `PLACE`.
fn config(case: &Case, place: &str, egg_timer: &str) -> Result<String> {
    let text = read(&case.project().root.join("vmm-user/config/vmm.conf"))?;
    let place_of = |text: String, device: &str| {
        text.replace(&format!("device {device} inside\n"), &format!("device {device} {place}\n"))
    };
    Ok(["serial-port", "rtc"].into_iter().fold(text, place_of) + egg_timer)
}

/// An image of Debian's kernel with that configuration and command line.
fn image(case: &Case, config: &str, append: &str) -> Result<Image> {
    let project = case.project();
    let programs = project.programs();
    let mut initramfs = Initramfs::new(project)?;
    initramfs.add_port_command(project)?;
    let initrd = Some(initramfs.pack(&case.file("initrd.gz"))?);
    // The kernel's own check of its timer is about time, of which a busy machine has none.
    let append = format!("console=ttyS0 no_timer_check {append}");
    let payload = Payload { kernel: kernel::fetch(project, GUEST)?, initrd, append };
    Ok(Image::new(project, "debian")?
        .payload(&payload)
        .set("files.vmm", programs.join("test-vmm").display())
        .set("files.test-device-host", programs.join("test-device-host").display())
        .config(config))
}

fn boot(case: &mut Case, qemu: &Qemu, image: Image, processors: u32) -> Result<Booted> {
    let mut machine = case.machine(image.pack(&case.file("igvm"))?);
    machine.processors = processors;
    let booted = case.boot(qemu, &machine)?;
    case.record_lines(&booted.log_text(), &["device ", "is started again", "kept by Plinth", "panic"]);
    case.expect_outcome(&booted, Outcome::PowerOff)?;
    case.expect(&booted.console, "guest: test status 0")?;
    Ok(booted)
}

/// Boots with the devices there, and uses them.
fn use_devices(case: &mut Case, qemu: &Qemu, place: &str, processors: u32) -> Result<Booted> {
    let timer = format!(
        "{NAMED_MEMORY}device egg-timer {place}\n  file test-device-host\n  grant log w\n{MEMORY_OF_TIMER}"
    );
    let image = image(case, &config(case, place, &timer)?, EVERYTHING)?;
    let booted = boot(case, qemu, image, processors)?;
    matrix::check_exits(case, &booted)?;
    case.expect(&booted.console, &format!(", {processors} CPUs,"))?;
    case.expect(&booted.console, " 20")?;
    case.expect(&booted.console, "egg 01 00000000")?;
    Ok(booted)
}

/// The same guest finds the same with all three inside the VMM.
fn inside(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let booted = use_devices(case, qemu, "inside", 1)?;
    ensure!(report(&booted.log_text(), "rtc").is_none(), "the clock was in a process");
    Ok(())
}

/// The guest outlasts an egg timer whose process goes wrong; each time another one takes its place, and
/// nothing is lost with the old one.
fn faulty(
    case: &mut Case,
    qemu: &Qemu,
    fault: &str,
    limit_ms: u32,
    processors: u32,
    times: u32,
) -> Result<()> {
    let timer = format!(
        "  set device-limit-ms {limit_ms}\ndevice egg-timer process\n  file test-device-host\n  \
         grant log w\n  {fault}\n  on-end restart {RESTARTS}\n"
    );
    let append = OUTLAST.replace("TIMES", &times.to_string());
    let image = image(case, &config(case, "inside", &timer)?, &append)?;
    let booted = boot(case, qemu, image, processors)?;
    case.expect(&booted.console, "outlasted")?;
    let log = booted.log_text();
    let calls = report(&log, "egg-timer").context("no report of the egg timer")?;
    let lost: u64 = calls.lost.iter().sum();
    ensure!(lost >= u64::from(times) && calls.absent > 0, "lost {lost} times: {calls:?}");
    let free = free_kib(&log);
    case.record(format_args!("{lost} losses, {} restarts, KiB free: {free:?}", free.len()));
    ensure!(free.len() >= times as usize, "started again {} times", free.len());
    // The first ones may end before all that the machine needs is there.
    let settled = &free[free.len() / 4..];
    // A page that is lost with each process is at least twice what is allowed.
    let lost = free_memory::lost(settled);
    ensure!(lost <= settled.len() as u64, "{lost} KiB are lost after {} restarts", settled.len());
    Ok(())
}

/// A device that is started again once: the guest goes on without it, and with its clock and serial port.
fn given_up(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let timer = "device egg-timer process\n  file test-device-host\n  grant log w\n  set dies 1\n  \
                 on-end restart 1\n";
    let append = "plinth.test=\"port write32 0x520 1; sleep 1; port write32 0x520 1; sleep 1; \
                  echo egg $(port read32 0x520)\"";
    let image = image(case, &config(case, "process", timer)?, append)?;
    let booted = boot(case, qemu, image, 1)?;
    case.expect(&booted.log, "egg-timer has been started again 1 times; giving up")?;
    case.expect(&booted.console, "egg ffffffff")
}

/// What the guest of [`RANGES`] does: looks at each, and ends the machine by the host's own port.
const USE_RANGES: &str = "console=ttyS0 plinth.test=\"\
    echo ranges $(port read8 0xf4) $(port read8 0xf5) $(port read16 0xf4); port write8 0xf5 0x11; \
    echo still here; port write8 0xf4 0x2a; sleep 60\"";

/// Of QEMU's isa-debug-exit, which reads zero, the guest has the first port; there is a clock and an HPET.
const RANGES: &str = "range ports 0xf4 1 forwarded\nrange ports 0xf5 3 absent\nrange ports 0x70 2 emulated\n\
    range memory 0xfed00000 1K emulated\nrange memory 0xfed40000 4K absent\n";

/// The guest reaches a port of the host's that is forwarded, and not the one beside, which is absent.
fn ranges(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let config = config(case, "inside", RANGES)?;
    let machine = case.machine(image(case, &config, USE_RANGES)?.pack(&case.file("igvm"))?);
    let booted = case.boot(qemu, &machine)?;
    // What is written there makes the status twice that and one.
    case.expect_outcome(&booted, Outcome::Status(0x2a << 1 | 1))?;
    case.expect(&booted.console, "ranges 00 ff ff00")?;
    case.expect(&booted.console, "still here")
}

/// The device in C: its register keeps what is written, in any width.
fn in_c(case: &mut Case, qemu: &Qemu) -> Result<()> {
    c_process::compile(case, "device.c", "c-device")?;
    let device = "device c-register process\n  file c-device\n";
    let append = "plinth.test=\"port write32 0x538 0x12345678; port write8 0x539 0xab; \
                  echo register $(port read32 0x538) $(port read16 0x53a) $(port read8 0x53c)\"";
    let program = case.project().programs().join("c-device");
    let image = image(case, &config(case, "inside", device)?, append)?;
    let booted = boot(case, qemu, image.set("files.c-device", program.display()), 2)?;
    case.expect(&booted.console, "register 1234ab78 1234 ff")
}

/// What the kernel says at the end, in KiB: free, of what Plinth keeps.
fn memory(log: &str) -> Option<(u64, u64)> {
    let line = log.lines().find(|line| line.ends_with(" KiB that Plinth keeps are free"))?;
    let mut numbers = line.split("kernel: ").nth(1)?.split(' ').filter_map(|word| word.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// What init says is free, at each restart of the egg timer.
fn free_kib(log: &str) -> Vec<u64> {
    free_kib_of(log, "egg-timer")
}

/// What init says is free, at each restart of a device.
fn free_kib_of(log: &str, name: &str) -> Vec<u64> {
    let of_line = |line: &str| {
        let (_, rest) = line.split_once(&format!("{name} is started again ("))?;
        let (_, rest) = rest.split_once("), ")?;
        rest.split_once(" KiB")?.0.parse().ok()
    };
    log.lines().filter_map(of_line).collect()
}

/// What the log says of a device at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Report {
    calls: u64,
    /// Ended, late, nonsense.
    lost: [u64; 3],
    absent: u64,
}

/// `device NAME: N calls; lost: N ended, N late, N nonsense; N to nobody`.
fn report(log: &str, name: &str) -> Option<Report> {
    let (_, line) = log.split_once(&format!("device {name}: "))?;
    let line = line.lines().next()?;
    let numbers: Vec<u64> = line.split([' ', ',', ';']).filter_map(|word| word.parse().ok()).collect();
    let [calls, ended, late, nonsense, absent] = numbers[..] else { return None };
    Some(Report { calls, lost: [ended, late, nonsense], absent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_read() {
        let log = "init: egg-timer is started again (1 of 9), 500 KiB are free\nnothing\n\
                   init: egg-timer is started again (2 of 9), 496 KiB are free\n";
        assert_eq!(free_kib(log), [500, 496]);
    }

    #[test]
    fn what_is_kept_is_read() {
        let log = "[1.2] cpu0 INFO  kernel: 8448 KiB of the 12288 KiB that Plinth keeps are free\nx";
        assert_eq!(memory(log), Some((8448, 12_288)));
        assert_eq!(memory("KiB that Plinth keeps are free"), None);
    }

    #[test]
    fn reports_are_read() {
        let log =
            "[1] cpu0 INFO  vmm: device rtc: 12 calls; lost: 1 ended, 2 late, 3 nonsense; 4 to nobody\nx";
        assert_eq!(report(log, "rtc"), Some(Report { calls: 12, lost: [1, 2, 3], absent: 4 }));
        assert_eq!(report(log, "serial-port"), None);
        assert_eq!(report("device rtc: nothing", "rtc"), None);
    }
}
