//! The event log that a guest finds: whether it gives the PCRs' values, and what it says of the payload.

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

/// TPM_ALG_SHA256.
const SHA256: u64 = 0xb;
/// Bytes of the digests that there may be, by algorithm.
const SIZES: [(u64, usize); 4] = [(0x4, 20), (SHA256, 32), (0xc, 48), (0xd, 64)];
/// Type of an event that is a tag and a text.
const EV_EVENT_TAG: u64 = 6;

/// What a log says.
#[derive(Debug, Default)]
pub struct Replayed {
    /// PCRs of the SHA-256 bank.
    pub pcrs: [[u8; 32]; 24],
    /// The texts of its tagged events, each behind the number of its PCR.
    pub texts: Vec<String>,
}

/// Little-endian numbers and bytes, one behind the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: u64) -> Result<&'a [u8]> {
        let count = usize::try_from(count)?;
        let (bytes, rest) = self.0.split_at_checked(count).context("the log ends within an event")?;
        self.0 = rest;
        Ok(bytes)
    }

    fn number(&mut self, count: u64) -> Result<u64> {
        Ok(self.bytes(count)?.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)))
    }
}

/// Replays a log in its crypto-agile form (TCG PC Client Platform Firmware Profile 1.06, chapter 10).
///
/// # Errors
/// When it has another form, or the digest of an event is not that of its data.
pub fn replay(log: &[u8]) -> Result<Replayed> {
    let mut reader = Reader(log);
    reader.bytes(28)?;
    let identity = reader.number(4).and_then(|size| reader.bytes(size))?;
    ensure!(identity.starts_with(b"Spec ID Event03\0"), "the log does not begin with its algorithms");
    let mut replayed = Replayed::default();
    while !reader.0.is_empty() {
        let (pcr, kind) = (reader.number(4)?, reader.number(4)?);
        let mut found = None;
        for _ in 0..reader.number(4)? {
            let algorithm = reader.number(2)?;
            let Some((_, size)) = SIZES.iter().find(|(known, _)| *known == algorithm) else {
                bail!("there is no algorithm {algorithm:#x}");
            };
            let digest = reader.bytes(*size as u64)?;
            found = if algorithm == SHA256 { Some(digest) } else { found };
        }
        let data = reader.number(4).and_then(|size| reader.bytes(size))?;
        let digest = found.context("an event has no SHA-256 digest")?;
        ensure!(digest == Sha256::digest(data).as_slice(), "an event's digest is not its data's");
        let value = replayed.pcrs.get_mut(usize::try_from(pcr)?).context("there is no such PCR")?;
        *value = Sha256::new().chain_update(*value).chain_update(digest).finalize().into();
        if kind == EV_EVENT_TAG {
            let text = data.get(8..).map(String::from_utf8_lossy).context("a tagged event without a tag")?;
            replayed.texts.push(format!("{pcr} {text}"));
        }
    }
    Ok(replayed)
}

/// What the log says of a part of the payload.
pub fn text_of(pcr: u32, name: &str, contents: &[u8]) -> String {
    format!("{pcr} {name} {} sha256 {}", contents.len(), hex(&Sha256::digest(contents)))
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes from hexadecimal.
///
/// # Errors
/// When it is none.
pub fn from_hex(text: &str) -> Result<Vec<u8>> {
    ensure!(text.is_ascii() && text.len().is_multiple_of(2), "not hexadecimal");
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of one event in PCR 9, with `digest`.
    fn log(digest: &[u8]) -> Vec<u8> {
        let mut log = [&[0; 28][..], &[16, 0, 0, 0], b"Spec ID Event03\0"].concat();
        log.extend([9, 0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0xb, 0]);
        log.extend(digest);
        log.extend([11, 0, 0, 0]);
        log.extend(b"tag-sizeabc");
        log
    }

    #[test]
    fn logs_are_replayed() {
        let digest = Sha256::digest(b"tag-sizeabc");
        let replayed = replay(&log(&digest)).unwrap();
        assert_eq!(replayed.texts, ["9 abc"]);
        assert_eq!(
            replayed.pcrs[9],
            <[u8; 32]>::from(Sha256::new().chain_update([0; 32]).chain_update(digest).finalize())
        );
        assert_eq!(replayed.pcrs[8], [0; 32]);
        assert!(replay(&log(&[0; 32])).is_err(), "another digest");
        let short = log(&digest);
        assert!(replay(&short[..short.len() - 1]).is_err());
        assert_eq!(from_hex(&hex(&[1, 0xab])).unwrap(), [1, 0xab]);
        assert!(from_hex("1").is_err() && from_hex("xx").is_err());
    }
}
