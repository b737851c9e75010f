//! VMPLs below VMPL0. Each has a vCPU of its own, with nested tables of its own; of the processor's point of
//! view there is one, which runs one VMSA or another.
//!
//! What the host does (there is no host in public whose rules are known to be others): it runs the VMPL that
//! a guest asks for. When a VMPL below VMPL0 exits for what the host can't do anything about, it runs VMPL0:
//! after a #VC that is reflected (APM 2, 15.36.9), HLT, a shutdown, a nested page fault that stays one, and
//! its own timer. VMPL0 finds in the VMSA what it was, as the processor writes GUEST_EXITCODE at every exit.

use decoder::Intercept;
use plinth_snp_abi::exit;
use plinth_snp_abi::rmp::VMPLS;
use plinth_snp_abi::vmsa::{SevFeatures, VintrCtrl};
use plinth_snp_model::ghcb::Vmgexit;
use plinth_snp_model::vmsa::Exit;
use runtime::abi::exit::ExitFlags;
use runtime::abi::operation::{Handle, SystemCreateVm};
use runtime::abi::status::Status;
use runtime::{call, syscall};

use crate::end::{End, Next};
use crate::exits::Simulator;
use crate::host::CONFIGURATION;
use crate::instruction;
use crate::nested::Nested;
use crate::vcpu::Vcpu;
use crate::virtual_interrupt::{Interrupts, to_info};

/// After so many ticks of the TSC the host's timer interrupts a VMPL below VMPL0.
const TIMER_TICKS: u64 = 4_000_000;

/// What a VMPL has that does not run.
struct Parked {
    vcpu: Vcpu,
    vmgexit: Vmgexit,
    features: SevFeatures,
}

/// All that there is of VMPLs that do not run.
#[derive(Default)]
pub struct Vmpls {
    parked: [Option<Parked>; VMPLS],
    pub(crate) interrupts: Interrupts,
    /// The machine and Plinth's guest memory, for further nested tables.
    handles: Option<[Handle; 2]>,
}

impl Simulator {
    /// A machine whose guest may have more VMPLs.
    #[must_use]
    pub fn with_vmpls(mut self, system: Handle, guest_memory: Handle) -> Self {
        self.vmpls.handles = Some([system, guest_memory]);
        self
    }

    /// The guest asks for another VMPL.
    pub(crate) fn run_vmpl(&mut self, vmpl: u8) -> Next {
        let from = self.machine.levels().vmpl();
        if from == vmpl {
            return Ok(());
        }
        if from != 0 {
            self.leave_vmpl(exit::VMGEXIT)?;
        }
        if vmpl == 0 { Ok(()) } else { self.enter_vmpl(vmpl) }
    }

    fn enter_vmpl(&mut self, vmpl: u8) -> Next {
        self.make_tables(vmpl)?;
        // VMRUN has refused it, and exits at once: the host goes on with who has asked for it.
        let Ok((vmsa, entered)) = self.machine.enter(vmpl) else { return Ok(()) };
        self.exchange(0, vmpl)?;
        self.features = vmsa.features();
        self.vcpu.load(&vmsa);
        self.load_events(&vmsa, entered.event);
        self.vcpu.page.set_deadline_tsc(syscall::tsc().saturating_add(TIMER_TICKS));
        Ok(())
    }

    /// A VMPL that runs for the first time gets nested tables and a vCPU.
    fn make_tables(&mut self, vmpl: u8) -> Next {
        if self.machine.levels().has_tables(vmpl) {
            return Ok(());
        }
        let [system, memory] = self.vmpls.handles.ok_or(Status::BadHandle)?;
        let vm = call(system, SystemCreateVm::default())?.handle;
        let (vcpu, vmgexit) = (Vcpu::try_new(vm, 0)?, Vmgexit::new(CONFIGURATION));
        if let Some(place) = self.vmpls.parked.get_mut(usize::from(vmpl)) {
            *place = Some(Parked { vcpu, vmgexit, features: SevFeatures::empty() });
        }
        self.machine.levels().set_tables(vmpl, Nested::new(vm, memory));
        Ok(())
    }

