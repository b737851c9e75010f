//! The high precision event timer: a 64-bit counter at 100 MHz and three comparators.
//!
//! All three can be periodic, none offers messages (FSB delivery). Timers 0 and 1 may be routed to lines 20
//! to 23, timer 2 to line 11 as well, as in ICH9; with legacy replacement, timers 0 and 1 drive lines 0 and 8
//! in place of the PIT and the RTC.
//!
//! Source: IA-PC HPET specification 1.0a; the ICH9 datasheet, "High Precision Event Timer Registers".

mod comparator;

#[cfg(test)]
mod tests;

use crate::acpi_entry::AcpiEntry;
use crate::capability::{Device, Missing, MmioDevice, MmioRange, Platform, Present, TimedDevice, Width};
use acpi_tables::aml::Memory32Fixed;
use alloc::sync::Arc;
use alloc::vec::Vec;
use comparator::Comparator;
use core::sync::atomic::{AtomicBool, Ordering};

/// Where the HPET of a PC is.
pub const HPET_BASE: u64 = 0xfed0_0000;
/// The bytes of guest-physical address space it takes.
pub const HPET_BYTES: u64 = 0x400;
/// The counter's period in nanoseconds.
pub const HPET_TICK_NS: u64 = 10;
/// The low 32 bits of the capabilities register, which the ACPI table repeats: vendor 8086h, legacy
/// replacement, 64 bits, three timers, revision 1.
pub const HPET_ID: u32 = 0x8086_a201;

/// Registers and bits.
mod spec {
    pub const CAPABILITIES: u64 = 0x00;
    pub const CONFIGURATION: u64 = 0x10;
    pub const STATUS: u64 = 0x20;
    pub const COUNTER: u64 = 0xf0;
    pub const TIMERS: u64 = 0x100;

    pub const FS_PER_NS: u64 = 1_000_000;

    pub const ENABLE: u64 = 1 << 0;
    pub const LEGACY: u64 = 1 << 1;
}

/// The number of comparators.
const TIMERS: usize = 3;
// One bit a line, as the timer's own capability field has them.
const ROUTES: [u32; TIMERS] = [0x00f0_0000, 0x00f0_0000, 0x00f0_0800];

/// Whether the HPET has taken lines 0 and 8 from the PIT and the RTC, which hold a clone of this.
#[derive(Clone, Debug, Default)]
pub struct LegacyReplacement(Arc<AtomicBool>);

impl LegacyReplacement {
    /// Whether it has.
    pub fn is_on(&self) -> bool {
        // Nothing else is ordered by it: a line that changes hands a moment later is as good.
        self.0.load(Ordering::Relaxed)
    }
}

/// The timer block.
#[derive(Debug)]
pub struct Hpet {
    // Glue.
    legacy: LegacyReplacement,
    // Volatile state.
    configuration: u64,
    status: u64,
    /// The counter's value while it stands; when it runs, its value at `started_ns`.
    counter: u64,
    started_ns: u64,
    timers: [Comparator; TIMERS],
}

impl Hpet {
    /// A timer block that stands at 0.
    pub fn new(legacy: LegacyReplacement) -> Self {
        Self {
            legacy,
            configuration: 0,
            status: 0,
            counter: 0,
            started_ns: 0,
            timers: ROUTES.map(Comparator::new),
        }
    }

    fn runs(&self) -> bool {
        self.configuration & spec::ENABLE != 0
    }

    fn counter(&self, now_ns: u64) -> u64 {
        if self.runs() {
            // The platform's time never goes back; were it to, a counter that stands is better than one that
            // leaps.
            self.counter.wrapping_add(now_ns.saturating_sub(self.started_ns) / HPET_TICK_NS)
        } else {
            self.counter
        }
    }

    /// The line timer `index` drives; `None` while it has no route that is offered.
    fn line(&self, index: usize) -> Option<u8> {
        let legacy = self.configuration & spec::LEGACY != 0;
        match index {
            0 if legacy => Some(0),
            1 if legacy => Some(8),
            _ => self.timers.get(index)?.route(),
        }
    }

    /// Fires the comparators whose time has come.
    fn catch_up(&mut self, platform: &mut dyn Platform) {
        let now = self.counter(platform.now_ns());
        for index in 0..TIMERS {
            let line = self.line(index);
            let Some(timer) = self.timers.get_mut(index) else { return };
            if !timer.take_match(now) {
                continue;
            }
            // The status bit is for levels; an edge leaves nothing to clear.
            if timer.is_level() {
                self.status |= 1 << index;
                if timer.interrupts() {
                    drive(platform, line, true);
                }
            } else if timer.interrupts() {
                drive(platform, line, true);
                drive(platform, line, false);
            }
        }
    }

    fn read(&self, offset: u64, now_ns: u64) -> u64 {
        match offset {
            spec::CAPABILITIES => (HPET_TICK_NS * spec::FS_PER_NS) << 32 | u64::from(HPET_ID),
            spec::CONFIGURATION => self.configuration,
            spec::STATUS => self.status,
            spec::COUNTER => self.counter(now_ns),
            _ => match timer_register(offset) {
                Some((index, register)) => self.timers.get(index).map_or(0, |timer| timer.read(register)),
                None => 0,
            },
        }
    }

