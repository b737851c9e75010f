//! The tests that a mutant names: what they are, as words and as what is run.

use std::fmt::{Display, Formatter};

use anyhow::{Context, Error, Result, bail};
use serde::Deserialize;

use crate::tests::abi::Variant;

/// A test that has to fail.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum Killer {
    /// `unit PACKAGE [FILTER]`: tests of a package on the host, its library's and those beside it.
    Unit {
        /// The package.
        package: String,
        /// What their names have in them.
        filter: String,
    },
    /// `abi N PART`, `abi-long-way N PART` or `abi-checked N PART`: a part of the ABI's tests, with N
    /// processors.
    Abi {
        /// On which kernel.
        variant: Variant,
        /// Processors.
        processors: u32,
        /// The part.
        part: String,
    },
    /// `check GROUP NAME`: a check of `scripts/test`.
    Check {
        /// Its group.
        group: String,
        /// Its name.
        name: String,
    },
}

/// What an ABI part's variant is called.
const VARIANTS: [(&str, Variant); 3] =
    [("abi", Variant::Released), ("abi-long-way", Variant::LongWay), ("abi-checked", Variant::Checked)];

impl TryFrom<String> for Killer {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let words: Vec<_> = text.split(' ').collect();
        match *words {
            // Without a filter: all of the package's tests.
            ["unit", package] => Ok(Self::Unit { package: package.to_owned(), filter: String::new() }),
            ["unit", package, filter] => {
                Ok(Self::Unit { package: package.to_owned(), filter: filter.to_owned() })
            }
            ["check", group, name] => Ok(Self::Check { group: group.to_owned(), name: name.to_owned() }),
            // A part's name may have blanks.
            [abi, processors, ref part @ ..] if !part.is_empty() => {
                let variant = VARIANTS.iter().find(|(name, _)| *name == abi).map(|(_, variant)| *variant);
                let variant = variant.with_context(|| format!("\"{text}\" is no killer"))?;
                let processors = processors.parse().context("a number of processors")?;
                Ok(Self::Abi { variant, processors, part: part.join(" ") })
            }
            _ => bail!("\"{text}\" is no killer"),
        }
    }
}

impl Display for Killer {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unit { package, filter } if filter.is_empty() => write!(f, "unit {package}"),
            Self::Unit { package, filter } => write!(f, "unit {package} {filter}"),
            Self::Abi { variant, processors, part } => {
                let name = VARIANTS.iter().find(|(_, one)| one == variant).map_or("abi", |(name, _)| name);
                write!(f, "{name} {processors} {part}")
            }
            Self::Check { group, name } => write!(f, "check {group} {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_words() {
        for text in ["unit a", "unit a b::c", "abi 2 run page", "abi-checked 1 vm", "check 30-abi abi-1"] {
            assert_eq!(Killer::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        for text in ["", "unit", "abi 1", "abi x vm", "what 1 vm", "check 30-abi", "unit a b c"] {
            assert!(Killer::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
