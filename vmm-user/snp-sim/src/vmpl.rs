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
use plinth_snp_abi::vmsa::{EventInfo, EventType, SevFeatures, VintrCtrl, Vmsa};
use plinth_snp_model::ghcb::Vmgexit;
use plinth_snp_model::vmsa::Exit;
use runtime::abi::exit::ExitFlags;
use runtime::abi::operation::{Handle, SystemCreateVm};
use runtime::abi::registers::{EventInjection, Groups, event_kind};
use runtime::abi::run_page::window;
use runtime::abi::status::Status;
use runtime::{call, syscall};

use crate::end::{End, Next};
use crate::exits::Simulator;
use crate::host::CONFIGURATION;
use crate::instruction;
use crate::nested::Nested;
use crate::vcpu::Vcpu;

/// After so many ticks of the TSC the host's timer interrupts a VMPL below VMPL0.
const TIMER_TICKS: u64 = 4_000_000;

/// What a VMPL has that does not run.
struct Parked {
    vcpu: Vcpu,
    vmgexit: Vmgexit,
    features: SevFeatures,
}

/// The virtual interrupt (V_IRQ) of the VMSA that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Interrupt {
    /// None.
    #[default]
    None,
    /// It is the vCPU's to deliver.
    Loaded(u8),
    /// Something else comes first.
    Held(u8),
}

/// All that there is of VMPLs that do not run.
#[derive(Default)]
pub struct Vmpls {
    parked: [Option<Parked>; VMPLS],
    interrupt: Interrupt,
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
        // One that the vCPU was to deliver, and that neither pends nor was interrupted, has been delivered.
        let interrupt_waits = match self.vmpls.interrupt {
            Interrupt::None => false,
            Interrupt::Loaded(_) => flags.contains(ExitFlags::INJECTION_PENDING),
            Interrupt::Held(_) => true,
        };
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

    /// What a VMSA has for the guest: EVENTINJ first, then V_IRQ (APM 2, 15.36.16).
    fn load_events(&mut self, vmsa: &Vmsa, event: Option<EventInfo>) {
        let control = VintrCtrl::from_bits_retain(vmsa.vintr_ctrl);
        let has_own = vmsa.features().contains(SevFeatures::ALTERNATE_INJECTION);
        let may_come = control.contains(VintrCtrl::IGNORE_TPR) || control.priority() > control.tpr() & 0xf;
        let waits = has_own && may_come && control.contains(VintrCtrl::IRQ | VintrCtrl::GIF);
        self.vmpls.interrupt = if waits { Interrupt::Held(control.vector()) } else { Interrupt::None };
        let page = &mut self.vcpu.page;
        page.set_window(window::NONE);
        page.set_injection(event.map(from_info).unwrap_or_default());
        page.mark(Groups::INJECTION | Groups::CONTROLS);
        match event {
            Some(_) if waits => self.vcpu.page.set_window(window::OPEN),
            Some(_) => {}
            None => self.load_interrupt(),
        }
    }

    /// Nothing else comes before the virtual interrupt any more.
    fn load_interrupt(&mut self) {
        if let Interrupt::Held(vector) = self.vmpls.interrupt {
            let interrupt = EventInjection { kind: event_kind::INTERRUPT, vector, ..Default::default() };
            self.vcpu.page.set_injection(interrupt);
            self.vcpu.page.mark(Groups::INJECTION);
            self.vmpls.interrupt = Interrupt::Loaded(vector);
        }
    }

    /// Another event is about to take the virtual interrupt's place.
    pub(crate) fn hold_interrupt(&mut self) {
        let pends = self.vcpu.page.flags() & ExitFlags::INJECTION_PENDING.bits() != 0;
        if let Interrupt::Loaded(vector) = self.vmpls.interrupt {
            self.vmpls.interrupt = if pends { Interrupt::Held(vector) } else { Interrupt::None };
        }
        if let Interrupt::Held(_) = self.vmpls.interrupt {
            self.vcpu.page.set_window(window::OPEN);
            self.vcpu.page.mark(Groups::CONTROLS);
        }
    }

    /// The guest can take the virtual interrupt now.
    pub(crate) fn window_opens(&mut self) -> Next {
        self.vcpu.page.set_window(window::NONE);
        self.vcpu.page.mark(Groups::CONTROLS);
        self.load_interrupt();
        Ok(())
    }
}

fn to_info(event: EventInjection) -> EventInfo {
    let kind = match event.kind {
        event_kind::INTERRUPT => EventType::Interrupt,
        event_kind::NMI => EventType::Nmi,
        event_kind::EXCEPTION => EventType::Exception,
        _ => EventType::Software,
    };
    EventInfo::new(kind, event.vector, (event.has_error_code != 0).then_some(event.error_code))
}

/// What is no event is none: a processor would refuse the VMSA.
fn from_info(event: EventInfo) -> EventInjection {
    let kind = match event.kind() {
        Some(EventType::Interrupt) => event_kind::INTERRUPT,
        Some(EventType::Nmi) => event_kind::NMI,
        Some(EventType::Exception) => event_kind::EXCEPTION,
        Some(EventType::Software) => event_kind::SOFTWARE,
        None => event_kind::NONE,
    };
    let (has_error_code, error_code) = match event.error_code() {
        Some(code) => (1, code),
        None => (0, 0),
    };
    EventInjection { kind, vector: event.vector(), has_error_code, reserved: 0, error_code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_go_both_ways() {
        for info in [
            EventInfo::new(EventType::Interrupt, 0x31, None),
            EventInfo::new(EventType::Nmi, 2, None),
            EventInfo::new(EventType::Exception, 13, Some(0x18)),
            EventInfo::new(EventType::Exception, 6, None),
            EventInfo::new(EventType::Software, 0x80, None),
        ] {
            assert_eq!(to_info(from_info(info)), info, "{info:x?}");
        }
        assert_eq!(from_info(EventInfo(0x8000_0731)).kind, event_kind::NONE);
    }
}
