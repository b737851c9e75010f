use super::*;
use inspect_protocol::ANSWER_MAX;

/// A log of so many bytes, and one process.
struct Fake(usize);

impl Views for Fake {
    fn machine(&self) -> Result<Machine, Mistake> {
        Err(Mistake::Refused)
    }

    fn processes(&self) -> Result<Vec<Process>, Mistake> {
        Ok(alloc::vec![Process {
            serial: 1,
            name: "init\nok".into(),
            state: 1,
            code: 0,
            threads: 1,
            handles: 2,
            memory_bytes: 4096,
            run_tsc: 5,
            priority: 3,
        }])
    }

    fn log(&self, from: u64) -> Result<LogPart, Mistake> {
        let text: String = core::iter::repeat_n('\u{1}', self.0).collect();
        Ok(LogPart { from, lost: 0, end: from, bytes: self.0 as u64, text })
    }

    fn exits(&self) -> Result<Vec<Exits>, Mistake> {
        Ok(Vec::new())
    }

    fn trace(&self, _: u64) -> Result<Vec<Traced>, Mistake> {
        Err(Mistake::Absent)
    }
}

#[test]
fn answers_end_with_ok_or_with_an_error() {
    for (line, answer) in [
        (&b"hello 17"[..], "hello 17 1\nok\n"),
        (b"machine", "error refused\n"),
        (b"exits", "ok\n"),
        (b"trace 0", "error absent\n"),
        (b"trace x", "error number\n"),
        (b"", "error unknown\n"),
        (b"\xc3\x28", "error unknown\n"),
    ] {
        assert_eq!(to(line, &Fake(0)), answer, "{line:?}");
    }
    assert_eq!(too_long(), "error too-long\n");
}

#[test]
fn what_is_shown_ends_no_answer() {
    let answer = to(b"processes", &Fake(0));
    let lines: Vec<_> = answer.lines().collect();
    assert_eq!((lines.len(), lines[1]), (2, "ok"));
    assert_eq!(Process::parse(lines[0]).map(|p| p.name), Some("init\nok".into()));
}

#[test]
fn the_longest_part_of_the_log_fits_a_line() {
    let answer = to(b"log 18446744073709551615", &Fake(crate::kernel::LOG_PART));
    assert!(answer.lines().all(|line| line.len() <= ANSWER_MAX));
}
