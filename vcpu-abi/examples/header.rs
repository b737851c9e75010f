//! Prints the C header of the ABI: `cargo run -p vcpu-abi --example header >vcpu-abi/include/plinth.h`.
#![forbid(unsafe_code)]

use std::mem::offset_of;

use vcpu_abi::exit::reason;
use vcpu_abi::message::{
    MESSAGE_HANDLES, MESSAGE_WORDS, Message, RECEIVE_REPLY, REGISTER_WORDS, came, received,
};
use vcpu_abi::operation::{
    BATCH_MAX, FLAG_CONTINUE, HANDLE_SELF, OPERATIONS, Operation, PAYLOAD_BYTES, PAYLOADS, Permissions,
    Rights, budget, end_reason,
};
use vcpu_abi::process_record::{PROCESS_NAME_BYTES, ProcessRecord};
use vcpu_abi::registers::Groups;
use vcpu_abi::run_page::{PAGE_BYTES, RunPage, XSAVE_OFFSET};
use vcpu_abi::status::Status;
use vcpu_abi::{ABI_VERSION, syscall};

fn main() {
    print!("{}", header());
}

/// `SystemEnd` and `end-machine` as `SYSTEM_END` and `END_MACHINE`.
fn upper_snake(name: &str) -> String {
    let mut snake = String::new();
    let mut before_upper = true;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !before_upper {
            snake.push('_');
        }
        before_upper = letter.is_ascii_uppercase() || letter == '-' || letter == '_';
        snake.push(if letter == '-' { '_' } else { letter.to_ascii_uppercase() });
    }
    snake
}

/// One section: constants that share a prefix.
fn section<N: AsRef<str>>(title: &str, prefix: &str, all: impl IntoIterator<Item = (N, String)>) -> String {
    all.into_iter().fold(format!("\n/* {title} */\n"), |text, (name, value)| {
        text + &format!("#define PLINTH_{prefix}{} {value}\n", upper_snake(name.as_ref()))
    })
}

/// `(name, value)` of constants, each named once.
macro_rules! constants {
    ($module:ident { $($name:ident),* $(,)? }) => {
        [$((stringify!($name), format!("{}", $module::$name))),*]
    };
}

/// `(name, offset)` of fields of the run page.
macro_rules! run_page_offsets {
    ($($field:ident),* $(,)?) => { [$((stringify!($field), offset_of!(RunPage, $field).to_string())),*] };
}

