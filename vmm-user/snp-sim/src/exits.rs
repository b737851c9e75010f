//! What becomes of a guest's exits (APM 2, 15.35.4 and 15.36.8): instructions of SEV-SNP are carried out;
//! automatic exits go to the host; of the others the guest is told by #VC.

use core::fmt;

use decoder::Intercept;
use decoder::walk::{Access as WalkAccess, Kind as WalkKind, WalkError, translate};
use plinth_snp_abi::exit::{self, NpfInfo};
use plinth_snp_abi::msr;
use plinth_snp_abi::vmsa::{SevFeatures, Vmsa};
use plinth_snp_model::deliver::{Event, Outcome};
use plinth_snp_model::ghcb::{Flow, Vmgexit};
use plinth_snp_model::vc::{Disposition, disposition};
use runtime::abi::exit::{Access, ExitFlags, reason};
use runtime::abi::registers::{EventInjection, Groups, SystemRegisters, event_kind, gpr};
use runtime::abi::status::Status;

use crate::control::{self, MSR_EFER, MSR_PAT};
use crate::delivery;
use crate::host::{CONFIGURATION, Services, Serving};
use crate::instruction::{self, Instruction, Kind};
use crate::machine::{Executed, Machine, Registers, Touched};
use crate::vcpu::{UNDEFINED, Vcpu};
use crate::vmpl::Vmpls;

/// Vectors.
pub(crate) const GENERAL_PROTECTION: u8 = 13;
const PAGE_FAULT: u8 = 14;
const ALIGNMENT: u32 = 17;
/// RFLAGS.CF.
const CARRY: u64 = 1 << 0;

/// How the guest's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest asked for it.
    Terminated {
        /// The set of reasons.
        set: u8,
        /// The reason.
        reason: u8,
    },
    /// A triple fault.
    Shutdown,
    /// HLT, and nothing would ever wake it.
    Halted,
    /// The host does not go on after such an access, at this guest physical address.
    Access(u64),
    /// The host has no reply to this word in the GHCB MSR.
    Word(u64),
    /// #VC with this error code can't be delivered.
    NotDelivered(u64),
    /// An exit that is not modelled: its reason, and the platform's number.
    NotModelled(u32, u64),
    /// The kernel's refusal.
    Kernel(Status),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terminated { set, reason } => {
                write!(f, "the guest asks to be ended: set {set}, reason {reason}")
            }
            Self::Shutdown => write!(f, "the guest has shut down"),
            Self::Halted => write!(f, "the guest halts for ever"),
            Self::Access(gpa) => write!(f, "the host ends the guest for its access at {gpa:#x}"),
            Self::Word(word) => write!(f, "the host has no reply to {word:#x} in the GHCB MSR"),
            Self::NotDelivered(code) => write!(f, "#VC {code:#x} can't be delivered"),
            Self::NotModelled(reason, code) => {
                let name = reason::NAMES.get(*reason as usize).unwrap_or(&"?");
                write!(f, "an exit that is not modelled: {name}, {code:#x}")
            }
            Self::Kernel(status) => write!(f, "the vCPU can't be run: {status}"),
        }
    }
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Kernel(status)
    }
}

/// What the guest goes on with, or how it ended.
pub(crate) type Next = Result<(), End>;

/// The simulator with one vCPU.
pub struct Simulator<C> {
    pub(crate) vcpu: Vcpu,
    pub(crate) machine: Machine,
    pub(crate) services: Services<C>,
    /// The host's side of the vCPU, with the GHCB MSR.
    pub(crate) vmgexit: Vmgexit,
    pub(crate) features: SevFeatures,
    /// The other VMPLs.
    pub(crate) vmpls: Vmpls,
}

impl<C: FnMut(u8)> Simulator<C> {
    /// A machine with its vCPU, which has no registers yet.
    pub fn new(vcpu: Vcpu, machine: Machine, services: Services<C>) -> Self {
        let vmgexit = Vmgexit::new(CONFIGURATION);
        let (features, vmpls) = (SevFeatures::empty(), Vmpls::default());
        Self { vcpu, machine, services, vmgexit, features, vmpls }
    }

    /// Gives the vCPU the state of a VMSA.
    pub fn load(&mut self, vmsa: &Vmsa) {
        self.features = vmsa.features();
        self.vcpu.load(vmsa);
    }

    /// Runs the guest to its end.
    pub fn run(&mut self) -> End {
        loop {
            let next = match self.vcpu.run() {
                Ok(reason) => self.handle(reason),
                Err(status) => return End::Kernel(status),
            };
            if let Err(end) = next {
                let (rip, reason) = (self.vcpu.page.rip(), self.vcpu.page.reason());
                log::debug!("the last exit: reason {reason} at {rip:#x}");
                return end;
            }
        }
    }

