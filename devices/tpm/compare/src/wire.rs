//! Bytes of commands and responses.

/// TPM_RS_PW.
pub const PASSWORD: u32 = 0x4000_0009;

/// The big-endian number of four bytes at a place; zero where there is none.
pub fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// A TPM2B.
pub fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// A command: its body behind a header.
pub fn framed(has_sessions: bool, code: u32, body: &[u8]) -> Vec<u8> {
    let tag = if has_sessions { 0x8002u16 } else { 0x8001 };
    let size = (10 + body.len()) as u32;
    [&tag.to_be_bytes()[..], &size.to_be_bytes(), &code.to_be_bytes(), body].concat()
}

/// A command without handles and sessions.
pub fn command(code: u32, parameters: &[u8]) -> Vec<u8> {
    framed(false, code, parameters)
}

/// A use of a session, as it stands in a command's authorization area.
pub fn session_use(handle: u32, nonce: &[u8], attributes: u8, hmac: &[u8]) -> Vec<u8> {
    [&handle.to_be_bytes()[..], &sized(nonce), &[attributes], &sized(hmac)].concat()
}

/// A command whose first handles are authorized by empty passwords, `count` of them.
pub fn with_passwords(code: u32, handles: &[u32], count: usize, parameters: &[u8]) -> Vec<u8> {
    let area: Vec<u8> = (0..count).flat_map(|_| session_use(PASSWORD, &[], 1, &[])).collect();
    let size = (area.len() as u32).to_be_bytes();
    framed(true, code, &[&numbers(handles), &size[..], &area, parameters].concat())
}

/// Numbers of four bytes.
pub fn numbers(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// What is read from the front of bytes. Whatever is not there reads as nothing.
#[derive(Clone, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// So many bytes, or what there is.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        front
    }

    /// Two bytes.
    pub fn u16(&mut self) -> u16 {
        self.take(2).iter().fold(0, |number, byte| (number << 8) | u16::from(*byte))
    }

    /// Four bytes.
    pub fn u32(&mut self) -> u32 {
        number(self.take(4), 0)
    }

    /// The content of a TPM2B.
    pub fn sized(&mut self) -> &'a [u8] {
        let size = self.u16();
        self.take(usize::from(size))
    }
}