fn flags(names: impl Iterator<Item = (&'static str, u32)>) -> Vec<(&'static str, String)> {
    names.map(|(name, bits)| (name, format!("{bits:#x}u"))).collect()
}

fn numbers() -> String {
    let general = [
        ("ABI_VERSION", ABI_VERSION as usize),
        ("BATCH_MAX", BATCH_MAX),
        ("FLAG_CONTINUE", FLAG_CONTINUE as usize),
        ("HANDLE_SELF", HANDLE_SELF as usize),
        ("PAYLOAD_BYTES", PAYLOAD_BYTES),
        ("PAGE_BYTES", PAGE_BYTES),
        ("PROCESS_NAME_BYTES", PROCESS_NAME_BYTES),
        ("XSAVE_OFFSET", XSAVE_OFFSET),
        ("MESSAGE_HANDLES", MESSAGE_HANDLES),
        ("MESSAGE_WORDS", MESSAGE_WORDS),
        ("RECEIVE_REPLY", RECEIVE_REPLY as usize),
        ("REGISTER_WORDS", REGISTER_WORDS),
        ("CAME_WORDS", came::WORDS as usize),
        ("CAME_MESSAGE", came::MESSAGE as usize),
    ];
    let statuses = (-128..128).filter_map(Status::from_code);
    let calls = constants!(syscall {
        SYS_EXIT,
        SYS_BATCH,
        SYS_RUN,
        SYS_YIELD,
        SYS_THREAD_EXIT,
        SYS_CALL,
        SYS_RECEIVE,
        SYS_CALL_WORDS,
        SYS_RECEIVE_WORDS
    });
    let ends =
        constants!(end_reason { POWER_OFF, RESET, TRIPLE_FAULT, PROCESS_FAILED, TESTS_PASSED, TESTS_FAILED });
    let budgets =
        constants!(budget { MEMORY, HANDLES, THREADS, EVENTS, PROCESSES, OBJECTS, PRIORITY, SHARE });
    assert_eq!(budgets.len(), budget::END as usize, "a budget is missing here");
    let what = constants!(received { CALL, NOTIFICATION, WORDS });
    let offsets = run_page_offsets![
        batch_count,
        activity,
        deadline_tsc,
        dirty,
        deliver,
        window,
        pending_work,
        cr8,
        nmi_return,
        exit,
        general,
        injection,
        xcr0,
        system,
        segments,
        msrs,
        xsave,
    ];
    assert_eq!(ends.len(), end_reason::END as usize, "an end reason is missing here");
    assert_eq!(calls.len(), syscall::SYS_END as usize, "a system call is missing here");
    [
        section("General", "", general.map(|(name, value)| (name, value.to_string()))),
        section("System calls", "", calls),
        section("Status", "", statuses.map(|s| (format!("STATUS-{s:?}"), format!("({})", s as i32)))),
        section("Rights", "RIGHT_", flags(Rights::all().iter_names().map(|(n, r)| (n, r.bits())))),
        section(
            "Permissions",
            "PERMISSION_",
            flags(Permissions::all().iter_names().map(|(name, one)| (name, one.bits()))),
        ),
        section("Operations", "", OPERATIONS.iter().map(|(code, name)| (*name, format!("{code:#010x}u")))),
        section(
            "Why a guest stopped",
            "EXIT_",
            (0..).zip(reason::NAMES).map(|(i, n): (u32, _)| (n, i.to_string())),
        ),
        section("What a thread received", "RECEIVED_", what),
        section("Why the machine ends", "END_", ends),
        section("What a process has a budget of", "BUDGET_", budgets),
        section("Register groups", "GROUP_", flags(Groups::all().iter_names().map(|(n, g)| (n, g.bits())))),
        section("Offsets in the run page", "RUN_PAGE_", offsets),
    ]
    .concat()
}

/// A structure and the assertion of its size.
fn structure(name: &str, bytes: usize, fields: &[(&str, &str)]) -> String {
    let member = |&(field, rust): &(&str, &str)| match rust {
        "u64" => format!("    uint64_t {field};\n"),
        "u32" | "Handle" => format!("    uint32_t {field};\n"),
        "i32" => format!("    int32_t {field};\n"),
        "handles" => format!("    uint32_t {field}[PLINTH_MESSAGE_HANDLES];\n"),
        "words" => format!("    uint64_t {field}[PLINTH_MESSAGE_WORDS];\n"),
        "payload" => format!("    uint8_t {field}[PLINTH_PAYLOAD_BYTES];\n"),
        "name" => format!("    char {field}[PLINTH_PROCESS_NAME_BYTES];\n"),
        other => panic!("{name} has a field of type {other}: say what that is in C"),
    };
    let members: String = fields.iter().map(member).collect();
    let size = format!("_Static_assert(sizeof(struct plinth_{name}) == {bytes}, \"{name}\");\n");
    format!("\nstruct plinth_{name} {{\n{members}}};\n{size}")
}

fn process_record() -> String {
    let fields = [
        ("serial", "u64"),
        ("name", "name"),
        ("state", "u32"),
        ("code", "u32"),
        ("threads", "u32"),
        ("handles", "u32"),
        ("memory_bytes", "u64"),
        ("run_tsc", "u64"),
        ("priority", "u32"),
        ("reserved", "u32"),
    ];
    structure("process_record", size_of::<ProcessRecord>(), &fields)
}

fn header() -> String {
    let mut text = String::from(
        "/* The ABI between Plinth's kernel and its processes; docs/abi.md says what it means.\n\
         \x20* Made by `cargo run -p vcpu-abi --example header`: do not edit. */\n\
         #ifndef PLINTH_H\n#define PLINTH_H\n\n#include <stddef.h>\n#include <stdint.h>\n",
    );
    text += &numbers();
    let operation =
        [("code", "u32"), ("flags", "u32"), ("handle", "u32"), ("status", "i32"), ("payload", "payload")];
    text += &structure("operation", size_of::<Operation>(), &operation);
    let offset = offset_of!(Operation, payload);
    text +=
        &format!("_Static_assert(offsetof(struct plinth_operation, payload) == {offset}, \"payload\");\n");
    let message = [("key", "u64"), ("deadline_tsc", "u64"), ("handles", "handles"), ("words", "words")];
    text += &structure("message", size_of::<Message>(), &message);
    text += "\n/* The payloads of the operations. */\n";
    for ((_, name), payload) in OPERATIONS.iter().zip(PAYLOADS) {
        text += &structure(&upper_snake(name).to_lowercase(), payload.bytes, payload.fields);
    }
    text += "\n/* What SystemProcess writes. */\n";
    text += &process_record();
    text + "\n#endif\n"
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_header_is_the_one_printed() {
        let committed = include_str!("../include/plinth.h");
        assert!(committed == super::header(), "make include/plinth.h anew: see the top of this file");
    }
}
