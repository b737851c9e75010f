//! A host that lies: what it says of memory and processors is changed behind the loader's back, by the
//! debugger stub, at the kernel's first instruction; and it injects NMIs, machine checks and interrupts of
//! any vector while everything runs, and makes processors late. Whatever it says, the machine must come to an
//! end that somebody explains: the guest runs, or the console says why not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use plinth_qemu::{Gdb, Machine, Outcome, Qemu, Qmp, read_text};
use vcpu_abi::boot::BootPage;
use zerocopy::FromBytes;

use crate::symbol;
use crate::testing::Case;

mod lie;

pub use lie::{Act, Entry, Event, Lie};

/// Bytes of an entry of the memory map (`IGVM_VHS_MEMORY_MAP_ENTRY`).
const ENTRY_BYTES: usize = 24;
/// How many entries a lie has at most, the last of which is the end.
const ENTRIES_MAX: usize = 300;
/// Bytes that the debugger stub moves at once.
const PIECE: usize = 1024;
/// Where messages to local APICs are written.
const MESSAGES: u64 = 0xfee0_0000;
/// How long a machine may take: most need two seconds.
const LIMIT: Duration = Duration::from_secs(60);
/// What the log says when the kernel's first processor has its IDT.
const HAS_IDT: &str = "as the host says";
/// What the guest says at its end.
const GUEST_DONE: &str = "hostile guest: done, as it should be";

/// The part of the hostile guest that boots on such a host: it ends quickly, and uses timers and interrupts.
pub const PART: u32 = 15;

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest ran to its end.
    Ran,
    /// Plinth or its loader refused, in these words.
    Refused(String),
}

/// A host of two processors, with an image whose guest ends with [`GUEST_DONE`] and a triple fault.
#[derive(Clone, Debug)]
pub struct Host<'a> {
    qemu: &'a Qemu,
    machine: Machine,
    kernel: PathBuf,
}

impl<'a> Host<'a> {
    /// The host of an image of the hostile guest's [`PART`].
    pub fn new(case: &Case, qemu: &'a Qemu, image: PathBuf) -> Self {
        let mut machine = case.machine(image);
        (machine.memory_mib, machine.processors) = (256, 2);
        Self { qemu, machine, kernel: case.project().programs().join("vmm-kernel") }
    }

    /// Boots it, telling this lie. `files` are its console and log, with extensions of their own.
    ///
    /// # Errors
    /// When it ends in silence, by a panic, not at all, or by an error of QEMU's.
    pub fn boot(&self, lie: &Lie, files: &Path) -> Result<End> {
        boot(self.qemu, &self.machine, &self.kernel, lie, files)
    }
}

fn boot(qemu: &Qemu, machine: &Machine, kernel: &Path, lie: &Lie, files: &Path) -> Result<End> {
    let socket = |name| std::env::temp_dir().join(format!("plinth-lie-{}-{name}", std::process::id()));
    let (debugger, control) = (socket("gdb"), socket("qmp"));
    let (console, log) = (files.with_extension("console"), files.with_extension("log"));
    let machine = Machine {
        log: Some(log.clone()),
        gdb: Some(Gdb::place(&debugger)),
        control: Some(control.clone()),
        stopped: true,
        ..machine.clone()
    };
    let mut running = machine.start(qemu, &console)?;
    let mut gdb = Gdb::connect(&debugger, LIMIT)?;
    let mut qmp = Qmp::connect(&control, LIMIT)?;
    // Both are connected: the names are not needed any more, and would stay if this program were killed.
    remove(&[debugger, control])?;
    tell(&mut gdb, kernel, lie)?;
    match lie.late {
        // The machine may end meanwhile; one that does not, and stands still, is judged below.
        Some(late) => drop(hold(&mut gdb, 1, late)),
        None => gdb.resume("c")?,
    }
    // Before the kernel has an IDT, an NMI is a shutdown, of which nobody can say a word.
    while !lie.events.is_empty() && running.poll()?.is_none() && !read_text(&log).contains(HAS_IDT) {
        std::thread::sleep(Duration::from_millis(5));
    }
    for event in &lie.events {
        std::thread::sleep(event.after);
        // The machine may have ended by now.
        if act(&mut gdb, &mut qmp, &event.act).is_err() {
            break;
        }
    }
    let ended = running.wait(LIMIT)?;
    judge(&ended.outcome, &console, lie)
}

