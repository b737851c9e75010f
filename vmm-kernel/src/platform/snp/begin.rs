//! What comes before anything else: a way for exceptions, what CPUID returns, and the page for calls to the
//! host.
#![allow(unsafe_code, reason = "loads descriptor tables, and reads what the launch left in memory")]

use core::ops::Range;

use plinth_snp_abi::cpuid::{ENCRYPTION_LEAF, c_bit_position};
use plinth_snp_abi::cpuid_page::CpuidPage;
use vcpu_abi::boot::{BOOT_PAGE_VIRTUAL, BootPage, DirectoryEntry, file_kind};
use x86_64::VirtAddr;
use x86_64::instructions::tables::lgdt;
use x86_64::structures::DescriptorTablePointer;
use zerocopy::FromBytes;

use super::backend::Unsupported;
use super::{accounts, calls, host, secrets, status, word};
use crate::cpu::{cpuid, interrupts};
use crate::layout::PAGE;
use crate::memory::self_map;

/// Null, code of 64 bits, data: at the selectors that the image's context has, and the kernel's own table
/// too.
static GDT: [u64; 3] = [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];

/// Where an entry of a page table has room for the C-bit.
const C_BITS: Range<u32> = 32..52;

/// Prepares for all that asks the host, and checks what launch and host say of the platform. Until it is over
/// an error has no words, but only the number in the request to be ended.
///
/// # Errors
/// [`Unsupported`].
pub fn begin(boot: &BootPage) -> Result<(), Unsupported> {
    load_tables();
    calls::start();
    if !C_BITS.contains(&boot.sharing_bit) {
        return Err(Unsupported::Image);
    }
    let cpuid_page = read::<CpuidPage>(boot.cpuid_page_virtual)?;
    calls::load_cpuid(cpuid_page)?;
    if c_bit_position(cpuid(ENCRYPTION_LEAF, 0).ebx) != boot.sharing_bit {
        return Err(Unsupported::Image);
    }
    let shown = host::sev_status();
    if !status::is_acceptable(shown) {
        return Err(Unsupported::Status(shown));
    }
    word::negotiate(&mut host::Msr, boot.sharing_bit)?;
    host::set_features(word::features(&mut host::Msr)?);
    record_launch(boot)?;
    start_page(boot.host_call_page_virtual)?;
    let secrets = secrets::check(read(boot.secrets_page_virtual)?)?;
    accounts::set_secrets_version(secrets.version);
    Ok(())
}

/// From here on an exception comes to the kernel, on the image's boot stack.
fn load_tables() {
    let limit = size_of_val(&GDT) as u16 - 1;
    let pointer = DescriptorTablePointer { limit, base: VirtAddr::from_ptr(&raw const GDT) };
    // SAFETY: the table is static, and its descriptors are those that are in the segment registers.
    unsafe { lgdt(&pointer) };
    interrupts::build_without_stacks();
    interrupts::load();
}

/// A page that the image's tables map and the firmware has filled.
fn read<T: FromBytes + 'static>(address: u64) -> Result<&'static T, Unsupported> {
    if address < BOOT_PAGE_VIRTUAL || !address.is_multiple_of(PAGE) || size_of::<T>() as u64 != PAGE {
        return Err(Unsupported::Image);
    }
    // SAFETY: the boot page, which is measured, says that such a page is there; every bit pattern is a value,
    // and nobody writes it: it is private.
    Ok(unsafe { &*(address as *const T) })
}

/// What the firmware has validated: the image's part of the window but for the page for calls, and the
/// guest's payload.
fn record_launch(boot: &BootPage) -> Result<(), Unsupported> {
    let shared = frame_of(boot.host_call_page_virtual)?;
    let (start, end) = (boot.window_gpa / PAGE, boot.image_end_gpa / PAGE);
    if !(start..end).contains(&shared) {
        return Err(Unsupported::Image);
    }
    accounts::launched(start..shared)?;
    accounts::launched(shared + 1..end)?;
    for index in 0..u64::from(boot.directory_entries) {
        let place = boot.directory_virtual + index * size_of::<DirectoryEntry>() as u64;
        // SAFETY: the image's tables map as many entries as the boot page says; the image is trusted.
        let entry = unsafe { (place as *const DirectoryEntry).read() };
        if entry.kind == file_kind::PAYLOAD {
            let first = entry.gpa / PAGE;
            accounts::launched(first..first + entry.bytes.div_ceil(PAGE))?;
        }
    }
    Ok(())
}

fn frame_of(address: u64) -> Result<u64, Unsupported> {
    // The tables have the C-bit, which the decoding of entries does not know yet: the page for calls is
    // mapped without.
    let frame = self_map::lookup(address).ok_or(Unsupported::Image)?;
    Ok(frame.start_address().as_u64() / PAGE)
}

/// Shares the page for calls, and registers it.
fn start_page(address: u64) -> Result<(), Unsupported> {
    let gfn = frame_of(address)?;
    accounts::share(gfn)?;
    word::register(&mut host::Msr, gfn)?;
    host::start_page(address, gfn * PAGE);
    Ok(())
}
