//! Operations by which a process sees what goes on: the log, and the other processes.

use core::sync::atomic::Ordering;

use vcpu_abi::operation::{LogRead, SystemProcess};
use vcpu_abi::process_record::ProcessRecord;
use vcpu_abi::status::Status;

use super::execute::{Done, Execute};
use super::process::state_and_code;
use crate::cpu::time;
use crate::log_ring;
use crate::memory::user_copy::{AllegedRange, write_value};
use crate::object::pool::Ref;
use crate::task::handle::{Log, Machine};
use crate::task::process::{self, Process};
use crate::task::thread;

/// The most that one call reads of the log: nothing preempts it.
const LOG_READ_MAX: u64 = 4096;

/// Reads what a piece holds, and no more than is still asked for.
fn read_piece(from: u64, piece: &mut [u8], asked: u64) -> log_ring::Part {
    let bytes = asked.min(piece.len() as u64) as usize;
    log_ring::read(from, piece.get_mut(..bytes).unwrap_or(&mut []))
}

impl Execute for LogRead {
    fn execute(&mut self, _: &Ref<Process>, _: Log) -> Done {
        let asked = self.bytes.min(LOG_READ_MAX);
        // By pieces: kernel stacks are small, and others wait for the log meanwhile.
        let mut piece = [0; 256];
        let mut part = read_piece(self.from, &mut piece, asked);
        let (first, mut done) = (part.first, 0);
        // Who writes more than the ring holds between two pieces has overtaken this reader: it asks again.
        while part.bytes > 0 && part.first == first + done {
            let address = self.address.checked_add(done).ok_or(Status::BadPointer)?;
            let read = piece.get(..part.bytes).unwrap_or(&[]);
            AllegedRange::new(address, read.len() as u64)?.write(read)?;
            done += read.len() as u64;
            part = read_piece(first + done, &mut piece, asked - done);
        }
        let lost = first.saturating_sub(self.from);
        *self = LogRead { from: first, address: self.address, bytes: done, lost, end: part.end };
        Ok(())
    }
}

impl Execute for SystemProcess {
    fn execute(&mut self, _: &Ref<Process>, _: Machine) -> Done {
        let process = process::from_serial(self.serial).ok_or(Status::NotFound)?;
        let (state, code) = state_and_code(process.life());
        let record = ProcessRecord {
            serial: process.serial,
            name: process.padded_name(),
            state,
            code,
            threads: process.threads(),
            handles: process.handles.lock().count() as u32,
            memory_bytes: process.space.own_bytes(),
            run_tsc: thread::run_time_of(&process, time::now()),
            priority: process.priority.load(Ordering::Relaxed),
            reserved: 0,
        };
        write_value(self.address, &record)?;
        self.serial = record.serial;
        Ok(())
    }
}
