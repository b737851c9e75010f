//! What becomes of a guest's exits (APM 2, 15.35.4 and 15.36.8): instructions of SEV-SNP are carried out;
//! automatic exits go to the host; of the others the guest is told by #VC.

use decoder::Intercept;
use devices::capability::PowerEvent;
use plinth_snp_abi::exit::{self, NpfInfo};
use plinth_snp_abi::ghcb::Field;
use plinth_snp_abi::vmsa::{SevFeatures, Vmsa};
use plinth_snp_abi::{PAGE_BYTES, msr};
use plinth_snp_model::deliver::{Event, Outcome};
use plinth_snp_model::ghcb::{Flow, Vmgexit};
use plinth_snp_model::vc::{Disposition, disposition};
use runtime::abi::exit::{Access, ExitFlags, reason};
use runtime::abi::registers::{EventInjection, Groups, event_kind, gpr};
use runtime::abi::run_page::work;
use runtime::syscall;

use crate::control;
use crate::delivery;
use crate::end::{End, Next};
use crate::host::{CONFIGURATION, Services, Serving};
use crate::instruction::{self, Instruction, Kind};
use crate::local::{INTERRUPT_FLAG, Local};
use crate::machine::{Machine, Touched};
use crate::processors::Processors;
use crate::recent::Recent;
use crate::vcpu::{UNDEFINED, Vcpu};
use crate::vmpl::Vmpls;

/// Vectors.
pub(crate) const GENERAL_PROTECTION: u8 = 13;
const ALIGNMENT: u32 = 17;
/// After so much time the log says where the guest is, again and again.
const REPORT_SECONDS: u64 = 10;

/// The simulator with one vCPU.
pub struct Simulator {
    pub(crate) vcpu: Vcpu,
    pub(crate) machine: Machine,
    pub(crate) services: Services,
    pub(crate) local: Local,
    /// The host's side of the vCPU, with the GHCB MSR.
    pub(crate) vmgexit: Vmgexit,
    pub(crate) features: SevFeatures,
    /// The other VMPLs.
    pub(crate) vmpls: Vmpls,
    /// The other vCPUs.
    pub(crate) processors: Processors,
    /// How many exits there were.
    exits: u64,
    /// The ticks of the TSC after which the log says where the guest is, and when that is next.
    report_ticks: u64,
    report_tsc: u64,
    recent: Recent,
}

impl Simulator {
    /// A machine with its vCPU, which has no registers yet.
    pub fn new(vcpu: Vcpu, machine: Machine, services: Services, local: Local) -> Self {
        Self {
            vcpu,
            machine,
            vmgexit: Vmgexit::new(CONFIGURATION),
            features: SevFeatures::empty(),
            vmpls: Vmpls::default(),
            processors: Processors::one(),
            exits: 0,
            report_ticks: services.pc.board.clock.tsc_hz().saturating_mul(REPORT_SECONDS),
            report_tsc: 0,
            recent: Recent::default(),
            services,
            local,
        }
    }

    /// Gives the vCPU the state of a VMSA.
    pub fn load(&mut self, vmsa: &Vmsa) {
        self.features = vmsa.features();
        self.vcpu.load(vmsa);
    }

    /// Runs the guest to its end.
    pub fn run(&mut self) -> End {
        loop {
            if let Err(end) = self.step() {
                self.recent.log();
                return end;
            }
        }
    }

    /// Enters the guest once, and handles its exit.
    fn step(&mut self) -> Next {
        match self.services.pc.board.power_event() {
            Some(PowerEvent::Off) => return Err(End::PoweredOff),
            Some(PowerEvent::Reset) => return Err(End::Reset),
            None => {}
        }
        self.take_turns();
        // Below VMPL0 interrupts are VMPL0's to inject.
        let is_lower = self.machine.levels().vmpl() > 0;
        if !is_lower {
            let until = self.report_tsc.min(self.processors.slice_tsc());
            self.local.plan(&mut self.vcpu, &self.services.pc.board, until)?;
        }
        let reason = self.vcpu.run()?;
        self.exits += 1;
        self.recent.push([u64::from(reason), self.vcpu.page.rip(), self.operand(reason)]);
        if !is_lower {
            self.local.exited(&mut self.vcpu, reason == reason::MEMORY);
        }
        self.handle(reason)
    }

