use super::*;

fn machine(now_tsc: u64) -> Machine {
    Machine {
        tsc_hz: 1000,
        boot_tsc: 500,
        now_tsc,
        cpus: 2,
        kept_bytes: 8 << 20,
        free_bytes: 12 << 10,
        guest_bytes: 480 << 20,
        host_interrupts: 7,
        host_nmis: 0,
    }
}

fn process(run_tsc: u64) -> Process {
    Process {
        serial: 2,
        name: "vmm".into(),
        state: 1,
        code: 0,
        threads: 2,
        handles: 12,
        memory_bytes: 3 << 19,
        run_tsc,
        priority: 1,
    }
}

fn exits(vcpu: u32, place: Option<u64>, count: u64, ticks: u64) -> Exits {
    Exits { vcpu, reason: "port".into(), place, by: "uart".into(), count, ticks }
}

fn snapshot(now: u64, run: u64, count: u64) -> Snapshot {
    Snapshot {
        machine: Some(machine(now)),
        processes: Some(vec![process(run)]),
        exits: Some(vec![
            exits(0, Some(0x3f8), count, 0),
            exits(1, Some(0x3f8), 10, 0),
            exits(0, None, 1, 5),
        ]),
        ..Snapshot::default()
    }
}

#[test]
fn one_snapshot_has_sums() {
    let text = Shown { now: &snapshot(1500, 250, 30), before: None }.to_string();
    for part in [
        "up 1.000 s, 2 CPUs, 480.0 MiB for guests; Plinth keeps 8.0 MiB, 12 KiB of it free",
        "handled 7 host interrupts and 0 NMIs",
        "     2 vmm              running     1       2      12    1.5 MiB     0.250\n",
        "port                        3f8 uart                   40",
        "port                            uart                    1              5000.00\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn two_snapshots_have_rates() {
    let (before, now) = (snapshot(1500, 250, 30), snapshot(3500, 1250, 530));
    let text = Shown { now: &now, before: Some(&before) }.to_string();
    assert!(text.contains("  50.0%\n"), "{text}");
    assert!(text.contains("uart                  540        250"), "{text}");
}

#[test]
fn a_clock_that_stands_still_divides_nothing() {
    let mut now = snapshot(1500, 250, 30);
    now.machine.iter_mut().for_each(|machine| machine.tsc_hz = 0);
    assert!(Shown { now: &now, before: Some(&now) }.to_string().contains("up 1000"));
}
