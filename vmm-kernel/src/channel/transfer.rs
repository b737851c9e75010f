//! How a message comes from a process and goes to one: through its memory, or, if it has nothing but a few
//! words, in registers.

use vcpu_abi::message::{Message, REGISTER_WORDS};
use vcpu_abi::status::Status;

use crate::memory::user_copy;
use crate::task::exchange::{Call, Form};
use crate::task::passed::has_handles;

/// A message of the running thread's, on its way in and then out.
pub trait Transfer {
    /// Copies what the thread sends to its place in a call. Returns the deadline, and whether it has handles.
    ///
    /// # Errors
    /// BadPointer: it can't be read; a part of it may be in place.
    fn send(&self, call: &mut Call) -> Result<(u64, bool), Status>;

    /// What the thread sends, with its deadline.
    ///
    /// # Errors
    /// BadPointer: it can't be read.
    fn message(&self) -> Result<(Message, Form), Status>;

    /// Gives the thread what is in a call. Returns in which form.
    ///
    /// # Errors
    /// BadPointer: it can't be written.
    fn receive(&mut self, call: &Call) -> Result<Form, Status>;

    /// Where the thread wants a message that has more than a few words.
    fn address(&self) -> u64;
}

/// A message in the process's memory.
pub struct InMemory {
    /// Its address.
    pub address: u64,
}

impl Transfer for InMemory {
    #[inline(always)]
    fn send(&self, call: &mut Call) -> Result<(u64, bool), Status> {
        call.form = Form::Message;
        user_copy::read_into(self.address, &mut call.message)?;
        // Taken out of the message: how long a caller waits is not for the server to know.
        let deadline_tsc = ::core::mem::take(&mut call.message.deadline_tsc);
        Ok((deadline_tsc, has_handles(&call.message.handles)))
    }

    fn message(&self) -> Result<(Message, Form), Status> {
        Ok((user_copy::read_value(self.address)?, Form::Message))
    }

    #[inline(always)]
    fn receive(&mut self, call: &Call) -> Result<Form, Status> {
        match call.form {
            Form::Message => user_copy::write_from(self.address, &call.message)?,
            // With zeros for the rest, as there the caller's memory still has what it sent.
            Form::Words => write_full(self.address, call)?,
        }
        Ok(Form::Message)
    }

    fn address(&self) -> u64 {
        self.address
    }
}

#[cold]
fn write_full(address: u64, call: &Call) -> Result<(), Status> {
    user_copy::write_value(address, &call.full())
}

/// The registers that carry a message, as the entry code keeps and loads them.
#[repr(C)]
pub struct Registers {
    /// R8, R9, R10 and R12.
    words: [u64; REGISTER_WORDS],
    /// RSI, on the way back.
    key: u64,
}

/// A message in registers.
pub struct InRegisters<'a> {
    /// The registers.
    pub registers: &'a mut Registers,
    /// The deadline, which is in another.
    pub deadline_tsc: u64,
    /// Where what comes back goes if it has more than fits.
    pub address: u64,
}

impl Transfer for InRegisters<'_> {
    #[inline(always)]
    fn send(&self, call: &mut Call) -> Result<(u64, bool), Status> {
        call.set_words(&self.registers.words);
        Ok((self.deadline_tsc, false))
    }

    fn message(&self) -> Result<(Message, Form), Status> {
        let mut message = Message { deadline_tsc: self.deadline_tsc, ..Message::default() };
        if let Some(first) = message.words.first_chunk_mut() {
            *first = self.registers.words;
        }
        Ok((message, Form::Words))
    }

    #[inline(always)]
    fn receive(&mut self, call: &Call) -> Result<Form, Status> {
        if call.form == Form::Words {
            self.registers.words = *call.words();
            self.registers.key = call.message.key;
        } else {
            user_copy::write_from(self.address, &call.message)?;
        }
        Ok(call.form)
    }

    fn address(&self) -> u64 {
        self.address
    }
}