/// Does something to the running machine.
fn act(gdb: &mut Gdb, qmp: &mut Qmp, act: &Act) -> Result<()> {
    match *act {
        Act::Monitor(ref line) => drop(qmp.monitor(line)?),
        Act::Vector { processor, vector } => {
            // A message to a local APIC (APM volume 2, 16.10 and PCI's MSI): its number is in the address.
            gdb.interrupt()?;
            gdb.stopped()?;
            gdb.write_physical(MESSAGES + (u64::from(processor) << 12), &u32::from(vector).to_le_bytes())?;
            gdb.resume("c")?;
        }
        Act::Hold { runs, time } => {
            gdb.interrupt()?;
            gdb.stopped()?;
            hold(gdb, runs, time)?;
        }
    }
    Ok(())
}

/// Lets one processor of a stopped machine run alone for a while, and then all of them.
fn hold(gdb: &mut Gdb, runs: u32, time: Duration) -> Result<()> {
    gdb.resume(&format!("vCont;c:{runs:x}"))?;
    std::thread::sleep(time);
    gdb.interrupt()?;
    gdb.stopped()?;
    gdb.resume("c")?;
    Ok(())
}

fn remove(sockets: &[PathBuf]) -> Result<()> {
    sockets.iter().try_for_each(|socket| {
        std::fs::remove_file(socket).with_context(|| format!("cannot remove {}", socket.display()))
    })
}

/// Lets the machine run to the kernel's entry, and writes the lie where the loader has put the truth.
fn tell(gdb: &mut Gdb, kernel: &Path, lie: &Lie) -> Result<()> {
    // There the loader has done its part, and the kernel has read nothing of it yet.
    gdb.run_to(symbol::address(kernel, "kernel_entry")?)?;
    let address = vcpu_abi::boot::BOOT_PAGE_VIRTUAL;
    let bytes = gdb.read(address, size_of::<BootPage>())?;
    let boot = BootPage::read_from_bytes(&bytes).ok().context("the boot page is short")?;
    // Not all of the area: reading it byte by byte through the stub would take longer than the boot.
    let room = (boot.memory_map_bytes as usize / ENTRY_BYTES).min(ENTRIES_MAX);
    let places = (boot.memory_map_virtual..).step_by(PIECE);
    let mut truth = Vec::new();
    for place in places.clone().take((room * ENTRY_BYTES).div_ceil(PIECE)) {
        truth.extend(gdb.read(place, PIECE.min(room * ENTRY_BYTES - truth.len()))?);
    }
    let map = lie.map(&truth, boot.window_gpa);
    for (place, piece) in places.zip(map.chunks(PIECE)) {
        gdb.write(place, piece)?;
    }
    if let Some(processors) = lie.processors {
        gdb.write(boot.vp_count_virtual, &processors.to_le_bytes())?;
    }
    Ok(())
}

fn judge(outcome: &Outcome, console: &Path, lie: &Lie) -> Result<End> {
    let text = read_text(console);
    // Everything that Plinth or its loader says on the console on its own account begins so.
    let words = text.lines().find_map(|line| line.split_once("Plinth: ")).map(|(_, words)| words.to_owned());
    match (outcome, words) {
        (Outcome::TripleFault, _) => {
            ensure!(text.contains(GUEST_DONE), "the guest triple-faulted on the way");
            Ok(End::Ran)
        }
        (Outcome::ProcessFailure, Some(words)) => Ok(End::Refused(words)),
        // The one panic that a host may cause: after a machine check nothing is to be relied on.
        (Outcome::KernelPanic, Some(words)) if lie.has_machine_check() && words.contains("machine check") => {
            Ok(End::Refused(words))
        }
        (outcome, words) => bail!("it ended with {outcome}, and the console says {words:?}"),
    }
}
