//! What is the same in each [`Machine`](decoder::Machine) of the oracle: registers that are plain fields.

/// The methods of a `Machine` that read and write the fields `gprs`, `rip`, `rflags`, `segments`, `cpl`,
/// `processor` and `paging`.
macro_rules! plain_registers {
    () => {
        fn gpr(&self, number: u8) -> u64 {
            self.gprs[usize::from(number)]
        }

        fn set_gpr(&mut self, number: u8, value: u64) {
            self.gprs[usize::from(number)] = value;
        }

        fn rip(&self) -> u64 {
            self.rip
        }

        fn set_rip(&mut self, value: u64) {
            self.rip = value;
        }

        fn rflags(&self) -> u64 {
            self.rflags
        }

        fn set_rflags(&mut self, value: u64) {
            self.rflags = value;
        }

        fn segment(&mut self, segment: Segment) -> SegmentState {
            self.segments[segment as usize]
        }

        fn cpl(&self) -> u8 {
            self.cpl
        }

        fn processor(&self) -> decoder::Processor {
            self.processor
        }

        fn paging(&self) -> Paging {
            self.paging
        }
    };
}

pub(crate) use plain_registers;
