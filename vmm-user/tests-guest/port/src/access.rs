//! IN and OUT after the kernel has permitted them.
#![allow(unsafe_code, reason = "IN and OUT, and the system call that permits them")]

use std::io::{Error, Result};

use x86_64::instructions::port::Port;

/// How many bits one access has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Width {
    /// 8.
    Byte,
    /// 16.
    Word,
    /// 32.
    Dword,
}

impl Width {
    /// The direction and the width of a command such as `read16`.
    pub fn split(name: &str) -> Option<(&'static str, Self)> {
        ["read", "write", "outlast", "until"].into_iter().find_map(|direction| {
            let width = match name.strip_prefix(direction)? {
                "8" => Self::Byte,
                "16" => Self::Word,
                "32" => Self::Dword,
                _ => return None,
            };
            Some((direction, width))
        })
    }

    /// 8, 16 or 32.
    pub fn bits(self) -> u32 {
        match self {
            Self::Byte => 8,
            Self::Word => 16,
            Self::Dword => 32,
        }
    }

    /// The largest value.
    pub fn largest(self) -> u32 {
        u32::MAX >> (32 - self.bits())
    }
}

/// Ports that the kernel lets this thread touch.
pub struct Permitted {
    port: u16,
    width: Width,
}

impl Permitted {
    /// Asks the kernel for them (ioperm(2)), which gives them to root alone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn ask(port: u16, width: Width) -> Result<Self> {
        // SAFETY: It changes nothing of this program but which ports it may touch.
        let status = unsafe { libc::ioperm(port.into(), (width.bits() / 8).into(), 1) };
        if status == 0 { Ok(Self { port, width }) } else { Err(Error::last_os_error()) }
    }

    /// IN.
    pub fn read(&self) -> u32 {
        // SAFETY: The kernel permits it. What a device does with it is what the user asked for.
        unsafe {
            match self.width {
                Width::Byte => Port::<u8>::new(self.port).read().into(),
                Width::Word => Port::<u16>::new(self.port).read().into(),
                Width::Dword => Port::new(self.port).read(),
            }
        }
    }

    /// OUT of the low bits of `value`.
    pub fn write(&self, value: u32) {
        // SAFETY: As for `read`.
        unsafe {
            match self.width {
                Width::Byte => Port::new(self.port).write(value as u8),
                Width::Word => Port::new(self.port).write(value as u16),
                Width::Dword => Port::new(self.port).write(value),
            }
        }
    }
}
