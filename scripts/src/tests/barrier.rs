//! Between two threads the processor forgets what the first has taught its branch predictors. Emulated
//! processors have no such command (IBPB), so the kernel is made to believe that this one has, and is watched
//! at the next switch.

use anyhow::{Context, Result, ensure};
use plinth_qemu::{Gdb, Qemu, wait_for};

use crate::image::Image;
use crate::symbol;
use crate::testing::Case;

/// Two processes that give way to each other.
const CONFIG: &str = "process abi-test\n  grant log w\n  set role flags\n\
                      process abi-test\n  grant log w\n  set role flags\n";
/// PRED_CMD, and IBPB in it (APM volume 2, 3.2.9).
const PRED_CMD: u64 = 0x49;
const IBPB: u64 = 1;
/// WRMSR.
const WRMSR: [u8; 2] = [0x0f, 0x30];
/// Instructions from the question whether there is the command to the command, at most.
const STEPS: u32 = 32;

/// The check.
pub fn run(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let image = Image::new(case.project(), "abi-test")?.config(CONFIG).pack(&case.file("igvm"))?;
    let debugger = std::env::temp_dir().join(format!("plinth-barrier-{}", std::process::id()));
    let log = case.file("log");
    let mut machine = case.machine(image);
    (machine.memory_mib, machine.log, machine.stopped) = (256, Some(log.clone()), true);
    machine.gdb = Some(Gdb::place(&debugger));
    let running = machine.start(qemu, &case.file("console"))?;
    let mut gdb = Gdb::connect(&debugger, case.boot_limit())?;
    std::fs::remove_file(&debugger).with_context(|| format!("cannot remove {}", debugger.display()))?;
    case.count_boot();
    gdb.resume("c")?;
    wait_for(&log, "flags are set", case.boot_limit())?;
    gdb.interrupt()?;
    gdb.stopped()?;
    let kernel = case.project().programs().join("vmm-kernel");
    let question = symbol::address_of_item(&kernel, "HAS_IBPB")?;
    ensure!(gdb.read(question, 1)? == [0], "this processor has the command: nothing is known of it");
    gdb.write(question, &[1])?;
    gdb.ask(&format!("Z3,{question:x},1"))?;
    gdb.resume("c")?;
    gdb.stopped().context("nobody asks whether there is the command")?;
    gdb.ask(&format!("z3,{question:x},1"))?;
    let given = command(&mut gdb)?;
    running.kill();
    ensure!(given == Some((PRED_CMD, IBPB)), "no WRMSR with the command behind the question: {given:x?}");
    Ok(())
}

/// ECX and EAX of the next WRMSR, if one follows soon.
fn command(gdb: &mut Gdb) -> Result<Option<(u64, u64)>> {
    for _ in 0..STEPS {
        let registers = gdb.registers()?;
        if gdb.read(registers[16], 2)? == WRMSR {
            // RCX is the third register, RAX the first.
            return Ok(Some((registers[2] & 0xffff_ffff, registers[0] & 0xffff_ffff)));
        }
        gdb.step(1)?;
    }
    Ok(None)
}
