//! A fuzz target: what a host replies, and what is in the pages that the launch has filled.

use plinth_snp_abi::cpuid_page::{CpuidPage, MAX_ENTRIES};
use plinth_snp_abi::ghcb::{Field, PageOperation, PageStateEntry};
use plinth_snp_abi::rmp::PageSize;
use plinth_snp_abi::secrets::SecretsPage;
use zerocopy::FromBytes;

use super::cpuid_table::Table;
use super::ghcb::{self, CallPage, Width};
use super::secrets;
use super::word::{self, Exchange};

/// Where the page for calls is.
const GPA: u64 = 0x7000;
/// How many pages change their states.
const PAGES: u32 = 40;

/// A host that replies with one word of the input after the other, and with zeros behind its end.
struct Replies<'a> {
    input: &'a [u8],
    calls: u32,
}

impl Replies<'_> {
    fn next(&mut self) -> u64 {
        let Some((word, rest)) = self.input.split_first_chunk() else { return 0 };
        self.input = rest;
        u64::from_le_bytes(*word)
    }
}

impl Exchange for Replies<'_> {
    fn exchange(&mut self, _: u64) -> u64 {
        self.next()
    }
}

impl CallPage for Replies<'_> {
    fn write(&mut self, offset: usize, _: u64) {
        assert!(offset < 4096 && offset.is_multiple_of(8), "a store at {offset:#x}");
    }

    fn read(&mut self, offset: usize) -> u64 {
        assert!(offset < 4096 && offset.is_multiple_of(8), "a load at {offset:#x}");
        // Most hosts say that an event was handled, or nothing of what follows it would be seen.
        let reply = self.next();
        if offset == Field::ExitInfo1 as usize { reply & 0x3 } else { reply }
    }

    fn call(&mut self) {
        self.calls += 1;
    }

    fn gpa(&self) -> u64 {
        GPA
    }
}

/// By the first byte: words of the MSR protocol, calls by the page, or the launch's pages. What is believed
/// is what may be, and nothing takes for ever.
///
/// # Panics
/// If a property does not hold.
pub fn believe_host(input: &[u8]) {
    let Some((what, rest)) = input.split_first() else { return };
    let mut host = Replies { input: rest, calls: 0 };
    match what % 3 {
        0 => exchange_words(&mut host),
        1 => make_calls(&mut host),
        _ => read_pages(rest),
    }
}

fn exchange_words(host: &mut Replies<'_>) {
    let first = host.input.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    if word::negotiate(host, 51).is_ok() {
        assert_eq!((first & 0xfff, first >> 24 & 0xff), (0x001, 51));
    }
    let second = host.input.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    if word::register(host, 0x123).is_ok() {
        assert_eq!(second, 0x12_3013);
    }
    let _ = word::features(host);
    let third = host.input.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    if word::change_page(host, 0x123, PageOperation::Private).is_ok() {
        assert_eq!((third & 0xfff, third >> 32), (0x015, 0));
    }
}

fn make_calls(host: &mut Replies<'_>) {
    for (width, limit) in [(Width::Byte, 0xff), (Width::Word, 0xffff), (Width::Double, u32::MAX)] {
        if let Ok(value) = ghcb::read_port(host, 0x3f8, width) {
            assert!(value <= limit, "{value:#x}");
        }
    }
    let _ = ghcb::write_port(host, 0x3f8, Width::Byte, 1);
    let _ = ghcb::read_msr(host, 0x1b);
    let _ = ghcb::write_msr(host, 0x1b, 1);
    let before = host.calls;
    let entry = |gfn: u32| PageStateEntry::new(gfn.into(), PageOperation::Shared, PageSize::Small);
    let _ = ghcb::change_pages(host, (0..PAGES).map(entry));
    // Each call comes further, or is the last.
    assert!(host.calls - before <= PAGES, "{} calls", host.calls - before);
}

fn read_pages(input: &[u8]) {
    let mut bytes = vec![0; 4096];
    bytes.iter_mut().zip(input).for_each(|(place, byte)| *place = *byte);
    if let Ok(page) = SecretsPage::read_from_bytes(&bytes)
        && secrets::check(&page).is_ok()
    {
        assert!(page.svsm_size == 0 && page.vmpck[0] != [0; 32]);
    }
    let Ok(page) = CpuidPage::read_from_bytes(&bytes) else { return };
    let mut table = Table::new();
    if table.load(&page).is_err() {
        assert!(table.is_empty());
        return;
    }
    assert!((1..=MAX_ENTRIES).contains(&table.len()));
    for entry in page.entries.iter().take(table.len()) {
        for (xcr0, xss) in [(1, 0), (7, 0), (u64::MAX, u64::MAX)] {
            let _ = table.find(entry.eax_in, entry.ecx_in, xcr0, xss);
        }
    }
}
