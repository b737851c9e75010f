//! The start page: what a process is told. Text, a fact a line: `handle NAME NUMBER`, `set NAME VALUE`.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use vcpu_abi::operation::Handle;

/// What the process was told.
#[derive(Clone, Debug, Default)]
pub struct Start {
    handles: Vec<(String, Handle)>,
    settings: Vec<(String, String)>,
}

impl Start {
    /// Reads a start page: text up to the first zero byte. Lines of another form are passed over.
    pub fn parse(page: &[u8]) -> Self {
        let end = page.iter().position(|b| *b == 0).unwrap_or(page.len());
        let text = page.get(..end).and_then(|t| core::str::from_utf8(t).ok()).unwrap_or("");
        let mut start = Self::default();
        for line in text.lines() {
            // At most three parts, as there may be blanks in what a setting says.
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("handle"), Some(name), Some(number)) => {
                    if let Ok(number) = number.parse() {
                        start.handles.push((name.to_owned(), number));
                    }
                }
                (Some("set"), Some(name), value) => {
                    start.settings.push((name.to_owned(), value.unwrap_or("").to_owned()));
                }
                _ => {}
            }
        }
        start
    }

    /// A handle, by name.
    pub fn handle(&self, name: &str) -> Option<Handle> {
        self.handles.iter().find(|(n, _)| n == name).map(|(_, h)| *h)
    }

    /// A setting, by name.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All settings.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All handles.
    pub fn handles(&self) -> &[(String, Handle)] {
        &self.handles
    }
}

#[cfg(test)]
mod tests {
    use super::Start;

    #[test]
    fn lines_become_handles_and_settings() {
        let start =
            Start::parse(b"handle log 2\nset mode fast and loose\nnonsense\nhandle bad x\nset empty\n\0junk");
        assert_eq!(start.handle("log"), Some(2));
        assert_eq!(start.handle("bad"), None);
        assert_eq!(start.setting("mode"), Some("fast and loose"));
        assert_eq!(start.setting("empty"), Some(""));
        assert_eq!(start.handles().len(), 1);
    }
}
