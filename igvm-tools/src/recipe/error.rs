//! Who is to blame for a build that fails: the recipe, line and field, or the command line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::locate::line_of;

/// A mistake in a recipe, or in what it names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct RecipeError {
    /// `FILE:LINE: FIELD`, or `--set FIELD`.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

impl RecipeError {
    /// An error about a whole file.
    pub fn whole(path: &Path, message: String) -> Self {
        Self { place: path.display().to_string(), message }
    }
}

/// What is needed to say where a mistake is.
#[derive(Clone, Debug)]
pub struct Blame {
    path: PathBuf,
    text: String,
    overridden: BTreeSet<String>,
}

impl Blame {
    /// For the recipe at `path`, which reads `text`.
    pub fn new(path: &Path, text: String) -> Self {
        Self { path: path.to_path_buf(), text, overridden: BTreeSet::new() }
    }

    /// The recipe's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// From now on `field` is the command line's, not the recipe's.
    pub fn overridden(&mut self, field: &str) {
        self.overridden.insert(field.to_owned());
    }

    /// A mistake in what a field says. Dots separate a field's levels; the last level may have dots itself.
    pub fn field(&self, field: &str, message: impl Into<String>) -> RecipeError {
        let place = if self.overridden.contains(field) {
            format!("--set {field}")
        } else {
            // A field that is not written has a default; its line is that of what should hold it.
            let line = line_of(&self.text, field);
            format!("{}:{line}: {field}", self.path.display())
        };
        RecipeError { place, message: message.into() }
    }

    /// A mistake the JSON parser found.
    pub fn json(&self, field: Option<String>, error: &serde_json::Error) -> RecipeError {
        let path = self.path.display();
        let (line, column) = (error.line(), error.column());
        let place = match field.filter(|field| field != ".") {
            Some(field) => format!("{path}:{line}:{column}: {field}"),
            None => format!("{path}:{line}:{column}"),
        };
        // The parser's own message ends with the place, which is said already.
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
        RecipeError { place, message }
    }
}
