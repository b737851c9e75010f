//! An event of the GHCB: which it is, and what becomes of it.

use plinth_snp_abi::exit;
use plinth_snp_abi::ghcb::{Field, Ghcb, HvFeatures, MalformedInput, Outcome, USAGE_GHCB, event};
use plinth_snp_abi::vmsa::{EventInfo, EventType};
use zerocopy::{FromZeros, IntoBytes};

use super::{Flow, Hold, Host, Vmgexit};

/// What is written back, and how the guest goes on.
pub(super) struct Handled {
    pub outcome: Outcome,
    pub flow: Flow,
    /// Registers that the event returns.
    pub outputs: [Option<(Field, u64)>; 4],
}

impl Handled {
    /// Done, with nothing to return but SW_EXITINFO2.
    pub(super) const fn done(info_2: u64) -> Self {
        Self { outcome: Outcome::Done(info_2), flow: Flow::Resume, outputs: [None; 4] }
    }

    pub(super) const fn returning(outputs: [Option<(Field, u64)>; 4]) -> Self {
        Self { outputs, ..Self::done(0) }
    }

    /// #GP with error code 0.
    const fn general_protection() -> Self {
        const GP: u8 = 13;
        let event = EventInfo::new(EventType::Exception, GP, Some(0));
        Self { outcome: Outcome::Exception(event), ..Self::done(0) }
    }
}

/// A field that the event needs.
pub(super) fn need(ghcb: &Ghcb, field: Field) -> Result<u64, MalformedInput> {
    ghcb.get(field).ok_or(MalformedInput::MissingInput)
}

/// The lower half, as instructions take it of a register.
const fn low(value: u64) -> u32 {
    value as u32
}

impl Vmgexit {
    /// Copies the GHCB, handles what it says, and writes it back.
    pub(super) fn handle_event(&mut self, gpa: u64, host: &mut impl Host) -> Flow {
        let mut ghcb = Ghcb::new_zeroed();
        if !host.read_shared(gpa, ghcb.as_mut_bytes()) {
            return Flow::Broken;
        }
        let handled = self.checked_event(gpa, &mut ghcb, host);
        let Handled { outcome, flow, outputs } = handled
            .unwrap_or_else(|reason| Handled { outcome: Outcome::Malformed(reason), ..Handled::done(0) });
        if let Flow::Terminate { .. } = flow {
            return flow;
        }
        ghcb.invalidate();
        for (field, value) in outputs.into_iter().flatten() {
            ghcb.set(field, value);
        }
        let (info_1, info_2) = outcome.encode();
        ghcb.set(Field::ExitInfo1, info_1);
        ghcb.set(Field::ExitInfo2, info_2);
        if host.write_shared(gpa, ghcb.as_bytes()) { flow } else { Flow::Broken }
    }

    /// A SIPI ends the wait of [`event::AP_RESET_HOLD`].
    pub(super) fn finish_hold(&self, gpa: u64, host: &mut impl Host) {
        let mut ghcb = Ghcb::new_zeroed();
        if host.read_shared(gpa, ghcb.as_mut_bytes()) {
            ghcb.set(Field::ExitInfo2, 1);
            // A guest that has made it private meanwhile is not told.
            let _ = host.write_shared(gpa, ghcb.as_bytes());
        }
    }

    fn checked_event(
        &mut self,
        gpa: u64,
        ghcb: &mut Ghcb,
        host: &mut impl Host,
    ) -> Result<Handled, MalformedInput> {
        if self.registered != Some(gpa) {
            return Err(MalformedInput::NotRegistered);
        }
        if ghcb.usage != USAGE_GHCB {
            return Err(MalformedInput::InvalidUsage);
        }
        let code = need(ghcb, Field::ExitCode)?;
        let info_1 = need(ghcb, Field::ExitInfo1)?;
        let info_2 = need(ghcb, Field::ExitInfo2)?;
        if code <= exit::NPF {
            return self.intercept(code, info_1, info_2, gpa, ghcb, host);
        }
        match code {
            event::MMIO_READ | event::MMIO_WRITE => Self::mmio(code, info_1, info_2, gpa, ghcb, host),
            event::NMI_COMPLETE => {
                host.nmi_complete();
                Ok(Handled::done(0))
            }
            event::AP_RESET_HOLD => {
                self.hold = Hold::Event(gpa);
                Ok(Handled { flow: Flow::ResetHold, ..Handled::done(0) })
            }
            event::AP_JUMP_TABLE => self.jump_table(info_1, info_2),
            event::PAGE_STATE_CHANGE => Self::page_states(gpa, ghcb, host),
            event::GUEST_REQUEST | event::EXTENDED_GUEST_REQUEST => {
                Self::guest_request(code, info_1, info_2, ghcb, host)
            }
            event::AP_CREATION => self.create_processor(info_1, info_2, ghcb, host),
            event::HV_DOORBELL => self.change_doorbell(info_1, info_2),
            event::HV_IPI => self.ipi(info_1, host),
            event::APIC_ID_LIST => self.apic_ids(info_1, ghcb, host),
            event::RUN_VMPL => self.run_vmpl(info_1, host),
            event::HV_FEATURES => Ok(Handled::done(self.configuration.features.bits())),
            event::TERMINATION => {
                let [set, reason] = [(info_1 & 0xf) as u8, (info_1 >> 4 & 0xff) as u8];
                Ok(Handled { flow: Flow::Terminate { set, reason }, ..Handled::done(0) })
            }
            // The guest says that it knows no better.
            event::UNSUPPORTED => Ok(Handled::done(0)),
            _ => Err(MalformedInput::InvalidEvent),
        }
    }

