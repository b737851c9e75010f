//! The guest's start.
#![allow(unsafe_code, reason = "a panic handler")]

mod apic;
mod code;
mod cpu;
mod entry;
mod instructions;
mod layout;
mod legacy;
mod machine;
mod paging;
mod privileged;
mod races;
mod random;
mod report;
mod rounds;
mod shared;
mod snippet;
mod tables;
mod watch;

use machine::{read, write};

/// Offset of `cmd_line_ptr` in boot_params.
const COMMAND_LINE: u64 = 0x228;

/// The first processor, from the boot loader.
pub extern "C" fn start(boot_params: u64) -> ! {
    let mut text = u64::from(read::<u32>(boot_params + COMMAND_LINE));
    let seed = number(&mut text);
    let seconds = number(&mut text).clamp(1, 100_000);
    for at in (layout::CPU_AREA..layout::CPU_AREA + 0x4_0000)
        .chain(layout::CPU_AREA + layout::CPU_AREA_BYTES..layout::OWN_END)
    {
        if at % 8 == 0 {
            write(at, 0u64);
        }
    }
    for at in (layout::PLAYGROUND..layout::PLAYGROUND + 0x20_0000).step_by(8) {
        write(at, 0x0b0f_0b0f_0b0f_0b0fu64);
    }
    entry::place_low_code();
    tables::describe_interrupts();
    paging::map_legacy();
    paging::map_supervisor();
    for index in 0..2 {
        cpu::prepare(index, seed);
    }
    shared::set(shared::Flag::Seconds, seconds);
    shared::set(shared::Flag::Sum, entry::sum());
    report::begin(seed);
    cpu::put_in_order(layout::CPU_AREA);
    apic::restore(0);
    watch::start();
    apic::start(1);
    cpu::first_round(0)
}

/// The next decimal number of a text; moves behind it.
fn number(text: &mut u64) -> u64 {
    let mut value = 0u64;
    loop {
        let byte: u8 = read(*text);
        if byte == 0 {
            return value;
        }
        *text += 1;
        match byte {
            b'0'..=b'9' => value = value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0')),
            _ => return value,
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    report::panicked()
}
