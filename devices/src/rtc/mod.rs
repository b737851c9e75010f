//! The real-time clock and its CMOS memory.
//!
//! The time of day is a number of seconds at the last *anchor* plus the guest time gone by since; the
//! registers are made from it when read. While SET or the divider's reset stops the clock, the anchor is the
//! frozen time. Setting the divider running again makes the next update come half a second later, as the
//! datasheet says and Linux relies on.
//!
//! Interrupt flags are brought up to date when anybody looks (`catch_up`), so a guest may poll them with
//! interrupts off; a deadline exists only while an interrupt is enabled and its flag is clear. The update
//! itself takes no time here: UIP covers the 244 microseconds before it.

pub mod calendar;
pub mod spec;

use alloc::vec::Vec;

use crate::{
    acpi_entry::{AcpiEntry, Resource},
    bus,
    capability::{Device, LineDevice, Missing, Platform, PortDevice, PortRange, Present, TimedDevice, Width},
};
use calendar::{Alarm, Fields};

const NS_PER_S: u64 = 1_000_000_000;

/// What the CMOS memory says about the machine, for firmware and old kernels.
#[derive(Clone, Copy, Debug, Default)]
pub struct CmosConfig {
    /// Bytes of RAM below 4 GiB.
    pub low_ram_bytes: u64,
    /// Bytes of RAM from 4 GiB on.
    pub high_ram_bytes: u64,
    /// Number of CPUs.
    pub cpus: u32,
}

/// The clock.
#[derive(Debug)]
pub struct Rtc {
    // Glue.
    line_level: bool,
    // Volatile state.
    index: u8,
    extended_index: u8,
    nmi_masked: bool,
    /// Time of day in seconds since 1970 at `anchor_ns`.
    anchor_s: i64,
    /// Guest time at which a second began, that second being `anchor_s`.
    anchor_ns: u64,
    /// Up to when the flags in register C are right.
    seen_ns: u64,
    register_a: u8,
    register_b: u8,
    register_c: u8,
    /// All 256 bytes; those of the clock itself are unused, except for the alarm's.
    memory: [u8; 256],
}

impl Rtc {
    /// A clock that shows `unix_s` (seconds since 1970, UTC) at guest time 0.
    pub fn new(unix_s: i64, config: &CmosConfig) -> Self {
        Self {
            line_level: false,
            index: 0,
            extended_index: 0x80,
            nmi_masked: false,
            // Far outside the years 0 to 9999 that four digits can show, nothing is lost by the clamp.
            anchor_s: unix_s.clamp(-(1 << 40), 1 << 40),
            anchor_ns: 0,
            seen_ns: 0,
            register_a: spec::A_RESET,
            register_b: spec::B_24_HOUR,
            register_c: 0,
            memory: cmos_memory(config),
        }
    }

    /// Whether the guest has masked NMI (bit 7 of port 70h).
    pub fn nmi_masked(&self) -> bool {
        self.nmi_masked
    }

    fn stopped(&self) -> bool {
        self.register_b & spec::B_SET != 0 || self.divider_reset()
    }

    fn divider_reset(&self) -> bool {
        self.register_a & spec::A_DIVIDER_RESET == spec::A_DIVIDER_RESET
    }

    /// Seconds since 1970 now, and nanoseconds since that second began.
    fn time(&self, now_ns: u64) -> (i64, u64) {
        // A clock that stands shows what the guest writes to it, and has no fraction.
        if self.stopped() {
            return (self.anchor_s, 0);
        }
        // Before the first update after a divider reset the anchor lies ahead; the second is the anchor's.
        let gone = now_ns.saturating_sub(self.anchor_ns);
        (self.anchor_s.saturating_add((gone / NS_PER_S) as i64), gone % NS_PER_S)
    }

    fn update_in_progress(&self, now_ns: u64) -> bool {
        !self.stopped() && self.time(now_ns).1 >= NS_PER_S - spec::UIP_NS
    }

    fn decode(&self, value: u8) -> u8 {
        if self.register_b & spec::B_BINARY != 0 {
            value
        } else {
            (value >> 4).wrapping_mul(10).wrapping_add(value & 0x0f)
        }
    }

