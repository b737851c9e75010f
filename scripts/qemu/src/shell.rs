//! A command as one would type it.

use std::ffi::OsString;

/// The command as one would type it in a shell.
pub fn shell(command: &[OsString]) -> String {
    let quoted = |word: &OsString| {
        let word = word.to_string_lossy();
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_=+./:,@%".contains(letter);
        if !word.is_empty() && word.chars().all(plain) {
            word.into_owned()
        } else {
            // Within single quotes nothing has a meaning but their end.
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    command.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        let command: Vec<OsString> = ["q", "", "a b", "it's", "x=1,y"].map(OsString::from).into();
        assert_eq!(shell(&command), "q '' 'a b' 'it'\\''s' x=1,y");
    }
}
