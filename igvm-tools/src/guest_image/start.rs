//! How the first processor starts, as a recipe says it, on each platform.

use igvm_defs::IgvmNativeVpContextX64;
use plinth_snp_abi::vmsa::{Segment, SevFeatures, Vmsa, pack_attributes};
use serde::Deserialize;
use zerocopy::FromZeros;

use crate::recipe::Amount;
use crate::snp::processor::Signature;
use crate::snp::vcpu::{self, RESET_VECTOR};

/// Descriptor attributes as they stand in a descriptor's upper half from bit 8 on (APM volume 2, 4.7).
const CODE_64: u16 = 0xa09b; // granular, long, present, code, readable, accessed
const CODE_32: u16 = 0xc09b; // granular, 32-bit, present, code, readable, accessed
const DATA: u16 = 0xc093; // granular, 32-bit, present, data, writable, accessed

const CODE_SELECTOR: u16 = 0x08;
const DATA_SELECTOR: u16 = 0x10;

const CR0_PROTECTED: u64 = 1 << 5 | 1 << 4 | 1; // NE ET PE
const CR0_LONG: u64 = 1 << 31 | 1 << 16 | CR0_PROTECTED; // PG WP
const CR4_PAE: u64 = 1 << 5;
const EFER_LONG: u64 = 1 << 11 | 1 << 10 | 1 << 8; // NXE LMA LME
const RFLAGS: u64 = 1 << 1;

/// The processor's mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Real mode at the reset vector, as after RESET.
    #[default]
    Reset,
    /// 32-bit protected mode without paging, flat segments.
    Protected,
    /// 64-bit mode, with the page tables that CR3 says.
    Long,
}

/// Mode and registers. Those that are not given are zero.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "registers, by their names")]
pub struct Start {
    /// The mode.
    #[serde(default)]
    pub mode: Mode,
    pub rip: Option<Amount>,
    pub rsp: Option<Amount>,
    pub cr3: Option<Amount>,
    pub rax: Option<Amount>,
    pub rbx: Option<Amount>,
    pub rcx: Option<Amount>,
    pub rdx: Option<Amount>,
    pub rsi: Option<Amount>,
    pub rdi: Option<Amount>,
    pub rbp: Option<Amount>,
}

/// What can't be started so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// A register that the mode needs, or has no use for.
    #[error("mode {mode:?} and register {register} do not go together")]
    Register {
        /// The mode.
        mode: Mode,
        /// The register's name.
        register: &'static str,
    },
    /// A value that a register of this mode can't have.
    #[error("{register} can't be {value:#x} in mode {mode:?}")]
    Value {
        /// The mode.
        mode: Mode,
        /// The register's name.
        register: &'static str,
        /// The value.
        value: u64,
    },
    /// NATIVE's context is one of 64-bit mode.
    #[error("the platform native starts in mode long alone")]
    Native,
}

impl Start {
    /// Checks that mode and registers fit.
    ///
    /// # Errors
    /// [`StartError::Register`], [`StartError::Value`].
    pub fn check(&self) -> Result<(), StartError> {
        let mode = self.mode;
        // After RESET, RIP and CR3 are what they are; elsewhere nothing is a sensible default.
        let (rip, cr3) = match mode {
            Mode::Reset => (false, false),
            Mode::Protected => (true, false),
            Mode::Long => (true, true),
        };
        for (register, value, wanted) in [("rip", self.rip, rip), ("cr3", self.cr3, cr3)] {
            if value.is_some() != wanted {
                return Err(StartError::Register { mode, register });
            }
        }
        for (register, value) in [("rip", self.rip), ("rsp", self.rsp)] {
            let value = number(value);
            if mode != Mode::Long && value > u32::MAX.into() {
                return Err(StartError::Value { mode, register, value });
            }
        }
        let cr3 = number(self.cr3);
        if cr3.is_multiple_of(crate::PAGE_BYTES) {
            Ok(())
        } else {
            Err(StartError::Value { mode, register: "cr3", value: cr3 })
        }
    }

    /// The context of the platform NATIVE.
    ///
    /// # Errors
    /// [`StartError::Native`].
    pub fn native(&self) -> Result<IgvmNativeVpContextX64, StartError> {
        if self.mode != Mode::Long {
            return Err(StartError::Native);
        }
        let mut context = IgvmNativeVpContextX64::new_zeroed();
        (context.rip, context.rsp, context.cr3) = (number(self.rip), number(self.rsp), number(self.cr3));
        (context.rax, context.rbx) = (number(self.rax), number(self.rbx));
        (context.rcx, context.rdx) = (number(self.rcx), number(self.rdx));
        (context.rsi, context.rdi, context.rbp) = (number(self.rsi), number(self.rdi), number(self.rbp));
        (context.rflags, context.cr0, context.cr4, context.efer) = (RFLAGS, CR0_LONG, CR4_PAE, EFER_LONG);
        (context.code_selector, context.code_attributes) = (CODE_SELECTOR, CODE_64);
        (context.data_selector, context.data_attributes) = (DATA_SELECTOR, DATA);
        (context.code_limit, context.data_limit) = (u32::MAX, u32::MAX);
        Ok(context)
    }

    /// The VMSA for SEV-SNP, with no feature beyond that, as QEMU and KVM accept no other.
    pub fn vmsa(&self) -> Vmsa {
        let mut vmsa = vcpu::reset(RESET_VECTOR, Signature(0), SevFeatures::SNP_ACTIVE);
        (vmsa.rax, vmsa.rbx, vmsa.rcx, vmsa.rdx) =
            (number(self.rax), number(self.rbx), number(self.rcx), number(self.rdx));
        (vmsa.rsi, vmsa.rdi, vmsa.rbp, vmsa.rsp) =
            (number(self.rsi), number(self.rdi), number(self.rbp), number(self.rsp));
        let code = match self.mode {
            Mode::Reset => return vmsa,
            Mode::Protected => CODE_32,
            Mode::Long => CODE_64,
        };
        let flat = |selector, rights| Segment {
            selector,
            attributes: pack_attributes(rights),
            limit: u32::MAX,
            base: 0,
        };
        vmsa.cs = flat(CODE_SELECTOR, code);
        let data = flat(DATA_SELECTOR, DATA);
        (vmsa.ds, vmsa.es, vmsa.fs, vmsa.gs, vmsa.ss) = (data, data, data, data, data);
        (vmsa.rip, vmsa.cr0) = (number(self.rip), CR0_PROTECTED);
        if self.mode == Mode::Long {
            (vmsa.cr0, vmsa.cr3) = (CR0_LONG, number(self.cr3));
            vmsa.cr4 |= CR4_PAE;
            vmsa.efer |= EFER_LONG;
        }
        vmsa
    }
}

fn number(amount: Option<Amount>) -> u64 {
    amount.map_or(0, |amount| amount.0)
}
