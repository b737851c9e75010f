//! FADT, HPET and WAET: tables of fixed form.

use super::AcpiConfig;
use crate::acpi_entry::{OEM_ID, OEM_REVISION, OEM_TABLE_ID, header};
use crate::{
    pm::{TimerWidth, spec as pm},
    rtc,
};
use acpi_tables::{
    fadt::{FADT, FADTBuilder, Flags, PmProfile},
    gas::{AccessSize, AddressSpace, GAS},
    sdt::Sdt,
};

/// IAPC_BOOT_ARCH: devices on an ISA-like bus.
const LEGACY_DEVICES: u16 = 1 << 0;
/// IAPC_BOOT_ARCH: a keyboard controller.
const I8042: u16 = 1 << 1;
/// IAPC_BOOT_ARCH: no VGA.
const NO_VGA: u16 = 1 << 2;
/// Latency that says "this C-state does not exist".
const NO_C2: u16 = 101;
const NO_C3: u16 = 1001;

fn ports(first: u16, bytes: u8, access: AccessSize) -> GAS {
    GAS::new(AddressSpace::SystemIo, bytes * 8, 0, access, first.into())
}

/// FADT (5.2.9). The power button is the fixed one; there is no sleep button and no GPE block.
pub fn fadt(config: &AcpiConfig, keyboard: bool, facs: u32, dsdt: u32) -> FADT {
    let mut fadt = FADTBuilder::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION)
        .firmware_ctrl_32(facs)
        .preferred_pm_profile(PmProfile::EnterpriseServer)
        .flag(Flags::Wbinvd)
        .flag(Flags::ProcC1)
        // This and FIX_RTC say that there is no such fixed feature (ACPI 6.5, table 5.10).
        .flag(Flags::SlpButton)
        .flag(Flags::FixRtc)
        .flag(Flags::ResetRegSup);
    if config.timer_width == TimerWidth::Bits32 {
        fadt = fadt.flag(Flags::TmrValExt);
    }
    fadt.dsdt = dsdt.into();
    fadt.x_dsdt = u64::from(dsdt).into();
    fadt.sci_int = u16::from(pm::SCI_LINE).into();
    fadt.smi_cmd = u32::from(pm::SMI_COMMAND).into();
    fadt.acpi_enable = pm::ACPI_ENABLE;
    fadt.acpi_disable = pm::ACPI_DISABLE;
    fadt.pm1a_evt_blk = u32::from(pm::PM1A_EVENT).into();
    fadt.pm1a_cnt_blk = u32::from(pm::PM1A_CONTROL).into();
    fadt.pm_tmr_blk = u32::from(pm::PM_TIMER).into();
    fadt.pm1_evt_len = 4;
    fadt.pm1_cnt_len = 2;
    fadt.pm_tmr_len = 4;
    // So much latency says that there is no such state; a guest would idle in ports that nobody emulates.
    fadt.p_lvl2_lat = NO_C2.into();
    fadt.p_lvl3_lat = NO_C3.into();
    fadt.century = rtc::spec::CENTURY;
    let keyboard = if keyboard { I8042 } else { 0 };
    fadt.iapc_boot_arch = (LEGACY_DEVICES | NO_VGA | keyboard).into();
    fadt.reset_reg = ports(pm::RESET_CONTROL, 1, AccessSize::ByteAccess);
    fadt.reset_value = pm::RESET_VALUE;
    // The same blocks once more, in the form that newer systems read first.
    fadt.x_pm1a_evt_blk = ports(pm::PM1A_EVENT, 4, AccessSize::WordAccess);
    fadt.x_pm1a_cnt_blk = ports(pm::PM1A_CONTROL, 2, AccessSize::WordAccess);
    fadt.x_pm_tmr_blk = ports(pm::PM_TIMER, 4, AccessSize::DwordAccess);
    fadt.finalize()
}

/// WAET (Windows ACPI Emulated Devices Table): one read of the PM timer suffices. The RTC is not said to be
/// enhanced: its flags have to be read like a real one's.
pub fn waet() -> Sdt {
    const PM_TIMER_GOOD: u32 = 1 << 1;
    let mut table = header(*b"WAET", 1);
    table.append_slice(&PM_TIMER_GOOD.to_le_bytes());
    table
}