    /// Has another VMPL's vCPU in the place of the one that runs.
    fn exchange(&mut self, from: u8, to: u8) -> Next {
        let place = self.vmpls.parked.get_mut(usize::from(to));
        let other = place.and_then(Option::take).ok_or(Status::WrongState)?;
        let vcpu = core::mem::replace(&mut self.vcpu, other.vcpu);
        let vmgexit = core::mem::replace(&mut self.vmgexit, other.vmgexit);
        let features = core::mem::replace(&mut self.features, other.features);
        if let Some(place) = self.vmpls.parked.get_mut(usize::from(from)) {
            *place = Some(Parked { vcpu, vmgexit, features });
        }
        Ok(())
    }

    /// An automatic exit of a VMPL below VMPL0, which is told of it.
    pub(crate) fn leave_vmpl(&mut self, code: u64) -> Next {
        self.leave_vmpl_with(code, [0; 2])
    }

    /// The same with EXITINFO1 and EXITINFO2.
    pub(crate) fn leave_vmpl_with(&mut self, code: u64, info: [u64; 2]) -> Next {
        self.leave(code, info, 0, false)
    }

    /// An exit that would be #VC, of a VMPL below VMPL0 that does not handle it.
    pub(crate) fn reflected(&mut self, code: u64, info_1: u64) -> Next {
        let nrip = self.next_rip(code, info_1)?;
        // Which page is not validated: that the processor says so is not confirmed by a public source.
        let has_address = matches!(code, exit::NPF | exit::PAGE_NOT_VALIDATED);
        let info_2 = if has_address { self.vcpu.page.gpa() } else { 0 };
        self.leave(code, [info_1, info_2], nrip, true)
    }

    fn leave(&mut self, code: u64, [info_1, info_2]: [u64; 2], nrip: u64, is_reflected: bool) -> Next {
        let vmpl = self.machine.levels().vmpl();
        let flags = ExitFlags::from_bits_retain(self.vcpu.page.flags());
        let is_interrupted = flags.contains(ExitFlags::EVENT);
        let interrupted = is_interrupted.then(|| to_info(self.vcpu.page.interrupted_event()));
        let interrupt_waits = self.vmpls.interrupts.waits(flags);
        let exit = Exit { code, info_1, info_2, nrip, interrupted };
        let vcpu = &mut self.vcpu;
        let visible = self.machine.leave(&exit, is_reflected, |vmsa| {
            vcpu.store(vmsa)?;
            if !interrupt_waits {
                vmsa.vintr_ctrl &= !VintrCtrl::IRQ.bits();
            }
            Ok::<(), Status>(())
        })?;
        if visible.is_none() {
            return Err(End::NotModelled(self.vcpu.page.reason(), code));
        }
        self.exchange(vmpl, 0)
    }

    /// RIP behind the instruction that exits; 0 where there is none.
    fn next_rip(&mut self, code: u64, info_1: u64) -> Result<u64, End> {
        let intercept = match code {
            exit::IOIO => return Ok(self.vcpu.page.next_rip()),
            exit::CPUID => Intercept::Cpuid,
            exit::MSR if info_1 & 1 == 0 => Intercept::Rdmsr,
            exit::MSR => Intercept::Wrmsr,
            exit::WBINVD => Intercept::Wbinvd,
            exit::INVD => Intercept::Invd,
            exit::RDPMC => Intercept::Rdpmc,
            exit::VMMCALL => Intercept::Vmmcall,
            exit::MONITOR => Intercept::Monitor,
            exit::MWAIT => Intercept::Mwait,
            _ => return Ok(0),
        };
        let code = instruction::code(&mut self.vcpu, self.machine.memory())?;
        Ok(code.length(intercept).map_or(0, |length| self.vcpu.page.rip().wrapping_add(length)))
    }

    /// HLT, behind which a VMSA's RIP points.
    pub(crate) fn halt_vmpl(&mut self) -> Next {
        let code = instruction::code(&mut self.vcpu, self.machine.memory())?;
        let Some(length) = code.length(Intercept::Hlt) else { return Ok(()) };
        self.vcpu.complete(length);
        self.leave_vmpl(exit::HLT)
    }
}
