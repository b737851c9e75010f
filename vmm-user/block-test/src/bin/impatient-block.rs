//! A driver of a disk that loses its patience: it works for so many requests, and leaves the next one to the
//! device as if that were silent. For tests of what becomes of a driver's end.
#![cfg_attr(target_os = "none", no_std, no_main)]

runtime::main!(program);

fn program(start: &runtime::Start) -> u32 {
    let requests = start.setting("requests").and_then(|number| number.parse().ok());
    host_block::run(start, requests)
}