    fn encode(&self, value: u8) -> u8 {
        if self.register_b & spec::B_BINARY != 0 { value } else { ((value / 10) << 4) | (value % 10) }
    }

    fn decode_hour(&self, value: u8) -> u8 {
        if self.register_b & spec::B_24_HOUR != 0 {
            return self.decode(value);
        }
        let afternoon = if value & 0x80 != 0 { 12 } else { 0 };
        let hour = self.decode(value & 0x7f);
        // An hour that is none stays one, so that an alarm at it never matches.
        if hour == 12 { afternoon } else { hour.wrapping_add(afternoon) }
    }

    fn encode_hour(&self, hour: u8) -> u8 {
        if self.register_b & spec::B_24_HOUR != 0 {
            return self.encode(hour);
        }
        let twelve = if hour.is_multiple_of(12) { 12 } else { hour % 12 };
        self.encode(twelve) | if hour >= 12 { 0x80 } else { 0 }
    }

    fn alarm(&self) -> Alarm {
        // Both top bits set: any value matches.
        let field = |index: u8| {
            let value = self.memory.get(usize::from(index)).copied().unwrap_or(0xff);
            // Before decoding: these are codes and no numbers.
            (value < 0xc0).then_some(value)
        };
        Alarm {
            second: field(spec::SECONDS_ALARM).map(|v| self.decode(v)),
            minute: field(spec::MINUTES_ALARM).map(|v| self.decode(v)),
            hour: field(spec::HOURS_ALARM).map(|v| self.decode_hour(v)),
        }
    }

    /// The periodic interrupt's frequency as a power of two; `None` if there is none (datasheet, table 5,
    /// 32,768 Hz).
    fn periodic_hz(&self) -> Option<u64> {
        match self.register_a & spec::A_RATE {
            0 => None,
            rate @ 1..=2 => Some(1 << (9 - rate)),
            rate => Some(1 << (16 - rate)),
        }
    }

    /// Periods gone by at `now_ns`, counted from guest time 0.
    fn periods(&self, hz: u64, now_ns: u64) -> u64 {
        (now_ns / NS_PER_S).saturating_mul(hz) + now_ns % NS_PER_S * hz / NS_PER_S
    }

    /// Guest time at which the second `unix_s` begins.
    fn second_ns(&self, unix_s: i64) -> u64 {
        let seconds = unix_s.saturating_sub(self.anchor_s).max(0) as u64;
        self.anchor_ns.saturating_add(seconds.saturating_mul(NS_PER_S))
    }

    /// Sets the flags of what has happened since the last call.
    fn catch_up(&mut self, now_ns: u64) {
        // Before the return below: while the divider is held time passes as well, and must not be made up
        // for.
        let seen_ns = core::mem::replace(&mut self.seen_ns, now_ns);
        // Nothing counts while the divider is held.
        if self.divider_reset() {
            return;
        }
        if let Some(hz) = self.periodic_hz()
            && self.periods(hz, seen_ns) != self.periods(hz, now_ns)
        {
            self.register_c |= spec::C_PF;
        }
        // Seconds that went by unseen are one update to the guest, but an alarm among them counts.
        let (before, now) = (self.time(seen_ns).0, self.time(now_ns).0);
        if before != now {
            self.register_c |= spec::C_UF;
            if self.alarm().next_after(before).is_some_and(|at| at <= now) {
                self.register_c |= spec::C_AF;
            }
        }
    }

    fn update(&mut self, platform: &mut dyn Platform) {
        let level = self.register_c & self.register_b & (spec::C_PF | spec::C_AF | spec::C_UF) != 0;
        if level != self.line_level {
            self.line_level = level;
            platform.set_line(spec::LINE, level);
        }
    }