    /// An intercept that the guest's #VC handler passes on.
    fn intercept(
        &mut self,
        code: u64,
        info_1: u64,
        info_2: u64,
        gpa: u64,
        ghcb: &mut Ghcb,
        host: &mut impl Host,
    ) -> Result<Handled, MalformedInput> {
        match code {
            exit::DR7_READ => Ok(Handled::returning([Some((Field::Rax, self.dr7)), None, None, None])),
            exit::DR7_WRITE => {
                self.dr7 = need(ghcb, Field::Rax)?;
                Ok(Handled::done(0))
            }
            exit::RDTSC | exit::RDTSCP => Ok(rdtsc(code, host)),
            // No counter is there.
            exit::RDPMC => need(ghcb, Field::Rcx).map(|_| Handled::general_protection()),
            exit::CPUID => cpuid(ghcb, host),
            exit::IOIO => Self::port(info_1, info_2, gpa, ghcb, host),
            exit::MSR => msr(info_1, ghcb, host),
            exit::VMMCALL => {
                let (rax, cpl) = (need(ghcb, Field::Rax)?, need(ghcb, Field::Cpl)?);
                let rax = host.hypercall(rax, low(cpl) as u8);
                Ok(Handled::returning([Some((Field::Rax, rax)), None, None, None]))
            }
            exit::INVD | exit::WBINVD | exit::MONITOR | exit::MWAIT => Ok(Handled::done(0)),
            _ => Err(MalformedInput::InvalidEvent),
        }
    }

    /// Which features an event takes: without them it is not known.
    pub(super) fn require(&self, features: HvFeatures) -> Result<(), MalformedInput> {
        let has = self.configuration.features.contains(features);
        if has { Ok(()) } else { Err(MalformedInput::InvalidEvent) }
    }
}

fn rdtsc(code: u64, host: &mut impl Host) -> Handled {
    let (tsc, aux) = host.tsc();
    let aux = (code == exit::RDTSCP).then_some((Field::Rcx, u64::from(aux)));
    Handled::returning([Some((Field::Rax, u64::from(low(tsc)))), Some((Field::Rdx, tsc >> 32)), aux, None])
}

fn cpuid(ghcb: &Ghcb, host: &mut impl Host) -> Result<Handled, MalformedInput> {
    const XSAVE_LEAF: u32 = 0xd;
    let (function, subfunction) = (low(need(ghcb, Field::Rax)?), low(need(ghcb, Field::Rcx)?));
    let xcr0 = if function == XSAVE_LEAF { need(ghcb, Field::Xcr0)? } else { 1 };
    let xss = ghcb.get(Field::Xss).unwrap_or(0);
    let [eax, ebx, ecx, edx] = host.cpuid(function, subfunction, xcr0, xss).map(u64::from);
    Ok(Handled::returning([
        Some((Field::Rax, eax)),
        Some((Field::Rbx, ebx)),
        Some((Field::Rcx, ecx)),
        Some((Field::Rdx, edx)),
    ]))
}

fn msr(info_1: u64, ghcb: &Ghcb, host: &mut impl Host) -> Result<Handled, MalformedInput> {
    let number = low(need(ghcb, Field::Rcx)?);
    if info_1 & 1 == 0 {
        return Ok(match host.read_msr(number) {
            Some(value) => Handled::returning([
                Some((Field::Rax, u64::from(low(value)))),
                Some((Field::Rdx, value >> 32)),
                None,
                None,
            ]),
            None => Handled::general_protection(),
        });
    }
    let (rax, rdx) = (low(need(ghcb, Field::Rax)?), low(need(ghcb, Field::Rdx)?));
    let is_written = host.write_msr(number, u64::from(rdx) << 32 | u64::from(rax));
    Ok(if is_written { Handled::done(0) } else { Handled::general_protection() })
}
