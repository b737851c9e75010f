//! The bare machine: from the PVH entry to the jump into the image.
//!
//! Stages: `entry` (assembly, 32-bit to 64-bit), [`start`] (messages and panics), `prepare` (read the host's
//! information, check the file), `launch` (load, then leave). What touches the machine is unsafe and lives in
//! modules of its own: `ports`, `physical`, `leave`.

mod entry;
mod firmware;
mod leave;
mod physical;
mod ports;
mod serial;

use core::fmt::{Display, Write};

use pvh_loader::context::{self, Processor};
use pvh_loader::extents::Extent;
use pvh_loader::file::IgvmFile;
use pvh_loader::hvm::StartInfo;
use pvh_loader::load::load;
use pvh_loader::memory::Memory;
use pvh_loader::memory_map::MemoryMap;
use pvh_loader::parameters::HostFacts;
use pvh_loader::survey::Survey;

use physical::Physical;
use serial::{Log, Serial};

/// What an `isa-debug-exit` device is given on failure; QEMU then ends with status `2 * 49 + 1`, that is 99.
const EXIT_FAILURE: u8 = 49;

/// What went wrong, for the user.
macro_rules! say {
    ($($message:tt)*) => {
        // The console takes everything; there is nowhere to report that it did not.
        let _ = writeln!(Serial, "pvh-loader: {}", format_args!($($message)*));
    };
}

/// How it goes, for the log.
macro_rules! log {
    ($($message:tt)*) => {
        let _ = writeln!(Log, "pvh-loader: {}", format_args!($($message)*));
    };
}

/// Called by the entry code, once, on the boot processor, with the first 4 GiB mapped by identity.
extern "C" fn start(start_info: u64) -> ! {
    // First: whatever goes wrong from here on can be said.
    serial::initialize();
    match launch(start_info) {
        Ok(never) => match never {},
        Err(reason) => fail(reason),
    }
}

/// A reason to give up, already said.
struct GivenUp;

fn launch(start_info: u64) -> Result<core::convert::Infallible, GivenUp> {
    let mut memory = physical::take();
    // Copied, as all that the host says is: loading may overwrite it.
    let info = StartInfo::read(&memory, start_info).map_err(give_up)?;
    let facts = host_facts(&memory, &info)?;
    let module = info.first_module(&memory).map_err(give_up)?;
    // The host says where the file is, and is not believed.
    let place = Extent::new(module.address, module.bytes)
        .filter(|_| memory.slice(module.address, module.bytes).is_some());
    let Some(place) = place else {
        say!("the IGVM file at {:#x} ({:#x} bytes) is outside memory", module.address, module.bytes);
        return Err(GivenUp);
    };
    let bytes = memory.file(place).ok_or(GivenUp)?;
    let file = IgvmFile::parse(bytes).map_err(give_up)?;
    // Before anything is written: until here a refusal leaves the machine as it was.
    let survey = Survey::new(&file, &facts.memory_map, physical::loader()).map_err(give_up)?;
    // Pages are copied out of the file while they are written, so none may be written over it.
    let file = match survey.new_place(place).map_err(give_up)? {
        None => file,
        Some(gpa) => {
            log!("moving the file from {:#x} to {gpa:#x}, out of its own way", place.start);
            memory.slice_mut(gpa, place.bytes()).ok_or(GivenUp)?.copy_from_slice(bytes);
            let moved = Extent::new(gpa, place.bytes()).and_then(|moved| memory.file(moved));
            IgvmFile::parse(moved.ok_or(GivenUp)?).map_err(give_up)?
        }
    };
    load(&file, &facts, &mut memory).map_err(give_up)?;
    let context = survey.context();
    // Last chance to speak: behind this there is no way back, and no IDT.
    context::check_processor(context, processor()).map_err(give_up)?;
    context::check_mapped(context, &survey.loaded(&memory)).map_err(give_up)?;
    let gdt = context::gdt(context).ok_or(GivenUp)?;
    log!("{} KiB loaded, entry at {:#x}", bytes.len() / 1024, context.rip);
    leave::leave(context, gdt)
}

/// What CPUID says. The entry code has seen that the extended leaf is there.
fn processor() -> Processor {
    Processor {
        basic: core::arch::x86_64::__cpuid(1).edx,
        extended: core::arch::x86_64::__cpuid(0x8000_0001).edx,
    }
}

/// What the host says of itself: memory map and number of processors.
fn host_facts(memory: &Physical, info: &StartInfo) -> Result<HostFacts, GivenUp> {
    let mut map = MemoryMap::default();
    for entry in info.memory_map(memory) {
        let entry = entry.map_err(give_up)?;
        map.add(entry.address, entry.bytes, entry.kind).map_err(give_up)?;
    }
    let memory_map = map.finish().map_err(give_up)?;
    // The one that runs this is there in any case.
    let (vp_count, source) = firmware::count_processors(memory, info.rsdp).unwrap_or((1, "nobody"));
    log!("{vp_count} VPs, says {source}");
    Ok(HostFacts { memory_map, vp_count })
}

fn give_up(reason: impl Display) -> GivenUp {
    say!("{reason}");
    GivenUp
}

fn fail(_: GivenUp) -> ! {
    say!("nothing was started");
    ports::end(EXIT_FAILURE)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    say!("internal error: {info}");
    fail(GivenUp)
}
