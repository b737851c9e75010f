//! Hosts that lack something, and hosts that lie: every end says why, and nothing of Plinth's is ever the
//! guest's.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use plinth_qemu::{Boot, Machine, Outcome, Qemu, read_text};

use super::hostile;
use crate::image::Image;
use crate::log;
use crate::lying_host::{self, Act, End, Host, Lie};
use crate::testing::{Case, Suite};

/// Features of QEMU's CPU models that Plinth needs, and what the console calls them.
const FEATURES: [(&str, &str); 13] = [
    ("nx", "NX"),
    ("svm", "SVM"),
    ("npt", "NPT"),
    ("smep", "SMEP"),
    ("smap", "SMAP"),
    ("xsave", "XSAVE"),
    ("lm", "64"),
    ("syscall", "SYSCALL"),
    ("pge", "PGE"),
    ("mce", "MCE"),
    ("sse2", "SSE2"),
    ("fxsr", "FXSR"),
    ("cmov", "CMOV"),
];
/// A process that ends the machine at once, for those that only have to start.
const QUICK_END: &str = "\
process abi-test
  grant log w
  grant system r
  set role die
  set after-ms 20
  set code 7
";
/// Seeds of random lies; `scripts/lying-hosts` tries as many as one wants.
const SEEDS: std::ops::Range<u64> = 0..12;

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    let igvm = Qemu::find_with_igvm(&suite.project().root);
    for (loader, qemu) in [("pvh", Some(qemu)), ("igvm", igvm.as_ref())] {
        let Some(qemu) = qemu else {
            suite.line("none    features-igvm: there is no QEMU with an IGVM loader here");
            continue;
        };
        suite.check(&format!("features-{loader}"), |case| features(case, qemu, loader));
    }
    for processors in [2, 23, 64] {
        suite.check(&format!("processors-{processors}"), |case| many(case, qemu, processors));
    }
    suite.check("lying-build", |case| hostile::build(case.project()).map(drop));
    suite.check("lying-devices", |case| devices(case, qemu));
    suite.check("lying-memory", |case| memory(case, qemu));
    suite.check("lying-processors", |case| processors(case, qemu));
    suite.check("lying-nmi", |case| nmi(case, qemu));
    suite.check("lying-vectors", |case| vectors(case, qemu));
    suite.check("lying-late", |case| late(case, qemu));
    suite.check("lying-machine-check", |case| machine_check(case, qemu));
    suite.check("lying-hosts", |case| random(case, qemu));
    Ok(())
}

/// A processor without a feature is refused by name.
fn features(case: &mut Case, qemu: &Qemu, loader: &str) -> Result<()> {
    let image = Image::new(case.project(), "abi-test")?.pack(&case.file("igvm"))?;
    for (feature, name) in FEATURES {
        let mut machine = match loader {
            "igvm" => Machine::new(Boot::Igvm { image: image.clone() }),
            _ => case.machine(image.clone()),
        };
        machine.memory_mib = 256;
        machine.cpu = Some(format!("{},-{feature}", qemu.cpu_model()));
        let booted = case.boot_as(&format!("features-{loader}-{feature}"), qemu, &machine)?;
        let console = read_text(&booted.console);
        // The loader looks at what it needs itself, the kernel at the rest.
        let refused = matches!(booted.outcome, Outcome::ProcessFailure | Outcome::LoaderRefusal);
        case.record_lines(&console, &["lacks", "no long mode"]);
        ensure!(
            refused && console.contains(name),
            "without {feature} it ended with {}, and the console does not name {name}:\n{console}",
            booted.outcome
        );
    }
    Ok(())
}

/// That many processors run.
fn many(case: &mut Case, qemu: &Qemu, processors: u32) -> Result<()> {
    let image = Image::new(case.project(), "abi-test")?.config(QUICK_END).pack(&case.file("igvm"))?;
    let mut machine = case.machine(image);
    (machine.memory_mib, machine.processors) = (256, processors);
    let booted = case.boot(qemu, &machine)?;
    case.expect_no_panic(&booted)?;
    case.expect_outcome(&booted, Outcome::ProcessFailure)?;
    case.expect(&booted.log, &format!("cpu{} runs", processors - 1))
}

/// Where a boot's console and log are, with other extensions.
fn files(case: &Case, suffix: &str) -> PathBuf {
    case.sibling(&format!("{}{suffix}", case.name()))
}

/// A host with the guest.
fn host<'a>(case: &Case, qemu: &'a Qemu) -> Result<Host<'a>> {
    Ok(Host::new(case, qemu, hostile::image(case, lying_host::PART)?))
}

/// Boots the guest on a host that tells this lie.
fn lied_to(case: &mut Case, host: &Host<'_>, suffix: &str, lie: &Lie) -> Result<End> {
    let end = host.boot(lie, &files(case, suffix));
    // What the kernel has said anything of has booted, however it ended.
    if end.is_ok() || !read_text(&files(case, suffix).with_extension("log")).is_empty() {
        case.count_boot();
    }
    case.record(format_args!("{lie}: {end:?}"));
    end
}

