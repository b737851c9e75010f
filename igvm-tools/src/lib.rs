//! igvm-tools.
#![forbid(unsafe_code)]
