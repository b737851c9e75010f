//! The machine as a whole: how it ends.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::cpu::{local_apic, masked_time, masking, per_cpu, ports, this_cpu_number};
use crate::memory::frames;
use crate::platform::backend;
use crate::{checks, console};

/// QEMU's `isa-debug-exit` device: its exit status is `value << 1 | 1`.
pub const DEBUG_EXIT_PORT: u16 = 0xf4;

/// Nobody, in [`ENDED_BY`].
const NOBODY: u32 = u32::MAX;
/// The processor that ends the machine.
static ENDED_BY: AtomicU32 = AtomicU32::new(NOBODY);

/// Why the machine ends. The value tells a script that watches QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum End {
    /// The guest switched itself off.
    PowerOff = 0x10,
    /// The guest asked for a reset.
    Reset = 0x11,
    /// The guest's triple fault.
    TripleFault = 0x12,
    /// A bug of the kernel's.
    KernelPanic = 0x13,
    /// The process that ran the guest failed, or could not be started.
    ProcessFailed = 0x14,
    /// In-guest tests passed.
    TestsPassed = 0x20,
    /// In-guest tests failed.
    TestsFailed = 0x21,
}

/// Ends the machine: stops the other processors, tells QEMU why, if it listens; else resets or stops.
pub fn end(end: End) -> ! {
    // Nothing here waits for a lock: a fault may come while this processor holds it.
    if let Some((kept, free)) = frames::budget_unless_busy() {
        log::info!("{} KiB of the {} KiB that Plinth keeps are free", free >> 10, kept >> 10);
    }
    match end {
        End::KernelPanic => log::error!("the machine stops"),
        End::PowerOff | End::Reset | End::TestsPassed => log::info!("the machine ends: {end:?}"),
        _ => log::error!("the machine ends: {end:?}"),
    }
    // Before the host is told: without its device for that this processor only halts, and guests would go on
    // on the others.
    stop_others();
    checks::stacks::report();
    if let Some((ticks, why)) = masked_time::longest() {
        log::info!("interrupts were off for {ticks} ticks at most, in {why:#x}");
    }
    ports::write_u8(DEBUG_EXIT_PORT, end as u8);
    match end {
        End::PowerOff => power_off(),
        End::Reset => ports::write_u8(0xcf9, 0x0e),
        _ => {}
    }
    // 0 is an end with all as it should be.
    backend::end_machine(if end == End::TestsPassed { 0 } else { end as u8 });
    masking::stop()
}

/// A machine check while a guest ran: a guest has machine-check registers of its own, and could not do
/// anything about the host's.
#[cold]
pub fn end_by_machine_check() -> ! {
    console::last_words(format_args!("a machine check while a guest ran on cpu{}", this_cpu_number()));
    end(End::KernelPanic)
}

/// Stops all other processors, by NMI: whatever they do, in a guest, a process or the kernel. Of several that
/// want to, the first one does; a processor that fails on its way here once more goes on.
fn stop_others() {
    let me = this_cpu_number();
    match ENDED_BY.compare_exchange(NOBODY, me, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => {
            per_cpu::all().filter(|cpu| cpu.number != me).for_each(|cpu| local_apic::send_nmi(cpu.apic_id))
        }
        Err(first) if first == me => {}
        Err(_) => masking::stop(),
    }
}

/// After an NMI: stops this processor, if another one has ended the machine. The one that does goes on,
/// whatever NMI the host sends meanwhile.
pub fn stop_if_ended() {
    if ![NOBODY, this_cpu_number()].contains(&ENDED_BY.load(Ordering::SeqCst)) {
        masking::stop();
    }
}

/// Switches a q35 off by its ICH9's power management: without firmware nobody has placed its ports yet (Intel
/// ICH9, 13.8.3).
fn power_off() {
    const LPC: u32 = 0x8000_f800;
    const PM_BASE: u16 = 0x600;
    let write = |register: u32, value: u32| {
        ports::write_u32(0xcf8, LPC | register);
        ports::write_u32(0xcfc, value);
    };
    write(0x40, u32::from(PM_BASE) | 1);
    write(0x44, 0x80);
    // PM1 control: SLP_EN, SLP_TYP 0 is S5 on QEMU's ICH9.
    ports::write_u16(PM_BASE + 4, 1 << 13);
}
