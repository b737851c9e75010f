use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

use super::*;

/// A view that answers each line by what `answer` says, after what is left of an answer to somebody else.
fn view(name: &str, answer: fn(&str) -> String) -> (PathBuf, JoinHandle<()>) {
    let socket = std::env::temp_dir().join(format!("plinth-view-{}-{name}", std::process::id()));
    let listener = UnixListener::bind(&socket).unwrap();
    let view = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"left over\nok\nhello 99999999999 1\nok\n").unwrap();
        for line in BufReader::new(stream.try_clone().unwrap()).lines() {
            let Ok(line) = line else { return };
            if stream.write_all(answer(&line).as_bytes()).is_err() {
                return;
            }
        }
    });
    (socket, view)
}

fn connect(name: &str, answer: fn(&str) -> String) -> (Result<Client, AskError>, impl FnOnce()) {
    let (socket, view) = view(name, answer);
    let client = Client::connect(&socket, Duration::from_secs(2));
    std::fs::remove_file(socket).unwrap();
    (client, move || view.join().unwrap())
}

fn greet(line: &str) -> String {
    match line.strip_prefix("hello ") {
        Some(number) => format!("hello {number} {VERSION}\nok\n"),
        None => "error unknown\n".to_owned(),
    }
}

#[test]
fn answers_become_items() {
    fn answer(line: &str) -> String {
        match line {
            "log 5" => "log from=5 lost=0 end=12 bytes=4 text=a\\_b\\n\nok\n".to_owned(),
            "log 9" => "log from=10 lost=1 end=14 bytes=4 text=more\nok\n".to_owned(),
            "exits" => "ok\n".to_owned(),
            "processes" => "process serial=1\nok\n".to_owned(),
            "machine" => "ok\n".to_owned(),
            "trace 0" => "error absent\n".to_owned(),
            _ => greet(line),
        }
    }
    let (client, end) = connect("items", answer);
    let mut client = client.unwrap();
    let log = client.log(5).unwrap();
    assert_eq!((log.from, log.bytes, log.lost, log.end), (5, 8, 1, 14));
    assert_eq!(log.text, "a b\nmore");
    assert!(client.exits().unwrap().is_empty());
    assert!(matches!(client.processes(), Err(AskError::Strange { .. })));
    assert!(matches!(client.machine(), Err(AskError::Strange { .. })));
    assert!(matches!(client.trace(0), Err(AskError::Refused { word, .. }) if word == "absent"));
    drop(client);
    end();
}

#[test]
fn a_greeting_is_answered_by_its_number_and_version() {
    let (client, end) = connect("version", |line| greet(line).replace(" 1\n", " 2\n"));
    assert!(matches!(client, Err(AskError::Version(version)) if version == "2"));
    end();
    let (client, end) = connect("silent", |_| String::new());
    assert!(matches!(client, Err(AskError::Late { .. })));
    end();
}

#[test]
fn nobody_there() {
    let nowhere = Path::new("/nowhere/at/all");
    assert!(matches!(Client::connect(nowhere, Duration::ZERO), Err(AskError::Connect { .. })));
}
