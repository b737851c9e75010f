//! The parts of a recipe that are not plain JSON types: named files and amounts of memory.

use std::fmt;
use std::path::PathBuf;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

/// Where a file's contents come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file of the host.
    File(PathBuf),
    /// The recipe itself.
    Text(String),
}

/// Named files in the order of the recipe. No two have one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries(pub Vec<(String, Source)>);

/// An address or a size in bytes: a number, or a string such as `"0x08000000"`, `"32M"`, `"4K"`, `"1G"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount(pub u64);

impl Amount {
    /// Reads an amount as written in a recipe's string; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        // JSON has no hexadecimal numbers, by which people know addresses.
        if let Some(digits) = text.strip_prefix("0x") {
            return u64::from_str_radix(digits, 16).ok().map(Self);
        }
        let (digits, unit) = match text.char_indices().last()? {
            (at, 'K') => (text.get(..at)?, 1 << 10),
            (at, 'M') => (text.get(..at)?, 1 << 20),
            (at, 'G') => (text.get(..at)?, 1 << 30),
            _ => (text, 1),
        };
        digits.parse::<u64>().ok()?.checked_mul(unit).map(Self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Amount;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, or a string like \"0x08000000\" or \"32M\"")
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Amount, E> {
                Ok(Amount(value))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
                Amount::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Source;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, or { \"text\": \"contents\" }")
            }
            fn visit_str<E: de::Error>(self, path: &str) -> Result<Source, E> {
                Ok(Source::File(path.into()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Source, A::Error> {
                let mut text = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key != "text" {
                        return Err(de::Error::unknown_field(&key, &["text"]));
                    }
                    // JSON allows it, and the second one would count in silence.
                    if text.replace(map.next_value()?).is_some() {
                        return Err(de::Error::duplicate_field("text"));
                    }
                }
                text.map(Source::Text).ok_or_else(|| de::Error::missing_field("text"))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of file names, each with a path or { \"text\": \"contents\" }")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Entries::default();
                while let Some(name) = map.next_key::<String>()? {
                    // An ordinary map keeps the last one without a word, and the image would lack a file that
                    // the recipe has.
                    if entries.0.iter().any(|(other, _)| *other == name) {
                        return Err(de::Error::custom(format_args!("the name {name:?} is used twice")));
                    }
                    let source = map.next_value()?;
                    entries.0.push((name, source));
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}
