//! Giving everything a place: physical pages in the window and behind it, virtual addresses in the first page
//! tables.
//!
//! The window holds, from its start: boot page, root of the page tables, directory, parameter areas, boot
//! stack, kernel segments, with page tables in between where they came to be needed, and the RAM file system.
//! Where things lie is the builder's choice; the kernel finds them through the boot page (`vcpu_abi::boot`).
//! Virtual addresses: kernel segments as linked; boot page, directory, parameter areas and, behind a guard
//! page, the boot stack from [`BOOT_PAGE_VIRTUAL`] on.

mod check;

use serde::Deserialize;
use vcpu_abi::boot::{
    BOOT_FLAG_DEBUG, BOOT_FLAG_MITIGATIONS, BOOT_FLAG_NO_SHORTCUTS, BOOT_MAGIC, BOOT_PAGE_VIRTUAL, BootPage,
    DirectoryEntry, NAME_BYTES, file_kind, platform,
};
use zerocopy::IntoBytes;

pub use check::LayoutError;

use crate::kernel::Kernel;
use crate::page_table::{PageTables, Permission};
use crate::pages::Pages;
use crate::{PAGE_BYTES, whole_pages};

/// Size of the memory map's parameter area: room for 341 entries.
pub const MEMORY_MAP_BYTES: u64 = 2 * PAGE_BYTES;

/// Size of the boot stack.
pub const STACK_BYTES: u64 = 32 * 1024;

/// Lowest address for window and payload: below are the hole at A0000 and the PVH loader.
pub const LOWEST_GPA: u64 = 4 << 20;

/// Highest end of window and payload: the PVH loader reaches no further.
pub const HIGHEST_GPA: u64 = 1 << 32;

/// A file of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name in the image.
    pub name: String,
    /// Its contents.
    pub data: Vec<u8>,
}

/// A platform that an image can be made for. What the platforms do not have in common is decided here: what
/// the boot page says of one, and how the first page tables mark private pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// A virtual machine that is not confidential.
    Native,
    /// SEV-SNP, at VMPL0.
    Snp,
}

impl Platform {
    /// `BootPage::platform`.
    fn number(self) -> u32 {
        match self {
            Self::Native => platform::NATIVE,
            Self::Snp => platform::SEV_SNP,
        }
    }

    /// `BootPage::sharing_bit`.
    fn sharing_bit(self, c_bit: u32) -> u32 {
        match self {
            Self::Native => 0,
            Self::Snp => c_bit,
        }
    }

    /// The bit of page-table entries that marks private pages; 0 where none does.
    fn private_mark(self, c_bit: u32) -> u64 {
        match self {
            Self::Native => 0,
            // The recipe's number was held within an entry's address.
            Self::Snp => 1 << (c_bit & 63),
        }
    }
}

/// Everything that goes into an image.
#[derive(Clone, Debug)]
pub struct Parts {
    /// What it is for.
    pub platform: Platform,
    /// Where the C-bit is, on SEV-SNP.
    pub c_bit: u32,
    /// The kernel.
    pub kernel: Kernel,
    /// The RAM file system.
    pub files: Vec<File>,
    /// What is given to the guest.
    pub payload: Vec<File>,
    /// Copy the log to the host's console.
    pub debug: bool,
    /// Take measures against speculative execution.
    pub mitigations: bool,
    /// Let the kernel take short cuts.
    pub shortcuts: bool,
    /// Plinth's own memory.
    pub window_base: u64,
    /// Its size.
    pub window_bytes: u64,
    /// Where the payload goes.
    pub payload_base: u64,
}

/// Where a parameter area goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AreaPlace {
    /// Physical address.
    pub gpa: u64,
    /// Whole pages.
    pub bytes: u64,
}

/// Pages that only SEV-SNP has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnpPages {
    /// What the firmware has checked of CPUID.
    pub cpuid: u64,
    /// The firmware's secrets.
    pub secrets: u64,
    /// The C-bit in CR3.
    pub private_mark: u64,
}

/// A finished layout.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Every measured page.
    pub pages: Pages,
    /// The area for the memory map.
    pub memory_map: AreaPlace,
    /// The area for the VP count.
    pub vp_count: AreaPlace,
    /// The area for the environment info.
    pub environment_info: AreaPlace,
    /// What SEV-SNP has besides, if the image is for that.
    pub snp: Option<SnpPages>,
    /// What CR3 and RAX are at entry.
    pub page_table_root: u64,
    /// What RIP is at entry.
    pub entry: u64,
    /// What RSP is at entry.
    pub stack_top: u64,
    /// Plinth's own memory.
    pub window: AreaPlace,
    /// End of what the image occupies in the window.
    pub image_end: u64,
    /// End of the payload; its base if there is none.
    pub payload_end: u64,
}

/// Hands out pages from the front of the window.
struct Cursor {
    next: u64,
    end: u64,
}

impl Cursor {
    fn take(&mut self, bytes: u64) -> Option<u64> {
        let start = self.next;
        self.next =
            whole_pages(bytes).and_then(|bytes| start.checked_add(bytes)).filter(|next| *next <= self.end)?;
        Some(start)
    }
}

