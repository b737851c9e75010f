//! Hands the linker script to the linker when the target is the bare machine.

fn main() {
    println!("cargo:rerun-if-changed=guest.ld");
    let bare = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none");
    if let (true, Ok(folder)) = (bare, std::env::var("CARGO_MANIFEST_DIR")) {
        println!("cargo:rustc-link-arg-bins=-T{folder}/guest.ld");
        println!("cargo:rustc-link-arg-bins=--no-pie");
        println!("cargo:rustc-link-arg-bins=--oformat=binary");
        println!("cargo:rustc-link-arg-bins=--strip-all");
    }
}
