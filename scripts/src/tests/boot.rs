//! Debian's kernels, unmodified, boot to user space under Plinth, run a command there and power off; with the
//! time that takes.

use anyhow::Result;
use plinth_qemu::{Qemu, read_text, seconds_to};

use crate::image::{Image, Payload};
use crate::matrix::{self, Place};
use crate::testing::Suite;

/// What the console shows first of the guest, and when it is up.
const MILESTONES: [&str; 2] = ["Linux version", "user space reached"];

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    matrix::pack(suite);
    for place in matrix::places(suite, qemu) {
        let name = format!("boot-{place}");
        suite.check(&name, |case| matrix::boot(case, &place));
        suite.check(&format!("direct-{name}"), |case| matrix::boot_direct(case, &place));
        measure_times(suite, &place, &name);
    }
    let kib = empty_image_kib(suite)?;
    suite.measure("image without the guest's payload", &format!("{kib} KiB (goal: under 4096)"));
    let log = read_text(&suite.folder().join("boot-6.1-1-pvh.log"));
    let kept = memory_kept(&log).unwrap_or("?");
    suite.measure("memory Plinth keeps, 1 CPU", &format!("{kept} (goal: 16 MiB at most)"));
    Ok(())
}

/// Seconds from QEMU's start to the guest's first line and to its user space, under Plinth and without.
fn measure_times(suite: &mut Suite, place: &Place, name: &str) {
    let consoles = [name.to_owned(), format!("direct-{name}")]
        .map(|name| read_text(&suite.folder().join(format!("{name}.console"))));
    let time =
        |console: &str, text| seconds_to(console, text).map_or("-".to_owned(), |at| format!("{at:.3}"));
    let times = MILESTONES.map(|text| consoles.each_ref().map(|console| time(console, text)).join(" / "));
    suite.measure(
        &format!(
            "Linux {}, {} CPUs, {}, QEMU {}: Plinth / direct",
            place.guest,
            place.processors,
            place.loader,
            place.qemu.version()
        ),
        &format!("first line {} s, user space {} s", times[0], times[1]),
    );
}

/// The size of an image without a guest in it.
fn empty_image_kib(suite: &Suite) -> Result<u64> {
    let image = Image::new(suite.project(), "debian")?.payload(&Payload::default());
    let file = image.pack(&suite.folder().join("empty.igvm"))?;
    Ok(std::fs::metadata(file)?.len() / 1024)
}

/// What the log says of it: `... 7 MiB kept by Plinth ...`.
fn memory_kept(log: &str) -> Option<&str> {
    let (before, _) = log.split_once(" kept by Plinth")?;
    let start = before.rmatch_indices(' ').nth(1)?.0;
    Some(&before[start + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept() {
        assert_eq!(memory_kept("x: 480 MiB for guests, 7 MiB kept by Plinth, y\n"), Some("7 MiB"));
        assert_eq!(memory_kept("nothing"), None);
    }
}
