//! Operations on the machine, the log, files, and the host's ports and interrupts.

use vcpu_abi::boot::NAME_BYTES;
use vcpu_abi::operation::{
    FileInfo, FileRead, FilesOpen, InterruptBind, LogWrite, ObjectKind, PortRead, PortWrite, Rights,
    SystemCpuid, SystemEnd, SystemHandled, SystemInfo, end_reason,
};
use vcpu_abi::status::Status;

use core::sync::atomic::Ordering;

use crate::cpu::{cpuid, per_cpu, ports, time};
use crate::image;
use crate::log_ring;
use crate::machine::{self, End};
use crate::memory::frames;
use crate::memory::user_copy::AllegedRange;
use crate::object::pool::Ref;
use crate::task::handle::{self, HostPorts, Object};
use crate::task::process::Process;
use crate::task::{events_of_host, files};

type Done = Result<(), Status>;

pub fn info(_: &Ref<Process>, _: Object, call: &mut SystemInfo) -> Done {
    let (kept_bytes, free_bytes) = frames::budget();
    *call = SystemInfo {
        tsc_hz: time::tsc_hz(),
        kept_bytes,
        free_bytes,
        cpus: per_cpu::all().count() as u32,
        boot_flags: image::boot_flags(),
        boot_tsc: time::boot_tsc(),
    };
    Ok(())
}

pub fn end(_: &Ref<Process>, _: Object, call: &mut SystemEnd) -> Done {
    let end = match call.reason {
        end_reason::POWER_OFF => End::PowerOff,
        end_reason::RESET => End::Reset,
        end_reason::TRIPLE_FAULT => End::TripleFault,
        end_reason::PROCESS_FAILED => End::ProcessFailed,
        end_reason::TESTS_PASSED => End::TestsPassed,
        end_reason::TESTS_FAILED => End::TestsFailed,
        _ => return Err(Status::BadArgument),
    };
    machine::end(end)
}

pub fn host_cpuid(_: &Ref<Process>, _: Object, call: &mut SystemCpuid) -> Done {
    let answer = cpuid(call.eax, call.ecx);
    *call = SystemCpuid { eax: answer.eax, ebx: answer.ebx, ecx: answer.ecx, edx: answer.edx };
    Ok(())
}

pub fn handled(_: &Ref<Process>, _: Object, call: &mut SystemHandled) -> Done {
    let index = call.index as usize;
    let count_on = |cpu: &per_cpu::PerCpu| cpu.handled.get(index).map(|c| c.load(Ordering::Relaxed));
    call.count = per_cpu::all().map(count_on).sum::<Option<u64>>().ok_or(Status::NotFound)?;
    Ok(())
}

pub fn log_write(process: &Ref<Process>, _: Object, call: &mut LogWrite) -> Done {
    let level = match call.level {
        1 => log::Level::Error,
        2 => log::Level::Warn,
        3 => log::Level::Info,
        4 => log::Level::Debug,
        _ => return Err(Status::BadArgument),
    };
    let mut text = [0u8; 240];
    let bytes = (call.bytes as usize).min(text.len());
    let text = text.get_mut(..bytes).ok_or(Status::BadArgument)?;
    AllegedRange::new(call.address, bytes as u64)?.read(text)?;
    for byte in text.iter_mut().filter(|b| !(0x20..0x7f).contains(*b)) {
        *byte = b'?';
    }
    let text = core::str::from_utf8(text).map_err(|_| Status::BadArgument)?;
    log_ring::write_line(level, process.name(), format_args!("{text}"));
    Ok(())
}

/// `rights`: those of the directory's handle, which the file's gets.
pub fn files_open(process: &Ref<Process>, rights: Rights, call: &mut FilesOpen) -> Done {
    let mut name = [0; NAME_BYTES];
    let name = name.get_mut(..call.name_bytes as usize).ok_or(Status::NotFound)?;
    AllegedRange::new(call.name, call.name_bytes)?.read(name)?;
    let file = files::open(name).ok_or(Status::NotFound)?;
    call.handle = process.handles.lock().insert(Object::File(file), rights)?;
    Ok(())
}

pub fn file_info(_: &Ref<Process>, object: Object, call: &mut FileInfo) -> Done {
    let Object::File(file) = object else { return Err(Status::BadHandle) };
    *call = FileInfo { bytes: file.bytes(), gpa: file.gpa(), kind: file.kind(), reserved: 0 };
    Ok(())
}

pub fn file_read(_: &Ref<Process>, object: Object, call: &mut FileRead) -> Done {
    let Object::File(file) = object else { return Err(Status::BadHandle) };
    let contents = file.contents();
    let rest = usize::try_from(call.offset).ok().and_then(|o| contents.get(o..)).unwrap_or(&[]);
    let bytes = call.bytes.min(rest.len() as u64);
    AllegedRange::new(call.address, bytes)?.write(rest)?;
    call.bytes = bytes;
    Ok(())
}

/// The port that an access of a width at an offset of a window is to: all of it lies in the window.
#[inline]
pub fn port(window: HostPorts, offset: u32, width: u32) -> Result<u16, Status> {
    let end = offset.checked_add(width).ok_or(Status::BadArgument)?;
    if !matches!(width, 1 | 2 | 4) || end > u32::from(window.count) {
        return Err(Status::BadArgument);
    }
    window.first.checked_add(offset as u16).ok_or(Status::BadArgument)
}

/// IN, of a width that [`port`] let pass.
#[inline]
pub fn read_port(port: u16, width: u32) -> u32 {
    match width {
        1 => u32::from(ports::read_u8(port)),
        2 => u32::from(ports::read_u16(port)),
        _ => ports::read_u32(port),
    }
}

/// OUT, of a width that [`port`] let pass.
#[inline]
pub fn write_port(port: u16, width: u32, value: u32) {
    match width {
        1 => ports::write_u8(port, value as u8),
        2 => ports::write_u16(port, value as u16),
        _ => ports::write_u32(port, value),
    }
}

pub fn port_read(_: &Ref<Process>, object: Object, call: &mut PortRead) -> Done {
    let Object::HostPorts(window) = object else { return Err(Status::BadHandle) };
    call.value = read_port(port(window, call.offset, call.width)?, call.width);
    Ok(())
}

pub fn port_write(_: &Ref<Process>, object: Object, call: &mut PortWrite) -> Done {
    let Object::HostPorts(window) = object else { return Err(Status::BadHandle) };
    write_port(port(window, call.offset, call.width)?, call.width, call.value);
    Ok(())
}

pub fn interrupt_bind(process: &Ref<Process>, object: Object, call: &mut InterruptBind) -> Done {
    let Object::HostInterrupt(line) = object else { return Err(Status::BadHandle) };
    match handle::find(process, call.event, ObjectKind::Event, Rights::SIGNAL)? {
        Object::Event(event) => events_of_host::bind(line, event),
        _ => Err(Status::BadHandle),
    }
}

#[cfg(test)]
mod tests;
