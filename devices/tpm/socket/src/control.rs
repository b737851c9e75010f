//! The control channel's commands (`tpm_ioctl.h` of swtpm): big-endian numbers, a request and a response.

use tpm2_engine::Tpm;

/// Numbers of the commands.
mod command {
    pub const GET_CAPABILITY: u32 = 1;
    pub const INIT: u32 = 2;
    pub const SHUTDOWN: u32 = 3;
    pub const GET_ESTABLISHED: u32 = 4;
    pub const SET_LOCALITY: u32 = 5;
    pub const HASH_START: u32 = 6;
    pub const HASH_DATA: u32 = 7;
    pub const HASH_END: u32 = 8;
    pub const CANCEL: u32 = 9;
    pub const STORE_VOLATILE: u32 = 10;
    pub const RESET_ESTABLISHED: u32 = 11;
    pub const STOP: u32 = 14;
    pub const GET_CONFIG: u32 = 15;
    pub const SET_DATAFD: u32 = 16;
    pub const SET_BUFFERSIZE: u32 = 17;
}

/// The commands that there are, a bit each, as GET_CAPABILITY returns them: all but state blobs and GET_INFO.
const CAPABILITIES: u64 = 0x3cff;

const OK: u32 = 0;
/// TPM_BAD_ORDINAL: what is not known.
const UNKNOWN: u32 = 0x0a;
/// TPM_FAIL.
const FAIL: u32 = 9;
/// TPM_BAD_LOCALITY.
const BAD_LOCALITY: u32 = 61;
/// Bytes of a command at most, which can't be changed.
pub const BUFFER: u32 = 4096;

/// What the rest of the program has to do after a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AfterCommand {
    /// Nothing.
    Go,
    /// Take the descriptor that came with the message as the data channel.
    TakeData,
    /// End.
    End,
}

/// What the control channel knows of the TPM.
pub struct Control {
    /// The locality of the commands to come.
    pub locality: u8,
    /// Whether INIT was there, so that commands are executed.
    pub is_running: bool,
    /// Whether a dynamic launch has been.
    is_established: bool,
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}

impl Control {
    /// A control channel of a TPM that runs already, or waits for INIT.
    pub const fn new(is_running: bool) -> Control {
        Control { locality: 0, is_running, is_established: false }
    }

    /// Executes a request and returns its response.
    pub fn execute(&mut self, tpm: &mut Tpm, request: &[u8]) -> (Vec<u8>, AfterCommand) {
        let result = |code: u32| (code.to_be_bytes().to_vec(), AfterCommand::Go);
        match number(request, 0) {
            command::GET_CAPABILITY => (CAPABILITIES.to_be_bytes().to_vec(), AfterCommand::Go),
            command::INIT => {
                tpm.power_on();
                // Power-on ends what an earlier client has chosen, too.
                (self.locality, self.is_running) = (0, true);
                result(OK)
            }
            command::SHUTDOWN => (OK.to_be_bytes().to_vec(), AfterCommand::End),
            command::GET_ESTABLISHED => {
                (vec![0, 0, 0, 0, u8::from(self.is_established), 0, 0, 0], AfterCommand::Go)
            }
            command::SET_LOCALITY => match request.get(4) {
                Some(locality @ 0..=4) => {
                    self.locality = *locality;
                    result(OK)
                }
                _ => result(BAD_LOCALITY),
            },
            command::HASH_START => {
                tpm.hash_start();
                result(OK)
            }
            command::HASH_DATA => {
                let size = number(request, 4) as usize;
                match request.get(8..).and_then(|data| data.get(..size)) {
                    Some(data) => tpm.hash_data(data),
                    None => return result(FAIL),
                }
                result(OK)
            }
            command::HASH_END => {
                tpm.hash_end();
                // Set by a dynamic launch, until firmware resets it.
                self.is_established = true;
                result(OK)
            }
            command::RESET_ESTABLISHED => {
                self.is_established = false;
                result(OK)
            }
            // A command has ended before the next message is read, so that there is none to cancel; and what
            // is volatile stays in the process.
            command::CANCEL | command::STORE_VOLATILE => result(OK),
            command::STOP => {
                self.is_running = false;
                result(OK)
            }
            command::GET_CONFIG => (vec![0; 8], AfterCommand::Go),
            command::SET_DATAFD => (OK.to_be_bytes().to_vec(), AfterCommand::TakeData),
            command::SET_BUFFERSIZE => {
                let sizes = [OK, BUFFER, BUFFER, BUFFER];
                (sizes.iter().flat_map(|size| size.to_be_bytes()).collect(), AfterCommand::Go)
            }
            _ => result(UNKNOWN),
        }
    }
}