    /// Writes the bits of `mask` of an 8-byte register.
    fn write(&mut self, offset: u64, value: u64, mask: u64, platform: &mut dyn Platform) {
        match offset {
            spec::CONFIGURATION => self.write_configuration(value, mask, platform),
            spec::STATUS => self.clear_status(value & mask, platform),
            // A running counter is not to be written; it then goes on from the new value.
            spec::COUNTER => {
                let now_ns = platform.now_ns();
                self.counter = self.counter(now_ns) & !mask | value & mask;
                self.started_ns = now_ns;
                self.rearm(now_ns);
            }
            _ => {
                let Some((index, register)) = timer_register(offset) else { return };
                self.write_timer(index, register, value, mask, platform);
            }
        }
    }

    fn rearm(&mut self, now_ns: u64) {
        let now = self.counter(now_ns);
        for timer in &mut self.timers {
            timer.arm(now);
        }
    }

    fn write_configuration(&mut self, value: u64, mask: u64, platform: &mut dyn Platform) {
        let now_ns = platform.now_ns();
        self.counter = self.counter(now_ns);
        self.started_ns = now_ns;
        // Before the change, as afterwards nobody knows which lines they were.
        let released: [Option<u8>; TIMERS] = core::array::from_fn(|index| self.line(index));
        self.configuration = (self.configuration & !mask | value & mask) & (spec::ENABLE | spec::LEGACY);
        self.legacy.0.store(self.configuration & spec::LEGACY != 0, Ordering::Relaxed);
        // Legacy replacement moves timers 0 and 1 to other lines: what they hold high goes along.
        for (index, before) in released.into_iter().enumerate() {
            let line = self.line(index);
            if self.status >> index & 1 != 0 && before != line {
                drive(platform, before, false);
                drive(platform, line, true);
            }
        }
        // The distances to the matches were from the counter as it stood before.
        self.rearm(now_ns);
    }

    /// Writing ones ends level-triggered interrupts.
    fn clear_status(&mut self, ones: u64, platform: &mut dyn Platform) {
        for index in 0..TIMERS {
            if self.status & ones & 1 << index != 0 {
                self.status &= !(1 << index);
                drive(platform, self.line(index), false);
            }
        }
    }

    fn write_timer(
        &mut self,
        index: usize,
        register: u64,
        value: u64,
        mask: u64,
        platform: &mut dyn Platform,
    ) {
        // The write may route the timer elsewhere.
        let before = self.line(index);
        let now = self.counter(platform.now_ns());
        let Some(timer) = self.timers.get_mut(index) else { return };
        // What the timer did until now it did by its old registers; whoever called has caught up with that.
        timer.write(register, value, mask);
        timer.arm(now);
        // A line that its timer does not drive any more would stay high for good.
        let lost = !timer.is_level() || !timer.interrupts() || before != self.line(index);
        if lost && self.status >> index & 1 != 0 {
            self.status &= !(1 << index);
            drive(platform, before, false);
        }
    }
}

fn drive(platform: &mut dyn Platform, line: Option<u8>, level: bool) {
    if let Some(line) = line {
        platform.set_line(line, level);
    }
}

/// The number of the comparator at an offset, which need not be one that there is, and its register (0, 8 or
/// 10h).
fn timer_register(offset: u64) -> Option<(usize, u64)> {
    let offset = offset.checked_sub(spec::TIMERS)?;
    Some((usize::try_from(offset / 0x20).ok()?, offset % 0x20))
}

/// The HPET table (HPET specification, 3.2.4).
fn acpi_table() -> AcpiEntry {
    let mut body = Vec::from(HPET_ID.to_le_bytes());
    // System memory, 64 bits wide.
    body.extend([0, 64, 0, 0]);
    body.extend(HPET_BASE.to_le_bytes());
    // Number 0, least periodic tick, no page protection.
    body.extend([0, 0x80, 0x00, 0]);
    AcpiEntry::table(*b"HPET", 1, &body)
}

/// Its lines are those that the guest chooses, and with legacy replacement the PIT's and the RTC's: it owns
/// none.
impl Device for Hpet {
    const NAME: &'static str = "HPET";
    type Ports = Missing;
    type Mmio = Present;
    type Timer = Present;
    type Lines = Missing;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        let registers = Memory32Fixed::new(true, HPET_BASE as u32, HPET_BYTES as u32);
        [AcpiEntry::system("HPET", "PNP0103", &[&registers]), acpi_table()].into()
    }
}

impl MmioDevice for Hpet {
    fn ranges(&self) -> &[MmioRange] {
        &[MmioRange { gpa: HPET_BASE, bytes: HPET_BYTES }]
    }

    fn mmio_read(&mut self, offset: u64, width: Width, platform: &mut dyn Platform) -> u64 {
        // What has matched by now has to show in the status.
        self.catch_up(platform);
        let register = self.read(offset & !7, platform.now_ns());
        register >> (8 * (offset & 7)) & width.mask()
    }

    /// Stores are of an aligned half or a whole register (section 2.3); others are ignored.
    fn mmio_write(&mut self, offset: u64, width: Width, value: u64, platform: &mut dyn Platform) {
        if width.bytes() < 4 || !offset.is_multiple_of(width.bytes()) {
            return;
        }
        // A match that has come is by the old setting, and its line has to rise before the write changes
        // which that is.
        self.catch_up(platform);
        let shift = 8 * (offset & 7);
        self.write(offset & !7, value << shift, width.mask() << shift, platform);
    }
}

impl TimedDevice for Hpet {
    fn deadline_ns(&self) -> Option<u64> {
        // A counter that stands reaches no comparator.
        if !self.runs() {
            return None;
        }
        let ticks = self.timers.iter().filter_map(|timer| timer.ticks_from(self.counter)).min()?;
        ticks.checked_mul(HPET_TICK_NS)?.checked_add(self.started_ns)
    }

    fn expire(&mut self, platform: &mut dyn Platform) {
        self.catch_up(platform);
    }
}
