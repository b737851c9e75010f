//! How many commands two TPMs execute in a second of processor time.
//!
//! Each row is one command. Rounds of both TPMs take turns, and the median of the rounds counts. Time is
//! what the kernel counted for the TPM's process, so that what else the machine does is left out.

use anyhow::{Context, Result};

use crate::socket::Socket;
use crate::wire::{Reader, command, sized, with_passwords};

const OWNER: u32 = 0x4000_0001;
const INDEX: u32 = 0x0150_0000;
const ROUNDS: usize = 5;

/// A command to be measured.
struct Row {
    name: &'static str,
    /// How often it is executed in a round.
    count: u64,
    /// Makes what the command needs, and returns the command.
    prepare: fn(&mut Socket) -> Result<Vec<u8>>,
    /// Whether what it returns is a handle, to be flushed. That is part of the time.
    loads: bool,
    /// The byte that is another one each time, counted from the command's end.
    changes: Option<usize>,
}

/// Where the last byte of data is in TPM2_NV_Write of `write`: before the offset.
const LAST_WRITTEN: usize = 3;

/// A row's result: nanoseconds of processor time for a command, of the first TPM and the second.
#[derive(Debug)]
pub struct Measured {
    /// What was measured.
    pub name: &'static str,
    /// Nanoseconds.
    pub time_ns: [u64; 2],
}

/// A row without anything special.
const fn row(name: &'static str, count: u64, prepare: fn(&mut Socket) -> Result<Vec<u8>>) -> Row {
    Row { name, count, prepare, loads: false, changes: None }
}

const ROWS: [Row; 10] = [
    row("PCR_Extend, SHA-256", 4000, extend),
    row("GetRandom, 32 bytes", 4000, random),
    Row { changes: Some(LAST_WRITTEN), ..row("NV_Write, 32 bytes", 2000, write) },
    row("NV_Read, 32 bytes", 4000, read),
    Row { loads: true, ..row("CreatePrimary, P-256", 400, primary) },
    row("Create, P-256", 400, |tpm| create(tpm, &signing_p256(false))),
    row("Sign, ECDSA P-256", 400, |tpm| sign(tpm, &signing_p256(false))),
    row("Quote, ECDSA P-256", 400, quote),
    row("Sign, RSASSA 2048", 100, |tpm| sign(tpm, &signing_rsa())),
    row("Create, RSA 2048", 12, |tpm| create(tpm, &signing_rsa())),
];

/// Runs the rows whose names contain a text.
///
/// # Errors
/// When a command fails.
pub fn run(tpms: &mut [Socket; 2], only: &str) -> Result<Vec<Measured>> {
    for tpm in tpms.iter_mut() {
        tpm.power_cycle()?;
        tpm.start()?;
    }
    let rows = ROWS.iter().filter(|row| row.name.contains(only));
    rows.map(|row| measure(tpms, row).with_context(|| row.name)).collect()
}

fn measure(tpms: &mut [Socket; 2], row: &Row) -> Result<Measured> {
    let mut commands = Vec::new();
    for tpm in tpms.iter_mut() {
        flush_all(tpm)?;
        commands.push((row.prepare)(tpm)?);
    }
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for ((tpm, command), times) in tpms.iter_mut().zip(&mut commands).zip(&mut times) {
            let before = tpm.processor_time_ns()?;
            for number in 0..row.count {
                // What is there already, no TPM writes again.
                if let Some(byte) = row.changes.and_then(|end| command.iter_mut().rev().nth(end - 1)) {
                    *byte = number as u8;
                }
                let response = tpm.succeed(command)?;
                if row.loads {
                    flush(tpm, Reader(&response).u32())?;
                }
            }
            times.push((tpm.processor_time_ns()? - before) / row.count);
        }
    }
    let time_ns = times.map(|mut times| {
        times.sort_unstable();
        times.get(ROUNDS / 2).copied().unwrap_or(0)
    });
    Ok(Measured { name: row.name, time_ns })
}

fn flush(tpm: &mut Socket, handle: u32) -> Result<()> {
    tpm.succeed(&command(0x165, &handle.to_be_bytes())).map(drop)
}

/// Flushes the transient objects of rows before.
fn flush_all(tpm: &mut Socket) -> Result<()> {
    // TPM_CAP_HANDLES.
    let query = [&1u32.to_be_bytes()[..], &0x8000_0000u32.to_be_bytes(), &16u32.to_be_bytes()].concat();
    let response = tpm.succeed(&command(0x17a, &query))?;
    let mut reader = Reader(response.get(5..).unwrap_or_default());
    for _ in 0..reader.u32() {
        flush(tpm, reader.u32())?;
    }
    Ok(())
}

