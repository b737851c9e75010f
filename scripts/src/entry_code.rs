//! The kernel's entry code, walked through an instruction at a time by QEMU's debugger stub, with an NMI or a
//! machine check between two of its instructions.
//!
//! The debugger holds interrupts back while it steps, and gives them free when it lets the machine run: so an
//! NMI that is injected where it has stopped comes before the next instruction.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use plinth_qemu::{Gdb, Qmp};

mod places;
mod registers;

use places::NMI;
pub use places::Places;
pub use registers::{Frame, Registers};

/// Instructions that the walk knows by their bytes.
pub mod code {
    #![allow(missing_docs, reason = "the names are the instructions'")]
    pub const SWAPGS: &[u8] = &[0x0f, 0x01, 0xf8];
    pub const SYSRETQ: &[u8] = &[0x48, 0x0f, 0x07];
    pub const IRETQ: &[u8] = &[0x48, 0xcf];
    pub const VMRUN: &[u8] = &[0x0f, 0x01, 0xd8];
    pub const STGI: &[u8] = &[0x0f, 0x01, 0xdc];
    pub const CLGI: &[u8] = &[0x0f, 0x01, 0xdd];
    pub const LOCK_CMPXCHG_BYTE: &[u8] = &[0xf0, 0x0f, 0xb0];
}

/// Where a write is a message to the first processor's local APIC (Intel SDM volume 3, 11.11.1).
const MESSAGES: u64 = 0xfee0_0000;
/// The vector by which one processor of Plinth's calls another: it means nothing when nothing is to be done.
const KICK: u32 = 0xf1;
/// Processes lie below.
const USER_END: u64 = 1 << 47;

/// A function that takes a lock has done so after so many instructions.
const STEPS_TO_LOCK: u32 = 200;

/// What the longest instruction above has.
const BYTES: usize = 3;

/// A machine that stands still at an instruction of the kernel's.
#[derive(Debug)]
pub struct Walk {
    gdb: Gdb,
    qmp: Qmp,
    places: Places,
    breakpoints: BTreeSet<u64>,
    /// The first bytes of instructions that were looked at.
    known: BTreeMap<u64, [u8; BYTES]>,
    /// Instructions that had an NMI in front of them.
    tried: BTreeSet<u64>,
    /// Whether GIF is clear: NMIs wait.
    is_closed: bool,
}

impl Walk {
    /// For a machine that has just come to the kernel's first instruction: it will stop at every system call
    /// and every interrupt.
    ///
    /// # Errors
    /// When the debugger refuses.
    pub fn new(gdb: Gdb, qmp: Qmp, places: Places) -> Result<Self> {
        let (breakpoints, known, tried) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        let mut walk = Self { gdb, qmp, places, breakpoints, known, tried, is_closed: false };
        // Interrupts all come through one place; system calls have two, with and without mitigations.
        let calls = walk.places.system_calls();
        for start in calls.iter().map(|range| range.start).chain([walk.places.common()]) {
            walk.stop_at(start)?;
        }
        Ok(walk)
    }

    /// How many instructions had an NMI in front of them.
    pub fn tried(&self) -> usize {
        self.tried.len()
    }

    /// How many of them have these bytes and are in this part of the code.
    pub fn tried_in(&self, part: impl Fn(&Places) -> Vec<Range<u64>>, bytes: &[u8]) -> usize {
        let part = part(&self.places);
        let is_meant = |rip: &u64| {
            let found = self.known.get(rip).is_some_and(|found| found.starts_with(bytes));
            found && part.iter().any(|range| range.contains(rip))
        };
        self.tried.iter().filter(|rip| is_meant(rip)).count()
    }

    /// Where the entry code is.
    pub fn places(&self) -> &Places {
        &self.places
    }

    fn stop_at(&mut self, address: u64) -> Result<()> {
        // The debugger has few breakpoints of the hardware kind, and refuses one that is set twice.
        if self.breakpoints.insert(address) {
            self.gdb.break_at(address)?;
        }
        Ok(())
    }

    /// Lets the machine run until it comes to `address`, to which it comes before all other breakpoints.
    fn run_to(&mut self, address: u64) -> Result<Registers> {
        let is_new = !self.breakpoints.contains(&address);
        if is_new {
            self.gdb.break_at(address)?;
        }
        // Other breakpoints stay: that one of them comes first is a mistake, and is seen below.
        let found = self.next_entry()?;
        if is_new {
            self.gdb.unbreak(address)?;
        }
        ensure!(found.rip == address, "stopped at {:#x}, not {address:#x}", found.rip);
        Ok(found)
    }

