//! The PIC pair: initialization, priorities, ends of interrupt, special modes.

use super::*;
use crate::testing::Random;
use alloc::vec::Vec;

/// As Linux sets them up: vectors 30h and 38h, all unmasked.
fn linux() -> PicPair {
    initialized(0x01)
}

fn initialized(icw4: u8) -> PicPair {
    let mut pic = PicPair::default();
    for (port, value) in [
        (0x21, 0xff),
        (0xa1, 0xff),
        (0x20, 0x11),
        (0x21, 0x30),
        (0x21, 0x04),
        (0x21, icw4),
        (0xa0, 0x11),
        (0xa1, 0x38),
        (0xa1, 0x02),
        (0xa1, 0x01),
        (0x21, 0x00),
        (0xa1, 0x00),
    ] {
        pic.write(port, value);
    }
    pic
}

fn pulse(pic: &mut PicPair, irq: u8) {
    pic.set_irq(irq, true);
    pic.set_irq(irq, false);
}

/// Acknowledges until the output is low.
fn drain(pic: &mut PicPair) -> Vec<u8> {
    core::iter::from_fn(|| pic.output().then(|| pic.acknowledge())).collect()
}

#[test]
fn vectors() {
    for irq in (0..16).filter(|&irq| irq != CASCADE) {
        let mut pic = linux();
        pulse(&mut pic, irq);
        assert_eq!(drain(&mut pic), [0x30 + irq], "IRQ {irq}");
        assert!(!pic.output());
    }
    let mut pic = linux();
    pulse(&mut pic, CASCADE);
    pulse(&mut pic, 16);
    assert!(!pic.output());
}

#[test]
fn masked_until_initialized_and_by_ocw1() {
    let mut pic = PicPair::default();
    pulse(&mut pic, 0);
    assert!(!pic.output());
    let mut pic = linux();
    pic.write(0x21, 0x02);
    assert_eq!(pic.read(0x21), 0x02);
    pulse(&mut pic, 1);
    assert!(!pic.output());
    // The edge is kept.
    pic.write(0x21, 0x00);
    assert_eq!(drain(&mut pic), [0x31]);
    pic.write(0xa1, 0x5a);
    assert_eq!((pic.read(0x21), pic.read(0xa1)), (0x00, 0x5a));
}

#[test]
fn the_mask_survives_linux_probing() {
    // probe_8259A: masks the slave, writes a mask to the master and reads it back.
    let mut pic = PicPair::default();
    pic.write(0xa1, 0xff);
    pic.write(0x21, !(1 << CASCADE));
    assert_eq!(pic.read(0x21), !(1 << CASCADE));
}

#[test]
fn priorities_and_nesting() {
    let mut pic = linux();
    for irq in [7, 1, 8, 15] {
        pulse(&mut pic, irq);
    }
    assert_eq!(pic.acknowledge(), 0x31);
    // What is lower waits for the end.
    assert!(!pic.output());
    pulse(&mut pic, 0);
    assert_eq!(pic.acknowledge(), 0x30);
    pic.write(0x20, 0x20);
    pic.write(0x20, 0x20);
    assert_eq!(pic.acknowledge(), 0x38);
    // The slave's second waits for both ends.
    pic.write(0x20, 0x20);
    assert_eq!(drain(&mut pic), [0x37]);
    pic.write(0x20, 0x20);
    pic.write(0xa0, 0x20);
    assert_eq!(drain(&mut pic), [0x3f]);
}

#[test]
fn specific_ends_as_linux_does_them() {
    let mut pic = linux();
    pulse(&mut pic, 12);
    assert_eq!(pic.acknowledge(), 0x3c);
    // mask_and_ack_8259A reads the masks, then ends input 4 of the slave and the cascade.
    pic.write(0xa1, 0x10);
    pic.write(0xa0, 0x64);
    pic.write(0x20, 0x62);
    pic.write(0x20, 0x0b);
    pic.write(0xa0, 0x0b);
    assert_eq!((pic.read(0x20), pic.read(0xa0)), (0, 0));
}

