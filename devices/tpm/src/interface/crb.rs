//! The command response buffer (PC Client Platform TPM Profile, 6.5.3).

use alloc::vec::Vec;

use super::{BUFFER_BYTES, LOCALITIES, LOCALITY_BYTES, Ready, number, part, size};

/// Where the first locality's registers are; the buffer's address is made of it.
pub const BASE: u64 = 0xfed4_0000;

const LOC_STATE: u64 = 0x00;
const LOC_CTRL: u64 = 0x08;
const LOC_STS: u64 = 0x0c;
const INTF_ID: u64 = 0x30;
const CTRL_REQ: u64 = 0x40;
const CTRL_STS: u64 = 0x44;
const CTRL_CANCEL: u64 = 0x48;
const CTRL_START: u64 = 0x4c;
const CTRL_CMD_SIZE: u64 = 0x58;
const CTRL_CMD_ADDR: u64 = 0x5c;
const CTRL_RSP_SIZE: u64 = 0x64;
const CTRL_RSP_ADDR: u64 = 0x68;
const DATA: u64 = 0x80;

/// CRB is there, in version 1, and selected; five localities; 64 bytes at a time.
const INTERFACE: u64 = 0x1 | 1 << 4 | 1 << 8 | 1 << 14 | 1 << 17 | 3 << 11;

const REQUEST_ACCESS: u32 = 1 << 0;
const RELINQUISH: u32 = 1 << 1;
const SEIZE: u32 = 1 << 2;
const COMMAND_READY: u32 = 1 << 0;
const GO_IDLE: u32 = 1 << 1;

/// The registers.
#[derive(Clone, Debug)]
pub struct Crb {
    /// The locality that is in use.
    active: Option<u8>,
    /// A bit a locality that was taken away from.
    seized: u8,
    is_idle: bool,
    is_running: bool,
    is_cancelled: bool,
    buffer: Vec<u8>,
}

impl Default for Crb {
    fn default() -> Self {
        Crb {
            active: None,
            seized: 0,
            is_idle: true,
            is_running: false,
            is_cancelled: false,
            buffer: alloc::vec![0; BUFFER_BYTES],
        }
    }
}

impl Crb {
    /// The registers after a reset.
    #[must_use]
    pub fn new() -> Crb {
        Crb::default()
    }

    fn split(offset: u64) -> Option<(u8, u64)> {
        let locality =
            u8::try_from(offset / LOCALITY_BYTES).ok().filter(|locality| *locality < LOCALITIES)?;
        Some((locality, offset % LOCALITY_BYTES))
    }

    /// Reads registers at an offset from [`BASE`]. What is no register reads as ones.
    pub fn read(&self, offset: u64, out: &mut [u8]) {
        // Where there is nothing, a bus reads ones.
        out.fill(0xff);
        let Some((locality, register)) = Self::split(offset) else { return };
        if register >= DATA {
            let start = usize::try_from(register - DATA).unwrap_or(usize::MAX);
            // What another locality sends and gets is not for this one.
            let is_visible = self.active == Some(locality);
            for (byte, found) in out.iter_mut().zip(self.buffer.iter().skip(start)) {
                *byte = if is_visible { *found } else { 0xff };
            }
            return;
        }
        out.fill(0);
        for (place, value) in self.registers(locality) {
            part(value, place, register, out);
        }
    }

    /// All registers of a locality, with their places.
    fn registers(&self, locality: u8) -> [(u64, u64); 12] {
        let is_granted = self.active == Some(locality);
        let assigned = self.active.map_or(0, |active| 1 << 1 | u64::from(active) << 2);
        let address = BASE + u64::from(locality) * LOCALITY_BYTES + DATA;
        let size = BUFFER_BYTES as u64;
        [
            // The registers are valid.
            (LOC_STATE, 1 << 7 | assigned),
            (LOC_CTRL, 0),
            (LOC_STS, u64::from(is_granted) | u64::from(self.seized >> locality & 1) << 1),
            (INTF_ID, INTERFACE),
            (CTRL_REQ, 0),
            (CTRL_STS, u64::from(self.is_idle) << 1),
            (CTRL_CANCEL, u64::from(self.is_cancelled)),
            (CTRL_START, u64::from(self.is_running)),
            (CTRL_CMD_SIZE, size),
            (CTRL_CMD_ADDR, address),
            (CTRL_RSP_SIZE, size),
            (CTRL_RSP_ADDR, address),
        ]
    }