    /// Lets the machine run until it enters the kernel, or comes back to where it left the entry code.
    ///
    /// # Errors
    /// Also when the machine has ended.
    pub fn next_entry(&mut self) -> Result<Registers> {
        self.gdb.resume("c")?;
        self.gdb.stopped()?;
        Registers::of(&mut self.gdb)
    }

    /// The first bytes of an instruction.
    fn bytes(&mut self, rip: u64) -> Result<[u8; BYTES]> {
        if let Some(known) = self.known.get(&rip) {
            return Ok(*known);
        }
        let bytes = self.gdb.read(rip, BYTES)?.try_into().ok().context("an instruction's bytes")?;
        self.known.insert(rip, bytes);
        Ok(bytes)
    }

    /// One instruction. A VMRUN is over when the guest has exited.
    fn step(&mut self, rip: u64) -> Result<Registers> {
        match &self.bytes(rip)?[..] {
            code::CLGI => self.is_closed = true,
            code::STGI => self.is_closed = false,
            // A step would end in the guest.
            code::VMRUN => return self.run_to(rip + code::VMRUN.len() as u64),
            _ => {}
        }
        // The first processor alone: the machine has one.
        self.gdb.step(1)?;
        Registers::of(&mut self.gdb)
    }

    /// Walks through the entry code from where the machine stands until it leaves that, with an NMI before
    /// each instruction that had none yet. Where the code calls another function, the machine will stop at
    /// the return.
    ///
    /// # Errors
    /// When an NMI is not taken where it should be, or changes a register; when the machine ends.
    pub fn through_with_nmis(&mut self, mut now: Registers) -> Result<()> {
        while self.places.is_walked(now.rip) {
            self.stop_at_stub(&now)?;
            // One NMI for each instruction, not for each time that it is executed: loops would never end.
            if !self.tried.contains(&now.rip) {
                now = self.nmi_before(now)?;
            }
            now = self.step(now.rip)?;
        }
        self.stop_at_return(&now)
    }

    /// Walks on until the machine stands at an instruction of the entry code that is meant by its address and
    /// its first bytes.
    ///
    /// # Errors
    /// When the machine ends before.
    pub fn come_to(&mut self, is_meant: impl Fn(&Places, u64, &[u8]) -> bool) -> Result<()> {
        loop {
            let mut now = self.next_entry()?;
            while self.places.is_walked(now.rip) {
                self.stop_at_stub(&now)?;
                let bytes = self.bytes(now.rip)?;
                if is_meant(&self.places, now.rip, &bytes) {
                    return Ok(());
                }
                now = self.step(now.rip)?;
            }
            self.stop_at_return(&now)?;
        }
    }

    /// The next interrupt of the vector that has come is to stop the machine in its stub.
    fn stop_at_stub(&mut self, now: &Registers) -> Result<()> {
        if now.rip == self.places.common() {
            let vector = self.word(now.rsp())?;
            self.stop_at(self.places.stub(vector))?;
        }
        Ok(())
    }

    /// Where the machine stands at the first instruction of a function that the entry code has called, it is
    /// to stop at the return.
    fn stop_at_return(&mut self, now: &Registers) -> Result<()> {
        let Some(back) = self.return_address(now) else { return Ok(()) };
        now.ensure_kernel_gs()?;
        self.stop_at(back)
    }

    fn return_address(&mut self, now: &Registers) -> Option<u64> {
        if !now.is_kernel() {
            return None;
        }
        // Nothing may be on the stack, which ends where nothing is mapped.
        let back = self.word(now.rsp()).ok();
        back.filter(|back| self.places.is_walked(*back) || self.places.is_paranoid(*back))
    }

    fn word(&mut self, address: u64) -> Result<u64> {
        let bytes = self.gdb.read(address, 8)?;
        bytes.try_into().map(u64::from_le_bytes).ok().context("a word of the stack")
    }

    /// An NMI before the next instruction. It must be taken there (or, where GIF is clear, as soon as it is
    /// set), and leave every register as it was.
    fn nmi_before(&mut self, now: Registers) -> Result<Registers> {
        // For `tried_in`, which counts by them.
        self.bytes(now.rip)?;
        let inside = self.nmi()?;
        let frame = Frame::read(&mut self.gdb, inside.rsp())?;
        // Where GIF is clear the NMI waits for STGI, and registers may change on the way there.
        if !self.is_closed {
            ensure!((frame.rip, frame.rsp) == (now.rip, now.rsp()), "the NMI came at {:#x}", frame.rip);
            inside.ensure_as_before(&now)?;
        }
        // The NMI has been taken, so that GIF is set.
        self.is_closed = false;
        let after = self.handle(&inside, &frame)?;
        frame.ensure_gone_back(&after)?;
        after.ensure_as_before(&inside)?;
        self.tried.insert(now.rip);
        Ok(after)
    }

