//! A kernel for tests: it notes what it is asked, and refuses what it is told to.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::{Groups, Kernel, Missing, Operation, Registers, Status};
use crate::vcpu::page::fake;

/// What was asked, and what is refused.
#[derive(Debug, Default)]
pub struct Asked {
    /// Groups, each time.
    pub fetched: Vec<Groups>,
    /// Handles of the operations that were executed.
    pub executed: Vec<u32>,
    /// Handles of the operations that have failed.
    pub failed: Vec<u32>,
    /// Whether groups are refused.
    pub refuses_groups: bool,
    /// Handles that are refused.
    pub refused: Vec<u32>,
}

/// The kernel.
#[derive(Clone, Copy, Debug)]
pub struct FakeKernel(pub &'static RefCell<Asked>);

impl Kernel for FakeKernel {
    fn fetch(self, groups: Groups) -> Result<(), Status> {
        let mut asked = self.0.borrow_mut();
        asked.fetched.push(groups);
        if asked.refuses_groups { Err(Status::WrongState) } else { Ok(()) }
    }

    fn execute(self, operations: &mut [Operation]) -> Result<(), (Status, usize)> {
        let asked = &mut *self.0.borrow_mut();
        for (index, operation) in operations.iter().enumerate() {
            if asked.refused.contains(&operation.handle) {
                return Err((Status::BadHandle, index));
            }
            asked.executed.push(operation.handle);
        }
        Ok(())
    }

    fn run(self) -> Result<u32, (Status, usize)> {
        Err((Status::WrongState, 0))
    }

    fn failed(self, _: Status, operation: &Operation) {
        self.0.borrow_mut().failed.push(operation.handle);
    }

    fn give_up(self, missing: Missing) -> ! {
        panic!("given up: {missing:?}")
    }
}

/// Registers whose page holds zeros.
pub fn registers() -> Registers<FakeKernel> {
    Registers::new(fake::pages(), FakeKernel(Box::leak(Box::default())))
}
