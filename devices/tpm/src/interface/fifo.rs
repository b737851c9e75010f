//! The FIFO, which software knows as TIS (PC Client Platform TPM Profile, 6.5.2).

use alloc::vec::Vec;

use super::{BUFFER_BYTES, LOCALITIES, LOCALITY_BYTES, Ready, number, part, size};

const ACCESS: u64 = 0x00;
const INT_ENABLE: u64 = 0x08;
const INT_VECTOR: u64 = 0x0c;
const INT_STATUS: u64 = 0x10;
const INTF_CAPABILITY: u64 = 0x14;
const STS: u64 = 0x18;
const DATA_FIFO: u64 = 0x24;
const XDATA_FIFO: u64 = 0x80;
const DID_VID: u64 = 0xf00;
const RID: u64 = 0xf04;

/// ACCESS: the bits that are read and written.
const VALID: u8 = 1 << 7;
const ACTIVE: u8 = 1 << 5;
const SEIZED: u8 = 1 << 4;
const SEIZE: u8 = 1 << 3;
const PENDING: u8 = 1 << 2;
const REQUEST: u8 = 1 << 1;
const ESTABLISHMENT: u8 = 1 << 0;

/// STS.
const STS_VALID: u32 = 1 << 7;
const COMMAND_READY: u32 = 1 << 6;
const GO: u32 = 1 << 5;
const DATA_AVAILABLE: u32 = 1 << 4;
const EXPECT: u32 = 1 << 3;
const SELF_TEST_DONE: u32 = 1 << 2;
const RESPONSE_RETRY: u32 = 1 << 1;
const CANCEL: u32 = 1 << 24;
/// TPM family 2.0.
const FAMILY: u32 = 1 << 26;

/// Interface version 1.3 for a TPM 2.0, transfers of any size, a burst count that changes.
const CAPABILITY: u64 = 3 << 28 | 3 << 9;
/// FIFO of version 1.3; five localities.
const IDENTITY: (u64, u64) = (0x30, 1 << 8 | 1 << 13);
const VENDOR: u64 = 0x0001_1014;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Ready,
    Reception,
    Execution,
    Completion,
}

/// The registers.
#[derive(Clone, Debug)]
pub struct Fifo {
    active: Option<u8>,
    /// A bit a locality.
    requested: u8,
    seized: u8,
    state: State,
    data: Vec<u8>,
    /// What of the response has been read.
    position: usize,
}

impl Default for Fifo {
    fn default() -> Self {
        Fifo { active: None, requested: 0, seized: 0, state: State::Idle, data: Vec::new(), position: 0 }
    }
}

impl Fifo {
    /// The registers after a reset.
    #[must_use]
    pub fn new() -> Fifo {
        Fifo::default()
    }

    fn split(offset: u64) -> Option<(u8, u64)> {
        let locality =
            u8::try_from(offset / LOCALITY_BYTES).ok().filter(|locality| *locality < LOCALITIES)?;
        Some((locality, offset % LOCALITY_BYTES))
    }

    /// Reads registers at an offset from FED4_0000h. Reading the FIFO takes bytes out of it.
    pub fn read(&mut self, offset: u64, out: &mut [u8]) {
        out.fill(0xff);
        let Some((locality, register)) = Self::split(offset) else { return };
        if (DATA_FIFO..DATA_FIFO + 4).contains(&register) || (XDATA_FIFO..XDATA_FIFO + 4).contains(&register)
        {
            // Each byte is the next one, however wide the access is.
            out.iter_mut().for_each(|byte| *byte = self.take(locality));
            return;
        }
        out.fill(0);
        let access = u64::from(self.access(locality));
        // Who does not have the TPM is not told what another does with it.
        let status = if self.active == Some(locality) { u64::from(self.status()) } else { 0xffff_ffff };
        let all = [
            (ACCESS, access),
            // No interrupts: software polls.
            (INT_ENABLE, 0),
            (INT_VECTOR, 0),
            (INT_STATUS, 0),
            (INTF_CAPABILITY, CAPABILITY),
            (STS, status),
            IDENTITY,
            (DID_VID, VENDOR),
            (RID, 1),
        ];
        for (place, value) in all {
            part(value & 0xffff_ffff, place, register, out);
        }
    }