    /// Injects an NMI and lets the machine run to its handler.
    ///
    /// # Errors
    /// When it does not get there.
    pub fn nmi(&mut self) -> Result<Registers> {
        self.monitor("nmi")?;
        self.run_to(self.places.stub(NMI))
    }

    /// Walks through an NMI's handler to its end, with another NMI before each instruction that had none yet:
    /// that must be taken when the handler has returned, before anything else is executed, and its handler is
    /// walked through in turn.
    fn handle(&mut self, inside: &Registers, frame: &Frame) -> Result<Registers> {
        let mut now = inside.clone();
        while self.places.is_paranoid(now.rip) {
            if self.tried.contains(&now.rip) {
                now = self.step_over(&now)?;
                continue;
            }
            self.bytes(now.rip)?;
            self.tried.insert(now.rip);
            now = self.nmi()?;
            let again = Frame::read(&mut self.gdb, now.rsp())?;
            ensure!(again == *frame, "a second NMI came at {again:x?}, not {frame:x?}");
            // The second NMI comes after the first handler's return: it must find what that one has found.
            now.ensure_as_before(inside)?;
        }
        Ok(now)
    }

    /// One instruction of an NMI's handler; a call is over when the function has returned.
    fn step_over(&mut self, now: &Registers) -> Result<Registers> {
        let stepped = self.step(now.rip)?;
        if self.places.is_paranoid(stepped.rip) {
            return Ok(stepped);
        }
        match self.return_address(&stepped) {
            Some(back) if self.places.is_paranoid(back) => {
                stepped.ensure_kernel_gs()?;
                self.run_to(back)
            }
            _ => Ok(stepped),
        }
    }

    /// Walks on in an NMI's handler until the next instruction has these bytes.
    ///
    /// # Errors
    /// When the handler has no such instruction, or goes another way.
    pub fn come_to_in_handler(&mut self, mut now: Registers, bytes: &[u8]) -> Result<()> {
        while !self.bytes(now.rip)?.starts_with(bytes) {
            ensure!(self.places.is_paranoid(now.rip), "the handler has ended at {:#x}", now.rip);
            now = self.step_over(&now)?;
        }
        Ok(())
    }

    /// Sends the first processor an interrupt, as a device does by a message, if the machine stands in a
    /// process: in this kernel's ordinary life one seldom comes just there. Returns whether it does.
    ///
    /// # Errors
    /// When the debugger refuses.
    pub fn interrupt_process(&mut self) -> Result<bool> {
        let is_in_process = Registers::of(&mut self.gdb)?.rip < USER_END;
        if is_in_process {
            self.gdb.write_physical(MESSAGES, &KICK.to_le_bytes())?;
        }
        Ok(is_in_process)
    }

    /// Lets the machine run until the function at `address` has taken its lock.
    ///
    /// # Errors
    /// When it does not get there.
    pub fn come_behind_lock(&mut self, address: u64) -> Result<()> {
        self.stop_at(address)?;
        let mut now = Registers::of(&mut self.gdb)?;
        while now.rip != address {
            // The machine stands at a breakpoint.
            self.step(now.rip)?;
            now = self.next_entry()?;
        }
        // The lock is taken by the first locked instruction of the function, or of one that it calls.
        for _ in 0..STEPS_TO_LOCK {
            let is_lock = self.bytes(now.rip)?.starts_with(code::LOCK_CMPXCHG_BYTE);
            now = self.step(now.rip)?;
            if is_lock {
                return Ok(());
            }
        }
        bail!("no lock is taken behind {address:#x}")
    }

    /// Carries out a line of QEMU's monitor.
    ///
    /// # Errors
    /// When QEMU refuses.
    pub fn monitor(&mut self, line: &str) -> Result<()> {
        let said = self.qmp.monitor(line)?;
        ensure!(said.is_empty(), "QEMU says of {line}: {said}");
        Ok(())
    }

    /// Takes the breakpoints away and lets the machine run to its end.
    ///
    /// # Errors
    /// When the debugger refuses.
    pub fn let_go(mut self) -> Result<()> {
        // Detaching takes all breakpoints away and lets the machine run.
        self.gdb.ask("D")?;
        Ok(())
    }
}