    fn handle(&mut self, reason: u32) -> Next {
        let (raw, is_lower) = (self.vcpu.page.raw_code(), self.machine.levels().vmpl() > 0);
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
            reason::HALT if is_lower => self.halt_vmpl(),
            reason::HALT => self.halt(),
            reason::SHUTDOWN if is_lower => self.leave_vmpl(exit::SHUTDOWN),
            reason::SHUTDOWN => Err(End::Shutdown),
            reason::DEADLINE if is_lower => self.leave_vmpl(exit::INTR),
            reason::DEADLINE => {
                self.deadline();
                Ok(())
            }
            reason::WORK => {
                let board = &self.services.pc.board;
                board.input(self.vcpu.page.take_work() >> work::FIRST_EVENT_BIT, &mut board.access());
                Ok(())
            }
            reason::INTERRUPT_WINDOW if is_lower => self.window_opens(),
            // What it is for is looked at before each entry.
            reason::INTERRUPT_WINDOW => Ok(()),
            _ => Err(End::NotModelled(reason, raw)),
        }
    }

    /// HLT, an automatic exit: the host has to wait for an interrupt.
    fn halt(&mut self) -> Next {
        let code = instruction::code(&mut self.vcpu, self.machine.memory())?;
        let Some(length) = code.length(Intercept::Hlt) else { return Ok(()) };
        self.vcpu.complete(length);
        // Another vCPU may start it anew.
        if self.vcpu.page.rflags() & INTERRUPT_FLAG == 0 && !self.processors.others_live() {
            return Err(End::Halted);
        }
        self.local.halt();
        Ok(())
    }

    /// A timer of the PC's is due, or it is time to say where the guest is.
    fn deadline(&mut self) {
        self.local.expire(&self.services.pc.board);
        let now = syscall::tsc();
        if now >= self.report_tsc {
            log::debug!("the guest is at {:#x}, after {} exits", self.vcpu.page.rip(), self.exits);
            self.report_tsc = now.saturating_add(self.report_ticks);
        }
    }

    /// What an exit of this reason is about, for the log.
    fn operand(&self, reason: u32) -> u64 {
        match reason {
            reason::MEMORY => self.vcpu.page.gpa(),
            reason::HYPERCALL => self.requested(),
            reason::MSR_READ | reason::MSR_WRITE => u64::from(self.vcpu.page.msr_operands().0),
            reason::CPUID => self.vcpu.page.gpr(gpr::RAX),
            _ => self.vcpu.page.qualification(),
        }
    }

    /// What a VMGEXIT asks for: the event of a GHCB, or a word of the MSR protocol.
    fn requested(&self) -> u64 {
        let (word, mut code) = (self.vmgexit.msr(), [0; 8]);
        let at = word.wrapping_add(Field::ExitCode as u64);
        let is_page = word.is_multiple_of(PAGE_BYTES as u64);
        let read = if is_page { self.machine.read_shared(at, &mut code) } else { None };
        read.map_or(word, |()| u64::from_le_bytes(code))
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

    pub(crate) fn touched(&mut self, touched: Touched, gpa: u64) -> Next {
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
        let mut host =
            Serving { machine: &mut self.machine, services: &mut self.services, local: &mut self.local };
        match self.vmgexit.vmgexit(&mut host) {
            Flow::Resume => self.create_processors(),
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
        if let Some(register) = self.local.own_register(number) {
            return self.own_msr(register, is_write.then_some(value));
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
}

/// Which of the instructions that are undefined in Plinth's guests are #VC, as hosts intercept them; the
/// others are SVM's.
fn is_reflected(code: u64) -> bool {
    matches!(code, exit::RDPMC | exit::MONITOR | exit::MWAIT | exit::RDPRU)
}