    fn access(&self, locality: u8) -> u8 {
        let bit = 1 << locality;
        // That bit is active low: set, it says that there was no dynamic launch, of which this interface is
        // not told.
        let mut access = VALID | ESTABLISHMENT;
        for (is_set, flag) in [
            (self.active == Some(locality), ACTIVE),
            (self.seized & bit != 0, SEIZED),
            (self.requested & !bit != 0, PENDING),
            (self.requested & bit != 0, REQUEST),
        ] {
            access |= if is_set { flag } else { 0 };
        }
        access
    }

    fn status(&self) -> u32 {
        let (flags, burst) = match self.state {
            // No burst: software keeps its bytes until there is room.
            State::Idle | State::Execution => (0, 0),
            State::Ready => (COMMAND_READY, BUFFER_BYTES),
            State::Reception => {
                let is_whole = size(&self.data).is_some_and(|size| self.data.len() >= size);
                (if is_whole { 0 } else { EXPECT }, BUFFER_BYTES - self.data.len().min(BUFFER_BYTES))
            }
            State::Completion => {
                let left = self.data.len().saturating_sub(self.position);
                (if left > 0 { DATA_AVAILABLE } else { 0 }, left)
            }
        };
        // These always: the status is never late, and self-tests run at TPM2_Startup.
        FAMILY | STS_VALID | SELF_TEST_DONE | flags | (u32::try_from(burst).unwrap_or(0) & 0xffff) << 8
    }

    fn take(&mut self, locality: u8) -> u8 {
        if self.active != Some(locality) || self.state != State::Completion {
            return 0xff;
        }
        let byte = self.data.get(self.position).copied();
        self.position += usize::from(byte.is_some());
        byte.unwrap_or(0xff)
    }

