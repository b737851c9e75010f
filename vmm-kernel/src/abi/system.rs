//! Operations on the machine, the log, files, and the host's ports and interrupts.

use vcpu_abi::boot::NAME_BYTES;
use vcpu_abi::operation::{
    FileInfo, FileRead, FilesOpen, InterruptBind, LogWrite, PortRead, PortWrite, Rights, SystemCpuid,
    SystemEnd, SystemHandled, SystemInfo, SystemPorts, end_reason,
};
use vcpu_abi::status::Status;

use core::sync::atomic::Ordering;

use super::execute::{Done, Execute};
use super::host_port;
use super::pieces::in_pieces;
use crate::cpu::{cpuid, per_cpu, time};
use crate::event::host_lines;
use crate::image;
use crate::log_ring;
use crate::machine::{self, End};
use crate::memory::frames;
use crate::memory::user_copy::AllegedRange;
use crate::object::pool::Ref;
use crate::task::files;
use crate::task::files::File;
use crate::task::handle::{Directory, HostLine, HostPorts, Log, Machine};
use crate::task::process::Process;

/// How much of a file is copied in one go.
const READ_PIECE: u64 = 16 * 1024;

impl Execute for SystemInfo {
    fn execute(&mut self, _: &Ref<Process>, _: Machine) -> Done {
        let (kept_bytes, free_bytes) = frames::budget();
        *self = SystemInfo {
            tsc_hz: time::tsc_hz(),
            kept_bytes,
            free_bytes,
            cpus: per_cpu::all().count() as u32,
            boot_flags: image::boot_flags(),
            boot_tsc: time::boot_tsc(),
        };
        Ok(())
    }
}

impl Execute for SystemEnd {
    fn execute(&mut self, _: &Ref<Process>, _: Machine) -> Done {
        let end = match self.reason {
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
}

impl Execute for SystemCpuid {
    fn execute(&mut self, _: &Ref<Process>, _: Machine) -> Done {
        let answer = cpuid(self.eax, self.ecx);
        *self = SystemCpuid { eax: answer.eax, ebx: answer.ebx, ecx: answer.ecx, edx: answer.edx };
        Ok(())
    }
}

impl Execute for SystemHandled {
    fn execute(&mut self, _: &Ref<Process>, _: Machine) -> Done {
        let index = self.index as usize;
        let count_on = |cpu: &per_cpu::PerCpu| cpu.handled.get(index).map(|c| c.load(Ordering::Relaxed));
        self.count = per_cpu::all().map(count_on).sum::<Option<u64>>().ok_or(Status::NotFound)?;
        Ok(())
    }
}

impl Execute for SystemPorts {
    fn execute(&mut self, process: &Ref<Process>, _: Machine) -> Done {
        let window = host_port::window(self.first, self.count)?;
        self.handle = process.handles.lock().insert(window, Rights::all())?;
        Ok(())
    }
}

impl Execute for LogWrite {
    fn execute(&mut self, process: &Ref<Process>, _: Log) -> Done {
        let level = match self.level {
            1 => log::Level::Error,
            2 => log::Level::Warn,
            3 => log::Level::Info,
            4 => log::Level::Debug,
            _ => return Err(Status::BadArgument),
        };
        let mut text = [0u8; 240];
        let bytes = (self.bytes as usize).min(text.len());
        let text = text.get_mut(..bytes).ok_or(Status::BadArgument)?;
        AllegedRange::new(self.address, bytes as u64)?.read(text)?;
        // A line feed would let a process forge lines of the kernel's, and an escape sequence reach the
        // terminal of who reads the log.
        for byte in text.iter_mut().filter(|b| !(0x20..0x7f).contains(*b)) {
            *byte = b'?';
        }
        let text = core::str::from_utf8(text).map_err(|_| Status::BadArgument)?;
        log_ring::write_line(level, process.name(), format_args!("{text}"));
        Ok(())
    }
}

impl Execute for FilesOpen {
    fn execute(&mut self, process: &Ref<Process>, directory: Directory) -> Done {
        let mut name = [0; NAME_BYTES];
        let name = name.get_mut(..self.name_bytes as usize).ok_or(Status::NotFound)?;
        AllegedRange::new(self.name, self.name_bytes)?.read(name)?;
        let file = files::open(name).ok_or(Status::NotFound)?;
        // No more than the directory's handle allows: else to find a file would be a way to rights over it.
        self.handle = process.handles.lock().insert(file, directory.rights)?;
        Ok(())
    }
}

impl Execute for FileInfo {
    fn execute(&mut self, _: &Ref<Process>, file: File) -> Done {
        *self = FileInfo { bytes: file.bytes(), gpa: file.gpa(), kind: file.kind(), reserved: 0 };
        Ok(())
    }
}

impl Execute for FileRead {
    fn execute(&mut self, _: &Ref<Process>, file: File) -> Done {
        let contents = file.contents();
        let rest = usize::try_from(self.offset).ok().and_then(|o| contents.get(o..)).unwrap_or(&[]);
        let bytes = self.bytes.min(rest.len() as u64);
        in_pieces(bytes, |done| {
            let piece = rest.get(done as usize..).unwrap_or(&[]);
            let now = (bytes - done).min(READ_PIECE);
            let address = self.address.checked_add(done).ok_or(Status::BadPointer)?;
            AllegedRange::new(address, now)?.write(piece)?;
            Ok(now)
        })?;
        self.bytes = bytes;
        Ok(())
    }
}

impl Execute for PortRead {
    fn execute(&mut self, _: &Ref<Process>, window: HostPorts) -> Done {
        self.value = host_port::read(host_port::port(window, self.offset, self.width)?, self.width);
        Ok(())
    }
}

impl Execute for PortWrite {
    fn execute(&mut self, _: &Ref<Process>, window: HostPorts) -> Done {
        host_port::write(host_port::port(window, self.offset, self.width)?, self.width, self.value);
        Ok(())
    }
}

impl Execute for InterruptBind {
    fn execute(&mut self, process: &Ref<Process>, line: HostLine) -> Done {
        // The host's interrupts signal it in the process's place, which must be allowed to itself.
        host_lines::bind(line.0, Process::find(process, self.event, Rights::SIGNAL)?)
    }
}
