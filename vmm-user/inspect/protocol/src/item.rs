//! What answers are made of.

use alloc::string::String;

use crate::text::Value;

/// A line of an answer: its kind, and fields by name, in order: `process serial=1 name=init ...`.
pub trait Item: Sized {
    /// The first word of its line.
    const KIND: &'static str;

    /// The line, without its end.
    fn to_line(&self) -> String;

    /// Reads a line; `None` if it is not one of this kind with all of its fields and no more.
    fn parse(line: &str) -> Option<Self>;
}

/// Declares items: `Name "kind" { field: type, ... }`, each with its documents.
macro_rules! items {
    ($($(#[$meta:meta])* $name:ident $kind:literal {
        $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
    })*) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl Item for $name {
            const KIND: &'static str = $kind;

            fn to_line(&self) -> String {
                let mut line = String::from($kind);
                $(
                    line.push_str(concat!(" ", stringify!($field), "="));
                    self.$field.write(&mut line);
                )*
                line
            }

            fn parse(line: &str) -> Option<Self> {
                let mut words = line.split(' ');
                if words.next() != Some($kind) {
                    return None;
                }
                let item = Self {
                    $($field: {
                        let (name, value) = words.next()?.split_once('=')?;
                        // By name and in order: of another version's line no field is taken for another.
                        if name != stringify!($field) {
                            return None;
                        }
                        Value::parse(value)?
                    },)*
                };
                if words.next().is_some() { None } else { Some(item) }
            }
        }
    )* };
}

items! {
    /// The machine.
    Machine "machine" {
        /// Frequency of the TSC in Hz.
        tsc_hz: u64,
        /// TSC value when the kernel was entered.
        boot_tsc: u64,
        /// TSC value when this was said.
        now_tsc: u64,
        /// Processors that run.
        cpus: u32,
        /// Memory that Plinth keeps for itself, in bytes.
        kept_bytes: u64,
        /// Of that, how much is free.
        free_bytes: u64,
        /// Memory that is the guest's, in bytes.
        guest_bytes: u64,
        /// Host interrupts while a guest ran, which the kernel handled.
        host_interrupts: u64,
        /// Host NMIs, likewise.
        host_nmis: u64,
    }
    /// A process.
    Process "process" {
        /// Its number.
        serial: u64,
        /// Its name.
        name: String,
        /// 0 not started, 1 running, 2 ended.
        state: u32,
        /// Exit code, when ended.
        code: u32,
        /// Threads that have not ended.
        threads: u32,
        /// Handles it holds.
        handles: u32,
        /// Memory of its own, in bytes.
        memory_bytes: u64,
        /// How long its threads have run, in ticks of the TSC.
        run_tsc: u64,
        /// Highest priority of its threads.
        priority: u32,
    }
    /// A part of the log.
    LogPart "log" {
        /// Number of the text's first byte, counted from the log's first.
        from: u64,
        /// How many of the bytes that were wanted have been overwritten.
        lost: u64,
        /// Number of the byte that will be written next.
        end: u64,
        /// How many bytes the text has.
        bytes: u64,
        /// The text: lines, of which the first and the last may be cut.
        text: String,
    }
    /// How often a vCPU exited for a reason, at a place.
    Exits "exits" {
        /// The vCPU.
        vcpu: u32,
        /// The reason, by name.
        reason: String,
        /// Port, page of an address, MSR, or CPUID leaf; none for other reasons, and for what was at more
        /// places than are told apart.
        place: Option<u64>,
        /// Who handled them: a device's name, or `vmm`.
        by: String,
        /// How many.
        count: u64,
        /// What the VMM took for them, in ticks of the TSC; 0 where exits are not timed.
        ticks: u64,
    }
    /// One exit.
    Traced "exit" {
        /// Its number, counted over all vCPUs.
        number: u64,
        /// The vCPU.
        vcpu: u32,
        /// TSC value when the VMM began with it.
        tsc: u64,
        /// What the VMM took for it, in ticks of the TSC.
        ticks: u64,
        /// The reason, by name.
        reason: String,
        /// As in [`Exits`].
        place: Option<u64>,
        /// Who handled it.
        by: String,
        /// The guest's RIP.
        rip: u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process() -> Process {
        Process {
            serial: 3,
            name: "a b".into(),
            state: 1,
            code: 0,
            threads: 2,
            handles: 9,
            memory_bytes: 1 << 20,
            run_tsc: u64::MAX,
            priority: 1,
        }
    }

    const LINE: &str = "process serial=3 name=a\\_b state=1 code=0 threads=2 handles=9 memory_bytes=1048576 \
                        run_tsc=18446744073709551615 priority=1";

    #[test]
    fn a_line_is_kind_and_fields() {
        assert_eq!(process().to_line(), LINE);
        assert_eq!(Process::parse(LINE), Some(process()));
    }

    #[test]
    fn all_fields_and_no_more_in_order() {
        assert_eq!(Machine::parse(LINE), None);
        for (from, to) in [
            ("serial=3 ", ""),
            (" priority=1", ""),
            ("priority=1", "priority=1 more=2"),
            ("priority=1", "priority=1 "),
            ("serial=3 name", "name"),
            ("serial", "Serial"),
            ("process ", "process  "),
            ("state=1", "state="),
            ("state=1", "state=one"),
            ("threads=2", "threads=4294967296"),
            ("a\\_b", "a b"),
        ] {
            assert_eq!(Process::parse(&LINE.replace(from, to)), None, "{from} -> {to}");
        }
        assert_eq!(Process::parse(""), None);
    }

    #[test]
    fn text_comes_back() {
        let part = LogPart { from: 1, lost: 2, end: 9, bytes: 6, text: "a b\nc\n".into() };
        assert_eq!(part.to_line(), "log from=1 lost=2 end=9 bytes=6 text=a\\_b\\nc\\n");
        assert_eq!(LogPart::parse(&part.to_line()), Some(part));
        let exits =
            Exits { vcpu: 0, reason: "port".into(), place: None, by: "vmm".into(), count: 1, ticks: 0 };
        assert_eq!(Exits::parse(&exits.to_line()), Some(exits));
    }
}
