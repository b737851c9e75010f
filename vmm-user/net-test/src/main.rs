//! A driver of a network device that ends after so many frames. For tests of what becomes of a driver's end.
#![cfg_attr(target_os = "none", no_std, no_main)]

runtime::main!(program);

fn program(start: &runtime::Start) -> u32 {
    let frames = start.setting("frames").and_then(|number| number.parse().ok());
    host_net::run(start, frames)
}