#[test]
fn request_and_service_registers() {
    let mut pic = linux();
    pulse(&mut pic, 3);
    assert_eq!(pic.read(0x20), 0x08);
    pic.acknowledge();
    assert_eq!(pic.read(0x20), 0x00);
    pic.write(0x20, 0x0b);
    assert_eq!(pic.read(0x20), 0x08);
    pic.write(0x20, 0x0a);
    pulse(&mut pic, 9);
    assert_eq!((pic.read(0x20), pic.read(0xa0)), (0x04, 0x02));
}

#[test]
fn spurious_interrupts() {
    let mut pic = linux();
    assert_eq!(pic.acknowledge(), 0x37);
    // Masked after the output rose, on the slave: its spurious interrupt, with the cascade in service.
    pulse(&mut pic, 9);
    assert!(pic.output());
    pic.slave.write_data(0xff);
    assert_eq!(pic.acknowledge(), 0x3f);
    pic.write(0x20, 0x0b);
    pic.write(0xa0, 0x0b);
    assert_eq!((pic.read(0x20), pic.read(0xa0)), (0x04, 0x00));
}

#[test]
fn levels_by_elcr() {
    let mut pic = linux();
    pic.write(0x4d0, 0xff);
    pic.write(0x4d1, 0xff);
    assert_eq!((pic.read(0x4d0), pic.read(0x4d1)), (0xf8, 0xde));
    pic.set_irq(10, true);
    assert_eq!(pic.acknowledge(), 0x3a);
    pic.write(0xa0, 0x20);
    pic.write(0x20, 0x20);
    // Still there.
    assert_eq!(pic.acknowledge(), 0x3a);
    pic.set_irq(10, false);
    pic.write(0xa0, 0x20);
    pic.write(0x20, 0x20);
    assert!(!pic.output());
    // ELCR outlives initialization.
    pic.write(0xa0, 0x11);
    assert_eq!(pic.read(0x4d1), 0xde);
}

#[test]
fn automatic_end() {
    let mut pic = initialized(0x03);
    pulse(&mut pic, 3);
    pulse(&mut pic, 5);
    assert_eq!(drain(&mut pic), [0x33, 0x35]);
    // With rotation: what was served goes last.
    pic.write(0x20, 0x80);
    pulse(&mut pic, 3);
    assert_eq!(drain(&mut pic), [0x33]);
    pulse(&mut pic, 3);
    pulse(&mut pic, 5);
    assert_eq!(drain(&mut pic), [0x35, 0x33]);
    // Without, the order stays what it was last.
    pic.write(0x20, 0x00);
    for irq in [1, 3] {
        pulse(&mut pic, irq);
        pulse(&mut pic, 5);
        assert_eq!(drain(&mut pic), [0x35, 0x30 + irq]);
    }
}

#[test]
fn rotation() {
    // OCW2 after IRQ 3 was taken, then the order in which 1, 3 and 6 come.
    for (ocw2, order) in [
        (0x20, [0x31, 0x33, 0x36]),
        (0x63, [0x31, 0x33, 0x36]),
        (0xa0, [0x36, 0x31, 0x33]),
        (0xe3, [0x36, 0x31, 0x33]),
    ] {
        let mut pic = linux();
        pulse(&mut pic, 3);
        pic.acknowledge();
        pic.write(0x20, ocw2);
        for irq in [1, 3, 6] {
            pulse(&mut pic, irq);
        }
        let served: Vec<_> = core::iter::from_fn(|| {
            let vector = pic.output().then(|| pic.acknowledge())?;
            pic.write(0x20, 0x60 | vector & 7);
            Some(vector)
        })
        .collect();
        assert_eq!(served, order, "OCW2 {ocw2:x}");
    }
    let mut pic = linux();
    pic.write(0x20, 0xc5);
    pulse(&mut pic, 5);
    pulse(&mut pic, 6);
    assert_eq!(pic.acknowledge(), 0x36);
}

#[test]
fn poll() {
    let mut pic = linux();
    pic.write(0x20, 0x0c);
    assert_eq!(pic.read(0x20), 0x00);
    pulse(&mut pic, 4);
    pic.write(0x20, 0x0c);
    assert_eq!(pic.read(0x20), 0x84);
    pic.write(0x20, 0x0b);
    assert_eq!(pic.read(0x20), 0x10);
}

