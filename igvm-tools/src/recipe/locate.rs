//! Finding the line of a field in JSON that is known to be well-formed: the parser keeps no positions.

/// The line, counted from 1, of the key that `field` names, or of the deepest level of it that is there.
///
/// Levels are separated by dots, two at most: `layout.window_base`, `files.init.json`, `kernel`.
pub fn line_of(text: &str, field: &str) -> usize {
    // Two at most, as names of files may have dots.
    let levels: Vec<&str> = field.splitn(2, '.').collect();
    let mut scanner = Scanner { rest: text, line: 1, depth: 0 };
    let mut found = 0;
    let mut line = 1;
    while let Some(key) = scanner.next_key() {
        // A key of a deeper level counts only while inside the level above.
        if scanner.depth <= found {
            break;
        }
        if scanner.depth == found + 1 && levels.get(found) == Some(&key.as_str()) {
            line = scanner.line;
            found += 1;
            if found == levels.len() {
                break;
            }
        }
    }
    line
}

struct Scanner<'a> {
    rest: &'a str,
    line: usize,
    /// Number of objects and arrays around the current place.
    depth: usize,
}

impl Scanner<'_> {
    /// The next object key; `depth` is that of the object it is in.
    fn next_key(&mut self) -> Option<String> {
        loop {
            let next = self.rest.chars().next()?;
            if next == '"' {
                let string = self.string()?;
                // Of strings only a key is followed by a colon: values that look like keys are none.
                if self.rest.trim_start().starts_with(':') {
                    return Some(string);
                }
                continue;
            }
            self.rest = self.rest.get(next.len_utf8()..)?;
            match next {
                '\n' => self.line += 1,
                '{' | '[' => self.depth += 1,
                '}' | ']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// A string, quotes and escapes resolved; JSON allows no line break in one.
    fn string(&mut self) -> Option<String> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, next)| {
            let ends = *next == '"' && !escaped;
            escaped = *next == '\\' && !escaped;
            ends
        });
        let (raw, rest) = self.rest.split_at_checked(end?.0 + 1)?;
        self.rest = rest;
        // By the parser itself, so that escapes mean the same here.
        serde_json::from_str(raw).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::line_of;

    const TEXT: &str = r#"{
  "kernel": "k\"{",
  "files": { "layout": "x",
    "init.json": "layout" },
  "layout": {

    "window_base": 1
  }
}"#;

    #[test]
    fn lines() {
        for (field, line) in [
            ("kernel", 2),
            ("files", 3),
            ("files.layout", 3),
            ("files.init.json", 4),
            ("layout", 5),
            ("layout.window_base", 7),
            ("layout.window_bytes", 5), // not there: the level above
            ("payload.linux", 1),
        ] {
            assert_eq!(line_of(TEXT, field), line, "{field}");
        }
    }

    #[test]
    fn a_key_of_a_later_object_is_not_taken() {
        assert_eq!(line_of("{\n\"files\": {},\n\"payload\": {\n\"a\": 1}}", "files.a"), 2);
    }
}
