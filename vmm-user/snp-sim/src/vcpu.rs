//! A vCPU of the kernel's that has the registers of a VMSA.
#![allow(unsafe_code, reason = "the run page is at an address where the kernel maps it")]

use plinth_snp_abi::vmsa::{EFER_SVME, Segment as VmsaSegment, Vmsa};
use runtime::abi::exit::INTERCEPTABLE;
use runtime::abi::operation::{Handle, VcpuCreate, VcpuFetch, VcpuIntercept};
use runtime::abi::registers::{Groups, MsrRegisters, Segment, SegmentRegisters, SystemRegisters, gpr};
use runtime::abi::run_page::PAGE_BYTES;
use runtime::abi::status::Status;
use runtime::{call, heap, syscall};
use vmm::vcpu::VcpuPages;

/// The vector of #UD, by which instructions come that the processor below does not have.
pub const UNDEFINED: u32 = 6;
/// RFLAGS.RF, which an instruction that was completed clears.
const RESUME: u64 = 1 << 16;

const _: () = assert!(INTERCEPTABLE & 1 << UNDEFINED != 0);

/// The vCPU.
pub struct Vcpu {
    handle: Handle,
    /// What it has in registers, and why it stopped.
    pub page: VcpuPages,
}

fn segment(of: VmsaSegment) -> Segment {
    Segment { selector: of.selector, attributes: of.attributes, limit: of.limit, base: of.base }
}

impl Vcpu {
    /// A vCPU on this processor, whose #UD exits.
    ///
    /// # Errors
    /// The kernel's.
    pub fn try_new(vm: Handle, cpu: u32) -> Result<Self, Status> {
        let address = heap::reserve(2 * PAGE_BYTES as u64).ok_or(Status::Exhausted)?;
        let handle = call(vm, VcpuCreate { address, cpu, handle: 0 })?.handle;
        // SAFETY: the kernel has just mapped both pages there, for good, and nobody else knows of them.
        let page = unsafe { VcpuPages::new(address) }.ok_or(Status::BadArgument)?;
        call(handle, VcpuIntercept { exceptions: 1 << UNDEFINED, reserved: 0 })?;
        Ok(Self { handle, page })
    }

    /// Loads the registers of a VMSA (APM 2, 15.36.8).
    pub fn load(&mut self, vmsa: &Vmsa) {
        let page = &mut self.page;
        page.set_gprs(core::array::from_fn(|number| vmsa.gpr(number as u8).unwrap_or_default()));
        page.set_rip(vmsa.rip);
        page.set_rflags(vmsa.rflags);
        let (mut cs, mut ss) = (segment(vmsa.cs), segment(vmsa.ss));
        // The run page has the CPL as DPL of SS.
        ss.attributes = ss.attributes & !0x60 | u16::from(vmsa.cpl & 3) << 5;
        // VMRUN takes no code of 64 and of 32 bits.
        if cs.attributes & 0x200 != 0 {
            cs.attributes &= !0x400;
        }
        let (cr0, cr2, cr3, cr4) = (vmsa.cr0, vmsa.cr2, vmsa.cr3, vmsa.cr4);
        let (efer, dr6, dr7) = (vmsa.efer & !EFER_SVME, vmsa.dr6, vmsa.dr7);
        page.set_system(SystemRegisters { cr0, cr3, cr4, efer, cs, ss, cr2, cr8: 0, dr6, dr7 });
        page.set_segments(SegmentRegisters {
            es: segment(vmsa.es),
            ds: segment(vmsa.ds),
            fs: segment(vmsa.fs),
            gs: segment(vmsa.gs),
            ldtr: segment(vmsa.ldtr),
            tr: segment(vmsa.tr),
            gdtr: segment(vmsa.gdtr),
            idtr: segment(vmsa.idtr),
        });
        page.set_msrs(MsrRegisters {
            star: vmsa.star,
            lstar: vmsa.lstar,
            cstar: vmsa.cstar,
            sfmask: vmsa.sfmask,
            kernel_gs_base: vmsa.kernel_gs_base,
            sysenter_cs: vmsa.sysenter_cs,
            sysenter_esp: vmsa.sysenter_esp,
            sysenter_eip: vmsa.sysenter_eip,
            pat: vmsa.g_pat,
            ..MsrRegisters::default()
        });
        page.set_deadline_tsc(u64::MAX);
        page.mark(Groups::GENERAL | Groups::SYSTEM | Groups::SEGMENTS | Groups::MSRS | Groups::CONTROLS);
    }

    /// Enters the guest; returns its next exit's reason.
    ///
    /// # Errors
    /// The kernel's: the vCPU did not run.
    pub fn run(&mut self) -> Result<u32, Status> {
        syscall::run(self.handle).map_err(|(status, _)| status)?;
        Ok(self.page.reason())
    }

    /// Has the run page hold all of these groups, as they are in the guest.
    ///
    /// # Errors
    /// The kernel's.
    pub fn fetch(&mut self, groups: Groups) -> Result<(), Status> {
        let missing = groups - self.page.valid();
        if !missing.is_empty() {
            call(self.handle, VcpuFetch { groups: missing.bits(), reserved: 0 })?;
            self.page.set_exit_groups((self.page.valid() | missing).bits());
        }
        Ok(())
    }

    /// The privilege level; SYSTEM is there.
    pub fn cpl(&self) -> u8 {
        (self.page.system().ss.attributes >> 5 & 3) as u8
    }

    /// What RDMSR returns.
    pub fn set_edx_eax(&mut self, value: u64) {
        self.page.change_gpr(gpr::RAX, value & 0xffff_ffff);
        self.page.change_gpr(gpr::RDX, value >> 32);
    }

    /// The instruction at RIP has been carried out.
    pub fn complete(&mut self, length: u64) {
        let (rip, rflags) = (self.page.rip(), self.page.rflags());
        self.page.set_rflags(rflags & !RESUME);
        self.page.change_rip(rip.wrapping_add(length));
    }
}