    fn read_register(&mut self, index: u8, now_ns: u64) -> u8 {
        let fields = Fields::from_unix(self.time(now_ns).0);
        match index {
            spec::SECONDS => self.encode(fields.second),
            spec::MINUTES => self.encode(fields.minute),
            spec::HOURS => self.encode_hour(fields.hour),
            spec::WEEKDAY => self.encode(fields.weekday),
            spec::DAY => self.encode(fields.day),
            spec::MONTH => self.encode(fields.month),
            spec::YEAR => self.encode(fields.year),
            spec::CENTURY => self.encode(fields.century),
            spec::REGISTER_A if self.update_in_progress(now_ns) => self.register_a | spec::A_UIP,
            spec::REGISTER_A => self.register_a,
            spec::REGISTER_B => self.register_b,
            spec::REGISTER_C => {
                // Reading clears all flags and lets go of the line.
                let flags = core::mem::take(&mut self.register_c);
                if flags & self.register_b & 0x70 != 0 { flags | spec::C_IRQF } else { flags }
            }
            spec::REGISTER_D => spec::D_VRT,
            _ => self.memory.get(usize::from(index)).copied().unwrap_or(0xff),
        }
    }

    fn write_register(&mut self, index: u8, value: u8, now_ns: u64) {
        match index {
            spec::SECONDS
            | spec::MINUTES
            | spec::HOURS
            | spec::WEEKDAY
            | spec::DAY
            | spec::MONTH
            | spec::YEAR
            | spec::CENTURY => self.write_time(index, value, now_ns),
            spec::REGISTER_A => self.write_register_a(value & !spec::A_UIP, now_ns),
            spec::REGISTER_B => self.write_register_b(value, now_ns),
            // Registers C and D are read-only: what is written to them nobody reads.
            _ => {
                if let Some(byte) = self.memory.get_mut(usize::from(index)) {
                    *byte = value;
                }
            }
        }
    }

    fn write_time(&mut self, index: u8, value: u8, now_ns: u64) {
        // One field changes at a time; the others are of now.
        let (seconds, phase_ns) = self.time(now_ns);
        let mut fields = Fields::from_unix(seconds);
        match index {
            spec::SECONDS => fields.second = self.decode(value),
            spec::MINUTES => fields.minute = self.decode(value),
            spec::HOURS => fields.hour = self.decode_hour(value),
            spec::DAY => fields.day = self.decode(value),
            spec::MONTH => fields.month = self.decode(value),
            spec::YEAR => fields.year = self.decode(value),
            spec::CENTURY => fields.century = self.decode(value),
            // The day of the week follows from the date.
            _ => return,
        }
        self.anchor_s = fields.to_unix();
        // The fraction of the second is not written, and goes on.
        self.anchor_ns = now_ns.saturating_sub(phase_ns);
    }

    /// Moves the anchor to now, so that a change of SET or the divider counts from here.
    fn freeze(&mut self, now_ns: u64) {
        (self.anchor_s, _) = self.time(now_ns);
        self.anchor_ns = now_ns;
    }

    fn write_register_a(&mut self, value: u8, now_ns: u64) {
        let was_reset = self.divider_reset();
        let phase_ns = self.time(now_ns).1;
        // By the old divider, before there is a new one.
        self.freeze(now_ns);
        self.register_a = value;
        if was_reset && !self.divider_reset() {
            // The first update comes half a second after the divider is let go (datasheet, "Divider
            // Control").
            self.anchor_ns = now_ns.saturating_sub(NS_PER_S / 2);
        } else {
            self.anchor_ns = now_ns.saturating_sub(phase_ns);
        }
    }

    fn write_register_b(&mut self, value: u8, now_ns: u64) {
        let set = value & spec::B_SET != 0;
        if set && self.register_b & spec::B_SET == 0 {
            self.freeze(now_ns);
        } else if !set && self.register_b & spec::B_SET != 0 && !self.divider_reset() {
            // A second begins as SET goes.
            self.anchor_ns = now_ns;
        }
        // SET clears UIE (datasheet, "SET").
        self.register_b = if set { value & !spec::B_UIE } else { value };
    }

    fn read_byte(&mut self, port: u16, now_ns: u64) -> u8 {
        match port {
            spec::DATA => self.read_register(self.index, now_ns),
            spec::EXTENDED_DATA => self.read_register(self.extended_index, now_ns),
            _ => 0xff,
        }
    }

