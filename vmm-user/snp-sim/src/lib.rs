//! A simulator of an SEV-SNP host and processor: a VMM of its own over the ABI, for code that is made to run
//! in an SNP guest, on any machine on which Plinth's kernel runs.
//!
//! Each part of the guest's world is one of:
//!
//! * [`memory`]: the guest's memory, at addresses with the C-bit and without;
//! * [`nested`]: which of it the guest reaches without an exit: what the reverse map (RMP) allows;
//! * [`levels`]: the same for each VMPL, and which of them runs;
//! * [`machine`]: all of that, with the RMP (crate `plinth-snp-model`);
//! * [`vcpu`]: a vCPU of the kernel's with the registers of a VMSA;
//! * [`instruction`], [`reverse_map`]: the instructions of SEV-SNP, which the processor below does not have;
//! * [`exits`]: what becomes of an exit: an instruction carried out, an exit to the host, or a #VC;
//! * [`processors`]: vCPUs, of which one runs at a time;
//! * [`vmpl`]: VMPLs below VMPL0, whose exits VMPL0 handles;
//! * [`control`]: control registers and EFER, of which a host of SEV-SNP refuses nothing;
//! * [`delivery`]: #VC, through the guest's IDT;
//! * [`host`]: the host's services, behind VMGEXIT;
//! * [`pc`], [`local`]: devices, local APIC and MSRs, and the guest's interrupts;
//! * [`end`], [`recent`]: how a guest ends, and its last exits, for the log;
//! * [`heap`]: more memory for this process than its budget;
//! * [`launch`]: what the guest starts with: an IGVM file, as QEMU, KVM and the firmware take it;
//! * [`cpuid`]: what CPUID says to it.
//!
//! What is modelled, rule by rule, says docs/snp-sim.md.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod control;
pub mod cpuid;
pub mod delivery;
pub mod end;
pub mod exits;
pub mod heap;
pub mod host;
pub mod instruction;
pub mod launch;
pub mod levels;
pub mod local;
pub mod machine;
pub mod memory;
pub mod nested;
pub mod pc;
pub mod processors;
pub mod recent;
pub mod reverse_map;
pub mod vcpu;
pub mod virtual_interrupt;
pub mod vmpl;

use alloc::vec::Vec;
use core::fmt;

use plinth_snp_abi::PAGE_BYTES;
use plinth_snp_file::SnpFile;
use pvh_loader::extents::Extent;
use runtime::abi::operation::{Handle, SystemCreateVm, SystemEnd, SystemInfo, end_reason};
use runtime::abi::status::Status;
use runtime::{Start, call, process};
use vmm::board::inputs;
use vmm::guest_memory::{GuestRam, Range};

use self::end::End;
use self::exits::Simulator;
use self::host::Services;
use self::launch::LaunchError;
use self::local::Local;
use self::machine::Machine;
use self::memory::{C_BIT_POSITION, Memory};
use self::nested::Nested;
use self::pc::payload::Payload;
use self::pc::{Parts, Pc, PcError};
use self::vcpu::Vcpu;

/// The most memory that the guest is given, and the least that is worth a try.
const RAM_MAX: u64 = 1 << 30;
const RAM_MIN: u64 = 4 << 20;
/// What RAM is a multiple of.
const RAM_UNIT: u64 = 1 << 20;
/// The most vCPUs that there may be.
const VCPUS_MAX: u16 = 8;

/// Why there is no guest.
#[derive(Debug)]
enum Failure {
    /// The process was not given this handle.
    NoHandle(&'static str),
    /// The processor has so many bits of a physical address.
    NoCBit(u32),
    /// There is not so much guest memory.
    NoMemory,
    /// The setting `memory-mib` is no number, or not one that fits.
    BadMemory,
    /// The setting `vcpus` is none.
    BadVcpus,
    /// The image is none, or the firmware refuses it.
    Launch(LaunchError),
    /// There is no PC around the guest.
    Pc(PcError),
    /// The kernel did not do this.
    Kernel(&'static str, Status),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHandle(name) => write!(f, "no handle {name} was granted"),
            Self::NoCBit(bits) => write!(
                f,
                "physical addresses have {bits} bits here, and the C-bit is bit {C_BIT_POSITION}: QEMU takes \
                 -cpu max,phys-bits=48"
            ),
            Self::NoMemory => write!(f, "there is too little guest memory"),
            Self::BadMemory => write!(
                f,
                "the setting memory-mib is to be a number from {} to {}",
                RAM_MIN / RAM_UNIT,
                RAM_MAX / RAM_UNIT
            ),
            Self::BadVcpus => write!(f, "the setting vcpus is to be a number from 1 to {VCPUS_MAX}"),
            Self::Launch(error) => write!(f, "{error}"),
            Self::Pc(error) => write!(f, "{error}"),
            Self::Kernel(what, status) => write!(f, "{what}: {status}"),
        }
    }
}

/// The process. Its end is the machine's.
pub fn program(start: &Start) -> u32 {
    let ended = simulate(start);
    match &ended {
        Ok(end) => log::info!("{end}"),
        Err(failure) => log::error!("{failure}"),
    }
    let reason = ended.map_or(end_reason::TESTS_FAILED, |end| end.of_machine());
    if let Some(system) = start.handle("system")
        && let Err(status) = call(system, SystemEnd { reason, reserved: 0 })
    {
        log::error!("the machine cannot be ended: {status}");
    }
    1
}

