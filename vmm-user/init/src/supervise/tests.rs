use alloc::boxed::Box;
use core::sync::atomic::AtomicU64;

use super::*;
use crate::config;

/// A device's process as init keeps it, with lives in memory of the test's.
pub fn device(config: &Process) -> Child<'_> {
    let lives = Lives::new(Box::leak(Box::new([const { AtomicU64::new(0) }; 2]))).unwrap();
    lives.begin(FIRST_LIFE);
    let (bell, complaint) = (Event(3), Event(4));
    let memory = SharedMemory(5);
    let wires = Wires { endpoint: Endpoint(1), channel: Channel(2), bell, complaint, memory, lives };
    let phase = Phase::Runs;
    let (handle, end, wires) = (6, Event(7), Some(wires));
    Child { config, handle, end, wires, past_lives: 0, restarts: 0, resets: 0, phase, ended: false }
}

#[test]
fn a_complaint_is_about_one_life_of_a_process() {
    let text = "process vmm\ndevice rtc process\n";
    let config = config::parse(text, &|_| None).unwrap();
    let mut child = device(&config.processes[1]);
    let lives = child.wires.unwrap().lives;
    assert!(!child.is_complained_of(), "nobody has complained");
    lives.complain_of(lives.present());
    assert!(child.is_complained_of());
    // It ended by itself before init has looked, and was started again.
    child.begin_next_life();
    assert!(!child.is_complained_of(), "its successor has given no cause");
    lives.complain_of(lives.present());
    assert!(child.is_complained_of());
}

#[test]
fn which_life_it_is_only_init_says() {
    let config = config::parse("process vmm\ndevice rtc process\n", &|_| None).unwrap();
    let mut child = device(&config.processes[1]);
    let lives = child.wires.unwrap().lives;
    // Whose device it is writes there what it likes.
    lives.begin(7);
    lives.complain_of(7);
    assert!(!child.is_complained_of());
    child.begin_next_life();
    assert_eq!((child.life(), lives.present()), (2, 2));
}