    fn handle(&mut self, reason: u32) -> Next {
        let raw = self.vcpu.page.raw_code();
        match reason {
            reason::MEMORY => self.memory(),
            reason::EXCEPTION => self.exception(),
            reason::HYPERCALL => self.hypercall(),
            reason::MSR_READ | reason::MSR_WRITE => self.model_specific(reason == reason::MSR_WRITE),
            reason::CPUID => self.reflect(exit::CPUID),
            reason::PORT => self.reflect_with(exit::IOIO, self.vcpu.page.qualification()),
            // The numbers are SVM's, and so are the error codes of #VC.
            reason::CACHE_CONTROL => self.reflect(raw),
            reason::XSETBV => self.extended_control(),
            reason::REGISTER_WRITE => self.register_write(),
            reason::UNDEFINED if is_reflected(raw) => self.reflect(raw),
            reason::UNDEFINED => self.inject(UNDEFINED as u8, None),
            reason::HALT => self.halted(),
            reason::SHUTDOWN if self.machine.levels().vmpl() > 0 => self.leave_vmpl(exit::SHUTDOWN),
            reason::SHUTDOWN => Err(End::Shutdown),
            reason::INTERRUPT_WINDOW => self.window_opens(),
            reason::DEADLINE if self.machine.levels().vmpl() > 0 => self.leave_vmpl(exit::INTR),
            reason::WORK | reason::DEADLINE => Ok(()),
            _ => Err(End::NotModelled(reason, raw)),
        }
    }

    /// An access that the nested tables did not let through.
    fn memory(&mut self) -> Next {
        let page = &self.vcpu.page;
        let (gpa, access) = (page.gpa(), Access::from_bits_retain(page.exit_access()));
        let interrupted = ExitFlags::from_bits_retain(page.flags()).contains(ExitFlags::EVENT);
        let event = page.interrupted_event();
        let (is_user, has_c_bit) = (page.exit_cpl() == 3, control::has_c_bit(page.cr0(), page.cr4()));
        let touched = self.machine.touch(gpa, access, is_user, has_c_bit)?;
        self.check_machine()?;
        if interrupted {
            // The access was a step of the delivery of an event, which begins anew.
            if touched == Touched::Again {
                self.vcpu.page.set_injection(event);
                self.vcpu.page.mark(Groups::INJECTION);
            } else if self.machine.levels().vmpl() == 0 {
                return Err(End::NotModelled(reason::MEMORY, gpa));
            }
        }
        self.touched(touched, gpa)
    }

    /// #UD of an instruction that the processor below does not have; #DB and #AC exit in any case.
    fn exception(&mut self) -> Next {
        let qualification = self.vcpu.page.qualification();
        let (vector, error_code) = (qualification as u32, (qualification >> 32) as u32);
        if vector != UNDEFINED {
            return self.inject(vector as u8, (vector == ALIGNMENT).then_some(error_code));
        }
        let code = instruction::code(&mut self.vcpu, self.machine.memory())?;
        match code.of_snp() {
            Some(Instruction { kind: Kind::VmgExit, .. }) | None => self.inject(vector as u8, None),
            Some(instruction) => self.reverse_map(instruction),
        }
    }

    /// PVALIDATE, RMPADJUST and RMPQUERY (APM 3), whose operand is the page at the linear address in RAX.
    fn reverse_map(&mut self, instruction: Instruction) -> Next {
        let paging = instruction::paging(&mut self.vcpu)?;
        let cpl = self.vcpu.cpl();
        let [linear, rcx, rdx] = [gpr::RAX, gpr::RCX, gpr::RDX].map(|register| self.vcpu.page.gpr(register));
        let access = WalkAccess::explicit(WalkKind::Read, cpl, self.vcpu.page.rflags());
        let gpa = match translate(self.machine.memory(), &paging, linear, access) {
            Ok(translation) => translation.gpa,
            Err(WalkError::Fault { error_code, address }) => return self.page_fault(error_code, address),
            Err(WalkError::NonCanonical) => return self.inject(GENERAL_PROTECTION, Some(0)),
            Err(WalkError::Contended) => return Ok(()),
        };
        let executed = self.machine.execute(instruction.kind, [linear, gpa], cpl, [rcx, rdx]);
        self.check_machine()?;
        match executed {
            Executed::Done(registers) => {
                self.finish(registers);
                self.vcpu.complete(instruction.length);
                Ok(())
            }
            Executed::GeneralProtection => self.inject(GENERAL_PROTECTION, Some(0)),
            Executed::Access(touched) => self.touched(touched, gpa),
        }
    }

    fn finish(&mut self, registers: Registers) {
        let page = &mut self.vcpu.page;
        page.change_gpr(gpr::RAX, registers.code.code());
        if let Some(carry) = registers.carry {
            let rflags = page.rflags() & !CARRY;
            page.set_rflags(rflags | u64::from(carry));
        }
        if let Some([rcx, rdx]) = registers.query {
            page.change_gpr(gpr::RCX, rcx);
            page.change_gpr(gpr::RDX, rdx);
        }
    }

