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
//! * [`instruction`]: the instructions of SEV-SNP, which the processor below does not have;
//! * [`exits`]: what becomes of an exit: an instruction carried out, an exit to the host, or a #VC;
//! * [`vmpl`]: VMPLs below VMPL0, whose exits VMPL0 handles;
//! * [`control`]: control registers and EFER, of which a host of SEV-SNP refuses nothing;
//! * [`delivery`]: #VC, through the guest's IDT;
//! * [`host`]: the host's services, behind VMGEXIT;
//! * [`launch`]: what the guest starts with: an IGVM file, as QEMU, KVM and the firmware take it;
//! * [`cpuid`]: what CPUID says to it.
//!
//! One vCPU. What is modelled, rule by rule, says docs/snp-sim.md.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod control;
pub mod cpuid;
pub mod delivery;
pub mod exits;
pub mod host;
pub mod instruction;
pub mod launch;
pub mod levels;
pub mod machine;
pub mod memory;
pub mod nested;
pub mod vcpu;
pub mod vmpl;

use core::fmt;

use devices::uart::SerialBackend;
use plinth_snp_abi::PAGE_BYTES;
use plinth_snp_file::SnpFile;
use runtime::abi::operation::{SystemCreateVm, SystemEnd, end_reason};
use runtime::abi::status::Status;
use runtime::{Start, call, process};
use vmm::console::HostSerial;
use vmm::guest_memory::GuestRam;

use self::exits::{End, Simulator};
use self::host::Services;
use self::launch::LaunchError;
use self::machine::Machine;
use self::memory::{C_BIT_POSITION, Memory};
use self::nested::Nested;
use self::vcpu::Vcpu;

/// The most memory that the guest is given, and the least that is worth a try.
const RAM_MAX: u64 = 1 << 30;
const RAM_MIN: u64 = 4 << 20;
/// What RAM is a multiple of.
const RAM_UNIT: u64 = 1 << 20;
/// How many vCPUs there are.
const VCPUS: u16 = 1;
/// The set of reasons of the test guest, and its reason for an end with all as it should be.
const TESTS_PASSED: (u8, u8) = (15, 0);

/// Why there is no guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// The process was not given this handle.
    NoHandle(&'static str),
    /// The processor has so many bits of a physical address.
    NoCBit(u32),
    /// There is not so much guest memory.
    NoMemory,
    /// The setting `memory-mib` is no number, or not one that fits.
    BadMemory,
    /// The image is none, or the firmware refuses it.
    Launch(LaunchError),
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
            Self::Launch(error) => write!(f, "{error}"),
            Self::Kernel(what, status) => write!(f, "{what}: {status}"),
        }
    }
}

/// The process. Its end is the machine's.
pub fn program(start: &Start) -> u32 {
    let ended = simulate(start);
    let passed = match &ended {
        Ok(End::Terminated { set, reason }) => (*set, *reason) == TESTS_PASSED,
        _ => false,
    };
    match ended {
        Ok(end) => log::info!("{end}"),
        Err(failure) => log::error!("{failure}"),
    }
    let reason = if passed { end_reason::TESTS_PASSED } else { end_reason::TESTS_FAILED };
    if let Some(system) = start.handle("system") {
        let _ = call(system, SystemEnd { reason, reserved: 0 });
    }
    1
}

fn simulate(start: &Start) -> Result<End, Failure> {
    let handle = |name| start.handle(name).ok_or(Failure::NoHandle(name));
    let (system, guest_memory) = (handle("system")?, handle("guest-memory")?);
    let kernel = |what| move |status| Failure::Kernel(what, status);
    let cpuid = cpuid::entries(system).map_err(kernel("the host's CPUID"))?;
    let bits = cpuid::physical_bits(&cpuid);
    if bits <= C_BIT_POSITION {
        return Err(Failure::NoCBit(bits));
    }
    let image = process::open(handle("files")?, "guest").and_then(process::read);
    let image = image.map_err(kernel("the file guest"))?;
    let file = SnpFile::parse(&image).map_err(|error| Failure::Launch(error.into()))?;
    let ram = GuestRam::map(guest_memory).map_err(kernel("the guest's memory"))?;
    let memory = guest_memory_for(&file, &ram, start.setting("memory-mib"))?;
    let ram_bytes = memory.regions().first().map_or(0, |region| region.gpa.bytes());
    log::info!("{} MiB of memory", ram_bytes / RAM_UNIT);
    let vm = call(system, SystemCreateVm::default()).map_err(kernel("a VM"))?.handle;
    let vcpu = Vcpu::try_new(vm, 0).map_err(kernel("a vCPU"))?;
    let mut machine = Machine::new(memory, Nested::new(vm, guest_memory));
    let states = launch::contexts(&file, VCPUS).map_err(Failure::Launch)?;
    let guest = launch::launch(&mut machine, &file, &cpuid, &states, ram_bytes).map_err(Failure::Launch)?;
    log::info!("launch digest {}", Hex(&guest.measurement()));
    let mut serial = HostSerial::open(start.handle("serial-ports"));
    let console = move |byte| serial.transmit(byte);
    let services = Services { cpuid, guest, console };
    let mut simulator = Simulator::new(vcpu, machine, services).with_vmpls(system, guest_memory);
    if let Some(vmsa) = states.first() {
        simulator.load(vmsa);
    }
    Ok(simulator.run())
}

/// Memory for an image: as much RAM as the setting says, else as there is, up to [`RAM_MAX`].
fn guest_memory_for(file: &SnpFile<'_>, ram: &GuestRam, setting: Option<&str>) -> Result<Memory, Failure> {
    let more = u64::from(VCPUS) * PAGE_BYTES as u64;
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
