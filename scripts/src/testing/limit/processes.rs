//! The processes below this one, as `/proc` has them.

use std::collections::HashMap;

use rustix::process::{Pid, Signal, getpid, kill_process, set_child_subreaper};

/// Kills all processes that there are now below this one.
pub fn kill_all() {
    let ours = getpid().as_raw_nonzero().get().cast_unsigned();
    for process in below(&parents(), ours) {
        let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) else { continue };
        // One that has ended meanwhile needs no killing.
        let _ = kill_process(process, Signal::KILL);
    }
}

/// Makes those whose parents end children of this process, lest they escape; they were of process 1
/// otherwise.
pub fn adopt_orphans() {
    // Where the system has no such thing, only the orphans escape.
    let _ = set_child_subreaper(Some(getpid()));
}

/// All processes below one, each after its parent: one that loses a child first would go on with what stands
/// behind it.
fn below(parents: &HashMap<u32, u32>, process: u32) -> Vec<u32> {
    let mut found = vec![process];
    let mut seen = 0;
    while seen < found.len() {
        // Nobody lists a process's children; each process says whose it is.
        let children =
            parents.iter().filter(|(_, parent)| **parent == found[seen]).map(|(&process, _)| process);
        let more: Vec<u32> = children.filter(|process| !found.contains(process)).collect();
        found.extend(more);
        seen += 1;
    }
    found.split_off(1)
}

/// The parent of each process that runs.
fn parents() -> HashMap<u32, u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return HashMap::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let parent = |process: u32| {
        let stat = std::fs::read(format!("/proc/{process}/stat")).ok()?;
        Some((process, parent_of(&String::from_utf8_lossy(&stat))?))
    };
    numbers.filter_map(parent).collect()
}

/// The parent in a line of `/proc/N/stat`, "N (NAME) STATE PARENT ..."; none for one that has ended. The name
/// may have any letters in it.
fn parent_of(stat: &str) -> Option<u32> {
    // From the end, as the name may have parentheses in it.
    let mut words = stat.rsplit_once(") ")?.1.split(' ');
    let state = words.next()?;
    let parent = words.next()?.parse().ok()?;
    (state != "Z").then_some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_stat() {
        assert_eq!(parent_of("7 (sh) S 3 7 7 0"), Some(3));
        assert_eq!(parent_of("7 (a) S 9 (b) R 3 7"), Some(3));
        assert_eq!(parent_of("7 (sh) Z 3 7 7 0"), None);
        assert_eq!(parent_of("7 (sh"), None);
        assert_eq!(parents().get(&std::process::id()), Some(&std::os::unix::process::parent_id()));
    }

    /// We are 1; 0 is above us, and 9 is not below.
    #[test]
    fn who_is_killed() {
        let parents = HashMap::from([(1, 0), (2, 1), (3, 2), (4, 2), (5, 1), (6, 3), (7, 6), (8, 5), (9, 0)]);
        let mut all = below(&parents, 1);
        let place = |process| all.iter().position(|&other| other == process);
        assert!(all.iter().all(|process| place(parents[process]) < place(*process)), "{all:?}");
        all.sort_unstable();
        assert_eq!(all, [2, 3, 4, 5, 6, 7, 8]);
    }
}