    /// Writes registers at an offset from [`BASE`].
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Ready {
        let Some((locality, register)) = Self::split(offset) else { return Ready::Nothing };
        let value = number(data);
        // Before the check below, as who is not active asks by this register.
        if register == LOC_CTRL {
            self.control_locality(locality, value);
        }
        if self.active != Some(locality) {
            return Ready::Nothing;
        }
        match register {
            // While a command runs the buffer is the engine's, and stays as it is.
            CTRL_REQ if !self.is_running => {
                if value & COMMAND_READY != 0 {
                    self.is_idle = false;
                } else if value & GO_IDLE != 0 {
                    self.is_idle = true;
                    // A response may hold what was unsealed, which whoever comes next must not find.
                    self.buffer.fill(0);
                }
            }
            CTRL_CANCEL => {
                self.is_cancelled = value & 1 != 0;
                if self.is_cancelled && self.is_running {
                    return Ready::Cancel;
                }
            }
            // An idle TPM has no command: the buffer was cleared when it went idle.
            CTRL_START if value & 1 != 0 && !self.is_idle && !self.is_running => {
                self.is_running = true;
                return Ready::Execute { locality };
            }
            DATA.. if !self.is_running && !self.is_idle => {
                let start = usize::try_from(register - DATA).unwrap_or(usize::MAX);
                // What does not fit behind the last place is lost.
                let places = self.buffer.iter_mut().skip(start);
                places.zip(data).for_each(|(place, byte)| *place = *byte);
            }
            _ => {}
        }
        Ready::Nothing
    }

    fn control_locality(&mut self, locality: u8, value: u32) {
        // Not while a command runs: its response would be the next locality's to read.
        if value & RELINQUISH != 0 && self.active == Some(locality) && !self.is_running {
            self.active = None;
            // A response may hold what was unsealed, and this locality need not have gone idle.
            self.buffer.fill(0);
        }
        // A higher locality may take the TPM from a lower one, and from no other.
        let may_seize = self.active.is_none_or(|active| active < locality) && !self.is_running;
        if value & REQUEST_ACCESS != 0 && self.active.is_none() || value & SEIZE != 0 && may_seize {
            if let Some(active) = self.active {
                // By this bit the other one finds out that it has lost the TPM.
                self.seized |= 1 << active;
                self.buffer.fill(0);
            }
            self.active = Some(locality);
            self.seized &= !(1 << locality);
        }
    }

    /// The command that was started.
    #[must_use]
    pub fn command(&self) -> &[u8] {
        // An impossible size: the header alone, so that the engine refuses it with the code for that.
        let size = size(&self.buffer).unwrap_or(10);
        self.buffer.get(..size).unwrap_or_default()
    }