    /// Writes registers at an offset from FED4_0000h.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Ready {
        let Some((locality, register)) = Self::split(offset) else { return Ready::Nothing };
        // By this register anybody may ask for the TPM; all others are for who has it.
        if register == ACCESS {
            return self.write_access(locality, data.first().copied().unwrap_or(0));
        }
        if self.active != Some(locality) {
            return Ready::Nothing;
        }
        match register {
            STS => self.write_status(locality, number(data)),
            DATA_FIFO..0x28 | XDATA_FIFO..0x84 => {
                data.iter().for_each(|byte| self.put(*byte));
                Ready::Nothing
            }
            // The upper bytes of STS, of which one cancels.
            0x1b => self.write_status(locality, number(data) << 24),
            _ => Ready::Nothing,
        }
    }

    fn write_access(&mut self, locality: u8, value: u8) -> Ready {
        let bit = 1 << locality;
        // Software clears the bit by writing it.
        self.seized &= if value & SEIZED != 0 { !bit } else { 0xff };
        // Written, the bit gives the TPM up, or takes a request back.
        if value & ACTIVE != 0 {
            self.requested &= !bit;
            if self.active == Some(locality) {
                // The highest locality that has asked is next.
                let next = (0..LOCALITIES).rev().find(|next| self.requested & (1 << next) != 0);
                return self.activate(next);
            }
        // A higher locality may take the TPM from a lower one at any time, and from no other.
        } else if value & SEIZE != 0 && self.active.is_none_or(|active| active < locality) {
            if let Some(active) = self.active {
                self.seized |= 1 << active;
            }
            return self.activate(Some(locality));
        } else if value & REQUEST != 0 && self.active != Some(locality) {
            if self.active.is_none() {
                return self.activate(Some(locality));
            }
            self.requested |= bit;
        }
        Ready::Nothing
    }

    /// Another locality has the TPM: what was begun is given up.
    fn activate(&mut self, next: Option<u8>) -> Ready {
        let was_running = self.state == State::Execution;
        self.active = next;
        self.requested &= next.map_or(0xff, |next| !(1 << next));
        // What the former locality has sent or got is not the next one's.
        self.reset(State::Idle);
        if was_running { Ready::Cancel } else { Ready::Nothing }
    }

    fn reset(&mut self, state: State) {
        self.state = state;
        self.data.clear();
        self.position = 0;
    }

    fn write_status(&mut self, locality: u8, value: u32) -> Ready {
        if value & CANCEL != 0 && self.state == State::Execution {
            return Ready::Cancel;
        }
        if value & COMMAND_READY != 0 {
            let was_running = self.state == State::Execution;
            let is_busy = matches!(self.state, State::Reception | State::Execution | State::Completion);
            // Out of a command that was begun it leads to Idle first: software has to write it once more (PC
            // Client Platform TPM Profile, 6.5.2).
            self.reset(if is_busy { State::Idle } else { State::Ready });
            return if was_running { Ready::Cancel } else { Ready::Nothing };
        }
        if value & GO != 0 && self.state == State::Reception {
            // Only a whole command, by the size in its header.
            if size(&self.data).is_some_and(|size| self.data.len() >= size) {
                self.state = State::Execution;
                return Ready::Execute { locality };
            }
        } else if value & RESPONSE_RETRY != 0 && self.state == State::Completion {
            // The response from its start, for software that has lost a part of it.
            self.position = 0;
        }
        Ready::Nothing
    }

    fn put(&mut self, byte: u8) {
        if self.state == State::Ready {
            self.reset(State::Reception);
        }
        // The header is taken before its size is known. Bytes beyond the command are dropped, not an error.
        let expects = self.data.len() < size(&self.data).unwrap_or(10) && self.data.len() < BUFFER_BYTES;
        if self.state == State::Reception && expects {
            self.data.push(byte);
        }
    }

    /// The command that was started.
    #[must_use]
    pub fn command(&self) -> &[u8] {
        &self.data
    }

    /// Takes the response of the command that was started, unless it was given up.
    pub fn respond(&mut self, response: &[u8]) {
        if self.state == State::Execution {
            self.reset(State::Completion);
            self.data.extend_from_slice(response.get(..BUFFER_BYTES.min(response.len())).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: [u8; 12] = [0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 8];

    fn read(fifo: &mut Fifo, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        fifo.read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn access(fifo: &mut Fifo, locality: u64) -> u8 {
        let mut byte = [0];
        fifo.read(locality << 12, &mut byte);
        byte[0]
    }

    /// A FIFO of locality 0 with a command in it.
    fn filled() -> Fifo {
        let mut fifo = Fifo::new();
        fifo.write(ACCESS, &[REQUEST]);
        fifo.write(STS, &[COMMAND_READY as u8]);
        COMMAND.chunks(4).for_each(|chunk| assert_eq!(fifo.write(DATA_FIFO, chunk), Ready::Nothing));
        fifo
    }

    #[test]
    fn a_command_as_a_driver_gives_it() {
        let mut fifo = Fifo::new();
        assert_eq!(access(&mut fifo, 0), VALID | ESTABLISHMENT);
        assert_eq!(read(&mut fifo, STS), u32::MAX, "nobody is active");
        fifo.write(ACCESS, &[REQUEST]);
        assert_eq!(access(&mut fifo, 0), VALID | ESTABLISHMENT | ACTIVE);
        fifo.write(STS, &[0x40]);
        assert_eq!(read(&mut fifo, STS) & 0xff, 0xc4);
        assert_eq!(fifo.write(STS, &[0x20]), Ready::Nothing, "there is no command");
        for (at, byte) in COMMAND.iter().enumerate() {
            fifo.write(DATA_FIFO, &[*byte]);
            let expects = read(&mut fifo, STS) & EXPECT != 0;
            assert_eq!(expects, at + 1 < COMMAND.len(), "byte {at}");
        }
        assert_eq!(fifo.write(STS, &[0x20]), Ready::Execute { locality: 0 });
        assert_eq!(fifo.command(), COMMAND);
        assert_eq!(read(&mut fifo, STS) & 0x18, 0);
        fifo.respond(&[1, 2, 3, 4, 5]);
        assert_eq!(read(&mut fifo, STS) & 0x00ff_ff18, 0x510);
        assert_eq!(read(&mut fifo, DATA_FIFO), 0x0403_0201);
        assert_eq!(read(&mut fifo, DATA_FIFO), 0xffff_ff05);
        assert_eq!(read(&mut fifo, STS) & DATA_AVAILABLE, 0);
        fifo.write(STS, &[2]);
        assert_eq!(read(&mut fifo, DATA_FIFO), 0x0403_0201, "the response again");
        fifo.write(STS, &[0x40]);
        assert_eq!(read(&mut fifo, STS) & 0xff, 0x84, "idle");
    }

    #[test]
    fn commands_are_cancelled_and_given_up() {
        let mut fifo = filled();
        fifo.write(STS, &[0x20]);
        assert_eq!(fifo.write(STS, &CANCEL.to_le_bytes()), Ready::Cancel);
        assert_eq!(fifo.write(STS, &[0x40]), Ready::Cancel);
        fifo.respond(&[1]);
        assert_eq!(read(&mut fifo, DATA_FIFO), u32::MAX, "a response that nobody waits for");
    }

    #[test]
    fn localities_take_turns() {
        let mut fifo = filled();
        fifo.write(0x1000, &[REQUEST]);
        assert_eq!(access(&mut fifo, 0) & PENDING, PENDING);
        assert_eq!(access(&mut fifo, 1) & (REQUEST | ACTIVE), REQUEST);
        fifo.write(0x2000, &[SEIZE]);
        assert_eq!(access(&mut fifo, 0) & SEIZED, SEIZED);
        assert_eq!(access(&mut fifo, 2) & ACTIVE, ACTIVE);
        fifo.write(0x2000, &[ACTIVE]);
        assert_eq!(access(&mut fifo, 1) & ACTIVE, ACTIVE, "who has asked is next");
        fifo.write(ACCESS, &[SEIZED]);
        assert_eq!(access(&mut fifo, 0) & SEIZED, 0);
        assert_eq!(fifo.write(0x5000, &[REQUEST]), Ready::Nothing);
        assert_eq!(access(&mut fifo, 5), 0xff);
    }

    #[test]
    fn more_than_a_command_is_not_taken() {
        let mut fifo = filled();
        for _ in 0..10_000 {
            assert_eq!(fifo.write(DATA_FIFO, &[1; 4]), Ready::Nothing);
        }
        assert_eq!(fifo.command(), COMMAND);
    }

    #[test]
    fn who_has_not_the_tpm_does_nothing_with_it() {
        let mut fifo = Fifo::new();
        fifo.write(0x1000, &[REQUEST]);
        fifo.write(0x1000 + STS, &[COMMAND_READY as u8]);
        for byte in COMMAND {
            assert_eq!(fifo.write(0x1000 + DATA_FIFO, &[byte]), Ready::Nothing);
        }
        assert_eq!(read(&mut fifo, 0x1000 + DATA_FIFO), u32::MAX, "a command is not read back");
        for (place, value) in [(STS, 0x40), (DATA_FIFO, 7), (STS, 0x20), (ACCESS, SEIZE), (ACCESS, ACTIVE)] {
            assert_eq!(fifo.write(place, &[value]), Ready::Nothing);
            assert_eq!(access(&mut fifo, 1) & ACTIVE, ACTIVE);
            assert_eq!(fifo.command(), COMMAND);
        }
        assert_eq!(fifo.write(0x1000 + STS, &[0x20]), Ready::Execute { locality: 1 });
        fifo.respond(&[1, 2, 3, 4]);
        assert_eq!([STS, DATA_FIFO].map(|place| read(&mut fifo, place)), [u32::MAX; 2]);
        assert_eq!(read(&mut fifo, 0x1000 + DATA_FIFO), 0x0403_0201, "all of it is still there");
        // Who takes the TPM away finds nothing of it, either.
        fifo.write(0x1000 + STS, &[RESPONSE_RETRY as u8]);
        fifo.write(0x2000, &[SEIZE]);
        assert_eq!(read(&mut fifo, 0x2000 + DATA_FIFO), u32::MAX);
    }

    #[test]
    fn only_a_whole_command_is_executed() {
        let mut fifo = Fifo::new();
        fifo.write(ACCESS, &[REQUEST]);
        fifo.write(STS, &[COMMAND_READY as u8]);
        for byte in COMMAND {
            assert_eq!(fifo.write(STS, &[0x20]), Ready::Nothing);
            fifo.write(DATA_FIFO, &[byte]);
        }
        assert_eq!(fifo.write(STS, &[0x20]), Ready::Execute { locality: 0 });
    }
}