    fn touched(&mut self, touched: Touched, gpa: u64) -> Next {
        match touched {
            Touched::Again => Ok(()),
            Touched::NotValidated => self.reflect(exit::PAGE_NOT_VALIDATED),
            // The host has marked it as a device's by a reserved bit in its nested tables.
            Touched::Device => self.reflect_with(exit::NPF, NpfInfo::RESERVED.bits()),
            Touched::Refused(info) if self.machine.levels().vmpl() > 0 => {
                self.leave_vmpl_with(exit::NPF, [info.bits(), gpa])
            }
            Touched::Refused(_) => Err(End::Access(gpa)),
        }
    }

    /// The kernel may have refused a change of the nested tables, which then do not say what the RMP says.
    pub(crate) fn check_machine(&mut self) -> Next {
        self.machine.take_failure().map_or(Ok(()), |status| Err(End::Kernel(status)))
    }

    /// VMMCALL, which is VMGEXIT with a prefix.
    fn hypercall(&mut self) -> Next {
        let code = instruction::code(&mut self.vcpu, self.machine.memory())?;
        let Some(Instruction { kind: Kind::VmgExit, length }) = code.of_snp() else {
            return self.reflect(exit::VMMCALL);
        };
        self.vcpu.complete(length);
        let mut host = Serving { machine: &mut self.machine, services: &mut self.services };
        match self.vmgexit.vmgexit(&mut host) {
            Flow::Resume => {}
            Flow::Terminate { set, reason } => return Err(End::Terminated { set, reason }),
            // No other processor would ever wake it.
            Flow::ResetHold => return Err(End::Halted),
            Flow::RunVmpl(vmpl) => {
                self.check_machine()?;
                return self.run_vmpl(vmpl);
            }
            Flow::Broken => return Err(End::Word(self.vmgexit.msr())),
        }
        self.check_machine()
    }

    /// The MSRs of SEV are the processor's own; all others are the host's.
    fn model_specific(&mut self, is_write: bool) -> Next {
        let (number, value) = self.vcpu.page.msr_operands();
        if matches!(number, MSR_EFER | MSR_PAT) {
            return self.own_msr(number, is_write.then_some(value));
        }
        let read = match number {
            msr::GHCB => self.vmgexit.msr(),
            msr::SEV_STATUS if !is_write => self.features.sev_status(),
            _ => return self.reflect_with(exit::MSR, is_write.into()),
        };
        let code = instruction::code(&mut self.vcpu, self.machine.memory())?;
        let intercept = if is_write { Intercept::Wrmsr } else { Intercept::Rdmsr };
        let Some(length) = code.length(intercept) else { return Ok(()) };
        if is_write {
            self.vmgexit.set_msr(value);
        } else {
            self.vcpu.set_edx_eax(read);
        }
        self.vcpu.complete(length);
        Ok(())
    }

    /// An intercepted event with this exit code that is no automatic exit: #VC. It is delivered by software,
    /// as the processor below pushes no error code with it.
    fn reflect(&mut self, code: u64) -> Next {
        self.reflect_with(code, 0)
    }

    /// The same with EXITINFO1.
    pub(crate) fn reflect_with(&mut self, code: u64, info_1: u64) -> Next {
        match disposition(code, info_1, self.features, self.machine.levels().vmpl()) {
            Disposition::Exception => {}
            Disposition::Reflected => return self.reflected(code, info_1),
            _ => return Err(End::NotModelled(self.vcpu.page.reason(), code)),
        }
        match delivery::enter_handler(&mut self.vcpu, &mut self.machine, Event::vc(code))? {
            Outcome::Delivered(_) => self.check_machine(),
            Outcome::Shutdown => Err(End::Shutdown),
            Outcome::Interrupted(_) | Outcome::Endless | Outcome::RealMode => Err(End::NotDelivered(code)),
        }
    }

    /// An exception that the processor below delivers.
    pub(crate) fn inject(&mut self, vector: u8, error_code: Option<u32>) -> Next {
        self.hold_interrupt();
        let (kind, has_error_code) = (event_kind::EXCEPTION, u8::from(error_code.is_some()));
        let error_code = error_code.unwrap_or_default();
        self.vcpu.page.set_injection(EventInjection {
            kind,
            vector,
            has_error_code,
            reserved: 0,
            error_code,
        });
        self.vcpu.page.mark(Groups::INJECTION);
        Ok(())
    }

    fn page_fault(&mut self, error_code: u32, address: u64) -> Next {
        self.vcpu.fetch(Groups::SYSTEM)?;
        let system = self.vcpu.page.system();
        self.vcpu.page.set_system(SystemRegisters { cr2: address, ..system });
        self.vcpu.page.mark(Groups::SYSTEM);
        self.inject(PAGE_FAULT, Some(error_code))
    }
}

/// Which of the instructions that are undefined in Plinth's guests are #VC, as hosts intercept them; the
/// others are SVM's.
fn is_reflected(code: u64) -> bool {
    matches!(code, exit::RDPMC | exit::MONITOR | exit::MWAIT | exit::RDPRU)
}
