//! `hvm_start_info`: what the PVH boot protocol leaves for the loaded program, at the address in EBX.
//!
//! Source: Xen's public header `arch-x86/hvm/start_info.h` (structure version 1); QEMU fills it on `-kernel`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::memory::Memory;

/// The value of [`StartInfo::magic`].
pub const START_MAGIC: u32 = 0x336e_c578;

/// The fixed part. Addresses are guest physical; zero means "not there".
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct StartInfo {
    /// [`START_MAGIC`].
    pub magic: u32,
    /// The memory map is there from version 1 on.
    pub version: u32,
    /// `SIF_*` flags of Xen, not used here.
    pub flags: u32,
    /// Number of [`Module`]s.
    pub module_count: u32,
    /// Where they are.
    pub modules: u64,
    /// Zero-terminated command line.
    pub command_line: u64,
    /// ACPI's root pointer.
    pub rsdp: u64,
    /// Array of [`MemoryEntry`].
    pub memory_map: u64,
    /// Number of entries.
    pub memory_map_entries: u32,
    /// Zero.
    pub reserved: u32,
}

/// A file the host loaded beside the program: with QEMU, `-initrd`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Module {
    /// First byte.
    pub address: u64,
    /// Length.
    pub bytes: u64,
    /// Zero-terminated command line of the module.
    pub command_line: u64,
    /// Zero.
    pub reserved: u64,
}

/// One entry of the memory map, with the types of ACPI's E820 table.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct MemoryEntry {
    /// First byte.
    pub address: u64,
    /// Length.
    pub bytes: u64,
    /// 1 is RAM; anything else is not the loader's.
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
}

/// What is wrong with the start information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Not entered by the PVH protocol.
    #[error(
        "no start information at {0:#x}: this program is to be started by the PVH protocol (QEMU's -kernel)"
    )]
    Magic(u64),
    /// A version without a memory map.
    #[error("start information version {0} has no memory map; version 1 is needed")]
    Version(u32),
    /// No IGVM file was given.
    #[error("no IGVM file: give one with -initrd")]
    NoModule,
    /// A structure lies outside memory.
    #[error("the host's {what} at {gpa:#x} is outside memory")]
    Outside {
        /// Which.
        what: &'static str,
        /// Where.
        gpa: u64,
    },
}

impl StartInfo {
    /// Reads the start information and checks its magic number and version.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn read(memory: &impl Memory, gpa: u64) -> Result<Self, StartError> {
        let info: Self = read(memory, gpa).ok_or(StartError::Magic(gpa))?;
        if info.magic != START_MAGIC {
            return Err(StartError::Magic(gpa));
        }
        // Later versions only add fields at the end.
        if info.version == 0 {
            return Err(StartError::Version(info.version));
        }
        Ok(info)
    }

    /// The first module: the IGVM file.
    ///
    /// # Errors
    /// [`StartError::NoModule`], [`StartError::Outside`].
    pub fn first_module(&self, memory: &impl Memory) -> Result<Module, StartError> {
        if self.module_count == 0 {
            return Err(StartError::NoModule);
        }
        read(memory, self.modules).ok_or(StartError::Outside { what: "module list", gpa: self.modules })
    }

    /// The entries of the memory map.
    ///
    /// # Errors
    /// [`StartError::Outside`] from an entry that can't be read.
    pub fn memory_map<'a, M: Memory>(
        &'a self,
        memory: &'a M,
    ) -> impl Iterator<Item = Result<MemoryEntry, StartError>> + 'a {
        let stride = size_of::<MemoryEntry>() as u64;
        (0..u64::from(self.memory_map_entries)).map(move |index| {
            // Cannot overflow: 32-bit count times 24, and an address that wraps is not readable.
            let gpa = self.memory_map.wrapping_add(index * stride);
            read(memory, gpa).ok_or(StartError::Outside { what: "memory map", gpa })
        })
    }
}

fn read<T: FromBytes>(memory: &impl Memory, gpa: u64) -> Option<T> {
    T::read_from_bytes(memory.slice(gpa, size_of::<T>() as u64)?).ok()
}

const _: () = {
    assert!(size_of::<StartInfo>() == 56);
    assert!(size_of::<Module>() == 32);
    assert!(size_of::<MemoryEntry>() == 24);
};

#[cfg(test)]
mod tests;