/// Memory where Plinth's own APICs are, or the board's devices: the guest has its own devices there all the
/// same.
fn devices(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let host = host(case, qemu)?;
    for (index, place) in [0xfec0_0000..0xff00_0000, 0xe000_0000..0x1_0000_0000, 0xfee0_0000..0xfee0_1000]
        .into_iter()
        .enumerate()
    {
        let suffix = format!("-{index}");
        let end = lied_to(case, &host, &suffix, &Lie::with_memory(place))?;
        ensure!(end == End::Ran, "{end:?}");
        case.expect(&files(case, &suffix).with_extension("log"), "memory where devices are")?;
    }
    Ok(())
}

/// Memory where there is none, and beyond the physical addresses.
fn memory(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let host = host(case, qemu)?;
    for (place, words) in [
        (0x4_0000_0000..0x4_4000_0000, "where nothing holds what is written"),
        (0x800_0000_0000..0x801_0000_0000, "past the processor's physical addresses"),
    ] {
        let end = lied_to(case, &host, "", &Lie::with_memory(place))?;
        ensure!(matches!(&end, End::Refused(said) if said.contains(words)), "{end:?}");
    }
    let end = lied_to(case, &host, "", &Lie::without_more_memory())?;
    let words = "Plinth's own memory, which the image says, is not in it";
    ensure!(matches!(&end, End::Refused(said) if said.contains(words)), "{end:?}");
    Ok(())
}

/// More and fewer processors than there are.
fn processors(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let host = host(case, qemu)?;
    // None, too few, too many, the most that the kernel has places for, one more, and nonsense.
    for count in [0, 1, 3, 64, 65, u32::MAX] {
        let end = lied_to(case, &host, "", &Lie::with_processors(count))?;
        ensure!(end == End::Ran, "{count} processors: {end:?}");
    }
    Ok(())
}

/// NMIs from then on when the kernel has an IDT until the machine's end, at several distances, change
/// nothing; those that came while the guest ran are counted.
fn nmi(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let host = host(case, qemu)?;
    let mut counted = 0;
    // Dense ones hardly let the guest run; sparse ones reach its later parts.
    for microseconds in [0, 100, 300, 1000, 2000, 5000] {
        let lie = Lie::with_events(Duration::from_micros(microseconds), "nmi", 20_000);
        let end = lied_to(case, &host, "", &lie)?;
        ensure!(end == End::Ran, "{end:?}");
        let text = read_text(&files(case, "").with_extension("log"));
        let rows = log::exit_rows(&log::exit_table(&text)).map_err(|error| anyhow!(error))?;
        counted += rows.iter().filter(|row| row.reason == "host nmi").map(|row| row.count).sum::<u64>();
    }
    case.record(format_args!("{counted} NMIs while the guest ran"));
    ensure!(counted > 0, "no NMI of the host's was counted");
    Ok(())
}

/// Interrupts that no device has raised change nothing: each vector that a local APIC takes, on each of the
/// processors, while the guest runs.
fn vectors(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let host = host(case, qemu)?;
    let all = (16..=u8::MAX).flat_map(|vector| [0, 1].map(|processor| Act::Vector { processor, vector }));
    let end = lied_to(case, &host, "", &Lie::with_acts(Duration::from_micros(200), all.collect()))?;
    ensure!(end == End::Ran, "{end:?}");
    Ok(())
}

/// A processor that comes late to its start, and processors that stand still now and then.
fn late(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let host = host(case, qemu)?;
    // Within the half second that the kernel waits for a processor, close to it, and beyond.
    for milliseconds in [20, 400, 700] {
        let lie = Lie::with_late_processor(Duration::from_millis(milliseconds));
        let end = lied_to(case, &host, "", &lie)?;
        ensure!(end == End::Ran, "{milliseconds} ms late: {end:?}");
    }
    let time = Duration::from_millis(30);
    let acts = [1, 2].repeat(20).into_iter().map(|runs| Act::Hold { runs, time }).collect();
    let end = lied_to(case, &host, "", &Lie::with_acts(Duration::from_millis(3), acts))?;
    ensure!(end == End::Ran, "{end:?}");
    Ok(())
}

/// A broken processor ends the machine, in words.
fn machine_check(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let host = host(case, qemu)?;
    let lie = Lie::with_events(Duration::from_millis(20), "mce 0 0 0xb200000000000000 0x0 0x0 0x0", 1);
    let end = lied_to(case, &host, "", &lie)?;
    ensure!(matches!(&end, End::Refused(words) if words.contains("machine check")), "{end:?}");
    Ok(())
}

/// Some of many.
fn random(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let host = host(case, qemu)?;
    for seed in SEEDS {
        lied_to(case, &host, "", &Lie::from_seed(seed))?;
    }
    Ok(())
}
