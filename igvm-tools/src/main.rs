//! igvm-tools.
fn main() {}
