//! A TPM 2.0 as a library: one function from the bytes of a command to those of its response.
//!
//! [`Tpm::execute`] is the whole interface to software; a transport (a register interface, a socket) calls
//! it. [`Tpm::open`] takes what the engine stands on: cryptography ([`Crypto`]), entropy and time
//! ([`Platform`]), and two slots for its state ([`Storage`]).
//!
//! ```
//! use tpm2_engine::{PlatformError, RustCrypto, Tpm};
//!
//! // A real one asks the processor or the operating system.
//! let entropy = |out: &mut [u8]| Ok::<(), PlatformError>(out.fill(7));
//! let milliseconds = || 0;
//! let storage: Box<[Vec<u8>; 2]> = Box::default(); // In memory.
//! let mut tpm = Tpm::open(Box::new(RustCrypto), Box::new((entropy, milliseconds)), storage, &[0; 32])?;
//! let (startup, mut response) = (b"\x80\x01\0\0\0\x0c\0\0\x01\x44\0\0", Vec::new());
//! tpm.execute(0, startup, &mut response);
//! assert_eq!(response, b"\x80\x01\0\0\0\x0a\0\0\0\0");
//! # Ok::<(), tpm2_engine::OpenError>(())
//! ```
//!
//! Whatever a command changes for good is in the storage before its response says success.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod audit;
mod clock;
mod commands;
mod commitment;
mod constants;
pub mod crypto;
mod dispatch;
mod drtm;
mod engine;
mod entity;
#[cfg(feature = "fork")]
mod fork;
mod hierarchy;
pub mod interface;
mod lockout;
mod nv;
mod object;
mod pcr;
mod platform;
pub mod presence;
mod proof;
mod rc;
mod secret;
mod self_test;
mod session;
mod state;
mod structures;
mod table;
mod wire;

pub use crypto::{Crypto, RustCrypto};
pub use engine::Tpm;
pub use platform::{Platform, PlatformError, Storage};
pub use state::{FORMAT, OpenError};
