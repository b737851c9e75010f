//! The processes of serial port and clock hang, or answer nonsense, at random moments
//! (`vmm-user/test-vmm/src/faults.rs`) while Debian boots and uses both.

use anyhow::{Context, Result, ensure};
use plinth_qemu::Qemu;

use super::{PORT_ANEW, RESTARTS, boot, free_kib_of, image, report};
use crate::project::read;
use crate::testing::Case;

/// How both go wrong, once in how many requests, and how long a call may take. The guest makes thousands of
/// them a second.
pub const FAULTS: [(&str, &str, u32, u32); 2] =
    [("devices-board-hanging", "hangs", 3000, 200), ("devices-board-lying", "lies", 1000, 2000)];

/// How often each processor of the guest is to see each of the two gone and back.
const TIMES: u32 = 3;

/// The devices, a register that keeps what is written, and how the guest reaches it.
const VICTIMS: [(&str, &str); 2] = [("serial-port", "3ff"), ("rtc", "73")];

/// What the guest does. It has the processes go wrong, by a byte in the serial port's scratch register and
/// one in the clock's memory, again and again, as a new process goes wrong only when it is told: not before
/// there is a user space, since a kernel that finds no serial port when it looks for one has none for ever.
/// Meanwhile it prints, and reads both on each processor until they were gone and back so many times. Then it
/// ends that by another byte, which it writes until it reads it thrice, sets up its serial port anew, as a
/// new one has lost what its driver told the old one, and reads the clock by its driver. Nonsense from the
/// port might be a key for the kernel.
const OUTLAST: &str = "plinth.test=\"echo 0 >/proc/sys/kernel/sysrq; \
    while [ ! -e /tmp/end ]; do port write8 0x3ff 0x5a; port write8 0x73 0x5a; echo load >/dev/kmsg; done & \
    ( for i in $(seq 0 $(($(nproc)-1))); do for p in 0x3fd 0x71; do \
    taskset -c $i port outlast8 $p TIMES >/dev/null & done; done; wait ); echo >/tmp/end; wait; \
    for p in 0x3ff 0x73; do n=0; while [ $n -lt 3 ]; do \
    if [ $(port read8 $p) = 3c ]; then n=$((n+1)); else n=0; port write8 $p 0x3c; fi; done; done; \
    PORT_ANEW; echo serial port is back; hwclock -r -u && echo clock is back\"";

/// The guest outlasts serial port and clock that go wrong so; each time another process takes the place of
/// the one that did, and the guest uses both in the end.
///
/// # Errors
/// When it does not, or something is lost.
pub fn on_board(case: &mut Case, qemu: &Qemu, fault: &str, once_in: u32, limit_ms: u32) -> Result<()> {
    let mut config = read(&case.project().root.join("vmm-user/config/vmm.conf"))?;
    for (name, register) in VICTIMS {
        let device = format!(
            "device {name} process\n  file test-device-host\n  set {fault} {once_in}\n  \
             set from {register} 5a\n  set until {register} 3c\n  on-end restart {RESTARTS}\n"
        );
        config = config.replace(&format!("device {name} inside\n"), &device);
    }
    config += &format!("for vmm\n  set device-limit-ms {limit_ms}\n");
    let image =
        image(case, &config, &OUTLAST.replace("TIMES", &TIMES.to_string()).replace("PORT_ANEW", PORT_ANEW))?;
    let booted = boot(case, qemu, image, 2)?;
    case.expect(&booted.console, "serial port is back")?;
    case.expect(&booted.console, "clock is back")?;
    let log = booted.log_text();
    for (name, _) in VICTIMS {
        let calls = report(&log, name).with_context(|| format!("no report of {name}"))?;
        let [_, late, nonsense] = calls.lost;
        let lost = if fault == "hangs" { late } else { nonsense };
        ensure!(lost >= u64::from(TIMES) && calls.absent > 0, "{name} {fault}, {lost} times: {calls:?}");
        let restarts = free_kib_of(&log, name).len();
        case.record(format_args!("{name} {fault}: lost {lost} times, {restarts} restarts"));
        ensure!(restarts >= TIMES as usize, "{name} was started again {restarts} times");
    }
    Ok(())
}