/// A builder's state between the stages.
struct Builder {
    cursor: Cursor,
    window_bytes: u64,
    tables: PageTables,
    pages: Pages,
}

/// Lays the parts out.
///
/// # Errors
/// [`LayoutError`].
pub fn lay_out(parts: &Parts) -> Result<Layout, LayoutError> {
    // First, while it can be said which of the recipe's fields is to blame: later there is only a full
    // window.
    check::places(parts)?;
    check::names(parts)?;
    let full = LayoutError::WindowFull(parts.window_bytes);
    let mut cursor =
        Cursor { next: parts.window_base, end: parts.window_base.saturating_add(parts.window_bytes) };
    let boot_page_gpa = cursor.take(PAGE_BYTES).ok_or(full.clone())?;
    // Before anything is mapped: the root's own entry says where it lies.
    let root = cursor.take(PAGE_BYTES).ok_or(full)?;
    let mut builder = Builder {
        cursor,
        window_bytes: parts.window_bytes,
        tables: PageTables::new(root, parts.platform.private_mark(parts.c_bit)),
        pages: Pages::default(),
    };
    builder.map(BOOT_PAGE_VIRTUAL, boot_page_gpa, PAGE_BYTES, Permission::Read)?;
    // By the number of entries alone: what is in them is known when the files have their places, behind all
    // this.
    let area = builder.boot_area(parts.platform, parts.files.len() + parts.payload.len())?;
    builder.kernel(&parts.kernel)?;
    let (entries, payload_end) = builder.files(parts)?;
    builder.pages.add(area.directory.gpa, entries.as_bytes(), 0)?;
    // When all is mapped: until then tables come to be.
    for (gpa, table) in builder.tables.tables() {
        builder.pages.add(gpa, &table, PAGE_BYTES)?;
    }
    // Last, since it says where everything came to lie.
    let boot_page = boot_page(parts, &area, &builder, entries.len());
    builder.pages.add(boot_page_gpa, boot_page.as_bytes(), PAGE_BYTES)?;
    Ok(Layout {
        pages: builder.pages,
        memory_map: area.memory_map.area(),
        vp_count: area.vp_count.area(),
        environment_info: area.environment_info.area(),
        snp: area.snp.as_ref().map(|snp| SnpPages {
            cpuid: snp.cpuid.gpa,
            secrets: snp.secrets.gpa,
            private_mark: parts.platform.private_mark(parts.c_bit),
        }),
        page_table_root: root,
        entry: parts.kernel.entry,
        stack_top: area.stack.address + area.stack.bytes,
        window: AreaPlace { gpa: parts.window_base, bytes: parts.window_bytes },
        image_end: boot_page.image_end_gpa,
        payload_end,
    })
}

fn flag(is_set: bool, flag: u32) -> u32 {
    if is_set { flag } else { 0 }
}

fn boot_page(parts: &Parts, area: &BootArea, builder: &Builder, entries: usize) -> BootPage {
    BootPage {
        magic: BOOT_MAGIC,
        flags: flag(parts.debug, BOOT_FLAG_DEBUG)
            | flag(parts.mitigations, BOOT_FLAG_MITIGATIONS)
            | flag(!parts.shortcuts, BOOT_FLAG_NO_SHORTCUTS),
        directory_entries: entries as u32,
        window_gpa: parts.window_base,
        window_bytes: parts.window_bytes,
        // From here on the window is the kernel's to hand out.
        image_end_gpa: builder.cursor.next,
        page_table_root_gpa: builder.tables.root(),
        directory_virtual: area.directory.address,
        memory_map_virtual: area.memory_map.address,
        memory_map_bytes: MEMORY_MAP_BYTES,
        vp_count_virtual: area.vp_count.address,
        environment_info_virtual: area.environment_info.address,
        platform: parts.platform.number(),
        sharing_bit: parts.platform.sharing_bit(parts.c_bit),
        // Pages that only confidential platforms have.
        cpuid_page_virtual: area.snp.as_ref().map_or(0, |snp| snp.cpuid.address),
        secrets_page_virtual: area.snp.as_ref().map_or(0, |snp| snp.secrets.address),
        host_call_page_virtual: area.snp.as_ref().map_or(0, |snp| snp.host_call.address),
    }
}

/// What lies behind the boot page, in virtual order; a guard page is before the stack.
struct BootArea {
    directory: Placed,
    memory_map: Placed,
    vp_count: Placed,
    environment_info: Placed,
    snp: Option<SnpArea>,
    stack: Placed,
}

/// The pages of SEV-SNP.
struct SnpArea {
    cpuid: Placed,
    secrets: Placed,
    host_call: Placed,
}

/// A part that has both addresses.
struct Placed {
    address: u64,
    gpa: u64,
    bytes: u64,
}

impl Placed {
    fn area(&self) -> AreaPlace {
        AreaPlace { gpa: self.gpa, bytes: self.bytes }
    }
}

