//! One comparator of the HPET.
//!
//! The main counter is 64 bits wide and wraps: "reached" means that the distance from when it was armed is
//! covered.

/// Bits of the configuration and capability register.
mod spec {
    pub const CONFIGURATION: u64 = 0x00;
    pub const COMPARATOR: u64 = 0x08;

    pub const LEVEL: u64 = 1 << 1;
    pub const INTERRUPT: u64 = 1 << 2;
    pub const PERIODIC: u64 = 1 << 3;
    pub const PERIODIC_CAPABLE: u64 = 1 << 4;
    pub const WIDE_CAPABLE: u64 = 1 << 5;
    /// The next write of the comparator sets it, not only the period.
    pub const SET_VALUE: u64 = 1 << 6;
    /// Compares 32 bits only.
    pub const NARROW: u64 = 1 << 8;
    pub const ROUTE: u64 = 0x1f << 9;
    pub const WRITABLE: u64 = LEVEL | INTERRUPT | PERIODIC | SET_VALUE | NARROW | ROUTE;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comparator {
    // Configuration.
    routes: u32,
    // Volatile state.
    configuration: u64,
    comparator: u64,
    period: u64,
    /// The main counter's value when the next match was looked for.
    armed_at: u64,
    /// The ticks from then to the match; 0 if there will be none.
    ahead: u64,
}

impl Comparator {
    pub fn new(routes: u32) -> Self {
        Self { routes, configuration: 0, comparator: u64::MAX, period: 0, armed_at: 0, ahead: 0 }
    }

    pub fn is_level(&self) -> bool {
        self.configuration & spec::LEVEL != 0
    }

    pub fn interrupts(&self) -> bool {
        self.configuration & spec::INTERRUPT != 0
    }

    fn is_periodic(&self) -> bool {
        self.configuration & spec::PERIODIC != 0
    }

    /// The bits that are compared.
    fn width_mask(&self) -> u64 {
        if self.configuration & spec::NARROW != 0 { u64::from(u32::MAX) } else { u64::MAX }
    }

    /// The line it is routed to, if that is one that is offered.
    pub fn route(&self) -> Option<u8> {
        let route = ((self.configuration & spec::ROUTE) >> 9) as u8;
        (self.routes >> route & 1 != 0).then_some(route)
    }

    /// The ticks to the next match from when the main counter was at `start`. `None` for a match nobody would
    /// notice: it is caught up with at the next access.
    pub fn ticks_from(&self, start: u64) -> Option<u64> {
        // No deadline for others: a vCPU would be woken for something that only a later read can see. The
        // write that made it one of these has armed it.
        let noticed = self.interrupts() || self.is_level();
        if noticed { self.armed_at.wrapping_sub(start).checked_add(self.ahead) } else { None }
    }

    pub fn read(&self, register: u64) -> u64 {
        match register {
            spec::CONFIGURATION => {
                self.configuration
                    | spec::PERIODIC_CAPABLE
                    | spec::WIDE_CAPABLE
                    | u64::from(self.routes) << 32
            }
            spec::COMPARATOR => self.comparator & self.width_mask(),
            _ => 0,
        }
    }

    /// Writes the bits of `mask`.
    pub fn write(&mut self, register: u64, value: u64, mask: u64) {
        match register {
            spec::CONFIGURATION => self.write_configuration(value, mask),
            spec::COMPARATOR => self.write_comparator(value, mask),
            _ => {}
        }
    }

    fn write_configuration(&mut self, value: u64, mask: u64) {
        let before = self.configuration;
        let mask = mask & spec::WRITABLE;
        self.configuration = before & !mask | value & mask;
        // A route that is not offered is not taken (section 2.3.8).
        if self.route().is_none() {
            self.configuration = self.configuration & !spec::ROUTE | before & spec::ROUTE;
        }
        let width_mask = self.width_mask();
        self.comparator &= width_mask;
        self.period &= width_mask;
    }

    /// In periodic mode a write sets the period, and the comparator as well after SET_VALUE, which it uses
    /// up.
    fn write_comparator(&mut self, value: u64, mask: u64) {
        let mask = mask & self.width_mask();
        // In periodic mode a write is the period, and the next match only with this bit, which a write clears
        // (2.3.8).
        if !self.is_periodic() || self.configuration & spec::SET_VALUE != 0 {
            self.comparator = self.comparator & !mask | value & mask;
        }
        if self.is_periodic() {
            self.period = self.period & !mask | value & mask;
        }
        self.configuration &= !spec::SET_VALUE;
    }

    /// Looks for the next match after the main counter's value `now`; one that is now comes when all has
    /// wrapped.
    pub fn arm(&mut self, now: u64) {
        // A comparator that equals the counter has matched: the next time is a whole turn ahead.
        let between = self.comparator.wrapping_sub(now).wrapping_sub(1) & self.width_mask();
        self.armed_at = now;
        self.ahead = between.saturating_add(1);
    }

    /// Whether the main counter matched by `now` since the last look; more than once counts as once.
    pub fn take_match(&mut self, now: u64) -> bool {
        let passed = now.wrapping_sub(self.armed_at);
        if self.ahead == 0 || passed < self.ahead {
            return false;
        }
        if self.is_periodic() && self.period != 0 {
            // However late this is, the next match keeps the phase, so that the guest's clock does not drift.
            let last = (passed - self.ahead) / self.period * self.period;
            let next = self.armed_at.wrapping_add(self.ahead).wrapping_add(last).wrapping_add(self.period);
            self.comparator = next & self.width_mask();
        }
        self.arm(now);
        true
    }
}
