//! A page walk written a second time, from the manuals' tables and without regard to speed: entries are
//! gathered first, then judged.

use crate::page_tables::Style;
use decoder::walk::{Kind, Paging};
use decoder::{GuestMemory, Size};

/// What the walk is asked for; the decoder's own type hides its parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    /// Made at CPL 3 and not implicit.
    pub(crate) user: bool,
    /// RFLAGS.AC is set and the access is explicit.
    pub(crate) ac: bool,
}

/// How the walk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The address and the size of the page.
    Found(u64, u64),
    /// #PF with this error code.
    Fault(u32),
    NonCanonical,
}

fn bit(value: u64, number: u32) -> bool {
    value >> number & 1 == 1
}

/// Whether any of bits `high` down to `low` is set; none if `high` is below `low`.
fn any(value: u64, high: u32, low: u32) -> bool {
    (low..=high).any(|number| bit(value, number))
}

fn style(paging: &Paging) -> Style {
    // LMA, not LME: what is in force counts, not what has been asked for.
    match (bit(paging.efer, 10), bit(paging.cr4, 12), bit(paging.cr4, 5)) {
        (true, true, _) => Style::Five,
        (true, false, _) => Style::Four,
        (false, _, true) => Style::Pae,
        (false, _, false) => Style::Bits32,
    }
}

pub(crate) fn walk(memory: &mut impl GuestMemory, paging: &Paging, linear: u64, request: Request) -> Ending {
    if !bit(paging.cr0, 31) {
        return Ending::Found(linear & 0xffff_ffff, 4096);
    }
    let style = style(paging);
    let top = match style {
        Style::Five => 56,
        Style::Four => 47,
        Style::Pae | Style::Bits32 => 31,
    };
    if top > 31 && any(linear, 63, top) && !(top..64).all(|number| bit(linear, number)) {
        return Ending::NonCanonical;
    }
    let access = error_bits(paging, request);
    let mut table = match style {
        Style::Bits32 => paging.cr3 & 0xffff_f000,
        // A root of four entries may lie at any multiple of its 32 bytes.
        Style::Pae => paging.cr3 & 0xffff_ffe0,
        _ => paging.cr3 & 0x000f_ffff_ffff_f000,
    };
    let mut path: Vec<u64> = Vec::new();
    for (level, &(shift, width)) in style.levels().iter().enumerate() {
        let at = table + (linear >> shift & ((1 << width) - 1)) * style.entry_bytes();
        let size = if style == Style::Bits32 { Size::B4 } else { Size::B8 };
        // Absent memory reads all-ones.
        let absent = if size == Size::B4 { 0xffff_ffff } else { u64::MAX };
        let entry = memory.read(at, size).unwrap_or(absent);
        if !bit(entry, 0) {
            return Ending::Fault(access);
        }
        let large = level + 1 == style.levels().len() || is_large(style, shift, paging, entry);
        // Before rights are judged: reserved bits are reported whatever the access may do.
        if has_reserved(style, shift, large, paging, entry) {
            return Ending::Fault(access | 1 | 8);
        }
        // A PAE root's entries have no rights to be judged.
        if !(style == Style::Pae && level == 0) {
            path.push(entry);
        }
        if large {
            let judged = judge(paging, &path, style, request);
            let offset = (1_u64 << shift) - 1;
            return match judged {
                Some(key) => Ending::Fault(access | 1 | key),
                None => Ending::Found(base(style, shift, entry) | (linear & offset), 1 << shift),
            };
        }
        table = if style == Style::Bits32 { entry & 0xffff_f000 } else { entry & 0x000f_ffff_ffff_f000 };
    }
    unreachable!("the last level is a leaf")
}

fn error_bits(paging: &Paging, request: Request) -> u32 {
    let write = if request.kind == Kind::Write { 2 } else { 0 };
    let user = if request.user { 4 } else { 0 };
    let nxe = bit(paging.efer, 11) && bit(paging.cr4, 5);
    // A processor that can deny no fetch as such reports none.
    let reports_fetch = nxe || bit(paging.cr4, 20);
    let fetch = if request.kind == Kind::Execute && reports_fetch { 16 } else { 0 };
    write | user | fetch
}

