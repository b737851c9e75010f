//! Files, and the processes made of them.

use alloc::vec;
use alloc::vec::Vec;

use vcpu_abi::operation::{
    FileInfo, FileRead, FilesOpen, HANDLE_SELF, Handle, HandleClose, ProcessCreate, ProcessGrant,
    ProcessStart, Rights,
};
use vcpu_abi::status::Status;

use crate::syscall::call;

/// The exit code of a virtual machine monitor whose guest has reset its machine, for init, which starts it
/// and its devices again where the configuration says so (`set reset in-place`).
pub const GUEST_RESET: u32 = 0x5253;

/// Opens a file of the image.
pub fn open(files: Handle, name: &str) -> Result<Handle, Status> {
    let call_payload =
        FilesOpen { name: name.as_ptr() as u64, name_bytes: name.len() as u64, handle: 0, reserved: 0 };
    call(files, call_payload).map(|c| c.handle)
}

/// What a file is.
pub fn info(file: Handle) -> Result<FileInfo, Status> {
    call(file, FileInfo::default())
}

/// Reads a file of the RAM file system, whole.
pub fn read(file: Handle) -> Result<Vec<u8>, Status> {
    let bytes = info(file)?.bytes;
    let mut contents = vec![0u8; usize::try_from(bytes).map_err(|_| Status::Exhausted)?];
    let done = call(file, FileRead { offset: 0, address: contents.as_mut_ptr() as u64, bytes })?;
    contents.truncate(done.bytes as usize);
    Ok(contents)
}

/// Closes a handle.
pub fn close(handle: Handle) -> Result<(), Status> {
    call(HANDLE_SELF, HandleClose { handle, reserved: 0 }).map(|_| ())
}

/// Creates a process of a file.
pub fn create(file: Handle) -> Result<Handle, Status> {
    call(file, ProcessCreate::default()).map(|c| c.handle)
}

/// Gives a process a handle; returns its number there.
pub fn grant(process: Handle, source: Handle, rights: Rights) -> Result<Handle, Status> {
    call(process, ProcessGrant { source, rights: rights.bits(), handle: 0, reserved: 0 }).map(|c| c.handle)
}

/// Starts a process.
pub fn start(process: Handle, page: &[u8], cpu: u32, priority: u32) -> Result<(), Status> {
    let call_payload =
        ProcessStart { start_page: page.as_ptr() as u64, bytes: page.len() as u64, cpu, priority };
    call(process, call_payload).map(|_| ())
}
