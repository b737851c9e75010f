//! NMIs and machine checks in the kernel's entry code, before each of its instructions: between SYSCALL and
//! SWAPGS, between SWAPGS and SYSRET, around VMRUN, in the stubs of interrupts, in the handler of an NMI.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use plinth_qemu::{Gdb, Outcome, Qemu, Qmp, Running, read_text};

use super::hostile;
use crate::entry_code::{Places, Walk, code};
use crate::symbol;
use crate::testing::{Case, Suite};

/// The part of the hostile guest that runs meanwhile: it makes exits of many kinds, and interrupts.
const PART: u32 = 15;
/// After so many entries of the kernel in which there was nothing new, once the guest runs, the walk ends.
const DRY: u32 = 150;
/// A machine check that a processor can't correct, in QEMU's words: processor, bank, status, and no more.
const MACHINE_CHECK: &str = "mce 0 0 0xb200000000000000 0x0 0x0 0x0";

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    suite.check("entry-build", |case| hostile::build(case.project()).map(drop));
    suite.check("entry-nmi", |case| nmi(case, qemu));
    suite.check("entry-machine-check", |case| machine_checks(case, qemu));
    Ok(())
}

/// A machine of one processor, at the kernel's first instruction.
fn start(case: &mut Case, qemu: &Qemu, image: &Path, name: &str) -> Result<(Running, Walk)> {
    let socket = |kind| std::env::temp_dir().join(format!("plinth-entry-{}-{kind}", std::process::id()));
    let (debugger, control) = (socket("gdb"), socket("qmp"));
    let mut machine = case.machine(image.to_path_buf());
    machine.memory_mib = 256;
    machine.log = Some(case.sibling(&format!("{name}.log")));
    (machine.gdb, machine.control, machine.stopped) =
        (Some(Gdb::place(&debugger)), Some(control.clone()), true);
    let running = machine.start(qemu, &case.sibling(&format!("{name}.console")))?;
    case.count_boot();
    let mut gdb = Gdb::connect(&debugger, case.boot_limit())?;
    let qmp = Qmp::connect(&control, case.boot_limit())?;
    for socket in [debugger, control] {
        std::fs::remove_file(&socket).with_context(|| format!("cannot remove {}", socket.display()))?;
    }
    let kernel = case.project().programs().join("vmm-kernel");
    gdb.run_to(symbol::address(&kernel, "kernel_entry")?)?;
    Ok((running, Walk::new(gdb, qmp, Places::of(&kernel)?)?))
}

/// Every instruction of the entry code that this machine executes has an NMI in front of it, and every one of
/// the NMI's handler another: each is taken where it should be, no register changes by it, and the guest runs
/// to its end.
fn nmi(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let image = hostile::image(case, PART)?;
    let (mut running, mut walk) = start(case, qemu, &image, "entry-nmi")?;
    // How many entries in a row have shown no new instruction: after enough of them there are no more.
    let (mut dry, began) = (0, Instant::now());
    while dry < DRY && began.elapsed() < case.boot_limit() {
        let now = match walk.next_entry() {
            Ok(now) => now,
            Err(error) => {
                // The guest may be through by now; how is looked at below.
                ensure!(running.poll()?.is_some(), error);
                break;
            }
        };
        let before = walk.tried();
        walk.through_with_nmis(now)?;
        if walk.tried_in(Places::interrupts, code::SWAPGS) < 2 && running.poll()?.is_none() {
            walk.interrupt_process()?;
        }
        let has_entered = walk.tried_in(Places::guest_entries, code::VMRUN) > 0;
        dry = if walk.tried() > before || !has_entered { 0 } else { dry + 1 };
    }
    case.record(format_args!(
        "{} instructions had an NMI, in {:.1} s",
        walk.tried(),
        began.elapsed().as_secs_f32()
    ));
    for (what, place, bytes, least) in [
        ("SWAPGS of system calls", Places::system_calls as fn(&Places) -> _, code::SWAPGS, 2),
        ("SYSRET", Places::system_calls, code::SYSRETQ, 1),
        ("SWAPGS of SYS_RUN", Places::guest_entries, code::SWAPGS, 1),
        ("SYSRET of SYS_RUN", Places::guest_entries, code::SYSRETQ, 1),
        ("CLGI", Places::guest_entries, code::CLGI, 1),
        ("VMRUN", Places::guest_entries, code::VMRUN, 1),
        ("STGI", Places::guest_entries, code::STGI, 1),
        ("SWAPGS of interrupts", Places::interrupts, code::SWAPGS, 2),
        ("IRET of interrupts", Places::interrupts, code::IRETQ, 1),
        ("SWAPGS of NMIs", Places::nmi, code::SWAPGS, 2),
        ("IRET of NMIs", Places::nmi, code::IRETQ, 1),
    ] {
        let tried = walk.tried_in(place, bytes);
        ensure!(tried >= least, "{tried} of {least} {what} had an NMI in front of them");
    }
    if running.poll()?.is_none() {
        walk.let_go()?;
    }
    let booted = case.finished("entry-nmi", running.wait(case.boot_limit())?);
    case.expect_outcome(&booted, Outcome::TripleFault)?;
    case.expect(&booted.console, "hostile guest: done, as it should be")
}

/// How to come to an instruction.
type Way<'a> = &'a dyn Fn(&mut Walk) -> Result<()>;

/// A broken processor ends the machine in words wherever it is in the entry code, user's GS base and stack
/// pointer or not.
fn machine_checks(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let image = hostile::image(case, PART)?;
    let kernel = case.project().programs().join("vmm-kernel");
    let take = symbol::address_of_item(&kernel, "bitmap::take")?;
    let places: [(&str, Way<'_>); 6] = [
        ("before SWAPGS", &|walk| walk.come_to(|places, rip, _| places.is_start_of_call(rip))),
        ("behind SWAPGS", &|walk| walk.come_to(|places, rip, _| places.is_start_of_call(rip - 3))),
        ("before SYSRET", &|walk| walk.come_to(|_, _, bytes| bytes == code::SYSRETQ)),
        ("in an interrupt", &|walk| walk.come_to(|_, _, bytes| bytes.starts_with(code::IRETQ))),
        ("in an NMI", &|walk| {
            walk.come_to(|places, rip, _| places.is_start_of_call(rip))?;
            let handler = walk.nmi()?;
            walk.come_to_in_handler(handler, code::SWAPGS)
        }),
        // The end of the machine says how many frames are left.
        ("while it takes a frame", &|walk| {
            walk.come_to(|places, rip, _| places.is_start_of_call(rip))?;
            walk.come_behind_lock(take)
        }),
    ];
    for (index, (place, come_there)) in places.into_iter().enumerate() {
        let name = format!("entry-machine-check-{index}");
        let (running, mut walk) = start(case, qemu, &image, &name)?;
        come_there(&mut walk)?;
        walk.monitor(MACHINE_CHECK)?;
        walk.let_go()?;
        let booted = case.finished(&name, running.wait(case.boot_limit())?);
        let words = read_text(&booted.console);
        case.record_lines(&words, &["Plinth"]);
        ensure!(booted.outcome == Outcome::KernelPanic, "{place}: it ended with {}", booted.outcome);
        ensure!(words.contains("machine check"), "{place}: the console says no word of it");
    }
    Ok(())
}
