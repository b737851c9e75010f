//! The power goes while the state is written: what is found then is the old state or the new one.

mod common;

use common::{World, define, open, parameters, plain, read, run, split, started, succeed, write};
use tpm2_engine::{OpenError, RustCrypto, Tpm};

const INDEX: u32 = 0x0150_0001;
/// OWNERWRITE, OWNERREAD, NO_DA.
const ATTRIBUTES: u32 = 0x0202_0002;

/// A TPM with an index that holds a number.
fn prepared() -> (World, Vec<u8>) {
    let world = World::new();
    let mut tpm = started(&world);
    succeed(&mut tpm, &define(INDEX, ATTRIBUTES, 8));
    succeed(&mut tpm, &write(INDEX, &7u64.to_be_bytes()));
    (world, 7u64.to_be_bytes().to_vec())
}

fn content(world: &World) -> Vec<u8> {
    world.budget.set(usize::MAX);
    let mut tpm = started(world);
    let response = succeed(&mut tpm, &read(INDEX, 8));
    split(parameters(&response, false)).0.to_vec()
}

#[test]
fn a_write_that_is_cut_leaves_the_old_value_or_the_new_one() {
    let (mut olds, mut news) = (0, 0);
    let (first, old) = prepared();
    let slots = first.slots.borrow().clone();
    for cut in 0..1000 {
        let world = World::new();
        *world.slots.borrow_mut() = slots.clone();
        let mut tpm = started(&world);
        world.budget.set(cut);
        let new = 8u64.to_be_bytes().to_vec();
        let (code, _) = run(&mut tpm, &write(INDEX, &new));
        drop(tpm);
        let found = content(&world);
        assert!(found == old || found == new, "cut after {cut} bytes: {found:?}");
        // What was reported as done is done.
        assert!(code != 0 || found == new, "cut after {cut} bytes");
        if found == old { olds += 1 } else { news += 1 }
    }
    assert!(olds > 300 && news > 100, "{olds} old, {news} new");
}

#[test]
fn a_tpm_whose_making_was_cut_opens() {
    for cut in 0..2000 {
        let world = World::new();
        world.budget.set(cut);
        let made = open(&world);
        world.budget.set(usize::MAX);
        let is_used = made.is_ok();
        let again = open(&world).unwrap();
        // Once the first snapshot is whole, it is that TPM.
        assert!(again.is_new() || cut > 500 || is_used, "cut after {cut} bytes");
    }
}

#[test]
fn what_does_not_load_is_not_made_anew() {
    let (world, _) = prepared();
    let whole = world.slots.borrow().clone();
    for at in 0..whole[0].len().min(whole[1].len()) {
        let mut damaged = whole.clone();
        damaged[0][at] ^= 1;
        damaged[1][at] ^= 1;
        *world.slots.borrow_mut() = damaged.clone();
        assert_eq!(open(&world).err(), Some(OpenError::Damaged));
        assert_eq!(*world.slots.borrow(), damaged);
    }
    // One whole slot is enough: the other one was being written.
    let mut one = whole.clone();
    one[0][20] ^= 1;
    *world.slots.borrow_mut() = one;
    assert!(open(&world).is_ok());
}

#[test]
fn a_tpm_that_could_not_save_has_failed() {
    let (world, _) = prepared();
    let mut tpm = started(&world);
    world.budget.set(0);
    assert_eq!(run(&mut tpm, &write(INDEX, &[1; 8])).0, 0x101);
    world.budget.set(usize::MAX);
    assert_eq!(run(&mut tpm, &write(INDEX, &[1; 8])).0, 0x101);
    assert_eq!(tpm.failure(), Some("the state can't be written"));
    // The result of the self-test tells why.
    let result = succeed(&mut tpm, &plain(0x17c, &[]));
    assert_eq!(split(&result).0, b"the state can't be written");
}

#[test]
fn an_old_copy_is_refused_where_a_newer_one_is_known() {
    let again = |world: &World, least| {
        let (platform, storage) = (Box::new(world.clone()), Box::new(world.clone()));
        Tpm::open_again(Box::new(RustCrypto), platform, storage, &[9; 32], least)
    };
    let world = World::new();
    let mut tpm = started(&world);
    let first = tpm.snapshot();
    assert!(first > 0, "a new TPM is written to both slots, which are 0 and 1");
    let old = world.slots.borrow().clone();
    succeed(&mut tpm, &define(INDEX, ATTRIBUTES, 8));
    let newest = tpm.snapshot();
    assert!(newest > 1);
    drop(tpm);
    // What is there, and newer than was known.
    for least in [None, Some(0), Some(newest - 1), Some(newest)] {
        assert_eq!(
            again(&world, least).map(|tpm| (tpm.is_new(), tpm.snapshot())).ok(),
            Some((false, newest))
        );
    }
    assert_eq!(again(&world, Some(newest + 1)).err(), Some(OpenError::Old(Some(newest))));
    *world.slots.borrow_mut() = old.clone();
    assert_eq!(again(&world, Some(newest)).err(), Some(OpenError::Old(Some(first))));
    assert_eq!(*world.slots.borrow(), old);
    // A storage that was emptied is no new TPM's; one that was damaged is damaged.
    let mut torn = old.clone();
    torn[1].clear();
    torn[0][20] ^= 1;
    for slots in [[vec![], vec![]], torn] {
        *world.slots.borrow_mut() = slots.clone();
        assert_eq!(again(&world, Some(newest)).err(), Some(OpenError::Old(None)));
        assert_eq!(*world.slots.borrow(), slots);
    }
    let mut damaged = old;
    damaged[0][20] ^= 1;
    damaged[1][20] ^= 1;
    *world.slots.borrow_mut() = damaged;
    assert_eq!(again(&world, Some(newest)).err(), Some(OpenError::Damaged));
    assert_eq!(again(&world, None).err(), Some(OpenError::Damaged));
}
