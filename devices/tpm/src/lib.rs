//! A TPM 2.0 as a library: one function from the bytes of a command to those of its response.
//!
//! [`Tpm::execute`] is the whole interface to software; a transport (a register interface, a socket) calls
//! it. [`Tpm::open`] takes what the engine stands on: cryptography ([`Crypto`]), entropy and time
//! ([`Platform`]), and two slots for its state ([`Storage`]).
//!
//! ```
//! use tpm2_engine::{Platform, PlatformError, RustCrypto, Storage, Tpm};
//!
//! struct Surroundings;
//!
//! impl Platform for Surroundings {
//!     fn entropy(&mut self, out: &mut [u8]) -> Result<(), PlatformError> {
//!         out.fill(7); // A real one asks the processor or the operating system.
//!         Ok(())
//!     }
//!     fn milliseconds(&mut self) -> u64 {
//!         0
//!     }
//! }
//!
//! #[derive(Default)]
//! struct Memory([Vec<u8>; 2]);
//!
//! impl Storage for Memory {
//!     fn read(&mut self, slot: usize) -> Result<Vec<u8>, PlatformError> {
//!         Ok(self.0[slot].clone())
//!     }
//!     fn write(&mut self, slot: usize, bytes: &[u8]) -> Result<(), PlatformError> {
//!         self.0[slot] = bytes.to_vec();
//!         Ok(())
//!     }
//! }
//!
//! let storage = Box::new(Memory::default());
//! let mut tpm = Tpm::open(Box::new(RustCrypto), Box::new(Surroundings), storage, &[0; 32]).unwrap();
//! let (startup, mut response) = (b"\x80\x01\0\0\0\x0c\0\0\x01\x44\0\0", Vec::new());
//! tpm.execute(0, startup, &mut response);
//! assert_eq!(response, b"\x80\x01\0\0\0\x0a\0\0\0\0");
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
