//! Values as text: numbers, and bytes that are mostly letters.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// What a field of an item may be.
pub trait Value: Sized {
    /// Appends it, without a blank in it.
    fn write(&self, to: &mut String);

    /// Reads it back.
    fn parse(text: &str) -> Option<Self>;
}

/// A number in decimal digits, and nothing else.
fn digits(text: &str) -> Option<u64> {
    // `parse` alone would take a sign as well, and two texts would be the same number.
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

impl Value for u64 {
    fn write(&self, to: &mut String) {
        // Writing to a string cannot fail.
        let _ = write!(to, "{self}");
    }

    fn parse(text: &str) -> Option<Self> {
        digits(text)
    }
}

impl Value for u32 {
    fn write(&self, to: &mut String) {
        u64::from(*self).write(to);
    }

    fn parse(text: &str) -> Option<Self> {
        digits(text)?.try_into().ok()
    }
}

impl Value for Option<u64> {
    fn write(&self, to: &mut String) {
        match self {
            Some(number) => number.write(to),
            None => to.push('-'),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "-" { Some(None) } else { Some(Some(digits(text)?)) }
    }
}

/// Letters stand for themselves; a blank is `\_`, the end of a line `\n`, a backslash `\\`, any other byte
/// `\xHH`.
fn escape(bytes: &[u8], to: &mut String) {
    for byte in bytes {
        match byte {
            // Fields end at a blank and items at a line's end: neither may be in a value.
            b' ' => to.push_str("\\_"),
            b'\n' => to.push_str("\\n"),
            b'\\' => to.push_str("\\\\"),
            0x21..=0x7e => to.push(char::from(*byte)),
            _ => {
                // As above.
                let _ = write!(to, "\\x{byte:02x}");
            }
        }
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'_' => b' ',
                b'n' => b'\n',
                b'\\' => b'\\',
                b'x' => {
                    let mut digit = || char::from(rest.next()?).to_digit(16);
                    (digit()? << 4 | digit()?) as u8
                }
                _ => return None,
            },
            0x21..=0x7e => byte,
            _ => return None,
        });
    }
    Some(bytes)
}

impl Value for String {
    fn write(&self, to: &mut String) {
        escape(self.as_bytes(), to);
    }

    /// Bytes that are no text are replaced.
    fn parse(text: &str) -> Option<Self> {
        unescape(text).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &impl Value) -> String {
        let mut text = String::new();
        value.write(&mut text);
        text
    }

    #[test]
    fn numbers_are_digits() {
        assert_eq!(written(&u64::MAX), "18446744073709551615");
        assert_eq!(u64::parse("18446744073709551615"), Some(u64::MAX));
        for text in ["", "+1", "-1", "1 ", " 1", "0x1", "18446744073709551616", "1_0", "١"] {
            assert_eq!(u64::parse(text), None, "{text}");
        }
        assert_eq!((u32::parse("4294967295"), u32::parse("4294967296")), (Some(u32::MAX), None));
        assert_eq!((written(&None), written(&Some(7))), ("-".into(), "7".into()));
        assert_eq!(Option::<u64>::parse("-"), Some(None));
        assert_eq!((Option::<u64>::parse("7"), Option::<u64>::parse("--")), (Some(Some(7)), None));
    }

    #[test]
    fn any_bytes_are_one_word() {
        let mut text = String::new();
        let all: Vec<u8> = (0..=255).collect();
        escape(&all, &mut text);
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(unescape(&text), Some(all));
        assert_eq!(written(&String::from("a b\\\n\u{e9}")), "a\\_b\\\\\\n\\xc3\\xa9");
        assert_eq!(String::parse("a\\_b\\xff"), Some("a b\u{fffd}".into()));
        for text in ["\\", "\\q", "\\x", "\\x1", "\\xg0", "a b", "\u{e9}", "\t"] {
            assert_eq!(unescape(text), None, "{text:?}");
        }
    }
}