fn extend(_: &mut Socket) -> Result<Vec<u8>> {
    let digests = [&[0, 0, 0, 1, 0, 0x0b][..], &[7; 32]].concat();
    Ok(with_passwords(0x182, &[16], 1, &digests))
}

fn random(_: &mut Socket) -> Result<Vec<u8>> {
    Ok(command(0x17b, &[0, 32]))
}

fn write(tpm: &mut Socket) -> Result<Vec<u8>> {
    // Read and written by the owner, without protection against dictionary attacks.
    let public = [&INDEX.to_be_bytes()[..], &[0, 0x0b, 0x02, 0x02, 0, 0x02, 0, 0, 0, 32]].concat();
    tpm.succeed(&with_passwords(0x12a, &[OWNER], 1, &[vec![0, 0], sized(&public)].concat()))?;
    Ok(with_passwords(0x137, &[OWNER, INDEX], 1, &[&sized(&[7; 32])[..], &[0, 0]].concat()))
}

fn read(tpm: &mut Socket) -> Result<Vec<u8>> {
    // The index of the row before, or a new one.
    if let Ok(first) = write(tpm) {
        tpm.succeed(&first)?;
    }
    Ok(with_passwords(0x14e, &[OWNER, INDEX], 1, &[0, 32, 0, 0]))
}

/// What TPM2_CreatePrimary and TPM2_Create take, of this template.
fn creation(template: &[u8]) -> Vec<u8> {
    [&[0, 4, 0, 0, 0, 0][..], &sized(template), &[0; 6]].concat()
}

/// TPM2_CreatePrimary of a storage key.
fn primary(_: &mut Socket) -> Result<Vec<u8>> {
    let template = [
        &[0, 0x23, 0, 0x0b, 0, 3, 0x04, 0x72, 0, 0][..],
        &[0, 6, 0, 0x80, 0, 0x43, 0, 0x10, 0, 3, 0, 0x10, 0, 0, 0, 0],
    ];
    Ok(with_passwords(0x131, &[OWNER], 1, &creation(&template.concat())))
}

/// A signing key's template; a restricted one signs only what the TPM made.
fn signing_p256(is_restricted: bool) -> Vec<u8> {
    let attributes = [0, 4 + u8::from(is_restricted), 0x04, 0x72];
    let rest = [0, 0, 0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10, 0, 0, 0, 0];
    [&[0, 0x23, 0, 0x0b][..], &attributes, &rest].concat()
}

fn signing_rsa() -> Vec<u8> {
    [&[0, 1, 0, 0x0b, 0, 4, 0x04, 0x72, 0, 0][..], &[0, 0x10, 0, 0x14, 0, 0x0b, 8, 0, 0, 0, 0, 0, 0, 0]]
        .concat()
}

/// TPM2_Create under a new primary key.
fn create(tpm: &mut Socket, template: &[u8]) -> Result<Vec<u8>> {
    let parent = primary(tpm)?;
    let parent = Reader(&tpm.succeed(&parent)?).u32();
    Ok(with_passwords(0x153, &[parent], 1, &creation(template)))
}

/// A new key, loaded.
fn loaded(tpm: &mut Socket, template: &[u8]) -> Result<u32> {
    let create = create(tpm, template)?;
    let parent = Reader(create.get(10..).unwrap_or_default()).u32();
    let response = tpm.succeed(&create)?;
    let mut reader = Reader(response.get(4..).unwrap_or_default());
    let (private, public) = (reader.sized(), reader.sized());
    let parameters = [sized(private), sized(public)].concat();
    let response = tpm.succeed(&with_passwords(0x157, &[parent], 1, &parameters))?;
    Ok(Reader(&response).u32())
}

fn sign(tpm: &mut Socket, template: &[u8]) -> Result<Vec<u8>> {
    let key = loaded(tpm, template)?;
    // The key's own scheme, and no ticket.
    let parameters = [&sized(&[9; 32])[..], &[0, 0x10, 0x80, 0x24, 0x40, 0, 0, 7, 0, 0]].concat();
    Ok(with_passwords(0x15d, &[key], 1, &parameters))
}

fn quote(tpm: &mut Socket) -> Result<Vec<u8>> {
    let key = loaded(tpm, &signing_p256(true))?;
    // PCRs 0 to 7 of SHA-256.
    let parameters = [&sized(&[9; 20])[..], &[0, 0x10, 0, 0, 0, 1, 0, 0x0b, 3, 0xff, 0, 0]].concat();
    Ok(with_passwords(0x158, &[key], 1, &parameters))
}
