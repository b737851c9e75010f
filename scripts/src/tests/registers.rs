//! What protects the kernel is on in every processor, and SYSCALL clears the flags that could harm it: read
//! from outside, with a process that calls with all of them set.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use plinth_qemu::{Gdb, Qemu, Qmp, wait_for};

use crate::image::Image;
use crate::symbol;
use crate::testing::Case;

/// A process that sets flags and makes a system call, again and again.
const CONFIG: &str = "process abi-test\n  grant log w\n  set role flags\n";
const PROCESSORS: u32 = 2;
/// Registers, and what has to be set in them: (name, bits, what they are called).
const SET: [(&str, u64, &str); 3] = [
    ("CR0", 1 << 31 | 1 << 16 | 1, "PG, WP, PE"),
    ("CR4", 1 << 5 | 1 << 6 | 1 << 7 | 1 << 18 | 1 << 20 | 1 << 21, "PAE, MCE, PGE, OSXSAVE, SMEP, SMAP"),
    ("EFER", 1 | 1 << 10 | 1 << 11 | 1 << 12, "SCE, LMA, NXE, SVME"),
];
/// TF, IF, DF, NT, AC.
const CLEARED: u64 = 1 << 8 | 1 << 9 | 1 << 10 | 1 << 14 | 1 << 18;
/// DF, NT, AC: what the process has set.
const BY_PROCESS: u64 = 1 << 10 | 1 << 14 | 1 << 18;

/// The check.
pub fn run(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let image = Image::new(case.project(), "abi-test")?.config(CONFIG).pack(&case.file("igvm"))?;
    let socket = |name| std::env::temp_dir().join(format!("plinth-registers-{}-{name}", std::process::id()));
    let (debugger, control, log) = (socket("gdb"), socket("qmp"), case.file("log"));
    let mut machine = case.machine(image);
    (machine.memory_mib, machine.processors, machine.log) = (256, PROCESSORS, Some(log.clone()));
    (machine.gdb, machine.control) = (Some(Gdb::place(&debugger)), Some(control.clone()));
    machine.stopped = true;
    let limit = case.boot_limit();
    let running = machine.start(qemu, &case.file("console"))?;
    let mut gdb = Gdb::connect(&debugger, limit)?;
    let mut qmp = Qmp::connect(&control, limit)?;
    for file in [debugger, control] {
        std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    // From here on whatever goes wrong is the kernel's.
    case.count_boot();
    gdb.resume("c")?;
    wait_for(&log, "flags are set", limit.min(Duration::from_secs(120)))?;
    gdb.interrupt()?;
    gdb.stopped()?;
    let kernel = case.project().programs().join("vmm-kernel");
    let entry = symbol::address(&kernel, "syscall_entry_guarded")?;
    // The last instruction before the entry is the process's.
    let stopped = at(&mut gdb, entry)?;
    let said = qmp.monitor("info registers -a")?;
    running.kill();
    case.record(&said);
    check(&said, stopped)
}

/// Lets the machine run until a processor is there; its registers. The stub may tell of the stop before once
/// more.
fn at(gdb: &mut Gdb, address: u64) -> Result<[u64; 17]> {
    for _ in 0..8 {
        gdb.run_to(address)?;
        let registers = gdb.registers()?;
        if registers[16] == address {
            return Ok(registers);
        }
    }
    bail!("no processor comes to {address:#x}");
}

fn check(said: &str, stopped: [u64; 17]) -> Result<()> {
    let processors: Vec<_> = said.split("CPU#").skip(1).collect();
    ensure!(processors.len() == PROCESSORS as usize, "{} processors", processors.len());
    for (number, text) in processors.iter().enumerate() {
        for (name, bits, words) in SET {
            let value = register(text, name)?;
            ensure!(value & bits == bits, "cpu{number}: {name} is {value:#x}, without all of {words}");
        }
    }
    // R11 has the process's flags.
    let (r11, rip) = (stopped[11], stopped[16]);
    ensure!(r11 & BY_PROCESS == BY_PROCESS, "the process's flags are {r11:#x}");
    let at_entry = |text: &&&str| register(text, "RIP").is_ok_and(|value| value == rip);
    let caller = processors.iter().find(at_entry).context("no processor is at the entry")?;
    let flags = register(caller, "RFL")?;
    ensure!(flags & CLEARED == 0, "flags behind SYSCALL are {flags:#x}");
    Ok(())
}

/// The value of a register, `NAME=HEXADECIMAL`.
fn register(text: &str, name: &str) -> Result<u64> {
    let start = format!("{name}=");
    let word = text.split_whitespace().find_map(|word| word.strip_prefix(&start));
    let word = word.with_context(|| format!("no {name} among the registers"))?;
    u64::from_str_radix(word, 16).with_context(|| format!("{name} is {word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read() {
        let text = "0\nRIP=000000000000fff0 RFL=00000002 [-------] CPL=0\nCR0=60000010 CR4=00000000\n";
        assert_eq!(register(text, "RIP").unwrap(), 0xfff0);
        assert_eq!(register(text, "CR0").unwrap(), 0x6000_0010);
        assert!(register(text, "CR5").is_err());
        let good = "CPU#0\nRIP=1 RFL=00000002 CR0=80010001 CR4=003400e0 EFER=1c01\n\
                    CPU#1\nRIP=2 RFL=00000202 CR0=80010001 CR4=003400e0 EFER=1c01\n";
        let mut stopped = [0; 17];
        (stopped[11], stopped[16]) = (BY_PROCESS, 1);
        check(good, stopped).unwrap();
        for (what, instead) in [
            ("003400e0", "002400e0"),
            ("003400e0", "001400e0"),
            ("RFL=00000002", "RFL=00040002"),
            ("1c01", "1401"),
        ] {
            assert!(check(&good.replacen(what, instead, 1), stopped).is_err(), "{instead}");
        }
    }
}