    fn write_byte(&mut self, port: u16, value: u8, now_ns: u64) {
        match port {
            spec::INDEX => {
                self.index = value & 0x7f;
                self.nmi_masked = value & 0x80 != 0;
            }
            spec::DATA => self.write_register(self.index, value, now_ns),
            spec::EXTENDED_INDEX => self.extended_index = value | 0x80,
            spec::EXTENDED_DATA => self.write_register(self.extended_index, value, now_ns),
            _ => {}
        }
    }
}

impl Device for Rtc {
    const NAME: &'static str = "real-time clock";
    type Ports = Present;
    type Mmio = Missing;
    type Timer = Present;
    type Lines = Present;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        let ports = Resource::Ports(PortRange { first: spec::INDEX, count: 4 });
        AcpiEntry::isa(b"RTC_", b"PNP0B00", &[ports, Resource::Line(spec::LINE)])
    }
}

impl LineDevice for Rtc {
    fn lines(&self) -> &[u8] {
        &[spec::LINE]
    }
}

impl PortDevice for Rtc {
    fn ports(&self) -> &[PortRange] {
        spec::PORTS
    }

    fn port_read(&mut self, port: u16, width: Width, platform: &mut dyn Platform) -> u32 {
        let now_ns = platform.now_ns();
        self.catch_up(now_ns);
        let value = bus::read_bytes(port, width, |p| self.read_byte(p, now_ns));
        self.update(platform);
        value
    }

    fn port_write(&mut self, port: u16, width: Width, value: u32, platform: &mut dyn Platform) {
        let now_ns = platform.now_ns();
        self.catch_up(now_ns);
        bus::write_bytes(port, width, value, |p, byte| self.write_byte(p, byte, now_ns));
        self.update(platform);
    }
}

impl TimedDevice for Rtc {
    fn deadline_ns(&self) -> Option<u64> {
        // A flag that is set already changes nothing more, so nobody need be woken for it.
        let wanted = self.register_b & !self.register_c;
        let mut deadline = None;
        let mut consider = |at: u64| deadline = Some(deadline.map_or(at, |d: u64| d.min(at)));
        if wanted & spec::B_PIE != 0
            && !self.divider_reset()
            && let Some(hz) = self.periodic_hz()
        {
            // From where the flags are right, not from now, or a period between would never be noticed.
            let next = self.periods(hz, self.seen_ns).saturating_add(1);
            consider(
                (next / hz).saturating_mul(NS_PER_S).saturating_add((next % hz * NS_PER_S).div_ceil(hz)),
            );
        }
        if !self.stopped() {
            let seconds = self.time(self.seen_ns).0;
            if wanted & spec::B_UIE != 0 {
                consider(self.second_ns(seconds.saturating_add(1)));
            }
            if wanted & spec::B_AIE != 0
                && let Some(at) = self.alarm().next_after(seconds)
            {
                consider(self.second_ns(at));
            }
        }
        deadline
    }

    fn expire(&mut self, platform: &mut dyn Platform) {
        self.catch_up(platform.now_ns());
        self.update(platform);
    }
}

/// The memory sizes where PC firmware writes them.
fn cmos_memory(config: &CmosConfig) -> [u8; 256] {
    let mut memory = [0; 256];
    let mut put = |index: usize, bytes: &[u8]| {
        for (slot, byte) in memory.iter_mut().skip(index).zip(bytes) {
            *slot = *byte;
        }
    };
    let word = |units: u64| (units.min(0xffff) as u16).to_le_bytes();
    let extended = word(config.low_ram_bytes.saturating_sub(1 << 20) >> 10);
    put(0x15, &word(640));
    put(0x17, &extended);
    put(0x30, &extended);
    put(0x34, &word(config.low_ram_bytes.saturating_sub(16 << 20) >> 16));
    let high = (config.high_ram_bytes >> 16).min(0xff_ffff).to_le_bytes();
    put(0x5b, high.get(..3).unwrap_or_default());
    put(0x5f, &[config.cpus.saturating_sub(1).min(255) as u8]);
    // Equipment: 80x25 colour display, FPU; no diskette.
    put(0x14, &[0x26]);
    memory
}

#[cfg(test)]
mod tests;
