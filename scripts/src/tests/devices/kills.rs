//! The processes of serial port, clock and egg timer are ended again and again, at moments by chance
//! (`vmm-user/test-vmm/src/killer.rs`), while the guest uses all three on every processor.

use anyhow::{Context, Result, ensure};
use plinth_qemu::Qemu;

use super::{PORT_ANEW, boot, image, report};
use crate::project::read;
use crate::testing::Case;

/// The devices, by their names and those of their files: a process has its file's.
const VICTIMS: [&str; 3] = ["serial-port", "rtc", "egg-timer"];

/// What the guest does: on each processor one program that reads registers of all three without end, and
/// one that reads the clock by its driver, prints by the console's and sets the timer, until nobody is to be
/// ended any more. Then it sets up its serial port anew, as a new one has lost what its driver told the old
/// one, reads the clock and boils an egg.
const OUTLAST_KILLS: &str = "plinth.test=\"port write32 0x530 TIMES; \
    for i in $(seq 0 $(($(nproc)-1))); do \
    taskset -c $i port until32 0x530 0 0x524 0x3fd 0x71 >/tmp/reads$i & \
    while [ $(port read32 0x530) != 00000000 ]; do taskset -c $i hwclock -r -u; echo load >/dev/kmsg; \
    port write32 0x520 1; done >/dev/null 2>&1 & done; wait; \
    PORT_ANEW; cat /tmp/reads*; \
    hwclock -r -u && echo clock is back; port write32 0x520 200; sleep 1; \
    echo egg $(port read8 0x524) $(port read32 0x520)\"";

/// The most memory that may be free less after all kills than after the first ten: what the VMM and init take
/// once, later. A page that is lost with each kill is as much after 16 of them.
const LOST_KIB: u64 = 64;

/// Ends those processes so many times.
///
/// # Errors
/// When guest or devices do not outlast it, or something is lost.
pub fn kills(case: &mut Case, qemu: &Qemu, times: u32, processors: u32) -> Result<()> {
    let programs = case.project().programs();
    let host = programs.join("test-device-host").display().to_string();
    let append = OUTLAST_KILLS.replace("TIMES", &times.to_string()).replace("PORT_ANEW", PORT_ANEW);
    let mut image = image(case, &config(case)?, &append)?;
    for name in VICTIMS {
        image = image.set(&format!("files.{name}"), &host);
    }
    let booted = boot(case, qemu, image, processors)?;
    case.expect(&booted.console, "clock is back")?;
    case.expect(&booted.console, "egg 01 00000000")?;
    let log = booted.log_text();
    case.record_lines(&log, &["killer: "]);
    let census = |when| census(&log, when).with_context(|| format!("no census {when}"));
    let (before, after) = (census("before")?, census("after")?);
    ensure!(before.counts == after.counts, "handles, threads, processes: {before:?}, then {after:?}");
    let lost = before.free_kib.saturating_sub(after.free_kib);
    ensure!(lost <= LOST_KIB, "{lost} KiB are lost");
    let (mut ended, mut restarts) = (0, 0);
    for name in VICTIMS {
        ended += report(&log, name).with_context(|| format!("no report of {name}"))?.lost[0];
        restarts += log.lines().filter(|line| line.contains(&format!("{name} is started again"))).count();
    }
    case.record(format_args!(
        "{restarts} restarts, of which a call noticed {ended}; {lost} KiB less are free"
    ));
    ensure!(restarts >= times as usize, "{restarts} restarts for {times} kills");
    ensure!(ended > 0, "no call noticed that a device had ended");
    ensure!(!log.contains("ERROR killer"), "the killer says what is wrong");
    Ok(())
}

/// The killer is granted what it needs against each, and the system, of which it counts everything.
fn config(case: &Case) -> Result<String> {
    let mut text = read(&case.project().root.join("vmm-user/config/vmm.conf"))?;
    let victim = |name: &str| format!("device {name} process\n  file {name}\n  on-end restart 1000000\n");
    for name in VICTIMS.iter().filter(|name| **name != "egg-timer") {
        text = text.replace(&format!("device {name} inside\n"), &victim(name));
    }
    text += &(victim("egg-timer") + "  grant log w\n");
    text += "device killer process\n  file test-device-host\n  grant log w\n  grant system r\n  priority 2\n";
    text += &format!("  set victims {}\n", VICTIMS.join(" "));
    for name in VICTIMS {
        text += &format!("  grant {name}.complaint s\n  grant {name}.lives rwm\n");
    }
    Ok(text)
}

/// What the killer counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Census {
    free_kib: u64,
    /// Handles, threads, processes.
    counts: [u64; 3],
}

/// `killer: WHEN the kills: N KiB free, N handles, N threads, N processes`.
fn census(log: &str, when: &str) -> Option<Census> {
    let (_, line) = log.split_once(&format!("killer: {when} the kills: "))?;
    let mut numbers = line.lines().next()?.split(' ').filter_map(|word| word.parse().ok());
    let mut next = || numbers.next();
    Some(Census { free_kib: next()?, counts: [next()?, next()?, next()?] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_census_is_read() {
        let log = "x killer: before the kills: 900 KiB free, 70 handles, 12 threads, 6 processes\n\
                   y killer: after the kills: 896 KiB free, 71 handles, 12 threads, 6 processes\n";
        assert_eq!(census(log, "before"), Some(Census { free_kib: 900, counts: [70, 12, 6] }));
        assert_eq!(census(log, "after"), Some(Census { free_kib: 896, counts: [71, 12, 6] }));
        assert_eq!(census("killer: before the kills: no", "before"), None);
    }
}
