//! What is said is what is started.

use super::*;

const TEXT: &str = "
# a comment
process vmm
  grant log w
  grant system rwc   # another
  set mode fast and loose
  on-end restart
device rtc PLACE
  grant log w
  grant clock-ports rw
  set speed 2
  on-end restart 9
process other
  file another
  cpu 1
  priority 2
  budget memory 3M
  budget threads 4
  budget share 50
  on-end ignore
";

fn parsed(place: &str) -> Vec<Process> {
    parse(&TEXT.replace("PLACE", place), &|_| None).unwrap().processes
}

fn strings(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn handles(process: &Process) -> Vec<&str> {
    process.grants.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn processes_are_as_the_text_says() {
    let [vmm, rtc, other] = &parsed("process")[..] else { panic!("three processes") };
    assert_eq!((vmm.name.as_str(), vmm.file.as_str(), vmm.role.clone()), ("vmm", "vmm", Role::Plain));
    assert_eq!(vmm.grants[1], ("system".to_owned(), Rights::READ | Rights::WRITE | Rights::CREATE));
    assert_eq!(vmm.settings, strings(&[("mode", "fast and loose"), ("device.rtc", "process")]));
    assert_eq!((vmm.cpu, vmm.priority, vmm.on_end), (0, 1, OnEnd::Restart(5)));
    assert_eq!(
        (rtc.name.as_str(), rtc.file.as_str(), rtc.role.clone()),
        ("rtc", "device-host", Role::Device(0))
    );
    assert_eq!(rtc.settings, strings(&[("device", "rtc"), ("speed", "2")]));
    assert_eq!((handles(rtc), rtc.on_end), (["log", "clock-ports"].into(), OnEnd::Restart(9)));
    assert_eq!(
        (other.file.as_str(), other.cpu, other.priority, other.on_end),
        ("another", 1, 2, OnEnd::Ignore)
    );
    assert_eq!(other.budgets, [(budget::MEMORY, 3 << 20), (budget::THREADS, 4), (budget::SHARE, 50)]);
    assert!(vmm.budgets.is_empty() && rtc.budgets.is_empty());
}

/// One word decides where a device is, and its handles and settings go there.
#[test]
fn a_device_inside_is_its_owners() {
    let [vmm, other] = &parsed("inside")[..] else { panic!("two processes") };
    assert_eq!(handles(vmm), ["log", "system", "clock-ports"]);
    assert_eq!(
        vmm.settings,
        strings(&[("mode", "fast and loose"), ("device.rtc", "inside"), ("speed", "2")])
    );
    assert_eq!((vmm.on_end, other.name.as_str()), (OnEnd::Restart(5), "other"));
}

/// One level deep, and what follows is for what was included last.
#[test]
fn another_file_is_read_where_it_is_included() {
    let files = |name: &str| match name {
        "one" => Some("process one\n".to_owned()),
        "two" => Some("include one\n".to_owned()),
        _ => None,
    };
    let processes = parse("process a\ninclude one\n  priority 3\n", &files).unwrap().processes;
    let found: Vec<_> = processes.iter().map(|process| (process.name.as_str(), process.priority)).collect();
    assert_eq!(found, [("a", 1), ("one", 3)]);
    assert_eq!(parse("include two", &files).err().map(|error| error.line), Some(1));
}

#[test]
fn mistakes_are_named_by_line() {
    for (text, line) in [
        ("grant log w", 1),
        ("device rtc inside", 1),
        ("process a\nnonsense", 2),
        ("process a\ngrant log q", 2),
        ("process a\ncpu x", 2),
        ("process a\npriority", 2),
        ("process a\non-end explode", 2),
        ("process a\nbudget money 5", 2),
        ("process a\nbudget memory", 2),
        ("process a\nbudget memory much", 2),
        ("process a\nbudget memory 18446744073709551615M", 2),
        ("process a\non-end restart often", 2),
        ("process a\ndevice rtc", 2),
        ("process a\ndevice rtc somewhere", 2),
        ("process a\ninclude none", 2),
        ("range ports 0xf4 4 absent", 1),
        ("process a\nfiles ram", 2),
        ("process a\nfiles ram w", 2),
        ("process a\nfiles ram r notes", 2),
        ("process a\nfiles ram r notes/ more/", 2),
        ("process a\nfiles ram r\nfiles ram rw notes/", 3),
        ("process a\nrange ports 0xf4 absent", 2),
        ("process a\nrange memory 0xfed00000 4K forwarded", 2),
        ("process a\ndevice rtc inside\nnonsense", 3),
        ("process a\ndevice rtc inside\ngrant log q", 3),
        ("shared a", 1),
        ("shared a much", 1),
    ] {
        assert_eq!(parse(text, &|_| None).err().map(|error| error.line), Some(line), "{text}");
    }
}

#[test]
fn shared_memory_has_a_name_and_a_size() {
    let config = parse("shared a 4K\nprocess b\n  grant a rwm\nshared c 0x2000\n", &|_| None).unwrap();
    assert_eq!(config.shared, [("a".to_owned(), 4096), ("c".to_owned(), 8192)]);
    assert_eq!(handles(&config.processes[0]), ["a"]);
}

#[test]
fn a_process_is_gone_back_to_and_channels_have_names() {
    let text = "channel exits\nprocess vmm\nprocess b\nfor vmm\n  grant exits-endpoint a\n  priority 3\n";
    let config = parse(text, &|_| None).unwrap();
    assert_eq!(config.channels, ["exits"]);
    let [vmm, b] = &config.processes[..] else { panic!("two processes") };
    assert_eq!((vmm.priority, handles(vmm)), (3, ["exits-endpoint"].to_vec()));
    assert_eq!((b.priority, b.grants.len()), (1, 0));
    assert_eq!(parse("for vmm\nprocess vmm\n", &|_| None).err().map(|error| error.line), Some(1));
}

#[test]
fn parts_of_guest_memory_have_names() {
    let config = parse("memory low 0x2000 8K\nmemory high 1M 4096\nprocess a\n  grant low rm\n", &|_| None);
    let config = config.unwrap();
    let part = |name: &str, gpa, bytes| Memory { name: name.to_owned(), gpa, bytes };
    assert_eq!(config.memory, [part("low", 0x2000, 8192), part("high", 1 << 20, 4096)]);
    assert_eq!(config.processes[0].grants, [("low".to_owned(), Rights::READ | Rights::MAP)]);
    for text in [
        "memory guest-memory 0 4K",
        "memory a 0 4K\nmemory a 4K 4K",
        "memory a 0y 4K",
        "memory a 0x 4K",
        "memory a 0 all",
        "memory a 0",
    ] {
        assert!(parse(text, &|_| None).is_err(), "{text}");
    }
}

/// What a guest finds is its VMM's, wherever the line stands.
#[test]
fn ranges_are_the_last_processes() {
    let text = "process vmm\nrange ports 0xf4 4 forwarded\ndevice rtc process\nrange memory 1M 4K absent\n\
                process b\nfor vmm\nrange ports 1 1 emulated\n";
    let config = parse(text, &|_| None).unwrap();
    let said: Vec<_> = config
        .processes
        .iter()
        .map(|process| process.ranges.iter().map(|range| alloc::format!("{range}")).collect::<Vec<_>>())
        .collect();
    let vmm = ["ports 0xf4 0x4 forwarded", "memory 0x100000 0x1000 absent", "ports 0x1 0x1 emulated"];
    assert_eq!(said, [vmm.to_vec(), [].to_vec(), [].to_vec()]);
}

#[test]
fn name_spaces_are_who_they_are_said_to_be() {
    let text =
        "process a\nfiles ram rw\ndevice d inside\n  files disk r notes/\nprocess b\nfiles ram r a/b/\n";
    let config = parse(text, &|_| None).unwrap();
    let space = |server: &str, access: &str, folder: &str| NameSpace {
        server: server.to_owned(),
        access: access.to_owned(),
        folder: folder.to_owned(),
    };
    assert_eq!(config.processes[0].files, [space("ram", "rw", ""), space("disk", "r", "notes/")]);
    assert_eq!(config.processes[1].files, [space("ram", "r", "a/b/")]);
    // Keys stay apart, and are in order.
    let spaces: Vec<_> = crate::made::spaces(&config.processes)
        .map(|(process, key, space)| (process.name.as_str(), key - (1 << 16), space.server.as_str()))
        .collect();
    assert_eq!(spaces, [("a", 0, "ram"), ("a", 1, "disk"), ("b", 2, "ram")]);
}
