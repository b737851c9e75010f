//! A processor's registers, as the debugger has them, and as an interrupt pushes them.

use anyhow::{Context, Result, ensure};
use plinth_qemu::Gdb;

/// Where the segment registers are in what the debugger gives, behind 16 general registers, RIP and EFLAGS:
/// CS and SS come first, which an interrupt changes.
const DS: usize = 16 * 8 + 8 + 3 * 4;
/// Behind the rest of them, and the base of FS.
const GS_BASE: usize = DS + 4 * 4 + 8;
/// RFLAGS.RF, which is only in what an interrupt pushes.
const RF: u64 = 1 << 16;

/// All registers.
#[derive(Clone, Debug)]
pub struct Registers {
    bytes: Vec<u8>,
    /// RIP.
    pub rip: u64,
}

impl Registers {
    /// Of the processor that is selected.
    ///
    /// # Errors
    /// When the debugger refuses.
    pub fn of(gdb: &mut Gdb) -> Result<Self> {
        let bytes = gdb.all_registers()?;
        // With fewer, what is read below would be other registers, or none.
        ensure!(bytes.len() > DS + 40, "the debugger gave {} bytes of registers", bytes.len());
        let mut registers = Self { bytes, rip: 0 };
        // Behind the sixteen general registers.
        registers.rip = registers.word(16);
        Ok(registers)
    }

    fn word(&self, index: usize) -> u64 {
        let bytes = self.bytes.get(index * 8..).and_then(<[u8]>::first_chunk);
        bytes.copied().map(u64::from_le_bytes).unwrap_or_default()
    }

    /// RSP.
    pub fn rsp(&self) -> u64 {
        self.word(7)
    }

    /// EFLAGS, and CS above.
    fn flags_and_code(&self) -> (u64, u64) {
        let both = self.word(17);
        (both & 0xffff_ffff, both >> 32 & 0xffff)
    }

    /// Whether this is an instruction of the kernel's.
    pub fn is_kernel(&self) -> bool {
        self.rip >> 47 != 0
    }

    /// Fails unless the GS base is the kernel's, as it must be where Rust is called.
    ///
    /// # Errors
    /// Then.
    pub fn ensure_kernel_gs(&self) -> Result<()> {
        let base = self.bytes.get(GS_BASE..).and_then(<[u8]>::first_chunk).copied().map(u64::from_le_bytes);
        // Processes have theirs in the lower half.
        ensure!(base.is_some_and(|base| base >> 63 == 1), "{:#x} runs with GS base {base:x?}", self.rip);
        Ok(())
    }

    /// Fails unless all registers are as in `before`, but for those that an interrupt pushes.
    ///
    /// # Errors
    /// Then.
    pub fn ensure_as_before(&self, before: &Self) -> Result<()> {
        // 7 is RSP, which the interrupt itself changes; what it was is in the frame.
        for index in (0..16).filter(|index| *index != 7) {
            let (then, now) = (before.word(index), self.word(index));
            ensure!(then == now, "register {index} was {then:#x} and is {now:#x}, at {:#x}", self.rip);
        }
        // From DS on: CS and SS before it are the interrupt's to change.
        let rest = |registers: &Self| registers.bytes.get(DS..).map(<[u8]>::to_vec);
        ensure!(
            rest(self) == rest(before),
            "segments, their bases or control registers changed at {:#x}",
            self.rip
        );
        Ok(())
    }
}

/// What an interrupt pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// RIP.
    pub rip: u64,
    cs: u64,
    rflags: u64,
    /// RSP.
    pub rsp: u64,
    ss: u64,
}

impl Frame {
    /// Reads the frame at an address.
    ///
    /// # Errors
    /// When the debugger refuses.
    pub fn read(gdb: &mut Gdb, address: u64) -> Result<Self> {
        let bytes = gdb.read(address, 40)?;
        let words: Vec<u64> = bytes.as_chunks::<8>().0.iter().copied().map(u64::from_le_bytes).collect();
        let [rip, cs, rflags, rsp, ss] = words.try_into().ok().context("an interrupt's frame")?;
        Ok(Self { rip, cs, rflags, rsp, ss })
    }

    /// Fails unless the processor is where the interrupt came.
    ///
    /// # Errors
    /// Then.
    pub fn ensure_gone_back(&self, after: &Registers) -> Result<()> {
        let now = (after.rip, after.flags_and_code(), after.rsp());
        let then = (self.rip, (self.rflags & !RF, self.cs & 0xffff), self.rsp);
        ensure!(now == then, "the handler came back to {now:x?}, not {then:x?}");
        Ok(())
    }
}