fn is_large(style: Style, shift: u32, paging: &Paging, entry: u64) -> bool {
    let possible = match (style, shift) {
        // PSE is for this mode alone; the others always have large pages.
        (Style::Bits32, 22) => bit(paging.cr4, 4),
        (Style::Pae | Style::Four | Style::Five, 21) => true,
        (Style::Four | Style::Five, 30) => true,
        _ => false,
    };
    possible && bit(entry, 7)
}

fn has_reserved(style: Style, shift: u32, large: bool, paging: &Paging, entry: u64) -> bool {
    let physical = u32::from(paging.physical_bits);
    let nx = !bit(paging.efer, 11) && bit(entry, 63);
    match (style, shift, large) {
        // PSE-36 has room for 40 bits of address.
        (Style::Bits32, 22, true) => bit(entry, 21) || any(entry, 20, 13 + physical.min(40) - 32),
        (Style::Bits32, ..) => false,
        (Style::Pae, 30, _) => any(entry, 63, physical) || any(entry, 8, 6) || any(entry, 2, 1),
        (Style::Pae, 21, true) => any(entry, 62, physical) || nx || any(entry, 20, 13),
        (Style::Pae, ..) => any(entry, 62, physical) || nx,
        // No page is as large as this, so the bit that would say so is reserved.
        (_, 48 | 39, _) => any(entry, 51, physical) || nx || bit(entry, 7),
        (_, 30, true) => any(entry, 51, physical) || nx || any(entry, 29, 13) || !paging.gigabyte_pages,
        (_, 21, true) => any(entry, 51, physical) || nx || any(entry, 20, 13),
        _ => any(entry, 51, physical) || nx,
    }
}

fn base(style: Style, shift: u32, entry: u64) -> u64 {
    if style == Style::Bits32 && shift == 22 {
        // PSE-36: the upper bits of the address are where a small entry has lower ones.
        return (entry & 0xffc0_0000) | (entry >> 13 & 0xff) << 32;
    }
    let top = if style == Style::Bits32 { 0xffff_f000 } else { 0x000f_ffff_ffff_f000 };
    entry & top >> shift << shift
}

/// `None` if the access is allowed, else the protection-key bit of the error code.
fn judge(paging: &Paging, path: &[u64], style: Style, request: Request) -> Option<u32> {
    // A right is what every level gives; that nothing is executed, any level may say.
    let user_page = path.iter().all(|&entry| bit(entry, 2));
    let writable = path.iter().all(|&entry| bit(entry, 1));
    let no_execute = style != Style::Bits32 && path.iter().any(|&entry| bit(entry, 63));
    let (wp, smep, smap) = (bit(paging.cr0, 16), bit(paging.cr4, 20), bit(paging.cr4, 21));
    let is_data = request.kind != Kind::Execute;
    let is_write = request.kind == Kind::Write;

    let mut denied = request.user && !user_page;
    // The supervisor writes to read-only pages unless WP is set.
    denied |= is_write && !writable && (request.user || wp);
    denied |= !is_data && no_execute;
    denied |= !is_data && !request.user && user_page && smep;
    denied |= is_data && !request.user && user_page && smap && !request.ac;

    // A key is the leaf's; upper entries have other things there.
    let key = (path[path.len() - 1] >> 59 & 15) as u32;
    let pke = bit(paging.cr4, 22) && matches!(style, Style::Four | Style::Five);
    let access_disabled = bit(paging.pkru.into(), 2 * key);
    let write_disabled = bit(paging.pkru.into(), 2 * key + 1);
    // Keys are about data of user pages, and hold for the supervisor too.
    let by_key = pke
        && is_data
        && user_page
        && (access_disabled || (is_write && write_disabled && (request.user || wp)));
    (denied || by_key).then_some(if by_key { 32 } else { 0 })
}