fn kernel(what: &'static str) -> impl Fn(Status) -> Failure {
    move |status| Failure::Kernel(what, status)
}

fn simulate(start: &Start) -> Result<End, Failure> {
    let handle = |name| start.handle(name).ok_or(Failure::NoHandle(name));
    let (system, guest_memory, files) = (handle("system")?, handle("guest-memory")?, handle("files")?);
    let tsc_hz = call(system, SystemInfo::default()).map_err(kernel("facts of the machine"))?.tsc_hz;
    let vcpus = vcpus(start.setting("vcpus"))?;
    let cpuid = cpuid::entries(system, tsc_hz, vcpus, start.setting("xsave") != Some("no"))
        .map_err(kernel("the host's CPUID"))?;
    let bits = cpuid::physical_bits(&cpuid);
    if bits <= C_BIT_POSITION {
        return Err(Failure::NoCBit(bits));
    }
    let mut ram = GuestRam::map(guest_memory).map_err(kernel("the guest's memory"))?;
    let payload = Payload::take(files, &mut ram).map_err(kernel("the payload"))?;
    heap::enlarge(&mut ram).ok_or(Failure::NoMemory)?;
    let image = process::open(files, "guest").and_then(process::read).map_err(kernel("the file guest"))?;
    let file = SnpFile::parse(&image).map_err(|error| Failure::Launch(error.into()))?;
    let memory = guest_memory_for(&file, &ram, vcpus, start.setting("memory-mib"))?;
    let parts: Vec<Range> = memory.regions().iter().map(|region| range(region.gpa)).collect();
    let pc = Parts { memory: &parts, vcpus, tsc_hz, payload: &payload };
    let pc = Pc::new(start, &pc).map_err(Failure::Pc)?;
    let ram_bytes = parts.first().map_or(0, |range| range.bytes);
    log::info!("{} MiB of memory", ram_bytes / RAM_UNIT);
    let vm = call(system, SystemCreateVm::default()).map_err(kernel("a VM"))?.handle;
    let vcpu = Vcpu::try_new(vm, 0).map_err(kernel("a vCPU"))?;
    inputs::connect(&pc.board, vcpu.handle()).map_err(kernel("what signals a device's input"))?;
    let local = Local::new(&pc, 0).ok_or(Failure::Pc(PcError::Vcpus))?;
    let others = others(vm, &pc, vcpus)?;
    let mut machine = Machine::new(memory, Nested::new(vm, guest_memory));
    let states = launch::contexts(&file, vcpus).map_err(Failure::Launch)?;
    let guest = launch::launch(&mut machine, &file, &cpuid, &states, ram_bytes).map_err(Failure::Launch)?;
    log::info!("launch digest {}", Hex(&guest.measurement()));
    let services = Services { cpuid, guest, pc, vcpus, creations: Vec::new() };
    let simulator = Simulator::new(vcpu, machine, services, local).with_processors(others);
    let mut simulator = simulator.with_vmpls(system, guest_memory);
    if let Some(vmsa) = states.first() {
        simulator.load(vmsa);
    }
    Ok(simulator.run())
}

/// The vCPUs but the first one.
fn others(vm: Handle, pc: &Pc, vcpus: u16) -> Result<Vec<(Vcpu, Local)>, Failure> {
    let other = |index| {
        let local = Local::new(pc, index).ok_or(Failure::Pc(PcError::Vcpus))?;
        Ok((Vcpu::try_new(vm, 0).map_err(kernel("a vCPU"))?, local))
    };
    (1..usize::from(vcpus)).map(other).collect()
}

/// The setting of how many vCPUs there are.
fn vcpus(setting: Option<&str>) -> Result<u16, Failure> {
    let Some(text) = setting else { return Ok(1) };
    text.parse().ok().filter(|count| (1..=VCPUS_MAX).contains(count)).ok_or(Failure::BadVcpus)
}

fn range(extent: Extent) -> Range {
    Range { gpa: extent.start, bytes: extent.bytes() }
}

/// Memory for an image: as much RAM as the setting says, else as there is, up to [`RAM_MAX`].
fn guest_memory_for(
    file: &SnpFile<'_>,
    ram: &GuestRam,
    vcpus: u16,
    setting: Option<&str>,
) -> Result<Memory, Failure> {
    let more = u64::from(vcpus) * PAGE_BYTES as u64;
    let outside = |ram| {
        let parts = launch::parts(file, ram).map_err(Failure::Launch)?;
        Ok(parts.iter().skip(1).map(|part| part.bytes()).sum::<u64>())
    };
    let wanted = setting.map(ram_bytes).transpose()?;
    let bytes = match wanted {
        Some(bytes) => bytes,
        None => {
            let room = Memory::largest(ram).saturating_sub(outside(RAM_MAX)?).saturating_sub(more);
            room.min(RAM_MAX) / RAM_UNIT * RAM_UNIT
        }
    };
    let parts = launch::parts(file, bytes).map_err(Failure::Launch)?;
    Memory::take(ram, &parts, more).ok_or(Failure::NoMemory)
}

/// The setting of the guest's memory.
fn ram_bytes(text: &str) -> Result<u64, Failure> {
    let mib: u64 = text.parse().map_err(|_| Failure::BadMemory)?;
    let bytes = mib.checked_mul(RAM_UNIT).filter(|bytes| (RAM_MIN..=RAM_MAX).contains(bytes));
    bytes.ok_or(Failure::BadMemory)
}

/// Bytes as hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
