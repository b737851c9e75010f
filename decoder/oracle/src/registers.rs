//! What is the same in each [`Machine`](decoder::Machine) of the oracle: registers that are plain fields.

/// The methods of a `Machine` that read and write the fields `gprs`, `rip`, `rflags`, `segments`,
/// `selectors`, `system_segments`, `tables`, `cpl`, `processor` and `paging`.
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

        fn selector(&mut self, segment: Segment) -> u16 {
            self.selectors[segment as usize]
        }

        fn set_segment(&mut self, segment: Segment, selector: u16, state: SegmentState) {
            self.selectors[segment as usize] = selector;
            self.segments[segment as usize] = state;
        }

        fn system_segment(&mut self, which: SystemSegment) -> (u16, SegmentState) {
            self.system_segments[which as usize]
        }

        fn set_system_segment(&mut self, which: SystemSegment, selector: u16, state: SegmentState) {
            self.system_segments[which as usize] = (selector, state);
        }

        fn descriptor_table(&mut self, which: Table) -> DescriptorTable {
            self.tables[which as usize]
        }

        fn set_descriptor_table(&mut self, which: Table, value: DescriptorTable) {
            self.tables[which as usize] = value;
        }

        fn set_cpl(&mut self, cpl: u8) {
            self.cpl = cpl;
        }
    };
}

pub(crate) use plain_registers;
