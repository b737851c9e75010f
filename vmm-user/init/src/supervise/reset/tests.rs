use alloc::vec::Vec;

use super::super::tests::device;
use super::*;
use crate::config;

const TEXT: &str = "process vmm\n  set reset in-place\ndevice rtc process\ndevice uart process\nprocess o\n\
                    process second\n  set reset end\n  set reset in-place\ndevice egg process\n";

#[test]
fn who_asks_for_it_is_started_again_with_its_machine() {
    let config = config::parse(TEXT, &|_| None).unwrap();
    for (index, code, phase, expected) in [
        (0, process::GUEST_RESET, Phase::Runs, Follows::Reset),
        (0, 0, Phase::Runs, Follows::Policy),
        (0, 1, Phase::Runs, Follows::Policy),
        // A device that says it, and one that had to end, whatever it says.
        (1, process::GUEST_RESET, Phase::Runs, Follows::Policy),
        (1, MACHINE_RESET, Phase::Ending, Follows::Rest(0)),
        (2, 7, Phase::Ending, Follows::Rest(0)),
        // The configuration of these says nothing of it, or that the run ends: the first setting counts.
        (3, process::GUEST_RESET, Phase::Runs, Follows::Policy),
        (4, process::GUEST_RESET, Phase::Runs, Follows::Policy),
    ] {
        let mut child = device(&config.processes[index]);
        child.phase = phase;
        assert_eq!(what_follows(&child, code), expected, "{index} {code} {phase:?}");
    }
}

#[test]
fn all_are_gone_before_the_first_is_started() {
    let config = config::parse(TEXT, &|_| None).unwrap();
    let mut children: Vec<_> = config.processes.iter().map(device).collect();
    assert_eq!(to_start(0, &children), []);
    children[0].phase = Phase::Gone;
    children[1].phase = Phase::Ending;
    children[2].phase = Phase::Gone;
    assert_eq!(to_start(0, &children), [], "a device serves still");
    children[1].phase = Phase::Gone;
    assert_eq!(to_start(0, &children), [1, 2, 0], "the owner last, and nobody else");
    assert_eq!(to_start(4, &children), []);
}
