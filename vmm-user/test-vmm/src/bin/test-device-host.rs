//! A device in a process of its own: those of `device-host`, those of the tests, and faults on request.
#![cfg_attr(target_os = "none", no_std, no_main)]

use devices::egg_timer::EggTimer;
use runtime::Start;
use test_vmm::faults::{self, Faulty};
use test_vmm::{EGG_LINE, bench, killer, named_memory};
use vmm::device_host::{Faithful, Host, NO_SUCH_DEVICE, Serve, program_with};

runtime::main!(program);

fn program(start: &Start) -> u32 {
    named_memory::check(start);
    // A program without faults is measured.
    let is_faulty = faults::read(start);
    if start.setting("device") == Some("killer") && !killer::begin(start) {
        log::error!("the killer lacks a handle, or a thread");
        return 1;
    }
    if is_faulty {
        program_with(start, Faulty, |name, host| others(name, host, Faulty))
    } else {
        program_with(start, Faithful, |name, host| others(name, host, Faithful))
    }
}

fn others<S: Serve>(name: &str, host: Host, serve: S) -> Result<(), &'static str> {
    let ended = match name {
        "egg-timer" => host.run(EggTimer::new(EGG_LINE), serve),
        "killer" => host.run(killer::Killer, serve),
        "benchmark" => host.run(bench::BenchDevice, serve),
        _ => return Err(NO_SUCH_DEVICE),
    };
    ended.map_err(|_| "the device can't be served")
}
