//! Checks that hang. They are a program of their own and one test, since what is killed is everything that
//! the program has started.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use xtask::project::Project;
use xtask::testing::Suite;

const LIMIT: Duration = Duration::from_secs(1);
/// Far less than the programs of the checks want, and enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// It waits for a program, which has a child in a session of its own and an orphan; all of them are ended.
#[test]
fn a_check_that_hangs_ends() {
    let folder = std::env::temp_dir().join(format!("plinth-limit-{}", std::process::id()));
    let mut suite = Suite::new(&Project::open().unwrap(), &folder).unwrap().with_check_limit(LIMIT);
    let began = Instant::now();
    let numbers = folder.join("numbers");
    let passed = suite.check("hangs", |case| {
        case.record("it starts");
        let script = "setsid sleep 600 & echo $! >$0; (sleep 600 & echo $! >>$0); echo $$ >>$0; sleep 600; :";
        case.run(Command::new("sh").args(["-c", script]).arg(&numbers)).map(drop)
    });
    assert!(!passed && began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    let said = plinth_qemu::read_text(&folder.join("hangs.out"));
    assert!(said.starts_with("it starts\n") && said.contains("no end after 1 s"), "{said}");
    let numbers = plinth_qemu::read_text(&numbers);
    assert_eq!(numbers.lines().count(), 3, "{numbers}");
    for number in numbers.lines() {
        // A signal takes its time.
        while runs(number) {
            assert!(began.elapsed() < PATIENCE, "process {number} of {numbers} goes on");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    assert!(suite.check("next", |_| Ok(())), "the rest goes on");
    assert_eq!(suite.counts(), (1, 1));
    std::fs::remove_dir_all(folder).unwrap();
}

/// Whether a process runs: one that has ended and waits for its parent does not.
fn runs(number: &str) -> bool {
    let stat = plinth_qemu::read_text(&Path::new("/proc").join(number).join("stat"));
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
