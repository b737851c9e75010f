//! One counter of the 8254, as a function of time in clocks.
//!
//! A count written is loaded by the next clock; *elapsed* is the number of clocks since then, without those
//! in which a low gate stopped modes 0 and 4.

use super::wave;

/// How the data port is read and written (control word bits 5:4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadWrite {
    Low,
    High,
    Both,
}

/// The counting element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    /// No count was loaded since the control word, or the trigger of modes 1 and 5 has not come.
    Idle,
    /// Counts since this clock.
    Since(u64),
    /// Stopped by the gate after so many clocks.
    Stopped(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counter {
    gate: bool,
    mode: u8,
    bcd: bool,
    access: ReadWrite,
    /// The low byte written, when the high byte is to follow.
    written_low: Option<u8>,
    /// Whether the next read of an [`ReadWrite::Both`] port is the high byte.
    read_high: bool,
    latched_count: Option<u16>,
    latched_status: Option<u8>,
    /// The count that is counted from; 1 to 10000h.
    reload: u64,
    /// A count written: takes over at this clock (modes 2 and 3) or at the next trigger (`u64::MAX`).
    next_reload: Option<(u64, u64)>,
    run: Run,
    /// When the output rises next, for an interrupt.
    rise: Option<u64>,
}

impl Counter {
    pub fn new(gate: bool) -> Self {
        Self {
            gate,
            mode: 0,
            bcd: false,
            access: ReadWrite::Both,
            written_low: None,
            read_high: false,
            latched_count: None,
            latched_status: None,
            reload: 0x1_0000,
            next_reload: None,
            run: Run::Idle,
            rise: None,
        }
    }

    /// A control word for this counter: the latch command, or a new mode, which stops it.
    pub fn control(&mut self, value: u8, now: u64) {
        let access = match value >> 4 & 3 {
            0 => return self.latch_count(now),
            1 => ReadWrite::Low,
            2 => ReadWrite::High,
            _ => ReadWrite::Both,
        };
        let mode = value >> 1 & 7;
        *self = Self {
            access,
            // Modes 6 and 7 are 2 and 3.
            mode: if mode > 5 { mode - 4 } else { mode },
            bcd: value & 1 != 0,
            // Everything else begins anew but the gate, which is a pin.
            ..Self::new(self.gate)
        };
    }

    fn is_periodic(&self) -> bool {
        matches!(self.mode, 2 | 3)
    }

    /// Started by the gate's rise, not by the count.
    fn is_triggered(&self) -> bool {
        matches!(self.mode, 1 | 5)
    }

    /// The modulus of the counting element.
    fn modulus(&self) -> u64 {
        if self.bcd { 10_000 } else { 0x1_0000 }
    }

    /// The base and the elapsed clocks as they are at `now`, with a new period's count taken over.
    fn position(&self, now: u64) -> Option<(u64, u64)> {
        match self.run {
            Run::Idle => None,
            Run::Stopped(elapsed) => Some((self.reload, elapsed)),
            Run::Since(start) => match self.next_reload {
                Some((at, reload)) if self.is_periodic() && now >= at => Some((reload, now - at)),
                _ => Some((self.reload, now.saturating_sub(start))),
            },
        }
    }

    /// Makes a count that has taken over by `now` the counter's own.
    fn apply_reload(&mut self, now: u64) {
        if let (Run::Since(_), Some((at, reload))) = (self.run, self.next_reload)
            && self.is_periodic()
            && now >= at
        {
            self.run = Run::Since(at);
            self.reload = reload;
            self.next_reload = None;
        }
    }

    /// The OUT pin.
    pub fn output(&self, now: u64) -> bool {
        match self.position(now) {
            Some((reload, elapsed)) => wave::output(self.mode, self.gate, reload, elapsed),
            None => self.mode != 0,
        }
    }

    /// The counting element's value, as read: binary or BCD.
    fn count(&self, now: u64) -> u16 {
        // What a counter shows before it was loaded is not defined.
        let Some((reload, elapsed)) = self.position(now) else { return 0 };
        let value = wave::value(self.mode, self.modulus(), reload, elapsed);
        if self.bcd { wave::to_bcd(value) } else { value as u16 }
    }

    pub fn latch_count(&mut self, now: u64) {
        // A count that is latched stays until it is read, however often the command comes.
        if self.latched_count.is_none() {
            self.latched_count = Some(self.count(now));
        }
    }

    /// Latches the status byte: output, null count, access, mode, BCD.
    pub fn latch_status(&mut self, now: u64) {
        self.apply_reload(now);
        // Set as long as a count that was written is not the one that is counted from (8254 datasheet,
        // read-back command).
        let null_count = match self.run {
            Run::Idle => true,
            Run::Since(start) => now < start || self.next_reload.is_some(),
            Run::Stopped(_) => self.next_reload.is_some(),
        };
        let access = match self.access {
            ReadWrite::Low => 1,
            ReadWrite::High => 2,
            ReadWrite::Both => 3,
        };
        let status = u8::from(self.output(now)) << 7
            | u8::from(null_count) << 6
            | access << 4
            | self.mode << 1
            | u8::from(self.bcd);
        // A second latch before the first was read does nothing, as for a count.
        self.latched_status.get_or_insert(status);
    }

    /// Reads the data port.
    pub fn read(&mut self, now: u64) -> u8 {
        // A latched status comes before a latched count (8254 datasheet, read-back command).
        if let Some(status) = self.latched_status.take() {
            return status;
        }
        let [low, high] = self.latched_count.unwrap_or_else(|| self.count(now)).to_le_bytes();
        let first_of_two = self.access == ReadWrite::Both && !self.read_high;
        let takes_high = self.access == ReadWrite::High || self.read_high;
        self.read_high = first_of_two;
        // Both bytes of a latched count are of one moment.
        if !first_of_two {
            self.latched_count = None;
        }
        if takes_high { high } else { low }
    }

    /// Writes the data port.
    pub fn write(&mut self, value: u8, now: u64) {
        let count = match self.access {
            ReadWrite::Low => u16::from(value),
            ReadWrite::High => u16::from(value) << 8,
            ReadWrite::Both => match self.written_low.take() {
                None => {
                    self.written_low = Some(value);
                    if self.mode == 0 {
                        // The first byte stops mode 0, with its output low.
                        self.run = Run::Idle;
                        self.rise = None;
                    }
                    return;
                }
                Some(low) => u16::from_le_bytes([low, value]),
            },
        };
        self.load(count, now);
    }

    fn load(&mut self, count: u16, now: u64) {
        let modulus = self.modulus();
        let count = if self.bcd { wave::from_bcd(count) } else { u64::from(count) };
        // A count of 0 is the largest. Modes 2 and 3 have no period of 1; it counts as 2.
        let least = if self.is_periodic() { 2 } else { 1 };
        let count = if count == 0 { modulus } else { count.max(least) };
        self.apply_reload(now);
        if self.is_triggered() {
            // The count waits for the trigger, whenever that comes.
            self.next_reload = Some((u64::MAX, count));
            return;
        }
        match self.run {
            Run::Since(start) if self.is_periodic() && now >= start => {
                // The period that runs is finished with the old count.
                let periods = (now - start) / self.reload + 1;
                self.next_reload = Some((start + periods * self.reload, count));
            }
            Run::Stopped(_) if self.is_periodic() => self.next_reload = Some((u64::MAX, count)),
            _ => {
                self.reload = count;
                self.next_reload = None;
                self.start(now);
            }
        }
    }

    /// Starts from the reload value with the next clock.
    fn start(&mut self, now: u64) {
        // A count that is written is loaded with the next clock (8254 datasheet, mode definitions).
        let since = now + 1;
        self.run = if self.gate || self.is_triggered() { Run::Since(since) } else { Run::Stopped(0) };
        self.schedule_rise();
    }

    fn schedule_rise(&mut self) {
        self.rise = match self.run {
            // The strobe is low for one clock, behind the count's end.
            Run::Since(start) if self.mode == 4 || self.mode == 5 => Some(start + self.reload + 1),
            Run::Since(start) => Some(start + self.reload),
            _ => None,
        };
    }

    /// Drives the GATE pin.
    pub fn set_gate(&mut self, gate: bool, now: u64) {
        self.apply_reload(now);
        if gate == self.gate {
            return;
        }
        self.gate = gate;
        if gate && (self.is_triggered() || self.is_periodic()) {
            // The trigger of modes 1 and 5; modes 2 and 3 start their period anew.
            // A trigger takes the count that was written last.
            let loaded = self.next_reload.take().map(|(_, count)| self.reload = count).is_some();
            if loaded || self.run != Run::Idle {
                self.start(now);
            }
        } else if !self.is_triggered() {
            // What counts had its gate high until now, and what was stopped had it low.
            self.run = match self.run {
                Run::Since(start) => Run::Stopped(now.saturating_sub(start)),
                Run::Stopped(elapsed) => Run::Since(now.saturating_sub(elapsed)),
                Run::Idle => Run::Idle,
            };
            self.schedule_rise();
        }
    }

    /// When the output rises next.
    pub fn next_rise(&self) -> Option<u64> {
        self.rise
    }

    /// Whether the output rose by `now` since the last call; more than once counts as once.
    pub fn take_rise(&mut self, now: u64) -> bool {
        // Only what an interrupt hangs on is scheduled; the pin itself is computed when somebody looks.
        let Some(rise) = self.rise else { return false };
        if now < rise {
            return false;
        }
        self.apply_reload(now);
        self.rise = match self.run {
            Run::Since(start) if self.is_periodic() => {
                // From the start and not from now: rises stay in phase however late this is.
                let periods = now.saturating_sub(start) / self.reload + 1;
                Some(start + periods * self.reload)
            }
            _ => None,
        };
        true
    }
}