    /// Takes the response of the command that was started.
    pub fn respond(&mut self, response: &[u8]) {
        if self.is_running {
            // A short response must not leave the rest of the command behind it.
            self.buffer.fill(0);
            self.buffer.iter_mut().zip(response).for_each(|(place, byte)| *place = *byte);
            (self.is_running, self.is_cancelled) = (false, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(crb: &Crb, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        crb.read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    #[test]
    fn a_command_as_a_driver_gives_it() {
        let mut crb = Crb::new();
        assert_eq!(read(&crb, LOC_STATE), 0x80);
        assert_eq!(read(&crb, CTRL_STS), 2, "idle");
        assert_eq!(crb.write(CTRL_REQ, &[1]), Ready::Nothing);
        assert_eq!(read(&crb, CTRL_STS), 2, "without a locality nothing happens");
        crb.write(LOC_CTRL, &[1]);
        assert_eq!(read(&crb, LOC_STS), 1);
        assert_eq!(read(&crb, LOC_STATE), 0x82);
        assert_eq!(read(&crb, CTRL_CMD_ADDR), 0xfed4_0080);
        assert_eq!(read(&crb, CTRL_CMD_SIZE), 0xf80);
        assert_eq!(crb.write(CTRL_START, &[1]), Ready::Nothing, "it is idle");
        crb.write(CTRL_REQ, &[1, 0, 0, 0]);
        assert_eq!(read(&crb, CTRL_STS), 0);
        let command = [0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 8];
        for (at, chunk) in (0..).zip(command.chunks(4)) {
            crb.write(DATA + 4 * at, chunk);
        }
        assert_eq!(crb.write(CTRL_START, &[1]), Ready::Execute { locality: 0 });
        assert_eq!(read(&crb, CTRL_START), 1);
        assert_eq!(crb.command(), command);
        assert_eq!(crb.write(DATA, &[9]), Ready::Nothing, "the buffer is the TPM's now");
        assert_eq!(crb.write(CTRL_CANCEL, &[1]), Ready::Cancel);
        crb.respond(&[1, 2, 3, 4]);
        assert_eq!(read(&crb, CTRL_START), 0);
        assert_eq!(read(&crb, DATA), 0x0403_0201);
        crb.write(CTRL_REQ, &[2]);
        assert_eq!(read(&crb, DATA), 0, "idle again, and nothing is left");
    }

    #[test]
    fn a_higher_locality_seizes() {
        let mut crb = Crb::new();
        crb.write(LOC_CTRL, &[1]);
        crb.write(0x2000 + LOC_CTRL, &[1]);
        assert_eq!(read(&crb, 0x2000 + LOC_STS), 0);
        crb.write(0x2000 + LOC_CTRL, &[4]);
        assert_eq!(read(&crb, 0x2000 + LOC_STS), 1);
        assert_eq!(read(&crb, LOC_STS), 2, "has been seized");
        assert_eq!(read(&crb, DATA), u32::MAX, "another's buffer is not seen");
        crb.write(LOC_CTRL, &[4]);
        assert_eq!(read(&crb, LOC_STS), 2);
        crb.write(0x2000 + LOC_CTRL, &[2]);
        assert_eq!(read(&crb, LOC_STATE), 0x80);
    }

    #[test]
    fn no_locality_reads_what_was_for_another() {
        for next in [RELINQUISH, SEIZE] {
            let mut crb = Crb::new();
            crb.write(LOC_CTRL, &[1]);
            crb.write(CTRL_REQ, &[1]);
            crb.write(DATA, &[1, 2, 3, 4]);
            crb.write(CTRL_START, &[1]);
            crb.respond(&[5, 6, 7, 8]);
            if next == RELINQUISH {
                crb.write(LOC_CTRL, &RELINQUISH.to_le_bytes());
            }
            let taken = if next == SEIZE { SEIZE } else { REQUEST_ACCESS };
            crb.write(0x1000 + LOC_CTRL, &taken.to_le_bytes());
            assert_eq!(read(&crb, 0x1000 + LOC_STS) & 1, 1);
            assert_eq!(read(&crb, 0x1000 + DATA), 0);
        }
    }

    #[test]
    fn nothing_is_beyond_the_localities() {
        let mut crb = Crb::new();
        assert_eq!(read(&crb, 0x5000), u32::MAX);
        assert_eq!(crb.write(0x5000 + LOC_CTRL, &[1]), Ready::Nothing);
        assert_eq!(crb.write(u64::MAX, &[1; 8]), Ready::Nothing);
        assert_eq!(read(&crb, LOC_STATE), 0x80);
    }

    /// A buffer of locality 1 with a command of ten bytes in it.
    fn filled() -> Crb {
        let mut crb = Crb::new();
        crb.write(0x1000 + LOC_CTRL, &[1]);
        crb.write(0x1000 + CTRL_REQ, &[1]);
        crb.write(0x1000 + DATA, &[0x80, 1, 0, 0, 0, 10, 0, 0]);
        crb.write(0x1000 + DATA + 8, &[1, 0x7b]);
        crb
    }

    const COMMAND: [u8; 10] = [0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0x7b];

    #[test]
    fn a_command_that_runs_is_left_alone() {
        let mut crb = filled();
        crb.respond(&[9; 4]);
        assert_eq!(crb.command(), COMMAND, "nothing was started");
        assert_eq!(crb.write(0x1000 + CTRL_START, &[1]), Ready::Execute { locality: 1 });
        for (place, value) in [
            (0x1000 + CTRL_REQ, 2),
            (0x1000 + DATA, 7),
            (0x1000 + CTRL_START, 1),
            (0x1000 + LOC_CTRL, 2),
            (0x2000 + LOC_CTRL, 4),
        ] {
            assert_eq!(crb.write(place, &[value]), Ready::Nothing);
            assert_eq!((crb.command(), read(&crb, 0x1000 + LOC_STS)), (&COMMAND[..], 1), "{place:#x}");
            assert_eq!(read(&crb, 0x1000 + CTRL_STS), 0, "{place:#x}");
        }
        crb.respond(&[5; 4]);
        assert_eq!([DATA, DATA + 4].map(|place| read(&crb, 0x1000 + place)), [0x0505_0505, 0]);
    }

    #[test]
    fn an_idle_buffer_takes_nothing() {
        let mut crb = Crb::new();
        crb.write(LOC_CTRL, &[1]);
        crb.write(DATA, &[7]);
        crb.write(CTRL_REQ, &[1]);
        assert_eq!(read(&crb, DATA), 0);
    }

    #[test]
    fn a_lower_locality_takes_nothing() {
        let mut crb = filled();
        for value in [REQUEST_ACCESS, RELINQUISH, SEIZE] {
            crb.write(LOC_CTRL, &value.to_le_bytes());
            assert_eq!((read(&crb, 0x1000 + LOC_STS), crb.command()), (1, &COMMAND[..]));
        }
        crb.write(0x1000 + LOC_CTRL, &SEIZE.to_le_bytes());
        assert_eq!(read(&crb, 0x1000 + LOC_STS), 1, "nor is it taken from itself");
    }
}
