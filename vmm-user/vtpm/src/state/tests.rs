use alloc::vec;
use core::sync::atomic::AtomicU64;

use tpm2_engine::{Platform, PlatformError};

use super::*;
use crate::area::AREA_BYTES;
use crate::area::tests::{Plate, key};

/// Surroundings without chance and without time.
struct Still;

impl Platform for Still {
    fn entropy(&mut self, out: &mut [u8]) -> Result<(), PlatformError> {
        out.fill(3);
        Ok(())
    }

    fn milliseconds(&mut self) -> u64 {
        0
    }
}

const STARTUP: [u8; 12] = [0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0];

fn run(tpm: &mut Tpm, command: &[u8]) -> Vec<u8> {
    let mut response = Vec::new();
    tpm.execute(0, command, &mut response);
    response
}

/// A command that the owner, with an empty password, gives; `handles` of which that many are authorized.
fn by_owner(code: u32, handles: &[u32], parameters: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    handles.iter().for_each(|handle| body.extend(handle.to_be_bytes()));
    body.extend([0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
    body.extend(parameters);
    let mut command = [0x80, 2].to_vec();
    command.extend((10 + body.len() as u32).to_be_bytes());
    command.extend(code.to_be_bytes());
    command.extend(body);
    command
}

const INDEX: u32 = 0x0150_0001;

/// Defines an index of eight bytes and writes it.
fn write_index(tpm: &mut Tpm, value: u8) {
    let mut public = vec![0, 0, 0, 14];
    public.extend(INDEX.to_be_bytes());
    public.extend([0, 0x0b, 2, 2, 0, 2, 0, 0, 0, 8]);
    let _ = run(tpm, &by_owner(0x12a, &[0x4000_0001], &public));
    let mut data = vec![0, 8];
    data.extend([value; 8]);
    data.extend([0, 0]);
    assert_eq!(run(tpm, &by_owner(0x137, &[0x4000_0001, INDEX], &data))[6..10], [0; 4]);
}

fn read_index(tpm: &mut Tpm) -> Option<u8> {
    let response = run(tpm, &by_owner(0x14e, &[0x4000_0001, INDEX], &[0, 8, 0, 0]));
    (response[6..10] == [0; 4]).then(|| response[16])
}

/// PCR 4 of the bank SHA-256.
fn pcr(tpm: &mut Tpm) -> Vec<u8> {
    let response = run(tpm, &[0x80, 1, 0, 0, 0, 20, 0, 0, 1, 0x7e, 0, 0, 0, 1, 0, 0xb, 3, 0x10, 0, 0]);
    response[response.len() - 32..].to_vec()
}

fn open(plate: &Plate, words: &[AtomicU64]) -> Result<Tpm, String> {
    open_in(plate, words, 1)
}

/// In that life of the machine.
fn open_in(plate: &Plate, words: &[AtomicU64], life: u64) -> Result<Tpm, String> {
    on_disk(plate.clone(), &key(0), Still, Lasting { words, life })
}

fn words() -> [AtomicU64; 2] {
    [AtomicU64::new(0), AtomicU64::new(0)]
}

/// As the process does it.
fn finish(tpm: Tpm, words: &[AtomicU64]) {
    Kept(words).record(tpm.snapshot());
}

#[test]
fn the_state_outlives_machine_and_process() {
    let (plate, first) = (Plate::new(AREA_BYTES), words());
    let mut tpm = open(&plate, &first).unwrap();
    assert!(tpm.is_new());
    assert_eq!(run(&mut tpm, &STARTUP)[6..10], [0; 4]);
    write_index(&mut tpm, 7);
    finish(tpm, &first);

    // The next machine: it starts as any does.
    let second = words();
    let mut tpm = open(&plate, &second).unwrap();
    assert!(!tpm.is_new());
    assert_eq!(run(&mut tpm, &STARTUP)[6..10], [0; 4]);
    assert_eq!((read_index(&mut tpm), pcr(&mut tpm)), (Some(7), vec![0; 32]));
    write_index(&mut tpm, 8);
    finish(tpm, &second);

    // The next process: what was measured is lost, and nobody can measure something else instead.
    let mut tpm = open(&plate, &second).unwrap();
    assert_eq!(run(&mut tpm, &STARTUP)[6..10], [0, 0, 1, 0], "it is started already");
    assert_eq!(read_index(&mut tpm), Some(8));
    let spoilt = RustCrypto.digest(Hash::Sha256, &[RESTARTED]);
    assert_eq!(pcr(&mut tpm), RustCrypto.digest(Hash::Sha256, &[&[0; 32], &spoilt]));
    // TPM2_HierarchyControl by the platform: TPM_RC_HIERARCHY.
    let control = by_owner(0x121, &[0x4000_000c], &[0x40, 0, 0, 1, 0]);
    assert_eq!(run(&mut tpm, &control)[6..10], [0, 0, 1, 0x85], "the guest has the platform's hierarchy");
    for index in PCRS {
        let mut read = [0x80, 1, 0, 0, 0, 20, 0, 0, 1, 0x7e, 0, 0, 0, 1, 0, 0xb, 3, 0, 0, 0];
        read[17 + index as usize / 8] = 1 << (index % 8);
        assert!(!run(&mut tpm, &read).ends_with(&[0; 32]), "PCR {index} may have any value");
    }
}

#[test]
fn pcrs_begin_anew_with_a_reset_of_the_guests_and_with_nothing_else() {
    let (plate, words) = (Plate::new(AREA_BYTES), words());
    let mut tpm = open(&plate, &words).unwrap();
    assert_eq!(run(&mut tpm, &STARTUP)[6..10], [0; 4]);
    write_index(&mut tpm, 7);
    finish(tpm, &words);
    // Each life of the machine: a TPM that the guest's start is measured into, and then one whose PCRs are
    // lost.
    for life in 2..5 {
        let mut tpm = open_in(&plate, &words, life).unwrap();
        assert_eq!(run(&mut tpm, &STARTUP)[6..10], [0; 4], "life {life}");
        assert_eq!((read_index(&mut tpm), pcr(&mut tpm)), (Some(7), vec![0; 32]));
        finish(tpm, &words);
        let mut tpm = open_in(&plate, &words, life).unwrap();
        assert_ne!(pcr(&mut tpm), vec![0; 32], "life {life}: it was measured already");
        finish(tpm, &words);
    }
    // Whoever says that it is an earlier life gains nothing.
    assert_ne!(pcr(&mut open_in(&plate, &words, 1).unwrap()), vec![0; 32]);
}

#[test]
fn an_old_copy_is_refused_while_the_machine_runs() {
    let (plate, words) = (Plate::new(AREA_BYTES), words());
    let mut tpm = open(&plate, &words).unwrap();
    let _ = run(&mut tpm, &STARTUP);
    write_index(&mut tpm, 7);
    let old = plate.bytes.lock().clone();
    write_index(&mut tpm, 8);
    let newest = tpm.snapshot();
    finish(tpm, &words);
    *plate.bytes.lock() = old.clone();
    let why = open(&plate, &words).err().unwrap();
    assert_eq!(
        why,
        alloc::format!("the TPM's state is an old copy: snapshot {}, and there was a newer one", newest - 1)
    );
    plate.bytes.lock().fill(0);
    assert_eq!(open(&plate, &words).err().unwrap(), "the TPM's state is gone: it was there before");
    assert!(plate.bytes.lock().iter().all(|byte| *byte == 0), "nothing is made anew over it");
    // A machine that knows nothing of it takes what there is.
    *plate.bytes.lock() = old;
    assert!(open(&plate, &super::tests::words()).is_ok());
}

#[test]
fn a_spoiled_state_is_refused_and_stays() {
    let plate = Plate::new(AREA_BYTES);
    drop(open(&plate, &words()).unwrap());
    let whole = plate.bytes.lock().clone();
    let refused = |why: &str| {
        let before = plate.bytes.lock().clone();
        assert_eq!(open(&plate, &words()).err().as_deref(), Some(why));
        assert!(*plate.bytes.lock() == before);
    };
    // In the snapshots, and in the sectors in front of them.
    for at in [700, 0] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes[AREA_BYTES as usize / 2 + at] ^= 1;
        *plate.bytes.lock() = bytes;
        refused("the TPM's state is damaged, or was saved with another key");
    }
    *plate.bytes.lock() = vec![0x55; AREA_BYTES as usize];
    refused("the TPM's state is damaged, or was saved with another key");
    *plate.bytes.lock() = whole;
    let why = on_disk(plate.clone(), &key(1), Still, Lasting { words: &words(), life: 1 }).err();
    assert_eq!(why.as_deref(), Some("the TPM's state is damaged, or was saved with another key"));
    assert!(open(&plate, &words()).is_ok());
}

#[test]
fn a_state_in_memory_outlives_resets_and_the_process() {
    let words: Vec<AtomicU64> = (0..STATE_BYTES / 8).map(|_| AtomicU64::new(0)).collect();
    let words: &'static [AtomicU64] = Box::leak(words.into());
    let open = |life| in_memory(Still, Lasting { words, life }).unwrap();
    let mut tpm = open(1);
    assert!(tpm.is_new());
    assert_eq!(run(&mut tpm, &STARTUP)[6..10], [0; 4]);
    write_index(&mut tpm, 7);
    finish(tpm, words);
    // The guest resets its machine.
    let mut tpm = open(2);
    assert!(!tpm.is_new());
    assert_eq!(run(&mut tpm, &STARTUP)[6..10], [0; 4]);
    assert_eq!((read_index(&mut tpm), pcr(&mut tpm)), (Some(7), vec![0; 32]));
    finish(tpm, words);
    // The process ends.
    let mut tpm = open(2);
    assert_eq!(run(&mut tpm, &STARTUP)[6..10], [0, 0, 1, 0], "it is started already");
    assert_eq!(read_index(&mut tpm), Some(7));
    assert_ne!(pcr(&mut tpm), vec![0; 32]);
    let few = in_memory(Still, Lasting { words: &words[..1024], life: 1 });
    assert_eq!(few.err().unwrap(), "the memory for the TPM's state needs 528384 bytes");
}
