//! The processor's state at INIT, at a start-up IPI, and at the entry of a guest that is loaded without
//! firmware.

use devices::apic::APIC_TIMER_HZ;
use devices::boot::{self, EntryState};
use runtime::abi::registers::{Groups, MsrRegisters, Segment, SegmentRegisters, SystemRegisters};

use super::{Kernel, Registers};

/// What a vCPU starts with, other than the reset state.
pub type EntryRegisters = EntryState;

const _: () = assert!(APIC_TIMER_HZ == devices::cpuid::CRYSTAL_HZ as u64);

const DATA_ATTRIBUTES: u16 = 0x093;
const CODE_ATTRIBUTES: u16 = 0x09b;
const LDT_ATTRIBUTES: u16 = 0x082;
const TSS_ATTRIBUTES: u16 = 0x08b;
/// EFER.LMA.
const LONG_MODE_ACTIVE: u64 = 1 << 10;
/// CS.D and CS.L, among a segment's attributes.
const CODE_IS_32: u16 = 1 << 10;
const L_AND_D: u16 = 1 << 9 | CODE_IS_32;
const RESET_PAT: u64 = 0x0007_0406_0007_0406;

fn real_mode(selector: u16, base: u64, attributes: u16) -> Segment {
    Segment { selector, attributes, limit: 0xffff, base }
}

fn segment(from: boot::Segment) -> Segment {
    Segment { selector: from.selector, attributes: from.attributes, limit: from.limit, base: from.base }
}

/// Without what an emulated processor lets a guest load, and VMRUN refuses: the upper halves of DR6 and DR7,
/// and in long mode a code segment that is both of 64 and of 32 bits.
fn enterable(system: SystemRegisters) -> SystemRegisters {
    let SystemRegisters { dr6, dr7, mut cs, .. } = system;
    if system.efer & LONG_MODE_ACTIVE != 0 && cs.attributes & L_AND_D == L_AND_D {
        cs.attributes &= !CODE_IS_32;
    }
    SystemRegisters { dr6: dr6 & 0xffff_ffff, dr7: dr7 & 0xffff_ffff, cs, ..system }
}

impl<K: Kernel> Registers<K> {
    /// The state after INIT (APM volume 2, 14.1.3): real mode, at the reset vector.
    pub fn reset(&mut self) {
        let data = real_mode(0, 0, DATA_ATTRIBUTES);
        let table = real_mode(0, 0, 0);
        self.page.set_gprs([0; 16]);
        self.page.set_rip(0xfff0);
        self.page.set_rflags(2);
        self.page.set_system(SystemRegisters {
            // CD, NW and ET, as after INIT.
            cr0: 0x6000_0010,
            cs: real_mode(0xf000, 0xffff_0000, CODE_ATTRIBUTES),
            ss: data,
            dr6: 0xffff_0ff0,
            dr7: 0x400,
            ..SystemRegisters::default()
        });
        self.page.set_segments(SegmentRegisters {
            es: data,
            ds: data,
            fs: data,
            gs: data,
            ldtr: real_mode(0, 0, LDT_ATTRIBUTES),
            tr: real_mode(0, 0, TSS_ATTRIBUTES),
            gdtr: table,
            idtr: table,
        });
        // INIT leaves the time-stamp counter as it is (APM volume 2, 14.1.3): vCPUs that a guest starts anew
        // tell the same time as those that ran on. So it does TSC_AUX (SDM volume 3, table 10-1).
        let MsrRegisters { tsc_offset, tsc_aux, .. } = self.page.msrs();
        let msrs = MsrRegisters { pat: RESET_PAT, tsc_offset, tsc_aux, ..MsrRegisters::default() };
        self.page.set_msrs(msrs);
        // x87, which cannot be switched off (APM volume 2, 11.5.2).
        self.page.set_xcr0(1);
        self.page.set_cr8(0);
        self.loaded_all();
    }

    /// All groups are ours to load, and what the run page holds is the state.
    fn loaded_all(&mut self) {
        // Without the FPU's registers, which INIT leaves as they are (APM volume 2, 14.1.3).
        let all = Groups::GENERAL | Groups::SYSTEM | Groups::SEGMENTS | Groups::MSRS;
        self.page.mark(all | Groups::XCR0 | Groups::TPR);
        // So nobody fetches them before the next run, which would put the state from before the reset there.
        self.page.set_exit_groups(all.bits());
    }

    /// A start-up IPI: real mode, at the start of a page below 1 MiB.
    pub fn reset_to_page(&mut self, vector: u8) {
        self.reset();
        let mut system = self.page.system();
        // Execution begins at VV00h:0000h (SDM volume 3, 9.4.3).
        system.cs = real_mode(u16::from(vector) << 8, u64::from(vector) << 12, CODE_ATTRIBUTES);
        self.page.set_system(system);
        self.page.set_rip(0);
    }

    /// The state at a guest kernel's entry.
    pub fn reset_to_kernel(&mut self, entry: &EntryRegisters) {
        self.reset();
        self.page.set_rip(entry.rip);
        self.page.set_gpr(0, entry.rax);
        self.page.set_gpr(3, entry.rbx);
        self.page.set_gpr(4, entry.rsp);
        self.page.set_gpr(6, entry.rsi);
        let data = segment(entry.data);
        let mut system = self.page.system();
        (system.cr0, system.cr3, system.cr4, system.efer) = (entry.cr0, entry.cr3, entry.cr4, entry.efer);
        (system.cs, system.ss) = (segment(entry.code), data);
        self.page.set_system(system);
        let mut segments = self.page.segments();
        (segments.es, segments.ds, segments.fs, segments.gs) = (data, data, data, data);
        segments.tr = segment(entry.task);
        segments.gdtr =
            Segment { limit: u32::from(entry.gdt_limit), base: entry.gdt_base, ..Segment::default() };
        self.page.set_segments(segments);
    }

    /// Makes the whole system group the guest's, so that it can be loaded again after a change.
    pub fn need_rest_of_system(&mut self) {
        if self.page.dirty() & Groups::SYSTEM.bits() != 0 {
            // It is already, and has been changed.
            return;
        }
        // An exit stores only what decoding takes, and the group is loaded as a whole.
        self.need(Groups::SYSTEM);
        self.page.set_system(enterable(self.page.system()));
    }
}