#[test]
fn special_mask() {
    let mut pic = linux();
    pulse(&mut pic, 3);
    assert_eq!(pic.acknowledge(), 0x33);
    pulse(&mut pic, 6);
    assert!(!pic.output());
    // With its input masked, IRQ 3 in service holds back nobody.
    pic.write(0x21, 0x08);
    pic.write(0x20, 0x68);
    assert_eq!(drain(&mut pic), [0x36]);
    // A non-specific end finds IRQ 6, not the masked IRQ 3.
    pic.write(0x20, 0x20);
    pic.write(0x20, 0x0b);
    assert_eq!(pic.read(0x20), 0x08);
    // The mode outlives what else OCW3 is for, and what is read outlives the mode.
    pulse(&mut pic, 6);
    assert!(pic.output());
    pic.write(0x20, 0x48);
    assert_eq!((pic.output(), pic.read(0x20)), (false, 0x08));
}

/// 8259A datasheet, "Initialization Command Words": what ICW1 by itself does, and which words follow it.
#[test]
fn initialization() {
    let mut pic = linux();
    // Special mask mode, automatic end, IRQ 3 at the bottom, the service register to be read.
    for value in [0x68, 0x80, 0xc3, 0x0b] {
        pic.write(0x20, value);
    }
    pulse(&mut pic, 5);
    pic.acknowledge();
    pic.write(0x21, 0xff);
    pic.write(0x20, 0x11);
    // The mask is clear, and nothing is in service; the vectors are what they were.
    pulse(&mut pic, 3);
    pulse(&mut pic, 4);
    assert_eq!((pic.read(0x20), pic.acknowledge(), pic.output()), (0x18, 0x33, false));
    // ICW1, the words that it asks for, and then the mask.
    for words in [&[0x10, 0x40, 0x04][..], &[0x11, 0x40, 0x04, 0x01], &[0x12, 0x40], &[0x13, 0x40, 0x01]] {
        let mut pic = PicPair::default();
        pic.write(0x20, words[0]);
        for word in &words[1..] {
            pic.write(0x21, *word);
        }
        pic.write(0x21, 0xa5);
        assert_eq!(pic.read(0x21), 0xa5, "{words:x?}");
        pulse(&mut pic, 1);
        assert_eq!(pic.acknowledge(), 0x41, "{words:x?}");
    }
}

#[test]
fn special_fully_nested() {
    for (icw4, nests) in [(0x01, false), (0x11, true)] {
        let mut pic = initialized(icw4);
        pulse(&mut pic, 12);
        assert_eq!(pic.acknowledge(), 0x3c);
        pulse(&mut pic, 4);
        assert!(!pic.output());
        pulse(&mut pic, 9);
        assert_eq!(pic.output(), nests, "ICW4 {icw4:x}");
        // Only the slave does that.
        let mut pic = initialized(icw4);
        pulse(&mut pic, 3);
        assert_eq!(pic.acknowledge(), 0x33);
        pulse(&mut pic, 3);
        assert!(!pic.output());
    }
}

#[test]
fn an_edge_is_a_change() {
    let mut pic = linux();
    pic.set_irq(4, true);
    assert_eq!(pic.acknowledge(), 0x34);
    pic.write(0x20, 0x20);
    pic.set_irq(4, true);
    assert!(!pic.output());
    // Initialization forgets the edge, not the input.
    pic.set_irq(4, false);
    pic.set_irq(4, true);
    for (port, value) in [(0x20, 0x11), (0x21, 0x30), (0x21, 4), (0x21, 1)] {
        pic.write(port, value);
    }
    pic.set_irq(4, true);
    assert!(!pic.output());
}

/// Whatever is programmed, an acknowledge with the output high takes a request, and never more than there
/// are.
#[test]
fn random_programs() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut pic = PicPair::default();
    for _ in 0..200_000 {
        let port = [0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1][random.below(6) as usize];
        match random.below(4) {
            0 => pic.write(port, random.next() as u8),
            1 => pic.set_irq(random.below(20) as u8, random.below(2) != 0),
            2 => drop(pic.read(port)),
            _ => {
                let vector = pic.acknowledge();
                assert!([pic.master.vector(Some(0)), pic.slave.vector(Some(0))].contains(&(vector & 0xf8)));
            }
        }
    }
}
