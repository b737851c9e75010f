//! Items by ports and by DMA.

use core::cell::RefCell;
use std::vec::Vec;

use super::*;

/// A page of shared memory at address 1000h.
struct Page(RefCell<Vec<u8>>);

const BASE: u64 = 0x1000;

impl Page {
    fn new() -> Self {
        Self(RefCell::new(std::vec![0xee; 0x1000]))
    }

    fn place(gpa: u64, bytes: usize) -> Option<core::ops::Range<usize>> {
        let start = gpa.checked_sub(BASE)? as usize;
        start.checked_add(bytes).filter(|end| *end <= 0x1000).map(|end| start..end)
    }

    /// Writes an operation at the page's start.
    fn describe(&self, control: u32, length: u32, gpa: u64) {
        let parts = [&control.to_be_bytes()[..], &length.to_be_bytes(), &gpa.to_be_bytes()];
        self.write(BASE, &parts.concat()).unwrap();
    }

    fn control(&self) -> u32 {
        let mut bytes = [0; 4];
        self.read(BASE, &mut bytes).unwrap();
        u32::from_be_bytes(bytes)
    }
}

impl SharedMemory for Page {
    fn read(&self, gpa: u64, bytes: &mut [u8]) -> Option<()> {
        bytes.copy_from_slice(&self.0.borrow()[Self::place(gpa, bytes.len())?]);
        Some(())
    }

    fn write(&self, gpa: u64, bytes: &[u8]) -> Option<()> {
        self.0.borrow_mut()[Self::place(gpa, bytes.len())?].copy_from_slice(bytes);
        Some(())
    }
}

fn item(device: &mut FwCfg, number: u16, bytes: usize) -> Vec<u8> {
    device.write(SELECTOR, 2, number.into(), &Page::new());
    (0..bytes).map(|_| device.read(DATA, 1) as u8).collect()
}

#[test]
fn items_and_files_by_ports() {
    let mut device = FwCfg::new(2);
    device.add_file("etc/e820", std::vec![1, 2, 3]);
    device.add_file("bootorder", std::vec![4]);
    device.set_with_size([item::KERNEL_SIZE, item::KERNEL_DATA], Contents::Bytes(std::vec![9; 300]));
    assert_eq!(item(&mut device, 0, 5), b"QEMU\0");
    assert_eq!(item(&mut device, 1, 4), [3, 0, 0, 0]);
    assert_eq!(item(&mut device, 5, 2), [2, 0]);
    assert_eq!(item(&mut device, 8, 4), [44, 1, 0, 0]);
    assert_eq!(item(&mut device, 0x11, 301)[298..], [9, 9, 0]);
    let folder = item(&mut device, 0x19, 4 + 2 * 64);
    assert_eq!(folder[..12], [0, 0, 0, 2, 0, 0, 0, 3, 0, 0x20, 0, 0]);
    assert_eq!(&folder[12..21], b"etc/e820\0");
    assert_eq!(folder[68..76], [0, 0, 0, 1, 0, 0x21, 0, 0]);
    assert_eq!(item(&mut device, 0x20, 4), [1, 2, 3, 0]);
    // One that is not there; ports and widths that mean nothing.
    assert_eq!(item(&mut device, 0x77, 2), [0, 0]);
    assert_eq!((device.read(DATA, 2), device.read(SELECTOR, 2)), (u32::MAX, u32::MAX));
    assert_eq!(device.read(DMA_HIGH, 4).to_le_bytes(), *b"QEMU");
    assert_eq!(device.read(DMA_LOW, 4).to_le_bytes(), *b" CFG");
}

#[test]
fn items_by_dma() {
    let mut device = FwCfg::new(1);
    device.add_file("file", (0..200).collect());
    let page = Page::new();
    let start = |device: &mut FwCfg, page: &Page| {
        device.write(DMA_HIGH, 4, 0, page);
        device.write(DMA_LOW, 4, (BASE as u32).swap_bytes(), page);
        page.control()
    };
    let select = 0x20 << 16 | SELECT;
    for (control, length, gpa, expected) in [
        (select | READ, 4, BASE + 0x100, 0),
        (SKIP, 100, 0, 0),
        (READ, 2, BASE + 0x200, 0),
        // Behind its end are zeros.
        (READ, 200, BASE + 0x300, 0),
        // Not shared, or only its first bytes; addresses that don't exist; writes.
        (select | READ, 4, 0, 1),
        (READ, 0x1000, BASE + 0x800, 1),
        (READ, u32::MAX, u64::MAX - 3, 1),
        (WRITE, 4, BASE + 0x100, 1),
        (0, 0, 0, 0),
    ] {
        page.describe(control, length, gpa);
        assert_eq!(start(&mut device, &page), expected, "{control:#x} {length:#x} {gpa:#x}");
    }
    let bytes = page.0.borrow();
    assert_eq!(bytes[0x100..0x105], [0, 1, 2, 3, 0xee]);
    assert_eq!(bytes[0x200..0x203], [104, 105, 0xee]);
    assert_eq!((bytes[0x300], bytes[0x300 + 93], bytes[0x300 + 94]), (106, 199, 0));
}

#[test]
fn an_operation_that_is_not_shared_does_nothing() {
    let mut device = FwCfg::new(1);
    let page = Page::new();
    page.describe(SELECT | READ, 4, BASE + 0x100);
    // The upper half of the address counts, once.
    device.write(DMA_HIGH, 4, 1u32.swap_bytes(), &page);
    device.write(DMA_LOW, 4, (BASE as u32).swap_bytes(), &page);
    assert_eq!(page.control(), SELECT | READ);
    device.write(DMA_LOW, 4, (BASE as u32).swap_bytes(), &page);
    assert_eq!((page.control(), page.0.borrow()[0x100]), (0, b'Q'));
}