impl Builder {
    fn boot_area(&mut self, platform: Platform, files: usize) -> Result<BootArea, LayoutError> {
        let mut next = BOOT_PAGE_VIRTUAL + PAGE_BYTES;
        let directory =
            self.place(&mut next, (files * size_of::<DirectoryEntry>()) as u64, Permission::Read)?;
        // The host fills these three: of each the place is measured, the contents are its claim.
        let memory_map = self.place(&mut next, MEMORY_MAP_BYTES, Permission::Read)?;
        let vp_count = self.place(&mut next, PAGE_BYTES, Permission::Read)?;
        let environment_info = self.place(&mut next, PAGE_BYTES, Permission::Read)?;
        let snp = match platform {
            Platform::Native => None,
            Platform::Snp => Some(self.snp_area(&mut next)?),
        };
        // The guard page: a boot stack that grows too far faults.
        next += PAGE_BYTES;
        let stack = self.place(&mut next, STACK_BYTES, Permission::Write)?;
        // Named, though it is all zeros: what an image does not name is in memory as the host left it.
        self.pages.add(stack.gpa, &[], STACK_BYTES)?;
        Ok(BootArea { directory, memory_map, vp_count, environment_info, snp, stack })
    }

    /// The firmware fills the first two. The third is in no file, so that it is not private and validated at
    /// launch, and mapped without the mark of private pages: the kernel shares it with the host.
    fn snp_area(&mut self, next: &mut u64) -> Result<SnpArea, LayoutError> {
        let cpuid = self.place(next, PAGE_BYTES, Permission::Read)?;
        let secrets = self.place(next, PAGE_BYTES, Permission::Read)?;
        let (gpa, address) = (self.take(PAGE_BYTES)?, *next);
        *next += PAGE_BYTES;
        self.tables.map_shared(address, gpa, Permission::Write, || self.cursor.take(PAGE_BYTES))?;
        Ok(SnpArea { cpuid, secrets, host_call: Placed { address, gpa, bytes: PAGE_BYTES } })
    }

    /// Takes pages of the window, maps them at `next` and moves that behind them.
    fn place(&mut self, next: &mut u64, bytes: u64, access: Permission) -> Result<Placed, LayoutError> {
        let bytes = bytes.next_multiple_of(PAGE_BYTES);
        let (gpa, address) = (self.take(bytes)?, *next);
        *next += bytes;
        self.map(address, gpa, bytes, access)?;
        Ok(Placed { address, gpa, bytes })
    }

    fn take(&mut self, bytes: u64) -> Result<u64, LayoutError> {
        self.cursor.take(bytes).ok_or(LayoutError::WindowFull(self.window_bytes))
    }

    fn map(&mut self, address: u64, gpa: u64, bytes: u64, access: Permission) -> Result<(), LayoutError> {
        for offset in (0..bytes).step_by(PAGE_BYTES as usize) {
            // In small pages: segments, and with them rights, change at any 4 KiB.
            self.tables.map(address + offset, gpa + offset, access, || self.cursor.take(PAGE_BYTES))?;
        }
        Ok(())
    }

    fn kernel(&mut self, kernel: &Kernel) -> Result<(), LayoutError> {
        for segment in &kernel.segments {
            // Segments need not lie one behind the other physically, as the page tables put them together.
            let gpa = self.take(segment.bytes)?;
            self.pages.add(gpa, &segment.data, segment.bytes)?;
            self.map(segment.address, gpa, segment.bytes, segment.access)?;
        }
        Ok(())
    }

    /// Places the RAM file system in the window and the payload behind it; returns the directory and the
    /// payload's end.
    fn files(&mut self, parts: &Parts) -> Result<(Vec<DirectoryEntry>, u64), LayoutError> {
        let mut directory = Vec::new();
        for file in &parts.files {
            let gpa = self.take(file.data.len() as u64)?;
            // In the window, but not mapped: the kernel maps files itself, when it has read the directory.
            self.pages.add(gpa, &file.data, 0)?;
            directory.push(entry(file, gpa, file_kind::SYSTEM));
        }
        // In memory that is the guest's: it takes none of the window, and nobody has to copy it.
        let mut cursor = Cursor { next: parts.payload_base, end: HIGHEST_GPA };
        for file in &parts.payload {
            let gpa = cursor.take(file.data.len() as u64).ok_or(LayoutError::PayloadTooLarge)?;
            self.pages.add(gpa, &file.data, 0)?;
            directory.push(entry(file, gpa, file_kind::PAYLOAD));
        }
        Ok((directory, cursor.next))
    }
}

fn entry(file: &File, gpa: u64, kind: u32) -> DirectoryEntry {
    // Its length was checked: nothing is cut off.
    let mut name = [0; NAME_BYTES];
    for (place, byte) in name.iter_mut().zip(file.name.bytes()) {
        *place = byte;
    }
    DirectoryEntry { name, gpa, bytes: file.data.len() as u64, kind, reserved: 0 }
}

#[cfg(test)]
mod tests;
