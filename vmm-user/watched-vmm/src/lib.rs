//! A virtual machine monitor that tells the live view what its guest exits for: counts and times by vCPU,
//! reason and place, and a trace of the last exits. It is a program of its own over the library of the
//! ordinary one, so that an image without a live view has not a single instruction of this.
//!
//! Each vCPU's thread keeps its own table, behind a lock that nobody else holds for longer than it takes to
//! find one row. The live view asks by the channel whose endpoint is called `exits-endpoint`; a thread of
//! this process answers, at the live view's priority, which is above the vCPUs'. So it never waits for a
//! vCPU's thread: where that holds its lock, the answer is *busy*.
#![no_std]

extern crate alloc;

mod names;
mod serve;
mod table;

use alloc::boxed::Box;
use alloc::vec::Vec;

use runtime::abi::operation::Handle;
use runtime::sync::Mutex;
use runtime::{Start, syscall, thread};
use spin::Once;
use vmm::{Builder, Extension, SeenExit, Vcpu, Waits, Watch};

use crate::names::Names;
use crate::table::{Exit, Table};

/// Priority of the answering thread while nobody asks.
const PRIORITY: u32 = 1;

/// What the answering thread knows of the vCPUs.
struct Watched {
    names: Names,
    tables: Vec<Mutex<Table>>,
}

static WATCHED: Once<Watched> = Once::new();

/// The process.
pub fn program(start: &Start) -> u32 {
    vmm::program_with(start, Extension { add_devices, run_vcpu })
}

/// Adds none, but starts the thread that answers.
fn add_devices(start: &Start, _: &mut Builder) {
    let Some(endpoint) = start.handle("exits-endpoint") else {
        log::warn!("exits are counted, but nobody can ask: there is no handle named exits-endpoint");
        return;
    };
    if let Err(status) = thread::spawn(0, PRIORITY, move || answer(endpoint)) {
        log::warn!("nobody can ask for exits: {status}");
    }
}

fn answer(endpoint: Handle) {
    let status = serve::serve(endpoint, || WATCHED.get());
    log::warn!("exits can be asked for no more: {status}");
}

fn run_vcpu(vcpu: &mut Vcpu) -> u32 {
    let shared = vcpu.shared();
    // By whichever vCPU is first: earlier the board is not complete, and has no names.
    let watched = WATCHED.call_once(|| Watched {
        names: Names::of(&shared.board),
        tables: shared.vcpus.iter().map(|_| Mutex::new(Table::new())).collect(),
    });
    // There is a table for each vCPU; one without would not be watched.
    let Some(table) = watched.tables.get(vcpu.index()) else { return vcpu.run(&Waits) };
    let mut watch = Box::new(VcpuWatch { table, begun: None });
    loop {
        if let Some(reason) = vcpu.step_watched(&Waits, &mut *watch) {
            return reason;
        }
    }
}

/// Looks at one vCPU's exits.
struct VcpuWatch {
    table: &'static Mutex<Table>,
    /// The exit that is being handled, and when that began.
    begun: Option<(SeenExit, u64)>,
}

impl Watch for VcpuWatch {
    fn exit(&mut self, vcpu: &Vcpu, summary: u32) {
        self.begun = Some((vcpu.seen_exit(summary), syscall::tsc()));
    }

    fn entry(&mut self, _: &Vcpu) {
        if let Some((seen, tsc)) = self.begun.take() {
            let ticks = syscall::tsc().saturating_sub(tsc);
            let SeenExit { reason, place, rip } = seen;
            // Held by this thread for one row; the answering thread only tries the lock.
            self.table.lock().add(Exit { reason, place, rip, tsc, ticks, number: table::next_number() });
        }
    }
}
