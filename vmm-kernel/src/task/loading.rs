//! A program on its way into a process, piece by piece: nothing preempts the kernel during one.

use core::sync::atomic::Ordering;

use vcpu_abi::status::Status;

use super::elf::Program;
use super::process::Process;
use crate::layout::{PAGE, USER_STACK_BYTES, USER_STACK_TOP, USER_START_PAGE};
use crate::memory::space::Protection;

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Program,
    Stack(u64),
    StartPage,
    Done,
}

/// A program on its way into a process that nobody else knows yet.
pub struct Loading<'a> {
    program: Program<'a>,
    next: Step,
}

impl<'a> Loading<'a> {
    /// Of this file, of which nothing is there yet.
    pub fn new(file: &'a [u8]) -> Result<Self, Status> {
        Ok(Self { program: Program::new(file)?, next: Step::Program })
    }

    /// Does as much as is done in one go. Returns whether there is more to do.
    pub fn some(&mut self, process: &Process) -> Result<bool, Status> {
        let space = &process.space;
        self.next = match self.next {
            // The largest part, in as many goes as it takes; the steps behind it are small.
            Step::Program if self.program.load_some(space)? => Step::Program,
            Step::Program => {
                process.entry.store(self.program.entry()?, Ordering::Relaxed);
                Step::Stack(0)
            }
            Step::Stack(done) if done < USER_STACK_BYTES => {
                let bottom = USER_STACK_TOP - USER_STACK_BYTES;
                Step::Stack(
                    done + space.allocate_some(bottom, USER_STACK_BYTES, done, Protection::ReadWrite)?,
                )
            }
            Step::Stack(_) => {
                space.allocate(USER_START_PAGE, PAGE, Protection::Read)?;
                Step::StartPage
            }
            Step::StartPage | Step::Done => Step::Done,
        };
        Ok(!matches!(self.next, Step::Done))
    }
}
