//! Hands the linker script to the linker when the target is the bare machine.

fn main() {
    println!("cargo:rerun-if-changed=loader.ld");
    // The same package is built for the host, for its tests and for igvm-tools.
    let bare = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none");
    if let (true, Ok(folder)) = (bare, std::env::var("CARGO_MANIFEST_DIR")) {
        println!("cargo:rustc-link-arg-bins=-T{folder}/loader.ld");
        println!("cargo:rustc-link-arg-bins=--no-pie");
    }
}
